//! The inbound half of a peer's state machine. It accepts each strong update once, in the order of the numbers, and
//! each transaction once, by its id. PDUs are dispatched to their contexts first; the peer's own batch is submitted
//! last, so that one commit covers everything.

use std::sync::Arc;

use bytes::Bytes;

use crate::change::{Change, CommitPriority};
use crate::limits::PeerLimits;
use crate::model::{
    BadPdu, ContextId, Digest, FeedItem, InboundRecord, ParkedCode, ParkedItem, ParkedWhat, Pdu, PduVerdict,
    SeenTransaction, ServerName, StrongUpdate,
};
use crate::peer::effect::{BatchReply, EffectCollector, PeerEffect};
use crate::peer::inbound::announced_once::AnnouncedOnce;
pub use crate::peer::inbound::batch::InboundBatch;
use crate::peer::inbound::batch_queue::{BatchInProgress, BatchQueue};
use crate::peer::inbound::catch_up::catch_up_questions::CatchUpQuestions;
use crate::peer::inbound::dispatch::{ContextGroup, DispatchError, PoisonCandidates, UnknownContexts};
use crate::peer::inbound::expect::pending_expectations::PendingExpectations;
use crate::peer::inbound::new_contexts::NewContexts;
use crate::peer::inbound::parked::{ParkedNumbers, what, words};
use crate::peer::inbound::received_sequence::ReceivedSequence;
use crate::peer::inbound::slow_contexts::SlowContexts;
use crate::peer::inbound::transactions::seen_transactions::SeenTransactions;

/// Maximum number of pages of missed transactions that are pulled in a row; what is missing after that shows as gaps in
/// its context.
pub(crate) const PULL_PAGES_MAX: u32 = 10;

/// The inbound half of a peer's machine. Each part owns its fields; the steps in this folder let them work together.
#[derive(Debug, Clone)]
pub struct Inbound {
    server: ServerName,
    limits: Arc<PeerLimits>,
    sequence: ReceivedSequence,
    /// Number of plain updates accepted from the peer.
    taken: u64,
    announced: AnnouncedOnce,
    transactions: SeenTransactions,
    batches: BatchQueue,
    contexts: NewContexts,
    /// PDUs on which a context's actor crashed.
    suspects: PoisonCandidates,
    /// Contexts whose stage may hold PDUs of this peer.
    slow: SlowContexts,
    expectations: PendingExpectations,
    questions: CatchUpQuestions,
    parked: ParkedNumbers,
}

/// The new entries of a batch.
struct NewItems {
    places: Vec<usize>,
    pushes: bool,
    strange: UnknownContexts,
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
            server,
            limits,
            sequence: ReceivedSequence::new(record, digests),
            taken: record.taken,
            announced: AnnouncedOnce::default(),
            transactions: SeenTransactions::new(seen),
            batches: BatchQueue::default(),
            contexts: NewContexts::new(record.contexts_created),
            suspects: PoisonCandidates::default(),
            slow: SlowContexts::default(),
            expectations: PendingExpectations::new(record.expect_applied),
            questions: CatchUpQuestions::new(record),
            parked: ParkedNumbers::new(&record.parked),
        }
    }

    /// Returns the durable state.
    pub fn record(&self) -> InboundRecord {
        let mut record = InboundRecord {
            taken: self.taken,
            contexts_created: self.contexts.created(),
            expect_applied: self.expectations.applied(),
            parked: self.parked.kept(),
            ..InboundRecord::default()
        };
        self.sequence.keep(&mut record);
        self.questions.keep(&mut record);
        record
    }

    /// Returns whether the inbound state can be evicted.
    ///
    /// It cannot while it has state that only memory holds and that the peer's next request needs: a number that was
    /// answered with a hole or a conflict, and PDUs on which a context's actor crashed.
    pub fn is_free(&self) -> bool {
        let expected = self.sequence.expected();
        let in_question = self.sequence.has_answered_probe(expected) || self.announced.is_in_conflict(expected);
        self.batches.is_empty() && self.expectations.is_empty() && !in_question && self.suspects.is_empty()
    }

    /// Accepts a batch. Batches are processed one at a time: the next waits until this one is answered.
    pub fn accept(&mut self, batch: InboundBatch, strange: UnknownContexts, out: &mut EffectCollector) {
        if self.batches.is_busy() {
            return self.batches.wait((batch, strange));
        }
        match batch {
            InboundBatch::Push(push, token) => self.take_push(push, token, strange, out),
            InboundBatch::Transaction(transaction, token) => self.take_transaction(transaction, token, strange, out),
            InboundBatch::Pulled(..) => {
                let all = (0..batch.len()).collect();
                self.dispatch_batch(batch, NewItems { places: all, pushes: false, strange }, out);
            }
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
            self.apply_pending_expectations(out);
            while let Some((batch, strange)) = self.batches.next() {
                self.accept(batch, strange, out);
            }
        }
    }

    /// Dispatches the new PDUs to their contexts; finishes the batch at once if there are none.
    fn dispatch_batch(&mut self, batch: InboundBatch, fresh: NewItems, out: &mut EffectCollector) {
        let NewItems { places, pushes, strange } = fresh;
        let most = strange.most;
        let refusal = |context: &ContextId| {
            let reason = format!(
                "contexts.adopt_max is reached ({most}): {} may create no other context; create {context} here, or raise the limit",
                self.server
            );
            PduVerdict::Refused { code: "ADOPT_MAX", reason }
        };
        let allowance = self.contexts.allow(strange);
        let (busy, groups) = BatchInProgress::begin(batch, (places, pushes), allowance, refusal, &self.suspects);
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
                self.ask_again(asked);
            }
            return out.answer(busy.batch().refusal(refusal.clone().into()));
        }
        self.stage(busy, out);
        if let Some(nonce) = busy.batch().nonce() {
            out.change(Change::NonceUsed(nonce.clone()));
        }
        match busy.batch() {
            InboundBatch::Push(push, token) => {
                self.store_digests(push, busy.numbers_pushes(), out);
                self.feed(push, busy, out);
                out.moved(CommitPriority::Now);
                out.answer(Some(BatchReply::Push(*token, Ok(self.receipt(push, busy.numbers_pushes())))));
            }
            InboundBatch::Transaction(transaction, token) => {
                let missed = self.limits.fetches.then(|| self.transactions.missed(transaction)).flatten();
                let verdicts = self.close(transaction, busy, out);
                if let Some(after) = missed {
                    self.miss(after, out);
                }
                out.answer(Some(BatchReply::Transaction(*token, Ok(verdicts))));
            }
            InboundBatch::Pulled(pdus, asked, further) => {
                self.park(pdus, busy, out);
                self.paged(*asked, *further, out);
            }
        }
    }

    /// Quarantines the PDUs that are poison or belong to a faulty context.
    fn park(&self, pdus: &[Result<Pdu, BadPdu>], busy: &BatchInProgress, out: &mut EffectCollector) {
        for (place, pdu) in pdus.iter().enumerate() {
            if let (Ok(pdu), (_, Some(code))) = (pdu, busy.verdict(place)) {
                self.quarantine_bytes(what(pdu), code, words(code), &pdu.bytes, out);
            }
        }
    }

    fn quarantine(
        &self,
        what: ParkedWhat,
        code: ParkedCode,
        reason: String,
        strong: &StrongUpdate,
        out: &mut EffectCollector,
    ) {
        self.quarantine_bytes(what, code, reason, &strong.bytes, out);
    }

    fn quarantine_bytes(
        &self,
        what: ParkedWhat,
        code: ParkedCode,
        reason: String,
        bytes: &Bytes,
        out: &mut EffectCollector,
    ) {
        let parked = ParkedItem { from: self.server.clone(), what, code, reason, bytes: bytes.clone() };
        out.change(Change::Quarantined { parked, keep: self.limits.quarantine_items });
    }

    fn notice(&self, text: &str, out: &mut EffectCollector) {
        let text = format!("{} {text}", self.server);
        out.change(Change::FeedAppended(FeedItem::Notice { text, server: Some(self.server.clone()) }));
    }
}

fn dispatch(frame: &InboundBatch, group: ContextGroup, slow: &SlowContexts) -> PeerEffect {
    let pdus = group.places.iter().filter_map(|&place| frame.pdu(place).cloned()).collect();
    let behind = slow.contains(&group.context);
    PeerEffect::Dispatch { group, verified: frame.verified(), pdus, behind }
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
