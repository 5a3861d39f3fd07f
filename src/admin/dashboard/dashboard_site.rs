//! The parts that all pages of one dashboard share: the API of the operator, the token, and the sessions.

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use actors::model::Millis;
use sha2::{Digest, Sha256};

use crate::admin::AdminApi;
use crate::admin::dashboard::session_table::{SessionTable, random_text};
use crate::http::bearer::BearerToken;
use crate::settings::SecretValue;

/// The dashboard of one gateway. Clones share the sessions.
#[derive(Clone)]
pub struct DashboardSite {
    pub(super) api: AdminApi,
    token: BearerToken,
    pub(super) sessions: SessionTable,
    /// Token of the forms of visitors without a session: the listener needs no token, or the request carries it.
    open_form_token: String,
    /// Name of the cookie.
    pub(super) cookie: String,
    /// True if the listener serves TLS, so that the cookie never travels without it.
    pub(super) has_tls: bool,
}

impl DashboardSite {
    /// Returns the dashboard of a gateway; `token` is that of its listener.
    pub fn new(api: AdminApi, token: BearerToken, has_tls: bool) -> Self {
        // Cookies do not distinguish ports, and several gateways may listen on one host.
        let digest = Sha256::digest(api.gateway.ports().us.as_str());
        let own: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let prefix = if has_tls { "__Host-" } else { "" };
        let cookie = format!("{prefix}fernpost-{own}");
        Self { api, token, sessions: SessionTable::default(), open_form_token: random_text(), cookie, has_tls }
    }

    /// Returns the time.
    pub(super) fn now(&self) -> Millis {
        self.api.gateway.ports().clock.now()
    }

    /// Returns whether the listener needs no token.
    pub(super) fn is_open(&self) -> bool {
        self.token.is_open()
    }

    /// Returns whether a text is the operator's token. It is compared as that of a request, in constant time.
    pub(super) fn is_token(&self, text: &str) -> bool {
        let Ok(value) = HeaderValue::from_str(&format!("Bearer {text}")) else { return false };
        self.token.check(&[(AUTHORIZATION, value)].into_iter().collect()).is_ok()
    }

    /// Returns the visitor that a request proves to be; `None`: one who has to log in.
    pub(super) fn visitor(&self, headers: &HeaderMap) -> Option<DashboardVisitor> {
        if self.token.check(headers).is_ok() {
            return Some(DashboardVisitor { form_token: self.open_form_token.clone(), session: None });
        }
        let cookie = self.cookie_value(headers)?;
        let (form_token, credential) = self.sessions.find(cookie, self.now())?;
        // The token may have been replaced since.
        let session = Some(cookie.to_owned()).filter(|_| self.is_token(SecretValue::expose(&credential)))?;
        Some(DashboardVisitor { form_token, session: Some(session) })
    }

    fn cookie_value<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookies = headers.get_all(actix_web::http::header::COOKIE).filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.cookie).map(|(_, value)| value)
    }
}

/// Somebody who may see the pages.
#[derive(Clone)]
pub(super) struct DashboardVisitor {
    /// Token that the forms of this visitor carry.
    pub(super) form_token: String,
    /// Value of the session's cookie, if there is a session.
    pub(super) session: Option<String>,
}
