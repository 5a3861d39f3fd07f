//! The durable queue of items for one peer: which are pending, under which numbers, which the peer may have accepted, and
//! which leave the queue undelivered.
//!
//! An item that leaves undelivered was refused for its content, has expired, or was dropped by an operator; an unreachable
//! or failing peer never removes one. Each becomes a dead letter and is reported, and its number goes to the next item.

use std::sync::Arc;
use std::time::Duration;

use crate::change::{Change, CommitPriority};
use crate::limits::PeerLimits;
use crate::model::{
    DeadLetterReason, FeedItem, ForwardRoute, Index, Item, ItemObjection, Millis, OutboundRecord, OutboxRow,
    RemovalFate, Seq, ServerName, SubmissionId,
};
use crate::peer::effect::{EffectCollector, PeerEffect, RelayRole};
use crate::peer::outbound::outbox_window::trim_schedule::TrimSchedule;
use crate::peer::outbound::outbox_window::{IndexSpan, Outbox, WindowRoom};
use crate::peer::outbound::renumbering::Renumbering;
use crate::peer::outbound::unconfirmed::UnconfirmedItems;

/// The queue of one peer.
#[derive(Debug, Clone)]
pub(super) struct OutboundQueue {
    pub(super) us: ServerName,
    pub(super) server: ServerName,
    pub(super) limits: Arc<PeerLimits>,
    pub(super) outbox: Outbox,
    /// Items that the peer may have accepted although no response came.
    pub(super) unconfirmed: UnconfirmedItems,
    pub(super) renumbering: Renumbering,
    trim: TrimSchedule,
    /// Index up to which no index is assigned again.
    newest: Index,
}

impl OutboundQueue {
    /// Returns the queue that was loaded from the store.
    pub(super) fn new(
        us: ServerName,
        server: ServerName,
        limits: Arc<PeerLimits>,
        record: &OutboundRecord,
        (tail, queued_bytes): (Index, u64),
    ) -> Self {
        let room = WindowRoom::of(&limits);
        let mut outbox = Outbox::new(record.acked, tail, record.segments.clone(), room)
            .weighing(record.acked_bytes, queued_bytes)
            .spreading(limits.one_a_context)
            .telling_from(record.told_from);
        outbox.change_routing(!limits.dialect.numbers_items());
        Self {
            us,
            server,
            outbox,
            unconfirmed: UnconfirmedItems::at_start(limits.dialect.numbering, tail),
            renumbering: Renumbering::default(),
            trim: TrimSchedule::new(),
            newest: record.highest_index_assigned,
            limits,
        }
    }

    /// Works with these limits from now on.
    pub(super) fn change_limits(&mut self, limits: &Arc<PeerLimits>) {
        self.outbox.change_limits(WindowRoom::of(limits), limits.one_a_context);
        self.outbox.change_routing(!limits.dialect.numbers_items());
        self.limits = limits.clone();
    }

    /// Writes the durable part into the record.
    pub(super) fn keep(&self, record: &mut OutboundRecord) {
        record.acked = self.outbox.acked();
        record.segments = self.outbox.segments().to_vec();
        record.told_from = self.outbox.told_from();
        record.acked_bytes = self.outbox.acked_bytes();
        record.highest_index_assigned = self.newest;
    }

    /// Returns the first item that the peer has not acknowledged. During a rewind this is the next item of the rewind, because
    /// the peer asked for it again; a numbering from behind it would drop the rest of the rewind, and nobody would be notified.
    pub(super) fn first_unacknowledged(&self) -> Index {
        self.outbox.acked().next().min(self.outbox.cursor())
    }

    /// Returns the number of our first item that the peer has not acknowledged, or of the next one to be queued. `None`:
    /// the dialect does not number items.
    pub(super) fn next_number(&self) -> Option<Seq> {
        self.limits.dialect.numbers_items().then(|| self.outbox.number(self.first_unacknowledged()))
    }

    /// Forgets the rows in memory, because sending is paused.
    pub(super) fn unload(&mut self) {
        self.unconfirmed.cancel_probe();
        self.outbox.unload();
    }

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

    /// Returns the next item to send, with the reason, if the peer refused it before and lacks it by its own answer.
    pub(super) fn take_lacking(&mut self) -> Option<(Index, String)> {
        self.outbox.front().and_then(|front| self.unconfirmed.leaves(front))
    }

    /// Records that the peer has everything up to this item.
    pub(super) fn ack(&mut self, last: Index, out: &mut EffectCollector) {
        self.trim.acked(self.outbox.ack(last));
        out.moved(CommitPriority::Deferred);
    }

    /// Removes acknowledged rows that are no longer kept, if that is due.
    pub(super) fn trim_acknowledged(&mut self, now: Millis, out: &mut EffectCollector) {
        let Some(rows_max) = self.trim.take_due() else { return };
        let retain = u64::try_from(self.limits.retain.as_millis()).unwrap_or(u64::MAX);
        out.change(Change::OutboxTrimmed {
            server: self.server.clone(),
            upto: self.outbox.acked(),
            keep_items: self.limits.retain_items,
            queued_before: Millis(now.0.saturating_sub(retain)),
            rows_max,
        });
    }

    /// Expires the oldest items in memory instead of sending them; returns whether there were any.
    pub(super) fn expire_loaded(&mut self, now: Millis, out: &mut EffectCollector) -> bool {
        let next = self.outbox.unacknowledged(Index(u64::MAX));
        let over: Vec<OutboxRow> = next.take_while(|row| has_expired(row, now, self.limits.keep)).cloned().collect();
        self.expire(&over, out);
        !over.is_empty()
    }

    /// Dead-letters these items, which are the oldest unacknowledged ones, at most a page of them.
    pub(super) fn expire(&mut self, rows: &[OutboxRow], out: &mut EffectCollector) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        let reason = format!("not taken within {} s (keep)", self.limits.keep.as_secs());
        self.dead_letter(first.index, last.index, DeadLetterReason::Expired, &reason, out);
        let mut told: Option<&SubmissionId> = None;
        for row in rows {
            if told.replace(&row.submission) != Some(&row.submission) {
                let (message, state) = (row.submission.clone(), DeadLetterReason::Expired.state());
                self.emit_delivery_event(message, state, Some(reason.clone()), out);
            }
        }
        self.outbox.leave(last.index);
        self.renumbering.assign();
        out.moved(CommitPriority::Now);
    }

    /// Returns the part of this range that is not acknowledged.
    pub(super) fn unacknowledged_part(&self, first: Index, last: Index) -> Option<(Index, Index)> {
        let (first, last) = (first.max(self.outbox.acked().next()), last.min(self.outbox.tail()));
        (first <= last).then_some((first, last))
    }

    /// Takes items of a message out at an operator's command, wherever they are in the queue.
    pub(super) fn drop_items(
        &mut self,
        message: SubmissionId,
        (first, last): (Index, Index),
        fate: &RemovalFate,
        out: &mut EffectCollector,
    ) {
        let in_doubt = self.unconfirmed.take_out(first, last);
        let (event, reason) = match fate {
            RemovalFate::DeadLetter { reason } => {
                self.dead_letter(first, last, DeadLetterReason::Dropped, reason, out);
                (DeadLetterReason::Dropped, (*reason).to_owned())
            }
            RemovalFate::MoveTo(to) => {
                let (server, submission) = (self.server.clone(), message.clone());
                out.change(Change::OutboxMoved { server, first, last, to: to.clone(), submission });
                (DeadLetterReason::Refused, format!("moved to {to} by an operator"))
            }
        };
        self.emit_delivery_event(message, event.state(), Some(reason), out);
        if first == self.outbox.acked().next() && !in_doubt {
            self.outbox.leave(last);
        } else {
            self.outbox.forget(first, last);
        }
        // Record the highest index, because the rows that show it may be among these.
        self.newest = self.outbox.tail();
        self.renumbering.assign();
        out.moved(CommitPriority::Now);
    }

    /// Dead-letters an item that the peer refuses; returns whether its row was in memory. Nothing is sent under its number
    /// before the commit; a crash before it leads to the same refusal again.
    pub(super) fn park(&mut self, index: Index, reason: &str, out: &mut EffectCollector) -> bool {
        let Some(row) = self.outbox.skip(index) else { return false };
        self.dead_letter(index, index, DeadLetterReason::Parked, reason, out);
        self.emit_delivery_event(row.submission, DeadLetterReason::Parked.state(), Some(reason.to_owned()), out);
        self.renumbering.assign();
        out.moved(CommitPriority::Now);
        true
    }

    /// Emits a delivery event for each message that had failed or waited long, and for each item that the peer refuses or
    /// parks. All other deliveries are visible in traces only.
    pub(super) fn emit_delivery_events(
        &self,
        now: Millis,
        span: IndexSpan,
        refused: &[ItemObjection],
        out: &mut EffectCollector,
    ) {
        let mut told: Option<&SubmissionId> = None;
        for row in self.outbox.unacknowledged(span.last) {
            let is_about = |objection: &&ItemObjection| span.first.0 + objection.place as u64 == row.index.0;
            let objection = refused.iter().find(is_about);
            if let Item::Forward(route, _) = &row.item {
                self.note_forward(route, objection, out);
                continue;
            }
            if let Some(ItemObjection { fate, reason, .. }) = objection {
                let reason = match fate {
                    DeadLetterReason::ParkedByPeer => format!("{reason}: it lies in the quarantine of {}", self.server),
                    _ => reason.clone(),
                };
                self.dead_letter(row.index, row.index, *fate, &reason, out);
                self.emit_delivery_event(row.submission.clone(), fate.state(), Some(reason), out);
            } else if (row.again || row.queued.until(now) > self.limits.notify_after)
                && told.replace(&row.submission) != Some(&row.submission)
            {
                self.emit_delivery_event(row.submission.clone(), "acknowledged", None, out);
            }
        }
    }

    /// Reports the refusal of a forward to the actor of its destination, if it is ours. One of another server is not ours to
    /// report: its origin learns by itself what the destination has.
    fn note_forward(&self, route: &ForwardRoute, objection: Option<&ItemObjection>, out: &mut EffectCollector) {
        let Some(ItemObjection { reason, .. }) = objection else { return };
        if route.origin == self.us {
            out.effect(PeerEffect::CountForward(RelayRole::Origin, "refused"));
            out.effect(PeerEffect::TellRelayRefused(route.destination.clone(), reason.clone()));
        }
    }

    /// Emits a delivery event about a submission. Nobody submitted a forward.
    pub(super) fn emit_delivery_event(
        &self,
        message: SubmissionId,
        state: &'static str,
        reason: Option<String>,
        out: &mut EffectCollector,
    ) {
        if message.is_forward() {
            return;
        }
        let server = self.server.clone();
        out.change(Change::FeedAppended(FeedItem::Delivery { message, server, state, reason }));
    }

    /// Records that these items become dead letters.
    fn dead_letter(&self, first: Index, last: Index, fate: DeadLetterReason, reason: &str, out: &mut EffectCollector) {
        let (server, reason, keep) = (self.server.clone(), reason.to_owned(), self.limits.quarantine_items);
        out.change(Change::OutboxDeadLettered { server, first, last, fate, reason, keep });
    }
}

/// Returns whether the item is too old to be sent.
pub(super) fn has_expired(row: &OutboxRow, now: Millis, keep: Duration) -> bool {
    row.queued.after(keep) <= now
}
