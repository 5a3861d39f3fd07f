//! `[admin]`: the operator's listener.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::values::secret;
use crate::settings::values::secret::SecretValue;
use crate::settings::values::units::ListenAddress;

/// The operator's listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// Address and port of the listener.
    pub listen: SocketAddr,
    /// Bearer token; `None`: the listener needs no token.
    pub token: Option<SecretValue>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminSection {
    /// Address and port of the operator's API and of health.
    pub(crate) listen: ListenAddress,
    /// Bearer token; it is better kept in a file.
    token: Option<SecretValue>,
    /// File with the bearer token; without a token every process that can connect is accepted.
    token_file: Option<PathBuf>,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self { listen: ListenAddress::loopback(9882), token: None, token_file: None }
    }
}

impl AdminSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> AdminSettings {
        check.loopback("admin", self.listen.0);
        AdminSettings { listen: self.listen.0, token: secret::token(check, "admin", self.token, self.token_file) }
    }
}
