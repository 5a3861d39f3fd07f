//! A visitor of the dashboard, without a browser.

use std::sync::Arc;

use actix_web::App;
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use fernpost::admin::dashboard;
use fernpost::admin::dashboard::dashboard_site::DashboardSite;
use fernpost::http::bearer::operator_role::OperatorRole;
use fernpost::http::bearer::operator_tokens::{AcceptedToken, OperatorTokens};
use fernpost::http::error_middleware::ErrorMiddleware;

use crate::fixture::OperatorFixture;

/// Host under which the pages are visited.
const HERE: &str = "127.0.0.1:9882";

/// An answer of the dashboard.
pub(super) struct VisitedPage {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl VisitedPage {
    /// Returns a header, or nothing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Returns the token of the forms of the page.
    pub(super) fn form_token(&self) -> String {
        let (_, rest) = self.text.split_once(r#"name="token" value=""#).expect("a form");
        rest.split('"').next().expect("a value").to_owned()
    }
}

/// Returns the tokens of a listener with this one, or of an open listener.
fn tokens(token: Option<(OperatorRole, &str)>) -> OperatorTokens {
    let accepted: Vec<AcceptedToken> =
        token.into_iter().map(|(role, token)| AcceptedToken::new("desk", role, token)).collect();
    OperatorTokens::new(Arc::new(move || accepted.clone()))
}

/// The dashboard of the gateway of a test.
pub(super) struct DashboardVisits(DashboardSite);

impl DashboardVisits {
    /// Returns the dashboard of a listener with this token.
    pub(super) fn of(operator: &OperatorFixture, token: Option<&str>) -> Self {
        Self(DashboardSite::new(operator.api(), tokens(token.map(|token| (OperatorRole::Administer, token))), false))
    }

    /// Returns the dashboard of a listener whose token has this role.
    pub(super) fn with_role(operator: &OperatorFixture, role: OperatorRole, token: &str) -> Self {
        Self(DashboardSite::new(operator.api(), tokens(Some((role, token))), false))
    }

    /// Returns the dashboard of a listener with TLS.
    pub(super) fn with_tls(operator: &OperatorFixture, token: &str) -> Self {
        Self(DashboardSite::new(operator.api(), tokens(Some((OperatorRole::Administer, token))), true))
    }

    /// Makes a request with these headers.
    pub(super) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> VisitedPage {
        let app = App::new().wrap(ErrorMiddleware).configure(|config| dashboard::configure(config, self.0.clone()));
        let app = init_service(app).await;
        let mut request = TestRequest::default().method(method.clone()).uri(path).insert_header((HOST, HERE));
        if method == Method::POST {
            request = request.insert_header(("content-type", "application/x-www-form-urlencoded"));
        }
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        let answer = call_service(&app, request.set_payload(body.to_owned()).to_request()).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = String::from_utf8(read_body(answer).await.to_vec()).expect("text");
        VisitedPage { status, headers, text }
    }

    /// Reads a page that must exist, with the token.
    pub(super) async fn page(&self, path: &str) -> VisitedPage {
        let page = self.ask(Method::GET, path, &[(AUTHORIZATION.as_str(), "Bearer sesame")], "").await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        page
    }
}
