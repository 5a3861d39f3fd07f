//! The guard of a page server: its headers on each answer, and refusals of requests from other origins.
//!
//! The server listens on loopback without a token, and its calls send messages. A page elsewhere that the same browser shows
//! must not be able to make them: neither by a request across origins, nor under a name of its own that leads to loopback.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError};

use crate::tools::demo::page::error::PageError;

/// Headers of every answer. Nothing inline, nothing from elsewhere, and no text becomes markup.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; \
         base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Refuses foreign requests, and adds the headers.
pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let port = request.app_config().local_addr().port();
    let mut answer = match judge(request.method(), request.headers(), port) {
        Err(refusal) => request.into_response(refusal.error_response()),
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Ok(answer)
}

/// Judges where a request comes from.
fn judge(method: &Method, headers: &HeaderMap, port: u16) -> Result<(), PageError> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    let host = text(&HOST).unwrap_or_default();
    if !hosts.iter().any(|own| own == host) {
        return Err(PageError::Foreign("its Host is not the address of this server"));
    }
    if headers.contains_key(ORIGIN) && text(&ORIGIN) != Some(&format!("http://{host}")) {
        return Err(PageError::Foreign("its Origin is another one"));
    }
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match text(&HeaderName::from_static("sec-fetch-site")) {
        None | Some("same-origin" | "none") => Ok(()),
        // A link from elsewhere, such as from the page of another server of the demo, may open a page.
        Some(_) if is_read && text(&HeaderName::from_static("sec-fetch-mode")) == Some("navigate") => Ok(()),
        Some(_) => Err(PageError::Foreign("Sec-Fetch-Site says so")),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn guard_refuses_other_origins() {
        let judged = |method: Method, headers: &[(&str, &str)]| {
            let mut request = TestRequest::default();
            for (name, value) in headers {
                request = request.insert_header((*name, *value));
            }
            judge(&method, request.to_http_request().headers(), 7000).is_ok()
        };
        let own = ("host", "127.0.0.1:7000");
        assert!(judged(Method::GET, &[own]));
        assert!(judged(Method::POST, &[("host", "localhost:7000"), ("origin", "http://localhost:7000")]));
        assert!(judged(Method::GET, &[own, ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")]));
        for (method, headers) in [
            (Method::GET, vec![]),
            (Method::GET, vec![("host", "evil.example:7000")]),
            (Method::GET, vec![("host", "127.0.0.1:7001")]),
            (Method::GET, vec![own, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]),
            (Method::POST, vec![own, ("origin", "http://evil.example")]),
            (Method::POST, vec![own, ("origin", "null")]),
            (Method::POST, vec![own, ("origin", "http://localhost:7000")]),
            (Method::POST, vec![own, ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")]),
        ] {
            assert!(!judged(method, &headers), "{headers:?}");
        }
    }
}
