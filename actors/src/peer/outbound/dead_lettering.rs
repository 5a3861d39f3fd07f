//! Removal of unacknowledged items: refused for their content, expired, or dropped by an operator.
//!
//! Each becomes a dead letter and is reported, and its number goes to the next item. Only a refusal of the item itself,
//! its age or an operator removes it; an unreachable or failing peer never does.

use crate::change::{Change, CommitPriority};
use crate::model::{BatchId, DeadLetterReason, FeedItem, Index, Millis, OutboxRow, SubmissionId};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::state::OutboundState;
use crate::peer::outbound::{Outbound, StepInput};

/// Delay before a failed read is repeated, in milliseconds.
const SWEEP_AGAIN_MS: u64 = 60_000;

impl Outbound {
    /// Closes over missing rows at the cursor. If the peer may have accepted them, a confirmation probe is sent first.
    pub(super) fn close_gap_at_cursor(&mut self, out: &mut EffectCollector) {
        if self.unconfirmed.keeps(self.outbox.cursor()) {
            if let Some(last) = self.outbox.gone() {
                self.unconfirmed.ask_about_gone(last);
            }
            return;
        }
        let acked = self.outbox.acked();
        if self.outbox.mend() {
            self.renumbered = true;
            out.moved(CommitPriority::Now);
        } else if self.outbox.acked() > acked {
            out.moved(CommitPriority::Deferred);
        }
    }

    /// Returns the time at which the oldest item expires, while sending is paused.
    pub(super) fn expiry(&self) -> Option<Millis> {
        let oldest = self.oldest.filter(|_| self.is_paused() && self.outbox.backlog() > 0);
        oldest.map(|queued| queued.after(self.limits.keep))
    }

    /// Sets the timer to the next attempt or the next expiry, whichever comes first.
    pub(super) fn arm(&mut self, out: &mut EffectCollector) {
        self.armed = self.next_attempt().into_iter().chain(self.expiry()).min();
        out.effect(self.armed.map_or(PeerEffect::Disarm, PeerEffect::Arm));
    }

    /// Sets the timer. If the age of the oldest item is unknown, it is read first, unless a scheduled attempt will read
    /// it anyway.
    pub(super) fn arm_or_sweep(&mut self, out: &mut EffectCollector) {
        match self.oldest {
            None if self.outbox.backlog() > 0 && self.next_attempt().is_none() => self.sweep(out),
            _ => self.arm(out),
        }
    }

    /// Reads the oldest items, to find those that have expired.
    pub(super) fn sweep(&mut self, out: &mut EffectCollector) {
        let from = self.outbox.acked().next();
        self.sweeping = Some(from);
        // An attempt that is due meanwhile is not lost, because the timer is set again when the page arrives.
        out.effect(PeerEffect::Load(from));
    }

    /// Expires the oldest items of a page. The page is dropped afterwards, because a paused peer holds no rows in
    /// memory.
    pub(super) fn on_expiry_page(
        &mut self,
        at: StepInput,
        from: Index,
        rows: Result<Vec<OutboxRow>, String>,
        out: &mut EffectCollector,
    ) {
        if self.sweeping.take() != Some(from) {
            return;
        }
        let Ok(mut rows) = rows else {
            let soon = at.now.0 + SWEEP_AGAIN_MS;
            self.oldest = Some(Millis(soon.saturating_sub(millis(self.limits.keep))));
            return self.arm(out);
        };
        rows.retain(|row| row.index > self.outbox.acked() && !self.outbox.has_left(row.index));
        let count = rows.iter().take_while(|row| self.is_over(at, row)).count();
        let all = count == rows.len() && count > 0;
        self.oldest = rows.get(count).map(|row| row.queued);
        self.expire(&rows[..count], out);
        match all && self.outbox.backlog() > 0 {
            true => self.sweep(out),
            false => self.arm(out),
        }
    }

    /// Expires the oldest items in memory instead of sending them.
    pub(super) fn expire_loaded(&mut self, at: StepInput, out: &mut EffectCollector) {
        let next = self.outbox.unacknowledged(Index(u64::MAX));
        let over: Vec<OutboxRow> = next.take_while(|row| self.is_over(at, row)).cloned().collect();
        if !over.is_empty() {
            self.expire(&over, out);
            self.labels.reserve(at.now);
            self.close_gap_at_cursor(out);
        }
    }

    fn is_over(&self, at: StepInput, row: &OutboxRow) -> bool {
        row.queued.after(self.limits.keep) <= at.now
    }

    /// Dead-letters these items, which are the oldest unacknowledged ones, at most a page of them.
    fn expire(&mut self, rows: &[OutboxRow], out: &mut EffectCollector) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        let reason = format!("not taken within {} s (keep)", self.limits.keep.as_secs());
        self.dead_letter(first.index, last.index, DeadLetterReason::Expired, &reason, out);
        let mut told: Option<&SubmissionId> = None;
        for row in rows {
            if told.replace(&row.submission) != Some(&row.submission) {
                self.emit_delivery_event(
                    row.submission.clone(),
                    DeadLetterReason::Expired.state(),
                    Some(reason.clone()),
                    out,
                );
            }
        }
        self.outbox.leave(last.index);
        self.renumbered = true;
        out.moved(CommitPriority::Now);
    }

    /// Dead-letters items at an operator's command, wherever they are in the queue. A request that carries any of them
    /// is aborted. Whether the peer accepted it is then unknown, so the peer is asked before the numbers are reused.
    pub fn drop_items(
        &mut self,
        at: StepInput,
        message: SubmissionId,
        first: Index,
        last: Index,
        out: &mut EffectCollector,
    ) {
        let (first, last) = (first.max(self.outbox.acked().next()), last.min(self.outbox.tail()));
        if first > last {
            return;
        }
        let stops = match self.state {
            OutboundState::Loading => true,
            OutboundState::Sending { span: Some(span), .. } => span.first <= last && first <= span.last,
            _ => false,
        };
        if stops {
            out.effect(PeerEffect::Abort);
            self.labels.discard_open_transaction();
        }
        if let OutboundState::Sending { label: BatchId::SeqRange { .. }, span: Some(span), .. } = self.state
            && stops
        {
            self.unconfirmed.unanswered(span.last);
        }
        let in_doubt = self.unconfirmed.take_out(first, last);
        let reason = "taken out by an operator";
        self.dead_letter(first, last, DeadLetterReason::Dropped, reason, out);
        self.emit_delivery_event(message, DeadLetterReason::Dropped.state(), Some(reason.to_owned()), out);
        if first == self.outbox.acked().next() && !in_doubt {
            self.outbox.leave(last);
        } else {
            self.outbox.forget(first, last);
        }
        // Record the highest index, because the rows that show it may be among these.
        self.newest = self.outbox.tail();
        self.renumbered = true;
        out.moved(CommitPriority::Now);
        if stops {
            self.proceed(at, out);
        }
    }

    /// Records that these items become dead letters.
    pub(super) fn dead_letter(
        &self,
        first: Index,
        last: Index,
        fate: DeadLetterReason,
        reason: &str,
        out: &mut EffectCollector,
    ) {
        let (server, reason, keep) = (self.server.clone(), reason.to_owned(), self.limits.quarantine_items);
        out.change(Change::OutboxDeadLettered { server, first, last, fate, reason, keep });
    }

    /// Emits a delivery event about a submission.
    pub(super) fn emit_delivery_event(
        &self,
        message: SubmissionId,
        state: &'static str,
        reason: Option<String>,
        out: &mut EffectCollector,
    ) {
        let server = self.server.clone();
        out.change(Change::FeedAppended(FeedItem::Delivery { message, server, state, reason }));
    }
}

pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
