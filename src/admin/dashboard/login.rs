//! The login: a form that exchanges the operator's token for the cookie of a session.

use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION, SET_COOKIE};
use actix_web::{HttpResponse, web};
use actors::supervise::log_throttle::LogThrottle;
use askama::Template;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::admin::answer::OperatorCall;
use crate::admin::dashboard::dashboard_site::{DashboardSite, DashboardVisitor};
use crate::admin::dashboard::page_parts::{PageRefusal, page_with};
use crate::admin::dashboard::session_table::SESSION_TIME;
use crate::http::bearer::operator_role::OperatorRole;
use crate::http::query;
use crate::settings::SecretValue;

/// Log of logins with a wrong token, which somebody may try without end.
static REJECTED: LazyLock<LogThrottle> = LazyLock::new(|| {
    LogThrottle::new(|what, count, last| tracing::warn!(what, count, last, "logins to the dashboard rejected"))
});

#[derive(Template)]
#[template(path = "login.html", config = "src/admin/dashboard/pages/askama.toml")]
struct LoginPage<'a> {
    server: &'a str,
    next: &'a str,
    is_wrong: bool,
}

#[derive(Deserialize)]
pub(super) struct LoginQuery {
    /// Page to go to.
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct LoginForm {
    #[serde(default)]
    next: String,
    credential: Zeroizing<String>,
}

#[derive(Deserialize)]
pub(super) struct LogoutForm {
    token: String,
}

/// Returns the page to go to after the login, if it is one of this gateway.
fn target(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']);
    if is_path && next.is_ascii() { next } else { "/" }
}

fn see(location: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, location)).finish()
}

fn form_page(site: &DashboardSite, next: &str, is_wrong: bool) -> Result<HttpResponse, PageRefusal> {
    let status = if is_wrong { StatusCode::FORBIDDEN } else { StatusCode::OK };
    let server = site.api.gateway.ports().us.as_str();
    page_with(status, &LoginPage { server, next: target(next), is_wrong })
}

/// Shows the form; who needs none goes on at once.
pub(super) async fn form(
    site: web::Data<DashboardSite>,
    visitor: Option<DashboardVisitor>,
    asked: query::QueryParams<LoginQuery>,
) -> Result<HttpResponse, PageRefusal> {
    match visitor {
        Some(_) => Ok(see(target(&asked.next))),
        None => form_page(&site, &asked.next, false),
    }
}

/// Begins a session if the token is right.
pub(super) async fn log_in(
    site: web::Data<DashboardSite>,
    operator: OperatorCall,
    web::Form(form): web::Form<LoginForm>,
) -> Result<HttpResponse, PageRefusal> {
    let (credential, from) = (form.credential.trim(), operator.origin());
    if site.operator_of(credential).is_none() {
        REJECTED.note("admin.tokens", 1, &from);
        return form_page(&site, &form.next, true);
    }
    tracing::info!(from, "login to the dashboard");
    let value = site.sessions.begin(SecretValue::from(credential), site.now());
    Ok(with_cookie(&site, see(target(&form.next)), &value, SESSION_TIME.as_secs()))
}

/// Ends the session.
pub(super) async fn log_out(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    web::Form(form): web::Form<LogoutForm>,
) -> Result<HttpResponse, PageRefusal> {
    visitor.check_form(&form.token, OperatorRole::Read)?;
    if let Some(session) = &visitor.session {
        site.sessions.end(session);
    }
    Ok(with_cookie(&site, see("/login"), "", 0))
}

/// Adds the cookie: no script and no page of another server ever sees or sends it.
fn with_cookie(site: &DashboardSite, mut answer: HttpResponse, value: &str, seconds: u64) -> HttpResponse {
    let secure = if site.has_tls { "; Secure" } else { "" };
    let cookie = format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", site.cookie);
    let cookie = HeaderValue::try_from(cookie).expect("a name and a value of letters and digits");
    answer.headers_mut().insert(SET_COOKIE, cookie);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_leads_to_own_pages() {
        for (next, goes) in [
            ("/peers?after=x", "/peers?after=x"),
            ("", "/"),
            ("peers", "/"),
            ("//evil.example/", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nset-cookie: x=1", "/"),
            ("/\u{e9}", "/"),
        ] {
            assert_eq!(target(next), goes, "{next:?}");
        }
    }
}
