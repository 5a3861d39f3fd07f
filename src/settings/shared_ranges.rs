//! Checks that peers which call from the same range can be identified.
//!
//! A peer of `profile = "fernpost"` names itself in each request, one of "synapse-2014" only in its transactions, and one
//! of "actor-2016" never: in a range of several peers it could not be identified, and all its requests would be rejected.

use std::collections::BTreeMap;

use actors::model::ServerName;
use ipnet::IpNet;

use crate::settings::check::SettingsCheck;
use crate::settings::peer::{PeerAuth, PeerSettings};
use crate::settings::values::profile::PeerProfile;

/// Address ranges of listed and denied peers.
#[derive(Default)]
pub(super) struct SharedRanges(BTreeMap<IpNet, Vec<RangeUser>>);

struct RangeUser {
    name: ServerName,
    profile: PeerProfile,
    denied: bool,
}

impl SharedRanges {
    /// Adds the ranges of a peer.
    pub(super) fn note(&mut self, peer: &PeerSettings, denied: bool) {
        let PeerAuth::Network { allow_from } = &peer.link.auth else { return };
        for net in allow_from {
            let callers = self.0.entry(*net).or_default();
            if callers.last().is_none_or(|last| last.name != peer.name) {
                callers.push(RangeUser { name: peer.name.clone(), profile: peer.link.profile, denied });
            }
        }
    }

    /// Reports the peers that cannot be identified.
    pub(super) fn check(&self, check: &mut SettingsCheck<'_>) {
        for (net, callers) in self.0.iter().filter(|(_, callers)| callers.len() > 1) {
            for caller in callers.iter().filter(|caller| !caller.denied) {
                let Some(other) = callers.iter().map(|other| &other.name).find(|other| **other != caller.name) else {
                    continue;
                };
                let key = ["peers", "server", caller.name.as_str(), "allow_from"];
                match caller.profile {
                    PeerProfile::Fernpost => {}
                    PeerProfile::Actor2016 => check.invalid(
                        &key,
                        format!(
                            "{net} is also a range of {other}: everything that this peer sends would be rejected, \
                             because servers of profile \"actor-2016\" do not send their name; give each of the two \
                             a range of its own"
                        ),
                    ),
                    PeerProfile::Synapse2014 => check.note(
                        &key,
                        format!(
                            "{net} is also a range of {other}: GET requests of this peer would be rejected, because \
                             servers of profile \"synapse-2014\" send their name in transactions only; give each of \
                             the two a range of its own"
                        ),
                    ),
                }
            }
        }
    }
}
