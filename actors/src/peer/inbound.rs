//! The inbound half of a peer's state machine. It accepts each strong update once, in the order of the numbers, and
//! each transaction once, by its id. PDUs are dispatched to their contexts first; the peer's own batch is submitted
//! last, so that one commit covers everything.

use std::sync::Arc;

use crate::change::{Change, CommitPriority};
use crate::limits::PeerLimits;
use crate::model::{
    Ack, ContextId, Digest, HeldForward, InboundPush, InboundRecord, Millis, PduVerdict, PeerReceipts, PullResponse,
    PushFailure, PushNovelty, Receipt, SeenTransaction, Seq, ServerName, TransactionReceipt,
};
use crate::peer::effect::{BatchReply, CommandReply, EffectCollector, PeerEffect, Pull, PushReply, RelayRole};
use crate::peer::first_dialect::FirstDialect;
pub use crate::peer::inbound::batch::InboundBatch;
use crate::peer::inbound::batch_queue::{BatchInProgress, BatchQueue, NewItems};
use crate::peer::inbound::catch_up::TransactionPulls;
use crate::peer::inbound::dispatch::{ContextGroup, DispatchError, PoisonCandidates, UnknownContexts};
use crate::peer::inbound::expect::PendingExpectations;
use crate::peer::inbound::forwards::forward_run::RunPlace;
use crate::peer::inbound::forwards::held_forwards::{ForwardedPart, HeldForwards, new_part};
use crate::peer::inbound::forwards::progress::HandedBatches;
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
    /// Updates of the peer that came as forwards, before their turn.
    held: HeldForwards,
    /// Boxed while there are any, because most peers have none, and a waiting peer takes little memory. Their numbers begin
    /// anew then, because no run of theirs is under way.
    handed: Option<Box<HandedBatches>>,
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
            held: HeldForwards::new(server.clone(), limits.relay.held_max),
            handed: None,
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

    /// Adds the forwarded updates that were loaded from the store.
    pub fn hold(&mut self, loaded: Vec<HeldForward>) {
        self.held.load(loaded);
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
        let is_done = self.batches.is_empty() && self.handed.is_none() && self.expectations.is_empty();
        is_done && !self.pushes.is_in_question() && self.suspects.is_empty()
    }

    /// Handles the start of the actor.
    pub fn started(&mut self, out: &mut EffectCollector) {
        self.pulls.started(out);
        let expected = self.pushes.expected();
        self.expectations.started(&mut self.pushes, out);
        self.follow_expected(expected, out);
        self.release_held();
        self.go_on(out);
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
        self.held.change_most(limits.relay.held_max);
        if !self.batches.is_busy() {
            self.apply_expectations(out);
        }
    }

    /// Stores the inputs of the step that begins.
    pub const fn begin_step(&mut self, at: StepInput) {
        self.pulls.begin_step(at);
    }

    /// Accepts a batch. Its forwards are given to the actors of their origins first.
    pub fn accept(&mut self, batch: InboundBatch, strange: UnknownContexts, out: &mut EffectCollector) {
        let judged = self.handed.get_or_insert_default().judge(batch, strange, self.quarantine.peer(), out);
        self.handed.take_if(|handed| handed.is_empty());
        if let Some((batch, strange)) = judged {
            self.accept_judged(batch, strange, out);
        }
    }

    /// Accepts a batch whose forwards have their outcomes. Batches are processed one at a time: the next waits until this one is
    /// answered.
    fn accept_judged(&mut self, batch: InboundBatch, strange: UnknownContexts, out: &mut EffectCollector) {
        if self.batches.is_busy() {
            return self.batches.wait((batch, strange));
        }
        if self.dialect.learn() {
            out.moved(CommitPriority::Deferred);
        }
        let fresh = match &batch {
            InboundBatch::Push(push, token) => self.pushes.receive(push, out).map_err(|reply| {
                if matches!(&*reply, Ok(Receipt { ack: Ack::Hole { conflict: true, .. }, .. })) {
                    self.held.clear(out);
                }
                out.changes.extend(push.nonce.clone().map(Change::NonceUsed));
                BatchReply::Push(*token, *reply)
            }),
            InboundBatch::Forwarded(push, token) => {
                let token = *token;
                return match new_part(push, &self.pushes.sequence) {
                    ForwardedPart::New(push) => {
                        let fresh = NewItems { places: (0..push.strong.len()).collect(), pushes: false };
                        self.dispatch_batch(InboundBatch::Forwarded(*push, token), fresh, strange, out);
                    }
                    part => {
                        let reply = self.not_new(push, &part, out);
                        out.answer(token.map(|token| BatchReply::Push(token, reply)));
                    }
                };
            }
            InboundBatch::Transaction(transaction, token) => {
                self.transactions.receive(transaction, out).map_err(|reply| BatchReply::Transaction(*token, *reply))
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
            out.effect(dispatch(busy, next, &self.slow));
        }
        self.finish_done(out);
    }

    /// Handles the answer of an origin's actor to a run of forwards.
    pub fn forwarded(&mut self, place: RunPlace, answer: PushReply, out: &mut EffectCollector) {
        let back = self.handed.as_mut().and_then(|handed| handed.back(place, answer));
        self.handed.take_if(|handed| handed.is_empty());
        match back {
            Some(Ok((batch, strange))) => self.accept_judged(batch, strange, out),
            Some(Err((batch, error))) => out.answer(batch.refusal(error.into())),
            None => {}
        }
    }

    /// Finishes the batch in progress if nothing of it is under way, and accepts those that wait.
    fn finish_done(&mut self, out: &mut EffectCollector) {
        if let Some(busy) = self.batches.take_done() {
            self.finish(&busy, out);
            self.apply_expectations(out);
            self.go_on(out);
        }
    }

    /// Accepts the batches that wait, until one is in progress.
    fn go_on(&mut self, out: &mut EffectCollector) {
        while let Some((batch, strange)) = self.batches.next() {
            self.accept_judged(batch, strange, out);
        }
    }

    /// Applies the numbers that the operator or the configuration has set.
    fn apply_expectations(&mut self, out: &mut EffectCollector) {
        let expected = self.pushes.expected();
        self.expectations.apply(&mut self.pushes, out);
        self.follow_expected(expected, out);
    }

    /// Forgets the forwards that wait if the expected number was set: their numbers no longer mean what they did.
    fn follow_expected(&mut self, before: Seq, out: &mut EffectCollector) {
        if self.pushes.expected() != before {
            self.held.clear(out);
        }
    }

    /// Handles forwarded updates of which none is the next one; returns the reply.
    fn not_new(&mut self, push: &InboundPush, part: &ForwardedPart, out: &mut EffectCollector) -> PushReply {
        let expected = self.pushes.expected();
        let (result, ack) = match part {
            ForwardedPart::Above if self.held.keep(push, out) => ("held", Ack::Ok(push.seq)),
            ForwardedPart::Above => ("not_kept", Ack::Hole { expected, conflict: false }),
            ForwardedPart::Differs => {
                self.held.clear(out);
                ("differs", Ack::Ok(push.seq))
            }
            ForwardedPart::Known | ForwardedPart::New(_) => ("duplicate", Ack::Ok(push.seq)),
        };
        push.strong.iter().for_each(|_| out.effect(PeerEffect::CountForward(RelayRole::Destination, result)));
        Ok(ack.into())
    }

    /// Queues the forwards that waited and whose turn has come.
    fn release_held(&mut self) {
        if let Some(run) = self.held.next_run(self.pushes.expected()) {
            self.batches.wait_first((InboundBatch::Forwarded(run, None), UnknownContexts::default()));
        }
    }

    /// Sets the number of the next update by an operator's command.
    pub fn expect(&mut self, token: ReplyToken<CommandReply>, number: Seq, yes: bool, out: &mut EffectCollector) {
        self.expectations.add(&self.pushes, token, number, yes, out);
        if !self.batches.is_busy() {
            self.apply_expectations(out);
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
        let mapped = self.pushes.mapped(&batch, &fresh);
        let (busy, groups) = BatchInProgress::begin(batch, fresh, mapped, allowance, refusal, &self.suspects);
        if groups.is_empty() {
            self.finish(&busy, out);
            return self.go_on(out);
        }
        for group in groups {
            out.effect(dispatch(&busy, group, &self.slow));
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
                let receipt = self.take_push(push, busy, out);
                out.answer(Some(BatchReply::Push(*token, Ok(receipt))));
            }
            InboundBatch::Forwarded(push, token) => {
                // The answer is for the actor of the relay and never reaches the origin, so receipts in it would be lost.
                let receipt = Receipt { novelty: PushNovelty::Empty, ..self.take_push(push, busy, out) };
                out.answer(token.map(|token| BatchReply::Push(token, Ok(receipt))));
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
                let receipt = TransactionReceipt {
                    verdicts,
                    receipts: PeerReceipts::NONE,
                    id: transaction.id.as_str().into(),
                    new_after: Some(transaction.prev_ids.clone()),
                };
                out.answer(Some(BatchReply::Transaction(*token, Ok(receipt))));
            }
            InboundBatch::Pulled(pdus, asked, further) => {
                self.quarantine.park_undeliverable(pdus, busy, out);
                self.pulls.paged(*asked, *further, out);
            }
        }
    }

    /// Stores the updates of a push, and releases the forwards that waited for them.
    fn take_push(&mut self, push: &InboundPush, busy: &BatchInProgress, out: &mut EffectCollector) -> Receipt {
        self.pushes.store_digests(push, busy.numbers_pushes(), out);
        self.pushes.feed(push, busy, &self.quarantine, out);
        self.held.passed(self.pushes.expected(), out);
        self.release_held();
        out.moved(CommitPriority::Now);
        self.pushes.receipt(push, busy.numbers_pushes(), busy.fresh())
    }
}

fn dispatch(busy: &BatchInProgress, group: ContextGroup, slow: &SlowContexts) -> PeerEffect {
    let (frame, verified) = (busy.batch(), busy.batch().verified());
    let after_staged = slow.contains(&group.context);
    if group.is_bridged {
        let messages =
            group.places.iter().filter_map(|&place| Some(busy.mapped().get(place)?.message.clone())).collect();
        return PeerEffect::DispatchMessages { group, verified, messages, after_staged };
    }
    let pdus = group.places.iter().filter_map(|&place| frame.pdu(place).cloned()).collect();
    PeerEffect::Dispatch { group, verified, pdus, after_staged }
}

mod announced_once;
mod batch;
mod batch_queue;
mod catch_up;
pub mod classify_push;
pub mod dispatch;
mod expect;
pub mod forwards;
mod groups;
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
