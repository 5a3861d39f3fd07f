//! Removal of unacknowledged items: refused for their content, expired, or dropped by an operator.
//!
//! Each becomes a dead letter and is reported, and its number goes to the next item. Only a refusal of the item itself,
//! its age or an operator removes it; an unreachable or failing peer never does.

use crate::change::{Change, CommitPriority};
use crate::model::{BatchId, DeadLetterReason, FeedItem, Index, Millis, OutboxRow, SubmissionId};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::expiry_sweep::has_expired;
use crate::peer::outbound::progress::state::OutboundState;
use crate::peer::outbound::{Outbound, StepInput};

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
            self.renumbering.assign();
            out.moved(CommitPriority::Now);
        } else if self.outbox.acked() > acked {
            out.moved(CommitPriority::Deferred);
        }
    }

    /// Returns the time at which the oldest item expires, while sending is paused.
    pub(super) fn next_expiry(&self) -> Option<Millis> {
        let waits = self.is_paused() && self.outbox.backlog() > 0;
        self.expiry.expires_at(self.limits.keep).filter(|_| waits)
    }

    /// Sets the timer to the next attempt or the next expiry, whichever comes first.
    pub(super) fn arm(&mut self, out: &mut EffectCollector) {
        let due = self.progress.set_timer(self.next_expiry());
        out.effect(due.map_or(PeerEffect::Disarm, PeerEffect::Arm));
    }

    /// Sets the timer. If the age of the oldest item is unknown, it is read first, unless a scheduled attempt will read
    /// it anyway.
    pub(super) fn arm_or_sweep(&mut self, out: &mut EffectCollector) {
        match self.expiry.oldest_queued_at() {
            None if self.outbox.backlog() > 0 && self.next_attempt().is_none() => self.sweep(out),
            _ => self.arm(out),
        }
    }

    /// Reads the oldest items, to find those that have expired.
    pub(super) fn sweep(&mut self, out: &mut EffectCollector) {
        let from = self.outbox.acked().next();
        self.expiry.begin(from);
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
        if !self.expiry.end_read(from) {
            return;
        }
        let Ok(mut rows) = rows else {
            self.expiry.retry_later(at.now, self.limits.keep);
            return self.arm(out);
        };
        rows.retain(|row| row.index > self.outbox.acked() && !self.outbox.has_left(row.index));
        let count = self.expiry.sort_out(&rows, at.now, self.limits.keep);
        let all = count == rows.len() && count > 0;
        self.expire(&rows[..count], out);
        match all && self.outbox.backlog() > 0 {
            true => self.sweep(out),
            false => self.arm(out),
        }
    }

    /// Expires the oldest items in memory instead of sending them.
    pub(super) fn expire_loaded(&mut self, at: StepInput, out: &mut EffectCollector) {
        let next = self.outbox.unacknowledged(Index(u64::MAX));
        let over: Vec<OutboxRow> = next.take_while(|row| has_expired(row, at.now, self.limits.keep)).cloned().collect();
        if !over.is_empty() {
            self.expire(&over, out);
            self.labels.reserve(at.now);
            self.close_gap_at_cursor(out);
        }
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
        self.renumbering.assign();
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
        let in_flight = match self.progress.state() {
            OutboundState::Sending { label, mode, .. } => mode.span().map(|span| (*label, span)),
            _ => None,
        };
        let carried = in_flight.filter(|(_, span)| span.first <= last && first <= span.last);
        let stops = carried.is_some() || matches!(self.progress.state(), OutboundState::Loading);
        if stops {
            out.effect(PeerEffect::Abort);
            self.labels.discard_open_transaction();
        }
        if let Some((BatchId::SeqRange { .. }, span)) = carried {
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
        self.renumbering.assign();
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
