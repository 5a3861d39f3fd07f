//! `[federation]`: the listener that peers reach.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::values::pattern::NamePattern;
use crate::settings::values::units::{ListenAddress, SizeSetting};

/// The listener that peers reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationSettings {
    /// Address and port of the listener.
    pub listen: SocketAddr,
    /// Rule for who may be a peer.
    pub mode: FederationMode,
    /// Patterns of names that are never peers.
    pub deny: Vec<NamePattern>,
    /// Maximum bytes of a request body.
    pub body_max: usize,
}

/// The rule for who may be a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FederationMode {
    /// Only the servers listed under `peers.server`.
    Allowlist,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FederationSection {
    /// Address and port that peers connect to.
    pub(crate) listen: ListenAddress,
    /// Rule for who may be a peer: "allowlist" means the servers listed under `peers.server`.
    mode: FederationMode,
    /// Patterns of names that are no peers, even if they are listed.
    deny: Vec<String>,
    /// Maximum size of a request body of a peer.
    body_max: SizeSetting,
}

impl Default for FederationSection {
    fn default() -> Self {
        Self {
            listen: ListenAddress::loopback(9880),
            mode: FederationMode::Allowlist,
            deny: Vec::new(),
            body_max: SizeSetting::mib(8),
        }
    }
}

impl FederationSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> FederationSettings {
        check.loopback("federation", self.listen.0);
        check.at_least_one(&["federation"], &[("body_max", self.body_max.0)]);
        let mut deny = Vec::new();
        for text in self.deny {
            match text.parse() {
                Ok(pattern) => deny.push(pattern),
                Err(why) => check.invalid(&["federation", "deny"], format!("\"{text}\": {why}")),
            }
        }
        FederationSettings { listen: self.listen.0, mode: self.mode, deny, body_max: self.body_max.in_memory() }
    }
}
