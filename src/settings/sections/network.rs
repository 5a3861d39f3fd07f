//! `[network]`: the rules for outbound requests.

use ipnet::IpNet;
use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::values::range::AddressRange;

/// The rules for outbound requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Non-public ranges to which names of peers may resolve.
    pub allow: Vec<IpNet>,
    /// Maximum number of requests to peers in flight.
    pub requests_max: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NetworkSection {
    /// Non-public ranges to which names of peers may resolve.
    allow: Vec<AddressRange>,
    /// Maximum number of requests to peers in flight; at most a quarter of them to peers that did not respond last
    /// time.
    requests_max: u32,
}

impl Default for NetworkSection {
    fn default() -> Self {
        Self { allow: vec![], requests_max: 512 }
    }
}

impl NetworkSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> NetworkSettings {
        check.at_least_one(&["network"], &[("requests_max", self.requests_max.into())]);
        NetworkSettings {
            allow: self.allow.into_iter().map(|AddressRange(net)| net).collect(),
            requests_max: self.requests_max as usize,
        }
    }
}
