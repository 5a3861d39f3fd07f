//! Receipts in both directions: ours go with requests and answers, those of the peer settle our items.

use crate::model::{Ack, Index, PeerReceipts, PushNovelty};
use crate::peer::effect::{BatchReply, EffectCollector, PeerEffect};
use crate::peer::outbound::progress::next_move::NextMove;
use crate::peer::outbound::progress::state::OutboundState;
use crate::peer::outbound::receipts::received_receipts::newest_numbered;
use crate::peer::outbound::{Outbound, StepInput};

/// The receipts of an outbound half, as its machine sees them.
pub struct ReceiptExchange<'a> {
    /// The half that sends and receives them.
    pub outbound: &'a mut Outbound,
}

impl ReceiptExchange<'_> {
    /// Tells the peer what our messenger has done with its items, with the next request. A paused peer gets them with the next
    /// attempt.
    pub fn tell(&mut self, at: StepInput, receipts: PeerReceipts, out: &mut EffectCollector) {
        if self.outbound.limits.receipts {
            self.outbound.requests.receipts.add(receipts);
            self.tell_waiting(at, out);
        }
    }

    /// Sends the receipts that wait, if nothing else is to be done.
    fn tell_waiting(&mut self, at: StepInput, out: &mut EffectCollector) {
        if matches!(self.outbound.progress.state(), OutboundState::Idle) {
            self.outbound.perform(at, NextMove::Proceed, out);
        }
    }

    /// Takes receipts of the peer for our items.
    pub fn take(&mut self, at: StepInput, receipts: PeerReceipts, out: &mut EffectCollector) {
        if !self.outbound.limits.receipts || receipts.is_empty() {
            return;
        }
        let newest = newest_numbered(&receipts, &self.outbound.queue.outbox);
        self.end_relayed(at, newest, out);
        let Outbound { received, queue, .. } = &mut *self.outbound;
        received.take(receipts, queue, out);
    }

    /// Acknowledges relayed items up to this one by receipts alone, if the route does not lead to the peer itself: nothing else would
    /// acknowledge them.
    fn end_relayed(&mut self, at: StepInput, upto: Option<Index>, out: &mut EffectCollector) {
        let Outbound { queue, limits, relay, .. } = &mut *self.outbound;
        let Some((_, relayed)) = relay.relayed().filter(|_| !limits.relay.is_direct()) else { return };
        let Some(last) = upto.map(|upto| upto.min(*relayed)).filter(|last| *last > queue.outbox.acked()) else {
            return;
        };
        queue.unconfirmed.taken(last);
        queue.ack(last, out);
        queue.trim_acknowledged(at.now, out);
    }

    /// Takes receipts that named PDUs, which were found at these indexes.
    pub fn take_found(
        &mut self,
        at: StepInput,
        taken: &[Index],
        rejected: Vec<(Index, String)>,
        out: &mut EffectCollector,
    ) {
        let Outbound { received, queue, .. } = &mut *self.outbound;
        received.found(taken, rejected, queue, out);
        let settled_upto = received.settled_from(queue.outbox.acked().next());
        self.end_relayed(at, settled_upto, out);
    }

    /// Adds receipts to the answers of this step, and takes those that had to wait.
    ///
    /// The answer to a batch that comes again carries none: that of its first arrival was lost, or this one will be, because the
    /// batch was duplicated under way.
    pub fn add_to_answers(&mut self, at: StepInput, out: &mut EffectCollector) {
        let Outbound { received, queue, requests, limits, .. } = &mut *self.outbound;
        if limits.receipts {
            // What became a dead letter in this step has left the queue: a receipt that waits for it tells nothing.
            received.settle_dead_letters(&out.changes);
        }
        received.take_held(queue, out);
        if !limits.receipts {
            return;
        }
        let mut are_lost = false;
        for effect in &mut out.effects {
            if let PeerEffect::Answer(BatchReply::Transaction(_, Ok(receipt))) = effect {
                match &receipt.new_after {
                    Some(prev_ids) => receipt.receipts = requests.receipts.answer_transaction(&receipt.id, prev_ids),
                    None => are_lost |= requests.receipts.put_back_transaction(&receipt.id),
                }
            }
            let PeerEffect::Answer(BatchReply::Push(_, Ok(receipt))) = effect else { continue };
            let Ack::Ok(number) = receipt.ack else { continue };
            match receipt.novelty {
                PushNovelty::New => receipt.receipts = requests.receipts.answer(number),
                PushNovelty::Repeated(first) => are_lost |= requests.receipts.put_back(first),
                PushNovelty::Empty => {}
            }
        }
        if are_lost {
            self.tell_waiting(at, out);
        }
    }

    /// Settles the items that became dead letters in this step.
    pub fn settle_dead_letters(&mut self, out: &EffectCollector) {
        if self.outbound.limits.receipts {
            self.outbound.received.settle_dead_letters(&out.changes);
        }
    }
}

mod held_receipts;
pub mod received_receipts;
