//! The counts of forwards, over all peers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::peer::effect::RelayRole;

/// All results of a forward in one of the parts that a server can have in it.
const RESULTS: [(RelayRole, &str); 10] = [
    (RelayRole::Origin, "queued"),
    (RelayRole::Origin, "refused"),
    (RelayRole::Relay, "queued"),
    (RelayRole::Relay, "duplicate"),
    (RelayRole::Relay, "refused"),
    (RelayRole::Destination, "taken"),
    (RelayRole::Destination, "held"),
    (RelayRole::Destination, "duplicate"),
    (RelayRole::Destination, "differs"),
    (RelayRole::Destination, "refused"),
];

/// The number of forwards by part and result.
#[derive(Debug, Default)]
pub struct RelayMetrics([AtomicU64; RESULTS.len()]);

impl RelayMetrics {
    /// Counts a forward.
    pub(crate) fn count(&self, role: RelayRole, result: &str) {
        // "not_kept" is counted as refused by the actor of its sender.
        if let Some(place) = RESULTS.iter().position(|row| *row == (role, result)) {
            self.0[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns part, result and number of each count.
    pub fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        let counts = RESULTS.iter().zip(&self.0);
        counts.map(|((role, result), count)| (role.as_str(), *result, count.load(Ordering::Relaxed))).collect()
    }
}
