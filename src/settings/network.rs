//! `[network]`: what outbound requests may reach.

use ipnet::IpNet;
use serde::Deserialize;

/// What outbound requests may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Private ranges that names of peers may resolve to all the same.
    pub allow: Vec<IpNet>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NetworkSection {
    /// Private ranges that names of peers may resolve to all the same.
    allow: Vec<IpNet>,
}

impl NetworkSection {
    pub(super) fn check(self) -> Network {
        Network { allow: self.allow }
    }
}
