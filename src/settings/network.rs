//! `[network]`: what outbound requests may reach.

use ipnet::IpNet;
use serde::Deserialize;

use super::check::Check;
use super::range::Range;

/// What outbound requests may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Private ranges that names of peers may resolve to all the same.
    pub allow: Vec<IpNet>,
    /// Requests to peers under way at once.
    pub requests_max: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NetworkSection {
    /// Private ranges that names of peers may resolve to all the same.
    allow: Vec<Range>,
    /// Requests to peers under way at once; a quarter of them at most to peers that did not answer last time.
    requests_max: u32,
}

impl Default for NetworkSection {
    fn default() -> Self {
        Self { allow: vec![], requests_max: 512 }
    }
}

impl NetworkSection {
    pub(super) fn check(self, check: &mut Check<'_>) -> Network {
        check.at_least_one(&["network"], &[("requests_max", self.requests_max.into())]);
        Network {
            allow: self.allow.into_iter().map(|Range(net)| net).collect(),
            requests_max: self.requests_max as usize,
        }
    }
}
