//! `[admin]`: the operator's listener.

use std::path::PathBuf;

use serde::Deserialize;

use crate::http::bearer::operator_role::OperatorRole;
use crate::http::bearer::operator_tokens::AcceptedToken;
use crate::settings::check::SettingsCheck;
use crate::settings::sections::tls::{ListenerProtection, TlsSection, listen_target};
use crate::settings::values::listen::{FileModeValue, ListenTarget, WrittenTarget};
use crate::settings::values::operator_token::{OperatorToken, WrittenOperatorTokens};
use crate::settings::values::secret;
use crate::settings::values::secret::SecretValue;
use crate::tls::key_pair::KeyPairFiles;

/// The operator's listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// Address of the listener.
    pub listen: ListenTarget,
    /// Files of the listener's certificate; `None`: plain HTTP.
    pub tls: Option<KeyPairFiles>,
    /// Bearer token with every role; without it and without `tokens` the listener needs no token.
    pub token: Option<SecretValue>,
    /// Further tokens, each with a role.
    pub tokens: Vec<OperatorToken>,
}

/// Name of `admin.token` in the log.
const OWN_NAME: &str = "admin.token";

impl AdminSettings {
    /// Returns the tokens that the listener accepts.
    pub fn accepted_tokens(&self) -> Vec<AcceptedToken> {
        let own = self.token.iter().map(|token| AcceptedToken::new(OWN_NAME, OperatorRole::Administer, token.expose()));
        let named = self.tokens.iter();
        own.chain(named.map(|token| AcceptedToken::new(&token.name, token.role, token.secret.expose()))).collect()
    }

    /// Returns the token for a command: the first one of those with the highest role.
    pub fn strongest_token(&self) -> Option<&SecretValue> {
        let named = self.tokens.iter().rev().max_by_key(|token| token.role).map(|token| &token.secret);
        self.token.as_ref().or(named)
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminSection {
    /// Address and port of the operator's API and of health.
    pub(crate) listen: WrittenTarget,
    /// Mode of a socket file.
    listen_mode: FileModeValue,
    /// Certificate of the listener.
    tls: TlsSection,
    /// If true, plain HTTP is served beyond loopback; a token is still needed.
    insecure: bool,
    /// Bearer token; it is better kept in a file.
    token: Option<SecretValue>,
    /// File with the bearer token; without a token every process that can connect is accepted.
    token_file: Option<PathBuf>,
    /// Further tokens, each with a name and a role.
    tokens: WrittenOperatorTokens,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self {
            listen: WrittenTarget::loopback(9882),
            listen_mode: FileModeValue(0o660),
            tls: TlsSection::default(),
            insecure: false,
            token: None,
            token_file: None,
            tokens: WrittenOperatorTokens::default(),
        }
    }
}

impl AdminSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> AdminSettings {
        let token = secret::token(check, "admin", self.token, self.token_file);
        let tokens = self.tokens.check(check);
        let tls = self.tls.check("admin", check);
        let has_token = Some(token.is_some() || !tokens.is_empty());
        let protection = ListenerProtection { has_tls: tls.is_some(), is_insecure: self.insecure, has_token };
        let listen = listen_target("admin", self.listen, self.listen_mode, protection, check);
        AdminSettings { listen, tls, token, tokens }
    }
}
