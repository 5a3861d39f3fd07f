//! `[admin]`: the operator's listener.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::check::Check;
use super::secret::{self, Secret};
use super::units::Listen;

/// The operator's listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Address and port of the listener.
    pub listen: SocketAddr,
    /// Bearer token; `None`: the listener needs no token.
    pub token: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminSection {
    /// Address and port of the operator's API and of health.
    pub(super) listen: Listen,
    /// Bearer token; it is better kept in a file.
    token: Option<Secret>,
    /// File with the bearer token; without a token the listener is open to whoever reaches it.
    token_file: Option<PathBuf>,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self { listen: Listen::loopback(9882), token: None, token_file: None }
    }
}

impl AdminSection {
    pub(super) fn check(self, check: &mut Check<'_>) -> Admin {
        check.loopback("admin", self.listen.0);
        Admin { listen: self.listen.0, token: secret::token(check, "admin", self.token, self.token_file) }
    }
}
