//! The differences of the peers' clocks from ours, as measured last.

use std::num::NonZeroUsize;
use std::sync::Arc;

use actors::model::{Millis, ServerName};
use lru::LruCache;
use parking_lot::Mutex;

/// The last measured skew of each peer: its clock less ours, in milliseconds. Clones share the values.
///
/// Beyond its bound, the peer that was measured longest ago is forgotten.
#[derive(Debug, Clone)]
pub struct PeerClocks(Arc<Mutex<LruCache<ServerName, i64>>>);

impl PeerClocks {
    /// Returns clocks of at most so many peers, all unknown.
    pub fn new(peers_max: NonZeroUsize) -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(peers_max))))
    }

    /// Records that an authenticated peer read this whole second from its clock between two moments of ours.
    pub fn note(&self, server: &ServerName, second: Millis, between: (Millis, Millis)) {
        let skew_ms = skew(second, between);
        let mut clocks = self.0.lock();
        match clocks.get_mut(server) {
            Some(known) => *known = skew_ms,
            None => drop(clocks.put(server.clone(), skew_ms)),
        }
    }

    /// Returns the skew of a peer; `None`: it is unknown.
    pub fn skew_ms(&self, server: &ServerName) -> Option<i64> {
        self.0.lock().peek(server).copied()
    }
}

impl Default for PeerClocks {
    fn default() -> Self {
        Self::new(NonZeroUsize::MIN)
    }
}

/// Returns the smallest skew that explains the reading: a whole second says nothing of its fraction.
fn skew(second: Millis, (from, to): (Millis, Millis)) -> i64 {
    const FRACTION_MAX: u64 = 999;
    let last = second.after(std::time::Duration::from_millis(FRACTION_MAX));
    let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
    if second > to {
        signed(second.0 - to.0)
    } else if last < from {
        -signed(from.0 - last.0)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(server: &str) -> ServerName {
        server.parse().expect("a name")
    }

    #[test]
    fn skew_is_smallest_possible_one() {
        let of = |second, from, to| skew(Millis(second), (Millis(from), Millis(to)));
        assert_eq!(of(70_000, 10_000, 10_200), 59_800);
        assert_eq!(of(10_000, 70_000, 70_200), -59_001);
        assert_eq!(of(10_000, 10_000, 10_999), 0);
        assert_eq!(of(10_000, 10_990, 10_995), 0, "within the same second");
        assert_eq!(of(10_000, 9_500, 10_100), 0, "the answer was slow");
        assert_eq!(of(u64::MAX, 0, 0), i64::MAX);
    }

    #[test]
    fn last_measurement_counts() {
        let clocks = PeerClocks::new(NonZeroUsize::new(2).expect("two"));
        assert_eq!(clocks.skew_ms(&name("blue")), None);
        for (server, second) in [("blue", 5_000), ("green", 6_000), ("blue", 7_000), ("pink", 8_000)] {
            clocks.note(&name(server), Millis(second), (Millis(0), Millis(0)));
        }
        let skews = ["blue", "green", "pink"].map(|server| clocks.skew_ms(&name(server)));
        assert_eq!(skews, [Some(7_000), None, Some(8_000)], "green was measured longest ago");
    }
}
