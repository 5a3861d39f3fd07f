//! The state that a peer's actor shares with its handles.

use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
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
    held: OnceLock<Box<AdmissionLimit>>,
    /// Rate limiter, if the configuration sets a rate. Apart, because few configurations do.
    pub(crate) pace: ArcSwapOption<RateLimiter>,
    /// Statistics that the actor writes.
    pub(crate) gauge: SharedStats,
    /// Limits as the configuration has them now.
    pub(crate) limits: ArcSwap<PeerLimits>,
}

/// Configuration key of the limit on concurrent requests.
const INTAKE_MAX: &str = "peers.intake_max";

impl PeerShared {
    /// Returns the shared state of an actor that starts.
    pub(crate) fn new(server: ServerName, limits: Arc<PeerLimits>) -> Self {
        let intake = AdmissionLimit::new(INTAKE_MAX, limits.intake_max);
        let pace = ArcSwapOption::new((limits.rate > 0).then(|| Arc::new(RateLimiter::new(&limits))));
        let (held, gauge) = (OnceLock::new(), SharedStats::default());
        Self { server, intake, held, pace, gauge, limits: ArcSwap::new(limits) }
    }

    /// Changes the limits for what enters from now on. Returns whether they are others.
    pub(crate) fn change_limits(&self, limits: &Arc<PeerLimits>) -> bool {
        let before = self.limits.load_full();
        if *before == **limits {
            return false;
        }
        self.limits.store(limits.clone());
        let fetches = self.gauge.fetches_made();
        for admission in [Some(&self.intake), self.held.get().map(|held| &**held), fetches].into_iter().flatten() {
            admission.change_max(limits.intake_max);
        }
        if (before.rate, before.burst()) != (limits.rate, limits.burst()) {
            match self.pace.load_full().filter(|_| limits.rate > 0) {
                Some(pace) => pace.ask(|bucket, now| bucket.change(limits.rate, limits.burst(), now)),
                None => self.pace.store((limits.rate > 0).then(|| Arc::new(RateLimiter::new(limits)))),
            }
        }
        true
    }

    /// Returns the admission limit of held requests, if the peer treats every refusal as final.
    pub(crate) fn held(&self) -> Option<&AdmissionLimit> {
        let limits = self.limits.load();
        let held = || Box::new(AdmissionLimit::new(INTAKE_MAX, limits.intake_max));
        limits.never_refuse.then(|| &**self.held.get_or_init(held))
    }

    /// Returns whether no request holds a permit, and no rate limiter would be forgotten.
    pub(crate) fn is_unused(&self) -> bool {
        let rested = |pace: &Arc<RateLimiter>| pace.ask(|bucket, now| bucket.is_full(now));
        let nobody = self.intake.is_empty() && self.held.get().is_none_or(|held| held.is_empty());
        nobody && self.pace.load().as_ref().is_none_or(rested)
    }

    /// Returns the number of items for which the peer's outbox has room; none if its bytes are used up.
    pub(crate) fn room(&self) -> u64 {
        let limits = self.limits.load();
        let has_bytes = self.gauge.bytes() < limits.outbox_bytes;
        if has_bytes { limits.outbox_items.saturating_sub(self.gauge.backlog()) } else { 0 }
    }

    /// Checks that this many more items and bytes fit into the peer's outbox.
    pub(crate) fn has_room(&self, items: u64, bytes: u64) -> Result<(), OutboxFullError> {
        let limits = self.limits.load();
        let full = |key, limit| Err(OutboxFullError { server: self.server.clone(), key, limit });
        if self.gauge.backlog() + items > limits.outbox_items {
            return full("peers.outbox_items", limits.outbox_items);
        }
        if self.gauge.bytes() + bytes > limits.outbox_bytes {
            return full("peers.outbox_bytes", limits.outbox_bytes);
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
    fn new(limits: &PeerLimits) -> Self {
        let bucket = TokenBucket::new(limits.rate, limits.burst(), Millis(0));
        Self { bucket: Mutex::new(bucket), born: Instant::now() }
    }

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

    #[tokio::test(start_paused = true)]
    async fn changed_limits_hold_at_once() {
        let limits =
            |intake_max, rate| Arc::new(PeerLimits { intake_max, rate, intake_items: 1, ..PeerLimits::default() });
        let shared = PeerShared::new("red.example".parse().expect("valid"), limits(1, 0));
        let passes =
            |items| shared.pace.load().as_ref().is_none_or(|pace| pace.ask(|b, now| b.take(now, items).is_ok()));
        assert!(!shared.change_limits(&limits(1, 0)), "the same limits");
        let _permit = shared.intake.enter().expect("free");
        assert!(shared.intake.enter().is_err() && passes(100));
        assert!(shared.change_limits(&limits(2, 5)));
        assert!(shared.intake.enter().is_ok() && passes(5) && !passes(1));
        assert!(shared.change_limits(&limits(2, 10)));
        assert!(!passes(1), "a raised rate refills with time");
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        assert!(passes(10) && !passes(1));
        assert!(shared.change_limits(&limits(2, 0)) && passes(100));
    }
}
