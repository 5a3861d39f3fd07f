//! Bearer tokens of the private listeners.

pub mod operator_role;
pub mod operator_tokens;

use std::borrow::Cow;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, TryIntoHeaderValue, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError, web};
use actix_web_httpauth::headers::authorization::{Bearer, Scheme};
use actix_web_httpauth::headers::www_authenticate::WwwAuthenticate;
use actix_web_httpauth::headers::www_authenticate::bearer::Bearer as BearerChallenge;
use actors::supervise::log_throttle::LogThrottle;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::http::error::ApiError;

/// The token that a listener requires, or none if it is open. It is put into the application's data for [`require`].
#[derive(Clone)]
pub struct BearerToken {
    digest: Option<[u8; 32]>,
    /// Configuration key of the listener's token.
    key: &'static str,
    refused: LogThrottle,
}

impl BearerToken {
    /// Returns the check for a listener whose token is set under this key; `None` leaves the listener open.
    pub fn new(key: &'static str, token: Option<&str>) -> Self {
        Self { digest: token.map(|token| token_digest(token.as_bytes())), key, refused: refusals_log() }
    }

    fn note(&self, request: &ServiceRequest, why: &ApiError) {
        let from = request.peer_addr().map_or_else(|| "no address".to_owned(), |address| address.to_string());
        self.refused.note(self.key, 1, &format!("{from}: {why}"));
    }

    /// Returns the answer to a request without the right token; it is logged.
    pub fn refusal(&self, request: &ServiceRequest) -> Option<HttpResponse> {
        let problem = self.check(request.headers()).err()?;
        self.note(request, &problem);
        Some(unauthenticated_answer(&problem))
    }

    /// Returns whether no token is required.
    pub fn is_open(&self) -> bool {
        self.digest.is_none()
    }

    /// Returns an error unless the request carries the token.
    ///
    /// It compares digests, in constant time, so that neither the length nor a prefix of the token can be measured.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(expected) = self.digest else { return Ok(()) };
        match given_digest(headers)?.ct_eq(&expected).into() {
            true => Ok(()),
            false => Err(ApiError::unauthenticated("the bearer token is wrong")),
        }
    }
}

/// Returns the log of requests that were rejected because of their token.
fn refusals_log() -> LogThrottle {
    LogThrottle::new(|key, count, last| {
        tracing::warn!(key, count, last, "requests rejected, because their token is missing or wrong");
    })
}

fn token_digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Returns the digest of the token that a request carries.
fn given_digest(headers: &HeaderMap) -> Result<[u8; 32], ApiError> {
    let Some(given) = headers.get(AUTHORIZATION) else {
        return Err(ApiError::unauthenticated("a bearer token is required"));
    };
    let bearer = Bearer::parse(&with_exact_scheme(given));
    let bearer = bearer.map_err(|_| ApiError::unauthenticated("the bearer token is wrong"))?;
    Ok(token_digest(bearer.token().as_bytes()))
}

/// Returns the answer to a request without a right token, with the scheme that is required.
fn unauthenticated_answer(problem: &ApiError) -> HttpResponse {
    let mut answer = problem.error_response();
    let challenge = WwwAuthenticate(BearerChallenge::default()).try_into_value().expect("a scheme is visible ASCII");
    answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    answer
}

const SCHEME: &[u8] = b"Bearer";

/// Returns the header with its scheme in the only spelling that the library accepts, because the case of a scheme does not
/// matter (RFC 9110, section 11.1).
fn with_exact_scheme(given: &HeaderValue) -> Cow<'_, HeaderValue> {
    match given.as_bytes().split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme != SCHEME && scheme.eq_ignore_ascii_case(SCHEME) => {
            HeaderValue::from_bytes(&[SCHEME, rest].concat()).map_or(Cow::Borrowed(given), Cow::Owned)
        }
        _ => Cow::Borrowed(given),
    }
}

/// Middleware for a scope: refuses requests without the right token.
pub async fn require(
    bearer: web::Data<BearerToken>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match bearer.refusal(&request) {
        None => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        Some(answer) => Ok(request.into_response(answer)),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::App;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};

    use super::*;

    const KEY: &str = "admin.token";

    fn asked(bearer: &BearerToken, header: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(header).expect("a header"));
        }
        bearer.check(&headers).is_ok()
    }

    #[test]
    fn only_exact_token_is_authorized() {
        let closed = BearerToken::new(KEY, Some("sesame"));
        for (header, opens) in [
            (None, false),
            (Some(""), false),
            (Some("Bearer"), false),
            (Some("Bearer "), false),
            (Some("sesame"), false),
            (Some("Basic sesame"), false),
            (Some("Bearer sesam"), false),
            (Some("Bearer sesame2"), false),
            (Some("Bearer sesame"), true),
            (Some("bearer sesame"), true),
        ] {
            assert_eq!(asked(&closed, header), opens, "{header:?}");
        }
        assert!(asked(&BearerToken::new(KEY, None), None));
        assert!(asked(&BearerToken::new(KEY, None), Some("Bearer anything")));
    }

    #[test]
    fn only_scheme_ignores_case() {
        let closed = BearerToken::new(KEY, Some("Sesame"));
        for (header, opens) in [
            (&b"bEARER Sesame"[..], true),
            (b"BEARER sesame", false),
            (b"Bearer  Sesame", false),
            (b"Bearer\tSesame", false),
            (b"BearerSesame", false),
            (b"B", false),
            (b"bearer", false),
            (b"bearer S\xe9same", false),
        ] {
            let value = HeaderValue::from_bytes(header).expect("a header");
            let headers = [(AUTHORIZATION, value)].into_iter().collect();
            assert_eq!(closed.check(&headers).is_ok(), opens, "{header:?}");
        }
    }

    #[actix_web::test]
    async fn scope_without_token_answers_401() {
        let handler = || async { HttpResponse::NoContent().finish() };
        let scope = web::scope("/v1").wrap(from_fn(require)).route("/x", web::get().to(handler));
        let app = App::new().app_data(web::Data::new(BearerToken::new(KEY, Some("sesame")))).service(scope);
        let app = init_service(app).await;
        let refused = call_service(&app, TestRequest::get().uri("/v1/x").to_request()).await;
        let asks_for = refused.headers().get(WWW_AUTHENTICATE).map(HeaderValue::as_bytes);
        assert_eq!((refused.status().as_u16(), asks_for), (401, Some(&b"Bearer"[..])));
        let request = TestRequest::get().uri("/v1/x").insert_header((AUTHORIZATION, "Bearer sesame"));
        assert_eq!(call_service(&app, request.to_request()).await.status().as_u16(), 204);
    }
}
