//! The guard around every page: the policy for the browser, refusals of foreign requests, and the question for the token.

use std::net::IpAddr;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::future::{Ready, ready};
use subtle::ConstantTimeEq;

use crate::admin::dashboard::dashboard_site::{DashboardSite, DashboardVisitor};
use crate::admin::dashboard::page_parts::PageRefusal;
use crate::http::bearer::operator_role::OperatorRole;
use crate::http::bearer::operator_tokens;

/// Headers of every answer. Nothing inline, no scripts at all, nothing from elsewhere.
///
/// The referrer policy must not be `no-referrer`: browsers then send `Origin: null` with the gateway's own forms.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Paths that need no token.
const OPEN_PATHS: &[&str] = &["/login", "/dashboard.css", "/icon.svg"];

/// Refuses foreign requests, sends visitors without a session to the login, and adds the headers.
pub(super) async fn guard(
    site: web::Data<DashboardSite>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut answer = match refusal(&site, &request) {
        Some(refusal) => request.into_response(refusal),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Ok(answer)
}

/// Returns the answer to a request that gets no further; `None`: it goes on, with its visitor.
fn refusal(site: &DashboardSite, request: &ServiceRequest) -> Option<HttpResponse> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if let Err(why) = judge_source(request.headers(), is_read, site.is_open()) {
        return Some(PageRefusal::of(StatusCode::FORBIDDEN, why).error_response());
    }
    if let Some(visitor) = site.visitor(request.headers()) {
        // The log of changes names the token.
        request.extensions_mut().insert(visitor.caller.clone());
        request.extensions_mut().insert(visitor);
    } else if !OPEN_PATHS.contains(&request.path()) {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let back = Some(target).filter(|target| is_read && *target != "/");
        let query = back.map(|target| format!("?next={}", utf8_percent_encode(target, NON_ALPHANUMERIC)));
        let location = format!("/login{}", query.unwrap_or_default());
        return Some(HttpResponse::SeeOther().insert_header((LOCATION, location)).finish());
    }
    None
}

/// Judges where a request comes from.
///
/// A listener without a token is open to every page of a browser on this machine, so a page elsewhere must neither send forms to it
/// nor read it under a name of its own that leads to loopback.
fn judge_source(headers: &HeaderMap, is_read: bool, is_open: bool) -> Result<(), &'static str> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(&HOST).unwrap_or_default();
    if is_open && !is_loopback(host) {
        return Err(
            "this listener needs no token, so it answers under names of loopback only: use 127.0.0.1 or localhost",
        );
    }
    if is_read {
        return Ok(());
    }
    if headers.contains_key(ORIGIN)
        && text(&ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, at)| at) != Some(host)
    {
        return Err("the form was sent by a page of another server");
    }
    match text(&HeaderName::from_static("sec-fetch-site")) {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err("the form was sent by a page of another server"),
    }
}

/// Returns whether an authority is a name of loopback, with any port: a tunnel may have another one.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl FromRequest for DashboardVisitor {
    type Error = PageRefusal;
    type Future = Ready<Result<Self, PageRefusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // The guard has put it there.
        let visitor = request.extensions().get::<Self>().cloned();
        ready(visitor.ok_or_else(|| PageRefusal::of(StatusCode::UNAUTHORIZED, "log in first")))
    }
}

impl DashboardVisitor {
    /// Checks the token that a form carries, and the role that its action needs.
    pub(super) fn check_form(&self, given: &str, role: OperatorRole) -> Result<(), PageRefusal> {
        self.check_role(role)?;
        let is_own = bool::from(self.form_token.as_bytes().ct_eq(given.as_bytes()));
        is_own.then_some(()).ok_or_else(|| {
            let why = "the form is of another session; go back, load its page again, and repeat it";
            PageRefusal::of(StatusCode::FORBIDDEN, why)
        })
    }
}

impl DashboardVisitor {
    /// Refuses a visitor without this role.
    pub(super) fn check_role(&self, role: OperatorRole) -> Result<(), PageRefusal> {
        operator_tokens::check_role(Some(&self.caller), role)
            .map_err(|refused| PageRefusal::of(StatusCode::FORBIDDEN, refused.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn judged(headers: &[(&str, &str)], is_read: bool, is_open: bool) -> bool {
        let mut request = TestRequest::default();
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        judge_source(request.to_http_request().headers(), is_read, is_open).is_ok()
    }

    #[test]
    fn open_listener_answers_loopback_names() {
        for (host, is_answered) in [
            ("127.0.0.1:9882", true),
            ("localhost", true),
            ("localhost:1", true),
            ("[::1]:9882", true),
            ("127.9.9.9", true),
            ("evil.example:9882", false),
            ("localhost.evil.example", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(judged(&[("host", host)], true, true), is_answered, "{host:?}");
            assert!(judged(&[("host", host)], true, false), "{host:?}: a token protects it");
        }
    }

    #[test]
    fn forms_of_other_pages_are_refused() {
        let own = ("host", "fern.example:9882");
        for (more, is_taken) in [
            (vec![], true),
            (vec![("origin", "https://fern.example:9882"), ("sec-fetch-site", "same-origin")], true),
            (vec![("origin", "https://evil.example")], false),
            (vec![("origin", "https://fern.example")], false),
            (vec![("origin", "null")], false),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
        ] {
            let headers = [vec![own], more].concat();
            assert_eq!(judged(&headers, false, false), is_taken, "{headers:?}");
        }
    }
}
