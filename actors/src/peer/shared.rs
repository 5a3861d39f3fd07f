//! The state that a peer's actor shares with its handles.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::errors::OutboxFullError;
use crate::limits::PeerLimits;
use crate::model::{Millis, ServerName};
use crate::peer::rate_limit::TokenBucket;
use crate::peer::shared_stats::SharedStats;
use crate::supervise::admission::AdmissionLimit;

/// The state that an actor shares with all its handles: its admission limits and its statistics.
pub(crate) struct PeerShared {
    pub(crate) server: ServerName,
    pub(crate) intake: AdmissionLimit,
    /// Admission limit of held requests, for a peer that treats every refusal as final. Boxed, because few peers do.
    pub(crate) held: Option<Box<AdmissionLimit>>,
    /// Rate limiter, if the configuration sets a rate. Boxed, because few configurations do.
    pub(crate) pace: Option<Box<RateLimiter>>,
    /// Statistics that the actor writes.
    pub(crate) gauge: SharedStats,
    pub(crate) limits: Arc<PeerLimits>,
}

impl PeerShared {
    /// Returns the shared state of an actor that starts.
    pub(crate) fn new(server: ServerName, limits: Arc<PeerLimits>) -> Self {
        let intake = || AdmissionLimit::new("peers.intake_max", limits.intake_max);
        let bucket = || Mutex::new(TokenBucket::new(limits.rate, limits.burst(), Millis(0)));
        let pace = (limits.rate > 0).then(|| Box::new(RateLimiter { bucket: bucket(), born: Instant::now() }));
        let held = limits.never_refuse.then(|| Box::new(intake()));
        Self { server, intake: intake(), held, pace, gauge: SharedStats::default(), limits }
    }

    /// Checks that this many more items and bytes fit into the peer's outbox.
    pub(crate) fn has_room(&self, items: u64, bytes: u64) -> Result<(), OutboxFullError> {
        let full = |key, limit| Err(OutboxFullError { server: self.server.clone(), key, limit });
        if self.gauge.backlog() + items > self.limits.outbox_items {
            return full("peers.outbox_items", self.limits.outbox_items);
        }
        if self.gauge.bytes() + bytes > self.limits.outbox_bytes {
            return full("peers.outbox_bytes", self.limits.outbox_bytes);
        }
        Ok(())
    }
}

/// The rate limiter of inbound items.
pub(crate) struct RateLimiter {
    pub(crate) bucket: Mutex<TokenBucket>,
    /// Origin of the bucket's time; monotonic, because wall time may be set.
    pub(crate) born: Instant,
}

impl RateLimiter {
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&mut TokenBucket, Millis) -> T) -> T {
        let now = Millis(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX));
        ask(&mut self.bucket.lock(), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outbox_is_full_above_limits() {
        let limits = PeerLimits { outbox_items: 3, outbox_bytes: 100, ..PeerLimits::default() };
        let shared = PeerShared::new("red.example".parse().expect("valid"), Arc::new(limits));
        let full = |items, bytes| match shared.has_room(items, bytes) {
            Err(OutboxFullError { key, limit, .. }) => Some((key, limit)),
            Ok(()) => None,
        };
        assert_eq!(full(3, 100), None, "both limits may be reached");
        assert_eq!(full(4, 100), Some(("peers.outbox_items", 3)));
        assert_eq!(full(3, 101), Some(("peers.outbox_bytes", 100)));
    }
}
