//! The parts that all pages of one dashboard share: the API of the operator, the token, and the sessions.

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use actors::model::Millis;
use sha2::{Digest, Sha256};

use crate::admin::AdminApi;
use crate::admin::dashboard::session_table::{SessionTable, random_text};
use crate::http::bearer::operator_tokens::{OperatorCaller, OperatorTokens};
use crate::settings::SecretValue;

/// The dashboard of one gateway. Clones share the sessions.
#[derive(Clone)]
pub struct DashboardSite {
    pub(super) api: AdminApi,
    tokens: OperatorTokens,
    pub(super) sessions: SessionTable,
    /// Token of the forms of visitors without a session: the listener needs no token, or the request carries it.
    open_form_token: String,
    /// Name of the cookie.
    pub(super) cookie: String,
    /// True if the listener serves TLS, so that the cookie never travels without it.
    pub(super) has_tls: bool,
}

impl DashboardSite {
    /// Returns the dashboard of a gateway; `tokens` are those of its listener.
    pub fn new(api: AdminApi, tokens: OperatorTokens, has_tls: bool) -> Self {
        // Cookies do not distinguish ports, and several gateways may listen on one host.
        let digest = Sha256::digest(api.gateway.ports().us.as_str());
        let own: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let prefix = if has_tls { "__Host-" } else { "" };
        let cookie = format!("{prefix}fernpost-{own}");
        Self { api, tokens, sessions: SessionTable::default(), open_form_token: random_text(), cookie, has_tls }
    }

    /// Returns the time.
    pub(super) fn now(&self) -> Millis {
        self.api.gateway.ports().clock.now()
    }

    /// Returns whether the listener needs no token.
    pub(super) fn is_open(&self) -> bool {
        self.tokens.is_open()
    }

    /// Returns the operator whose token a text is. It is compared as that of a request, in constant time.
    pub(super) fn operator_of(&self, text: &str) -> Option<OperatorCaller> {
        let value = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        self.tokens.caller(&[(AUTHORIZATION, value)].into_iter().collect()).ok()
    }

    /// Returns the visitor that a request proves to be; `None`: one who has to log in.
    pub(super) fn visitor(&self, headers: &HeaderMap) -> Option<DashboardVisitor> {
        if let Ok(caller) = self.tokens.caller(headers) {
            return Some(DashboardVisitor { form_token: self.open_form_token.clone(), session: None, caller });
        }
        let cookie = self.cookie_value(headers)?;
        let (form_token, credential) = self.sessions.find(cookie, self.now())?;
        // The token may have been replaced since, or have another role.
        let caller = self.operator_of(SecretValue::expose(&credential))?;
        Some(DashboardVisitor { form_token, session: Some(cookie.to_owned()), caller })
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
    /// Name and role of the visitor's token.
    pub(super) caller: OperatorCaller,
}
