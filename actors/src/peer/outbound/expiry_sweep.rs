//! The expiry of items while sending is paused: no rows are in memory then, so the age of the oldest item is remembered,
//! and when it has expired the rows are read page by page.

use std::time::Duration;

use crate::model::{Index, Millis, OutboxRow};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::outbound_queue::{OutboundQueue, has_expired};
use crate::peer::outbound::outbox_window::Outbox;
use crate::peer::outbound::progress::DeliveryProgress;

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
    fn expires_at(&self, keep: Duration) -> Option<Millis> {
        self.oldest_queued_at.map(|queued| queued.after(keep))
    }

    /// Returns the time at which the oldest item expires, while sending is paused.
    pub(super) fn next_expiry(&self, progress: &DeliveryProgress, queue: &OutboundQueue) -> Option<Millis> {
        let waits = progress.state().is_paused() && queue.outbox.backlog() > 0;
        self.expires_at(queue.limits.keep).filter(|_| waits)
    }

    /// Sets the timer to the next attempt or the next expiry, whichever comes first.
    pub(super) fn arm(&self, progress: &mut DeliveryProgress, queue: &OutboundQueue, out: &mut EffectCollector) {
        let due = progress.set_timer(self.next_expiry(progress, queue));
        out.effect(due.map_or(PeerEffect::Disarm, PeerEffect::Arm));
    }

    /// Sets the timer. If the age of the oldest item is unknown, it is read first, unless a scheduled attempt will read
    /// it anyway.
    pub(super) fn arm_or_sweep(
        &mut self,
        progress: &mut DeliveryProgress,
        queue: &OutboundQueue,
        out: &mut EffectCollector,
    ) {
        let has_attempt = progress.state().next_attempt().is_some();
        match self.oldest_queued_at {
            None if queue.outbox.backlog() > 0 && !has_attempt => self.sweep(&queue.outbox, out),
            _ => self.arm(progress, queue, out),
        }
    }

    /// Reads the oldest items, to find those that have expired.
    pub(super) fn sweep(&mut self, outbox: &Outbox, out: &mut EffectCollector) {
        let from = outbox.acked().next();
        self.sweeping_from = Some(from);
        // An attempt that is due meanwhile is not lost, because the timer is set again when the page arrives.
        out.effect(PeerEffect::Load(from));
    }

    /// Expires the oldest items of a page. The page is dropped afterwards, because a paused peer holds no rows in
    /// memory.
    pub(super) fn on_page(
        &mut self,
        now: Millis,
        (from, rows): (Index, Result<Vec<OutboxRow>, String>),
        queue: &mut OutboundQueue,
        progress: &mut DeliveryProgress,
        out: &mut EffectCollector,
    ) {
        if !self.end_read(from) {
            return;
        }
        let Ok(mut rows) = rows else {
            self.retry_later(now, queue.limits.keep);
            return self.arm(progress, queue, out);
        };
        rows.retain(|row| row.index > queue.outbox.acked() && !queue.outbox.has_left(row.index));
        let count = self.sort_out(&rows, now, queue.limits.keep);
        let all = count == rows.len() && count > 0;
        queue.expire(&rows[..count], out);
        match all && queue.outbox.backlog() > 0 {
            true => self.sweep(&queue.outbox, out),
            false => self.arm(progress, queue, out),
        }
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

    /// Stops the sweep, because sending continues and needs the page.
    pub(super) const fn stop(&mut self) {
        self.sweeping_from = None;
    }

    /// Returns whether a page is being read.
    pub(super) const fn is_running(&self) -> bool {
        self.sweeping_from.is_some()
    }

    /// Handles the end of a read; returns whether its page is the one that was asked for.
    fn end_read(&mut self, from: Index) -> bool {
        self.sweeping_from.take() == Some(from)
    }

    /// Repeats a failed read of a page a little later.
    fn retry_later(&mut self, now: Millis, keep: Duration) {
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        self.oldest_queued_at = Some(Millis((now.0 + SWEEP_AGAIN_MS).saturating_sub(keep)));
    }

    /// Handles the oldest unacknowledged rows; returns how many of them have expired. Of the others the first is the
    /// oldest one now.
    fn sort_out(&mut self, rows: &[OutboxRow], now: Millis, keep: Duration) -> usize {
        let count = rows.iter().take_while(|row| has_expired(row, now, keep)).count();
        self.oldest_queued_at = rows.get(count).map(|row| row.queued);
        count
    }
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
        sweep.sweeping_from = Some(Index(4));
        assert!(sweep.is_running() && !sweep.end_read(Index(3)));
        sweep.sweeping_from = Some(Index(4));
        assert!(sweep.end_read(Index(4)) && !sweep.is_running());
        sweep.sweeping_from = Some(Index(4));
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
