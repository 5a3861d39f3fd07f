//! The flow of items through the gateway, minute by minute over the last day, in memory.
//!
//! Totals that are counted anyway are read every few seconds, and their differences are added to the running minute, so that no item
//! costs more than before. The history is lost with the process; Prometheus keeps longer ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actors::model::Millis;
use actors::ports::Clock;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::telemetry::deliveries::{DeliveryMetrics, DeliveryObserver};

/// Number of minutes that are kept.
pub const MINUTES_KEPT: usize = 24 * 60;

const MINUTE: u64 = 60_000;

/// Interval at which the totals are read.
const READ_EVERY: Duration = Duration::from_secs(5);

/// Numbers of items, or of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowCounts {
    /// Items that our messenger submitted.
    pub accepted: u64,
    /// Items that peers acknowledged.
    pub delivered: u64,
    /// Requests to peers with items that failed.
    pub failed: u64,
    /// Items that peers sent.
    pub received: u64,
    /// Items that went to quarantine or became dead letters.
    pub quarantined: u64,
}

impl FlowCounts {
    /// Returns the totals of these metrics.
    pub fn of(metrics: &DeliveryMetrics) -> Self {
        let (mut totals, mut lost) = (Self::default(), 0);
        for (word, count) in metrics.outbound.counts() {
            match word {
                "accepted" => totals.accepted = count,
                "delivered" => totals.delivered = count,
                "refused" | "parked" | "expired" | "rejected" => lost += count,
                _ => {}
            }
        }
        for (word, count) in metrics.inbound.counts() {
            match word {
                "parked" => lost += count,
                _ => totals.received += count,
            }
        }
        totals.quarantined = lost;
        totals.failed = metrics.attempts.counts().filter(|(word, _)| *word != "acknowledged").map(|(_, n)| n).sum();
        totals
    }

    /// Returns the growth of each total since `before`.
    fn since(self, before: Self) -> Self {
        Self {
            accepted: self.accepted.saturating_sub(before.accepted),
            delivered: self.delivered.saturating_sub(before.delivered),
            failed: self.failed.saturating_sub(before.failed),
            received: self.received.saturating_sub(before.received),
            quarantined: self.quarantined.saturating_sub(before.quarantined),
        }
    }

    /// Adds other counts to these.
    pub fn add(&mut self, more: Self) {
        self.accepted += more.accepted;
        self.delivered += more.delivered;
        self.failed += more.failed;
        self.received += more.received;
        self.quarantined += more.quarantined;
    }
}

/// The counts of one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinuteFlow {
    /// Begin of the minute.
    pub begin: Millis,
    /// Its counts.
    pub counts: FlowCounts,
}

/// The flow of the last day. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct FlowHistory(Arc<Mutex<KeptMinutes>>);

/// Minutes in which something was counted, oldest first.
#[derive(Debug, Default)]
struct KeptMinutes {
    /// Totals that were read last.
    seen: FlowCounts,
    minutes: VecDeque<MinuteFlow>,
}

impl FlowHistory {
    /// Adds the growth of the totals since the last call to the minute of `now`.
    pub fn note(&self, now: Millis, totals: FlowCounts) {
        let mut kept = self.0.lock();
        let grown = totals.since(kept.seen);
        kept.seen = totals;
        let begin = minute_of(now);
        if grown != FlowCounts::default() {
            match kept.minutes.back_mut() {
                // A clock that was set back must not put the minutes out of order.
                Some(last) if last.begin >= begin => last.counts.add(grown),
                _ => kept.minutes.push_back(MinuteFlow { begin, counts: grown }),
            }
        }
        let oldest = oldest(begin, MINUTES_KEPT);
        while kept.minutes.front().is_some_and(|first| first.begin < oldest) || kept.minutes.len() > MINUTES_KEPT {
            kept.minutes.pop_front();
        }
    }

    /// Returns the last `count` minutes up to that of `now`, oldest first, also those in which nothing was counted.
    pub fn last_minutes(&self, now: Millis, count: usize) -> Vec<MinuteFlow> {
        let count = count.clamp(1, MINUTES_KEPT);
        let oldest = oldest(minute_of(now), count);
        let empty =
            |at: usize| MinuteFlow { begin: Millis(oldest.0 + at as u64 * MINUTE), counts: FlowCounts::default() };
        let mut minutes: Vec<MinuteFlow> = (0..count).map(empty).collect();
        for kept in self.0.lock().minutes.iter().filter(|kept| kept.begin >= oldest) {
            let place = usize::try_from((kept.begin.0 - oldest.0) / MINUTE).unwrap_or(count);
            if let Some(minute) = minutes.get_mut(place) {
                minute.counts.add(kept.counts);
            }
        }
        minutes
    }

    /// Reads the totals of an observer again and again, until the future is dropped.
    pub async fn follow(self, observer: DeliveryObserver, clock: Arc<dyn Clock>) {
        let mut ticks = interval(READ_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.note(clock.now(), FlowCounts::of(observer.metrics()));
        }
    }
}

const fn minute_of(now: Millis) -> Millis {
    Millis(now.0 - now.0 % MINUTE)
}

/// Returns the begin of the first of `count` minutes of which the last begins at `newest`.
const fn oldest(newest: Millis, count: usize) -> Millis {
    Millis(newest.0.saturating_sub((count as u64 - 1) * MINUTE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * MINUTE;

    fn delivered(total: u64) -> FlowCounts {
        FlowCounts { delivered: total, ..FlowCounts::default() }
    }

    fn shown(flow: &FlowHistory, now: u64, count: usize) -> Vec<(u64, u64)> {
        let minutes = flow.last_minutes(Millis(now), count).into_iter();
        minutes.map(|minute| (minute.begin.0 / MINUTE, minute.counts.delivered)).collect()
    }

    #[test]
    fn growth_belongs_to_its_minute() {
        let flow = FlowHistory::default();
        for (second, total) in [(3_600, 5), (3_605, 5), (3_659, 9), (3_660, 10), (3_780, 10)] {
            flow.note(Millis(second * 1_000), delivered(total));
        }
        assert_eq!(shown(&flow, 3_780_000, 4), [(60, 9), (61, 1), (62, 0), (63, 0)]);
        // A clock that is set back adds to the newest minute.
        flow.note(Millis(1_000_000), delivered(11));
        assert_eq!(shown(&flow, 3_660_000, 1), [(61, 2)]);
    }

    #[test]
    fn minutes_beyond_a_day_go() {
        let flow = FlowHistory::default();
        for minute in 0..3 * MINUTES_KEPT as u64 {
            flow.note(Millis(DAY + minute * MINUTE), delivered(minute + 1));
        }
        assert_eq!(flow.0.lock().minutes.len(), MINUTES_KEPT);
        let last = DAY + 3 * DAY - MINUTE;
        assert_eq!(shown(&flow, last, usize::MAX).len(), MINUTES_KEPT);
        // Nothing happens for a day: the next reading removes all.
        flow.note(Millis(last + DAY), delivered(3 * MINUTES_KEPT as u64));
        assert!(flow.0.lock().minutes.is_empty());
        assert_eq!(shown(&flow, 0, 2), [(0, 0), (1, 0)], "a clock at its beginning");
    }

    #[test]
    fn metrics_become_totals() {
        let metrics = DeliveryMetrics::default();
        assert_eq!(FlowCounts::of(&metrics), FlowCounts::default());
    }
}
