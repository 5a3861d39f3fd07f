//! `[federation]`: the listener that peers reach.

use std::net::SocketAddr;

use serde::Deserialize;

use super::check::Check;
use super::pattern::Pattern;
use super::units::{Listen, Size};

/// The listener that peers reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Federation {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Who may be a peer.
    pub mode: Mode,
    /// Names that are no peers whatever else says so.
    pub deny: Vec<Pattern>,
    /// The largest request body, in bytes.
    pub body_max: usize,
}

/// Who may be a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The servers listed under `peers.server`, and nobody else.
    Allowlist,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FederationSection {
    /// The address and port that peers reach.
    pub(super) listen: Listen,
    /// Who may be a peer: "allowlist" is the servers listed under `peers.server`.
    mode: Mode,
    /// Patterns of names that are no peers, even if they are listed.
    deny: Vec<String>,
    /// The largest request body a peer may send.
    body_max: Size,
}

impl Default for FederationSection {
    fn default() -> Self {
        Self { listen: Listen::loopback(9880), mode: Mode::Allowlist, deny: Vec::new(), body_max: Size::mib(8) }
    }
}

impl FederationSection {
    pub(super) fn check(self, check: &mut Check<'_>) -> Federation {
        check.loopback("federation", self.listen.0);
        check.at_least_one(&["federation"], &[("body_max", self.body_max.0)]);
        let mut deny = Vec::new();
        for text in self.deny {
            match text.parse() {
                Ok(pattern) => deny.push(pattern),
                Err(why) => check.invalid(&["federation", "deny"], format!("\"{text}\": {why}")),
            }
        }
        Federation { listen: self.listen.0, mode: self.mode, deny, body_max: self.body_max.in_memory() }
    }
}
