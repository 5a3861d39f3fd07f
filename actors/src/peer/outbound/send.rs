//! Selection of the next request, and what it carries.

use std::sync::Arc;

use crate::change::CommitPriority;
use crate::limits::PeerLimits;
use crate::model::{
    BatchId, Edu, Index, ItemTrace, Millis, OutboundBatch, OutboundRecord, OutboxRow, PeerReceipts, ServerName,
};
use crate::peer::effect::EffectCollector;
use crate::peer::outbound::batch_numbering::BatchNumbering;
use crate::peer::outbound::ephemeral_buffer::{EphemeralBuffer, EphemeralItem, RingLimits};
use crate::peer::outbound::outbound_queue::OutboundQueue;
use crate::peer::outbound::outbox_window::{IndexSpan, NextSpan};
use crate::peer::outbound::progress::state::{OutboundState, SendMode};
use crate::peer::outbound::rejected_batch::RejectedBatch;
use crate::peer::receipts::receipt_queue::ReceiptQueue;

/// The composer of the requests to one peer.
#[derive(Debug, Clone)]
pub(super) struct RequestComposer {
    limits: Arc<PeerLimits>,
    pub(super) labels: BatchNumbering,
    /// Ephemeral items to send with the next push, and those in flight.
    pub(super) ephemeral: EphemeralBuffer,
    /// Consequences of a refusal for content.
    pub(super) rejected: RejectedBatch,
    /// Receipts that the peer is still to get.
    pub(super) receipts: ReceiptQueue,
}

/// The next request.
pub(super) enum NextRequest {
    Push(PushContent),
    /// Rows are needed from this index on.
    Load(Index),
    Nothing,
}

/// A push that is about to be sent.
pub(super) struct PushContent {
    pub(super) label: BatchId,
    pub(super) mode: SendMode,
    rows: Vec<OutboxRow>,
    weak: Vec<Edu>,
    receipts: PeerReceipts,
}

impl RequestComposer {
    /// Returns the composer in the state that was loaded from the store.
    pub(super) fn new(limits: Arc<PeerLimits>, record: &OutboundRecord) -> Self {
        Self {
            labels: BatchNumbering::new(limits.dialect.numbering, record),
            ephemeral: EphemeralBuffer::default(),
            rejected: RejectedBatch::new(&limits),
            receipts: ReceiptQueue::default(),
            limits,
        }
    }

    /// Works with these limits from now on.
    pub(super) fn change_limits(&mut self, limits: &Arc<PeerLimits>) {
        self.rejected.change_batch_max(limits.batch_items);
        self.limits = limits.clone();
    }

    /// Buffers an ephemeral item; `state`: that of delivery.
    pub(super) fn buffer(&mut self, fleeting: EphemeralItem, state: &OutboundState) {
        if state.keeps_ephemeral(fleeting.until) {
            self.ephemeral.push(fleeting, self.ring_limits());
        } else {
            // It would have expired by then, and the item that it replaces is out of date.
            self.ephemeral.forget(fleeting.key.as_deref());
        }
    }

    /// Handles the end of a request; `has_taken_nothing`: the peer certainly accepted none of its ephemeral items.
    pub(super) fn ended(&mut self, has_taken_nothing: bool) {
        match has_taken_nothing {
            true => self.ephemeral.put_back(self.ring_limits()),
            false => self.ephemeral.let_go(),
        }
    }

    fn ring_limits(&self) -> RingLimits {
        RingLimits { items: self.limits.weak_items, bytes: self.limits.batch_bytes }
    }

    /// Returns the next request. A peer that is probed gets one item, or none if none is pending.
    pub(super) fn next(
        &mut self,
        now: Millis,
        queue: &mut OutboundQueue,
        is_probing: bool,
        out: &mut EffectCollector,
    ) -> NextRequest {
        if let Some(last) = queue.unconfirmed.question() {
            return NextRequest::Push(self.confirmation_probe(now, queue, last));
        }
        let room = self.labels.room(self.rejected.batch_cap(), &self.limits);
        let items = if is_probing { 1 } else { room.items };
        let (items, end) = self.rejected.portion(queue.outbox.cursor(), items);
        let (span, rows) = match queue.outbox.next(items, end, room.bytes) {
            NextSpan::Send(span, rows) => (Some(span), rows),
            NextSpan::Load(from) => return NextRequest::Load(from),
            NextSpan::Nothing => (None, vec![]),
        };
        let weak = self.take_ephemeral(now, span.is_some());
        // An empty request is a probe, which a healthy peer does not need.
        if span.is_none() && weak.is_empty() && !is_probing && !self.receipts.is_waiting() {
            return NextRequest::Nothing;
        }
        let receipts = self.receipts.send();
        let (label, beyond) = self.labels.label(now, span, queue.outbox.tail_number(), self.limits.receipts);
        if beyond {
            out.moved(CommitPriority::Now);
            queue.renumbering.assign();
        }
        NextRequest::Push(PushContent { label, mode: mode(span, &weak), rows, weak, receipts })
    }

    /// Returns a confirmation probe: a push without updates that asks whether the peer has everything up to this item. Its
    /// number is two above the item's, so it is never the number that the peer expects, and the peer cannot take it for a
    /// numbered push.
    fn confirmation_probe(&mut self, now: Millis, queue: &OutboundQueue, last: Index) -> PushContent {
        let (label, _) = self.labels.label(now, None, queue.outbox.number(last).next().next(), self.limits.receipts);
        self.ephemeral.let_go();
        PushContent { label, mode: SendMode::Confirm, rows: vec![], weak: vec![], receipts: PeerReceipts::NONE }
    }

    fn take_ephemeral(&mut self, now: Millis, has_items: bool) -> Vec<Edu> {
        match self.rejected.take_without_ephemeral(has_items) {
            true => {
                self.ephemeral.let_go();
                vec![]
            }
            false => self.ephemeral.take(now, self.limits.batch_items, self.limits.batch_bytes),
        }
    }

    /// Returns the push as the transport sends it.
    pub(super) fn batch(&self, to: ServerName, push: PushContent) -> OutboundBatch {
        let of_row = |OutboxRow { item, submission, context, queued, .. }: OutboxRow| {
            (item, ItemTrace { submission, context, queued })
        };
        let (items, traces) = push.rows.into_iter().map(of_row).unzip();
        OutboundBatch {
            to,
            dialect: self.limits.dialect,
            label: push.label,
            items,
            traces,
            weak: push.weak,
            receipts: push.receipts,
            deadlines: self.limits.deadlines(),
        }
    }
}

fn mode(span: Option<IndexSpan>, weak: &[Edu]) -> SendMode {
    match span {
        Some(span) if weak.is_empty() => SendMode::WithoutEphemeral(span),
        Some(span) => SendMode::Normal(span),
        None => SendMode::WithoutItems,
    }
}
