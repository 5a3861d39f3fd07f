//! The inbound half of a peer's state machine. It accepts each strong update once, in the order of the numbers, and
//! each transaction once, by its id. PDUs are dispatched to their contexts first; the peer's own batch is submitted
//! last, so that one commit covers everything.

use std::sync::Arc;

use crate::change::{Change, CommitPriority};
use crate::limits::PeerLimits;
use crate::model::{
    ContextId, Digest, InboundRecord, Millis, PduVerdict, PeerReceipts, PullResponse, PushFailure, SeenTransaction,
    Seq, ServerName,
};
use crate::peer::effect::{BatchReply, CommandReply, EffectCollector, PeerEffect, Pull};
use crate::peer::first_dialect::FirstDialect;
pub use crate::peer::inbound::batch::InboundBatch;
use crate::peer::inbound::batch_queue::{BatchInProgress, BatchQueue, NewItems};
use crate::peer::inbound::catch_up::TransactionPulls;
use crate::peer::inbound::dispatch::{ContextGroup, DispatchError, PoisonCandidates, UnknownContexts};
use crate::peer::inbound::expect::PendingExpectations;
use crate::peer::inbound::new_contexts::NewContexts;
use crate::peer::inbound::parked::PeerQuarantine;
use crate::peer::inbound::pushes::InboundPushes;
use crate::peer::inbound::slow_contexts::SlowContexts;
use crate::peer::inbound::staging::stage;
use crate::peer::inbound::transactions::InboundTransactions;
use crate::peer::outbound::StepInput;
use crate::reply_token::ReplyToken;

/// The inbound half of a peer's machine. Each part owns its fields; this file leads a batch through them.
#[derive(Debug, Clone)]
pub struct Inbound {
    pushes: InboundPushes,
    transactions: InboundTransactions,
    pulls: TransactionPulls,
    expectations: PendingExpectations,
    batches: BatchQueue,
    contexts: NewContexts,
    /// PDUs on which a context's actor crashed.
    suspects: PoisonCandidates,
    /// Contexts whose stage may hold PDUs of this peer.
    slow: SlowContexts,
    quarantine: PeerQuarantine,
    dialect: FirstDialect,
}

impl Inbound {
    /// Returns the machine in the state that was loaded from the store.
    pub fn new(
        server: ServerName,
        limits: Arc<PeerLimits>,
        record: &InboundRecord,
        digests: Vec<Digest>,
        seen: Vec<SeenTransaction>,
    ) -> Self {
        Self {
            pushes: InboundPushes::new(server.clone(), limits.clone(), record, digests),
            transactions: InboundTransactions::new(limits.clone(), seen),
            pulls: TransactionPulls::new(server.clone(), limits.clone(), record),
            batches: BatchQueue::default(),
            contexts: NewContexts::new(record.contexts_created),
            suspects: PoisonCandidates::default(),
            slow: SlowContexts::default(),
            quarantine: PeerQuarantine::new(server, &limits),
            dialect: FirstDialect::new(&limits, record.dialect),
            expectations: PendingExpectations::new(limits, record.expect_applied),
        }
    }

    /// Returns the durable state.
    pub fn record(&self) -> InboundRecord {
        let mut record = InboundRecord {
            contexts_created: self.contexts.created(),
            expect_applied: self.expectations.applied(),
            dialect: self.dialect.known(),
            ..InboundRecord::default()
        };
        self.pushes.keep(&mut record);
        self.pulls.keep(&mut record);
        record
    }

    /// Returns whether the inbound state can be evicted.
    ///
    /// It cannot while it has state that only memory holds and that the peer's next request needs: a number that was
    /// answered with a hole or a conflict, and PDUs on which a context's actor crashed.
    pub fn is_free(&self) -> bool {
        let is_done = self.batches.is_empty() && self.expectations.is_empty();
        is_done && !self.pushes.is_in_question() && self.suspects.is_empty()
    }

    /// Handles the start of the actor.
    pub fn started(&mut self, out: &mut EffectCollector) {
        self.pulls.started(out);
        self.expectations.started(&mut self.pushes, out);
    }

    /// Works with these limits from now on. The number of the configuration is applied like that of a command: a batch in
    /// progress is finished first.
    pub fn change_limits(&mut self, limits: &Arc<PeerLimits>, out: &mut EffectCollector) {
        self.pushes.change_limits(limits);
        self.transactions.change_limits(limits);
        self.pulls.change_limits(limits, out);
        self.quarantine.change_keep(limits.quarantine_items);
        self.expectations.change_limits(limits);
        self.dialect.change_limits(limits);
        if !self.batches.is_busy() {
            self.expectations.apply(&mut self.pushes, out);
        }
    }

    /// Stores the inputs of the step that begins.
    pub const fn begin_step(&mut self, at: StepInput) {
        self.pulls.begin_step(at);
    }

    /// Accepts a batch. Batches are processed one at a time: the next waits until this one is answered.
    pub fn accept(&mut self, batch: InboundBatch, strange: UnknownContexts, out: &mut EffectCollector) {
        if self.batches.is_busy() {
            return self.batches.wait((batch, strange));
        }
        if self.dialect.learn() {
            out.moved(CommitPriority::Deferred);
        }
        let fresh = match &batch {
            InboundBatch::Push(push, token) => self.pushes.receive(push, out).map_err(|reply| {
                out.changes.extend(push.nonce.clone().map(Change::NonceUsed));
                BatchReply::Push(*token, *reply)
            }),
            InboundBatch::Transaction(transaction, token) => {
                self.transactions.receive(transaction, out).map_err(|reply| BatchReply::Transaction(*token, reply))
            }
            InboundBatch::Pulled(pdus, ..) => Ok(NewItems { places: (0..pdus.len()).collect(), pushes: false }),
        };
        match fresh {
            Ok(fresh) => self.dispatch_batch(batch, fresh, strange, out),
            Err(reply) => out.effect(PeerEffect::Answer(reply)),
        }
    }

    /// Handles the outcome of a context for its part of the batch.
    pub fn dispatched(
        &mut self,
        group: &ContextGroup,
        outcome: Result<Vec<PduVerdict>, DispatchError>,
        out: &mut EffectCollector,
    ) {
        let Some(busy) = self.batches.current() else { return };
        if busy.creates(&group.context, &outcome) {
            self.contexts.create(group.context.clone());
            out.moved(CommitPriority::Deferred);
        }
        self.slow.note(&group.context, &outcome);
        if let Some(next) = busy.back(group, outcome, &mut self.suspects) {
            out.effect(dispatch(busy.batch(), next, &self.slow));
        }
        if let Some(busy) = self.batches.take_done() {
            self.finish(&busy, out);
            self.expectations.apply(&mut self.pushes, out);
            while let Some((batch, strange)) = self.batches.next() {
                self.accept(batch, strange, out);
            }
        }
    }

    /// Sets the number of the next update by an operator's command.
    pub fn expect(&mut self, token: ReplyToken<CommandReply>, number: Seq, yes: bool, out: &mut EffectCollector) {
        self.expectations.add(&self.pushes, token, number, yes, out);
        if !self.batches.is_busy() {
            self.expectations.apply(&mut self.pushes, out);
        }
    }

    /// Starts the pulls that are left, because the peer seems to be reachable now.
    pub fn catch_up(&mut self, out: &mut EffectCollector) {
        self.pulls.go_on(out);
    }

    /// Handles the response to a pull; its PDUs are processed like a batch.
    pub fn pulled(
        &mut self,
        asked: Pull,
        answer: Result<PullResponse, PushFailure>,
        strange: UnknownContexts,
        out: &mut EffectCollector,
    ) {
        if let Some(pulled) = self.pulls.answered(asked, answer, out) {
            // Our own request does not lift the limit on new contexts; most of the PDUs belong to known ones.
            self.accept(pulled, strange, out);
        }
    }

    /// Names PDUs in receipts by the numbers under which the peer sent them, as far as these are known.
    pub(super) fn number_receipts(&mut self, receipts: &mut PeerReceipts) {
        self.pushes.sent_numbers.number(receipts);
    }

    /// Returns the time at which the peer is asked again, or at which a pull expires.
    pub fn ask_at(&self) -> Option<Millis> {
        self.pulls.ask_at()
    }

    /// Handles the timer of the pulls.
    pub fn ask_due(&mut self, now: Millis, out: &mut EffectCollector) {
        self.pulls.ask_due(now, out);
    }

    /// Handles a pull that was not sent: the next contact sends it.
    pub fn put_off(&mut self, asked: Pull) {
        self.pulls.put_off(asked);
    }

    /// Dispatches the new PDUs to their contexts; finishes the batch at once if there are none.
    fn dispatch_batch(
        &mut self,
        batch: InboundBatch,
        fresh: NewItems,
        strange: UnknownContexts,
        out: &mut EffectCollector,
    ) {
        let most = strange.most;
        let refusal = |context: &ContextId| {
            let reason = format!(
                "contexts.adopt_max is reached ({most}): {} may create no other context; create {context} here, or raise the limit",
                self.quarantine.peer()
            );
            PduVerdict::Refused { code: "ADOPT_MAX", reason }
        };
        let allowance = self.contexts.allow(strange);
        let (busy, groups) = BatchInProgress::begin(batch, fresh, allowance, refusal, &self.suspects);
        if groups.is_empty() {
            return self.finish(&busy, out);
        }
        for group in groups {
            out.effect(dispatch(busy.batch(), group, &self.slow));
        }
        self.batches.begin(busy);
    }

    /// Stores and answers a batch of which each entry has its verdict.
    fn finish(&mut self, busy: &BatchInProgress, out: &mut EffectCollector) {
        if let Some(refusal) = busy.rejection() {
            if let InboundBatch::Pulled(_, asked, _) = *busy.batch() {
                self.pulls.ask_again(asked);
            }
            return out.answer(busy.batch().refusal(refusal.clone().into()));
        }
        stage(self.quarantine.peer(), busy, out);
        if let Some(nonce) = busy.batch().nonce() {
            out.change(Change::NonceUsed(nonce.clone()));
        }
        match busy.batch() {
            InboundBatch::Push(push, token) => {
                self.pushes.store_digests(push, busy.numbers_pushes(), out);
                self.pushes.feed(push, busy, &self.quarantine, out);
                out.moved(CommitPriority::Now);
                let receipt = self.pushes.receipt(push, busy.numbers_pushes(), busy.fresh());
                out.answer(Some(BatchReply::Push(*token, Ok(receipt))));
            }
            InboundBatch::Transaction(transaction, token) => {
                let missed = self.transactions.missed(transaction);
                let verdicts = self.transactions.close(transaction, busy, &self.quarantine, out);
                if self.pulls.are_after_a_restore() {
                    // Persist `catch_up.after` in the same commit: derived from the remembered transactions after a restart it
                    // would already lie past this one.
                    out.moved(CommitPriority::Now);
                }
                if let Some(after) = missed {
                    self.pulls.miss(after, out);
                }
                out.answer(Some(BatchReply::Transaction(*token, Ok(verdicts))));
            }
            InboundBatch::Pulled(pdus, asked, further) => {
                self.quarantine.park_undeliverable(pdus, busy, out);
                self.pulls.paged(*asked, *further, out);
            }
        }
    }
}

fn dispatch(frame: &InboundBatch, group: ContextGroup, slow: &SlowContexts) -> PeerEffect {
    let pdus = group.places.iter().filter_map(|&place| frame.pdu(place).cloned()).collect();
    let after_staged = slow.contains(&group.context);
    PeerEffect::Dispatch { group, verified: frame.verified(), pdus, after_staged }
}

mod announced_once;
mod batch;
mod batch_queue;
mod catch_up;
pub mod classify_push;
pub mod dispatch;
mod expect;
mod new_contexts;
mod newest;
mod parked;
mod pushes;
pub mod received_sequence;
mod slow_contexts;
mod staging;
#[cfg(test)]
pub(crate) mod tests;
mod transactions;
