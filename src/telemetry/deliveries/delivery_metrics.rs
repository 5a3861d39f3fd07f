//! The counts of items by their fates, and the times that they took.

use std::sync::atomic::{AtomicU64, Ordering};

use actors::supervise::histogram::TimeHistogram;

/// Counts since the start, each under a fixed word.
#[derive(Debug)]
pub struct NamedCounts<const N: usize>([(&'static str, AtomicU64); N]);

impl<const N: usize> NamedCounts<N> {
    fn of(words: [&'static str; N]) -> Self {
        Self(words.map(|word| (word, AtomicU64::new(0))))
    }

    /// Counts this many under a word.
    pub(super) fn add(&self, word: &'static str, count: u64) {
        let found = self.0.iter().find(|(one, _)| *one == word);
        debug_assert!(found.is_some(), "{word} is counted nowhere");
        if let Some((_, counted)) = found {
            counted.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Returns the counts with their words.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(word, count)| (*word, count.load(Ordering::Relaxed)))
    }
}

/// The counts and times of deliveries since the start.
#[derive(Debug)]
pub struct DeliveryMetrics {
    /// Items of ours by their fates; an item for two peers counts twice.
    pub outbound: NamedCounts<8>,
    /// Items of peers.
    pub inbound: NamedCounts<3>,
    /// Requests with items by their results.
    pub attempts: NamedCounts<9>,
    /// Messages that were given up as missing, and those of them that arrived later.
    pub gaps: NamedCounts<2>,
    /// Times from the acceptance of items to their acknowledgement by the peer.
    pub acknowledgement: TimeHistogram,
    /// Times of requests with items.
    pub request: TimeHistogram,
}

impl Default for DeliveryMetrics {
    fn default() -> Self {
        Self {
            outbound: NamedCounts::of([
                "accepted",
                "queued",
                "delivered",
                "refused",
                "parked",
                "expired",
                "dropped",
                "rejected",
            ]),
            inbound: NamedCounts::of(["accepted", "held", "parked"]),
            attempts: NamedCounts::of([
                "acknowledged",
                "hole",
                "wait",
                "unreachable",
                "timeout",
                "troubled",
                "identity",
                "refused",
                "unreadable",
            ]),
            gaps: NamedCounts::of(["opened", "filled"]),
            acknowledgement: TimeHistogram::default(),
            request: TimeHistogram::default(),
        }
    }
}
