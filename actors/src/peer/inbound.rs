//! The inbound half of a peer's state machine. It accepts each strong update once, in the order of the numbers, and
//! each transaction once, by its id. PDUs are dispatched to their contexts first; the peer's own batch is submitted
//! last, so that one commit covers everything.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::change::{Change, CommitPriority};
use crate::limits::PeerLimits;
use crate::model::{
    BadPdu, BatchOutcome, ContextId, Digest, FeedItem, InboundPush, InboundRecord, InboundTransaction, ParkedCode,
    ParkedItem, ParkedWhat, Pdu, PduVerdict, Refusal, SeenTransaction, Seq, ServerName, StrongBody, StrongUpdate,
};
use crate::peer::effect::{EffectCollector, PeerEffect, Pull, ReplyToken};
use crate::peer::inbound::catch_up_questions::CatchUpQuestions;
use crate::peer::inbound::dispatch::{ContextGroup, Dispatch, DispatchError, PoisonCandidates, UnknownContexts};
use crate::peer::inbound::newest::RecentSet;
use crate::peer::inbound::parked::{ParkedNumbers, what, words};
use crate::peer::inbound::slow_contexts::SlowContexts;

/// Maximum number of pages of missed transactions that are pulled in a row; what is missing after that shows as gaps in
/// its context.
pub(crate) const PULL_PAGES_MAX: u32 = 10;

/// Maximum number of recently created contexts that are remembered by name.
const LATELY_MAX: usize = 1024;

/// An inbound batch: what the peer sends in one request, or returns to one.
#[derive(Debug, Clone)]
pub enum InboundBatch {
    /// A push of the updates dialect.
    Push(InboundPush),
    /// A transaction of the transactions dialect.
    Transaction(InboundTransaction),
    /// PDUs of a `pull` response, the request, and the transaction id after which the peer has more.
    Pulled(Vec<Result<Pdu, BadPdu>>, Pull, Option<u64>),
}

/// The inbound half of a peer's machine.
#[derive(Debug, Clone)]
pub struct Inbound {
    server: ServerName,
    limits: Arc<PeerLimits>,
    expected: Seq,
    taken: u64,
    /// Digests of the newest updates, ascending; the last one belongs to the number before `expected`.
    digests: VecDeque<Digest>,
    /// True if the sender was found to number its pushes.
    pushes: bool,
    /// True if the sender has stated ranges (`from_seq`).
    ranges: bool,
    /// Number of a push without strong updates that equalled `expected` and was answered with a hole.
    holed: Option<Seq>,
    /// True if a push that is too old to compare was announced; it is announced once.
    told_too_old: bool,
    /// That it hands over what it may not was announced; once in a life of the actor is enough.
    told_relayed: bool,
    /// Expected number in the conflict that was announced last; the sender repeats its push until it renumbers.
    announced_conflict: Option<Seq>,
    seen: VecDeque<SeenTransaction>,
    /// Batch whose PDUs are being processed by their contexts. Boxed, because most peers have none most of the time.
    busy: Option<Box<BatchInProgress>>,
    /// Batches that wait until it is finished, under their permits.
    waiting: VecDeque<(Option<ReplyToken>, InboundBatch, UnknownContexts)>,
    /// Number of contexts that the peer has created here.
    begun: u64,
    /// Recently created contexts; batches that arrived before their records were committed still list them as unknown.
    lately: RecentSet<ContextId>,
    /// Ids of transactions that the peer was asked for; each is asked for once, whatever the result.
    asked: RecentSet<String>,
    suspects: PoisonCandidates,
    /// Conversations whose stage may hold PDUs of this peer.
    slow: SlowContexts,
    /// Numbers that an operator has set while a batch is in progress.
    expecting: Vec<(ReplyToken, Seq)>,
    expect_applied: Option<Seq>,
    questions: CatchUpQuestions,
    parked: ParkedNumbers,
}

/// The new entries of a batch.
struct NewItems {
    places: Vec<usize>,
    pushes: bool,
    strange: UnknownContexts,
}

#[derive(Debug, Clone)]
struct BatchInProgress {
    /// Token of the reply; `None` for a pull, for which nobody waits.
    token: Option<ReplyToken>,
    frame: InboundBatch,
    /// Positions of the new entries in the batch.
    fresh: Vec<usize>,
    /// True if `seq` is the number of the push and not that of its last update.
    pushes: bool,
    dispatch: Dispatch,
    /// Unknown contexts that the PDUs of the batch would create.
    strange: Vec<ContextId>,
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
            expected: record.expected,
            taken: record.taken,
            digests: digests.into(),
            pushes: record.numbers_pushes,
            ranges: record.sends_from_seq,
            holed: None,
            told_too_old: false,
            told_relayed: false,
            announced_conflict: None,
            seen: seen.into(),
            busy: None,
            waiting: VecDeque::new(),
            asked: RecentSet::default(),
            begun: record.contexts_created,
            lately: RecentSet::default(),
            suspects: PoisonCandidates::default(),
            slow: SlowContexts::default(),
            expecting: Vec::new(),
            expect_applied: record.expect_applied,
            questions: CatchUpQuestions::new(record),
            parked: ParkedNumbers::new(&record.parked),
        }
    }

    /// Returns the durable state.
    pub fn record(&self) -> InboundRecord {
        InboundRecord {
            expected: self.expected,
            taken: self.taken,
            numbers_pushes: self.pushes,
            sends_from_seq: self.ranges,
            contexts_created: self.begun,
            expect_applied: self.expect_applied,
            parked: self.parked.kept(),
            ..self.questions.record()
        }
    }

    /// Accepts a batch; `token` is owed a reply. Batches are processed one at a time: the next waits until this one is
    /// answered.
    pub fn accept(
        &mut self,
        token: ReplyToken,
        frame: InboundBatch,
        strange: UnknownContexts,
        out: &mut EffectCollector,
    ) {
        self.take(Some(token), frame, strange, out);
    }

    fn take(
        &mut self,
        token: Option<ReplyToken>,
        frame: InboundBatch,
        strange: UnknownContexts,
        out: &mut EffectCollector,
    ) {
        if self.busy.is_some() {
            return self.waiting.push_back((token, frame, strange));
        }
        let answer = match frame {
            InboundBatch::Push(push) => self.take_push(token, push, strange, out),
            InboundBatch::Transaction(transaction) => self.take_transaction(token, transaction, strange, out),
            InboundBatch::Pulled(..) => {
                let all = (0..frame.len()).collect();
                self.dispatch_batch(token, frame, NewItems { places: all, pushes: false, strange }, out)
            }
        };
        if let (Some(token), Some(answer)) = (token, answer) {
            out.effect(PeerEffect::Answer(token, answer));
        }
    }

    /// Handles the outcome of a context for its part of the batch.
    pub fn dispatched(
        &mut self,
        group: &ContextGroup,
        outcome: Result<Vec<PduVerdict>, DispatchError>,
        out: &mut EffectCollector,
    ) {
        let Some(busy) = self.busy.as_mut() else { return };
        let reference = |place| busy.frame.pdu(place).map(|pdu| &pdu.reference).expect("only PDUs are dispatched");
        let is_taken = |verdict: &PduVerdict| matches!(verdict, PduVerdict::Accepted | PduVerdict::Held);
        let begins = match &outcome {
            Ok(verdicts) => verdicts.iter().any(is_taken),
            Err(undone) => matches!(undone, DispatchError::Slow(_)),
        };
        let place = busy.strange.iter().position(|context| *context == group.context);
        if let Some(place) = place.filter(|_| begins) {
            busy.strange.remove(place);
            self.begun += 1;
            self.lately.push(group.context.clone(), LATELY_MAX);
            out.moved(CommitPriority::Deferred);
        }
        self.slow.note(&group.context, &outcome);
        if let Some(next) = busy.dispatch.back(group, outcome, reference, &mut self.suspects) {
            out.effect(dispatch(&busy.frame, next, &self.slow));
        }
        if busy.dispatch.is_done()
            && let Some(busy) = self.busy.take()
        {
            let answer = self.finish(&busy, out);
            if let Some(token) = busy.token {
                out.effect(PeerEffect::Answer(token, answer));
            }
            self.apply_pending_expectations(out);
            while self.busy.is_none()
                && let Some((token, frame, strange)) = self.waiting.pop_front()
            {
                self.take(token, frame, strange, out);
            }
        }
    }

    /// Dispatches the new PDUs to their contexts; finishes the batch at once if there are none.
    fn dispatch_batch(
        &mut self,
        token: Option<ReplyToken>,
        frame: InboundBatch,
        fresh: NewItems,
        out: &mut EffectCollector,
    ) -> Option<Result<BatchOutcome, Refusal>> {
        let NewItems { places: fresh, pushes, mut strange } = fresh;
        strange.contexts.retain(|context| !self.lately.contains(context));
        // The peer may create contexts up to its limit, including those of this batch; contexts that it has created it
        // may use.
        let room = usize::try_from(strange.most.saturating_sub(self.begun)).unwrap_or(usize::MAX);
        let (may, may_not) = strange.contexts.split_at(room.min(strange.contexts.len()));
        let pdus = fresh.iter().filter_map(|&place| Some((place, frame.pdu(place)?)));
        let (beyond, pdus): (Vec<_>, Vec<_>) = pdus.partition(|(_, pdu)| may_not.contains(&pdu.context));
        let mut dispatch_state = Dispatch::new(frame.len(), pdus.into_iter(), &self.suspects);
        for (place, pdu) in beyond {
            let reason = format!(
                "contexts.adopt_max is reached ({}): {} may begin no other context; create {} here, or raise the limit",
                strange.most, self.server, pdu.context
            );
            dispatch_state.settle(place, PduVerdict::Refused { code: "ADOPT_MAX", reason });
        }
        let groups = dispatch_state.begin();
        let busy = BatchInProgress { token, frame, fresh, pushes, dispatch: dispatch_state, strange: may.to_vec() };
        if groups.is_empty() {
            return Some(self.finish(&busy, out));
        }
        for group in groups {
            out.effect(dispatch(&busy.frame, group, &self.slow));
        }
        self.busy = Some(Box::new(busy));
        None
    }

    fn finish(&mut self, busy: &BatchInProgress, out: &mut EffectCollector) -> Result<BatchOutcome, Refusal> {
        if let Some(refusal) = busy.dispatch.rejection() {
            if let InboundBatch::Pulled(_, asked, _) = busy.frame {
                self.ask_again(asked);
            }
            return Err(refusal.clone());
        }
        self.stage(busy, out);
        match &busy.frame {
            InboundBatch::Push(push) => {
                self.store_digests(push, busy.pushes, out);
                self.feed(push, busy, out);
                out.moved(CommitPriority::Now);
                Ok(self.receipt(push, busy.pushes))
            }
            InboundBatch::Transaction(transaction) => {
                let missed = self.missed(transaction);
                let verdicts = self.close(transaction, busy, out);
                if let Some(after) = missed {
                    self.miss(after, out);
                }
                Ok(BatchOutcome::Transaction(verdicts))
            }
            InboundBatch::Pulled(pdus, asked, further) => {
                self.park(pdus, busy, out);
                self.paged(*asked, *further, out);
                Ok(BatchOutcome::Transaction(vec![]))
            }
        }
    }

    /// Quarantines the PDUs that are poison or belong to a faulty context.
    fn park(&self, pdus: &[Result<Pdu, BadPdu>], busy: &BatchInProgress, out: &mut EffectCollector) {
        for (place, pdu) in pdus.iter().enumerate() {
            if let (Ok(pdu), (_, Some(code))) = (pdu, busy.dispatch.verdict(place)) {
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

impl InboundBatch {
    fn len(&self) -> usize {
        match self {
            Self::Push(push) => push.strong.len(),
            Self::Transaction(transaction) => transaction.pdus.len(),
            Self::Pulled(pdus, ..) => pdus.len(),
        }
    }

    /// Returns the PDU at this position, if it is a valid one.
    fn pdu(&self, place: usize) -> Option<&Pdu> {
        match self {
            Self::Push(push) => match &push.strong[place].body {
                StrongBody::Pdu(pdu) => Some(pdu),
                StrongBody::Plain | StrongBody::BadPdu(_) | StrongBody::NotAnObject(_) => None,
            },
            Self::Transaction(transaction) => transaction.pdus[place].as_ref().ok(),
            Self::Pulled(pdus, ..) => pdus[place].as_ref().ok(),
        }
    }

    /// Returns the contexts of its PDUs.
    pub fn contexts(&self) -> impl Iterator<Item = &ContextId> {
        (0..self.len()).filter_map(|place| Some(&self.pdu(place)?.context))
    }

    const fn verified(&self) -> &'static str {
        match self {
            Self::Push(push) => push.verified,
            Self::Transaction(transaction) => transaction.verified,
            // The response came from the peer's own address.
            Self::Pulled(..) => "network",
        }
    }
}

fn dispatch(frame: &InboundBatch, group: ContextGroup, slow: &SlowContexts) -> PeerEffect {
    let pdus = group.places.iter().filter_map(|&place| frame.pdu(place).cloned()).collect();
    let behind = slow.contains(&group.context);
    PeerEffect::Dispatch { group, verified: frame.verified(), pdus, behind }
}

mod catch_up;
mod catch_up_questions;
pub mod classify_push;
pub mod dispatch;
mod expect;
mod free;
mod newest;
mod parked;
mod pushes;
mod question;
mod relayed;
mod slow_contexts;
mod staging;
#[cfg(test)]
mod tests;
mod transactions;
