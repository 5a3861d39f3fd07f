//! The expiry of items while sending is paused: no rows are in memory then, so the age of the oldest item is remembered,
//! and when it has expired the rows are read page by page.

use std::time::Duration;

use crate::model::{Index, Millis, OutboxRow};

/// Delay before a failed read is repeated, in milliseconds.
const SWEEP_AGAIN_MS: u64 = 60_000;

/// The search for expired items.
#[derive(Debug, Clone)]
pub(super) struct ExpirySweep {
    /// Time at which the oldest unacknowledged item was queued, as far as it is known while no rows are in memory.
    oldest_queued_at: Option<Millis>,
    /// First index of the page that is being read to find expired items.
    sweeping_from: Option<Index>,
}

impl ExpirySweep {
    /// Returns the state with this age of the oldest item.
    pub(super) const fn new(oldest_queued_at: Option<Millis>) -> Self {
        Self { oldest_queued_at, sweeping_from: None }
    }

    /// Returns the time at which the oldest item was queued, if it is known.
    pub(super) const fn oldest_queued_at(&self) -> Option<Millis> {
        self.oldest_queued_at
    }

    /// Returns the time at which the oldest item expires, if its age is known.
    pub(super) fn expires_at(&self, keep: Duration) -> Option<Millis> {
        self.oldest_queued_at.map(|queued| queued.after(keep))
    }

    /// Records that the only pending item was queued now.
    pub(super) const fn first_queued(&mut self, now: Millis) {
        self.oldest_queued_at = Some(now);
    }

    /// Sending is paused, and the rows leave memory: `in_memory` is the time at which the oldest of them was queued. What
    /// was known before counts only if sending `was_paused` already.
    pub(super) fn pause(&mut self, in_memory: Option<Millis>, was_paused: bool) {
        self.sweeping_from = None;
        self.oldest_queued_at = in_memory.or(self.oldest_queued_at.filter(|_| was_paused));
    }

    /// Records that a page is being read from this index on.
    pub(super) const fn begin(&mut self, from: Index) {
        self.sweeping_from = Some(from);
    }

    /// Stops the sweep, because sending continues and needs the page.
    pub(super) const fn stop(&mut self) {
        self.sweeping_from = None;
    }

    /// Returns whether a page is being read.
    pub(super) const fn is_running(&self) -> bool {
        self.sweeping_from.is_some()
    }

    /// Handles the end of a read; returns whether its page is the one that was asked for.
    pub(super) fn end_read(&mut self, from: Index) -> bool {
        self.sweeping_from.take() == Some(from)
    }

    /// Repeats a failed read of a page a little later.
    pub(super) fn retry_later(&mut self, now: Millis, keep: Duration) {
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        self.oldest_queued_at = Some(Millis((now.0 + SWEEP_AGAIN_MS).saturating_sub(keep)));
    }

    /// Handles the oldest unacknowledged rows; returns how many of them have expired. Of the others the first is the
    /// oldest one now.
    pub(super) fn sort_out(&mut self, rows: &[OutboxRow], now: Millis, keep: Duration) -> usize {
        let count = rows.iter().take_while(|row| has_expired(row, now, keep)).count();
        self.oldest_queued_at = rows.get(count).map(|row| row.queued);
        count
    }
}

/// Returns whether the item is too old to be sent.
pub(super) fn has_expired(row: &OutboxRow, now: Millis, keep: Duration) -> bool {
    row.queued.after(keep) <= now
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::Item;

    const KEEP: Duration = Duration::from_secs(100);

    fn queued_at(secs: u64) -> OutboxRow {
        OutboxRow {
            index: Index(secs),
            queued: Millis(secs * 1000),
            item: Item::Update(Bytes::from_static(b"{}")),
            context: None,
            submission: "m".parse().expect("valid"),
            queued_bytes: 2,
            again: false,
        }
    }

    #[test]
    fn page_expires_until_first_younger() {
        let mut sweep = ExpirySweep::new(None);
        assert_eq!(sweep.expires_at(KEEP), None);
        let rows = [1, 2, 7, 3].map(queued_at);
        assert_eq!(sweep.sort_out(&rows, Millis(105_000), KEEP), 2);
        assert_eq!(sweep.expires_at(KEEP), Some(Millis(107_000)));
        assert_eq!(sweep.sort_out(&rows, Millis(107_000), KEEP), 4);
        assert_eq!(sweep.oldest_queued_at(), None, "none is left on the page");
    }

    #[test]
    fn overtaken_page_is_ignored() {
        let mut sweep = ExpirySweep::new(None);
        sweep.begin(Index(4));
        assert!(sweep.is_running() && !sweep.end_read(Index(3)));
        sweep.begin(Index(4));
        assert!(sweep.end_read(Index(4)) && !sweep.is_running());
        sweep.begin(Index(4));
        sweep.stop();
        assert!(!sweep.end_read(Index(4)));
    }

    #[test]
    fn failed_read_repeats_after_minute() {
        let mut sweep = ExpirySweep::new(Some(Millis(0)));
        sweep.retry_later(Millis(500_000), KEEP);
        assert_eq!(sweep.expires_at(KEEP), Some(Millis(560_000)));
    }

    #[test]
    fn age_survives_pause_not_work() {
        let mut sweep = ExpirySweep::new(Some(Millis(5)));
        sweep.pause(None, true);
        assert_eq!(sweep.oldest_queued_at(), Some(Millis(5)));
        sweep.pause(Some(Millis(9)), true);
        assert_eq!(sweep.oldest_queued_at(), Some(Millis(9)));
        sweep.pause(None, false);
        assert_eq!(sweep.oldest_queued_at(), None, "what was the oldest may have been sent since");
    }
}
