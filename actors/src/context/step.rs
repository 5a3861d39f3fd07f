//! The working data of one step, on its way to one commit.

use std::collections::{BTreeMap, HashMap};

use crate::change::Change;
use crate::context::machine::{ContextEffect, ContextReply};
use crate::context::missing::gaps::Gaps;
use crate::context::ordering::causal_order::CausalOrder;
use crate::context::state::missing_prev_state::Links;
use crate::context::state::set_cache::{StateReader, StateSetCache};
use crate::model::{
    ContextId, Delivery, FeedItem, Millis, Pdu, PduRef, PduState, PduVerdict, ServerName, StateEntry, StateKey,
    StoredPdu, SubmissionId,
};
use crate::reply_token::ReplyToken;

/// A PDU accepted in this step; its bytes are in memory until the commit.
pub(crate) struct NewPdu {
    pub(crate) pdu: Pdu,
    /// Peer that sent it; `None`: it is a PDU of ours that came back.
    pub(crate) sender: Option<ServerName>,
    pub(crate) verified: &'static str,
}

impl NewPdu {
    fn stored(self, received: Millis, standing: PduState) -> Change {
        let (pdu, sender, verified) = (self.pdu, self.sender, self.verified);
        Change::PduStored(Box::new(StoredPdu { pdu, sender, verified, received, standing }))
    }
}

/// One step of the state machine.
pub(crate) struct ContextStep<'a> {
    pub(crate) now: Millis,
    /// Reads of the store.
    pub(crate) reads: &'a dyn StateReader,
    /// State PDUs of the keys that the step uses.
    pub(crate) sets: StateSetCache,
    /// Changes in the order in which the messenger is to see them.
    pub(crate) changes: Vec<Change>,
    fresh: HashMap<PduRef, NewPdu>,
    fresh_order: Vec<PduRef>,
    /// Claims of PDUs that were refused.
    pub(crate) released: Vec<PduRef>,
    /// True if the context's record has changed.
    pub(crate) record_dirty: bool,
    /// True if PDUs of non-participants go to quarantine; false for those that are there already.
    pub(crate) parks: bool,
    /// True if a server has become a participant.
    pub(crate) admitted: bool,
    /// Position after which the quarantine is to be read.
    pub(crate) take_back: Option<(u64, u64)>,
    /// Further effects, to be performed after the commit is submitted.
    pub(crate) effects: Vec<ContextEffect>,
}

impl<'a> ContextStep<'a> {
    pub(crate) fn new(now: Millis, reads: &'a dyn StateReader) -> Self {
        let (fresh, fresh_order) = (HashMap::new(), vec![]);
        let (changes, released, sets) = (vec![], vec![], StateSetCache::default());
        Self {
            now,
            reads,
            sets,
            changes,
            fresh,
            fresh_order,
            released,
            record_dirty: false,
            parks: true,
            admitted: false,
            take_back: None,
            effects: vec![],
        }
    }

    /// Returns all delivered state PDUs of a key, including those of this step.
    pub(crate) async fn set(&mut self, key: &StateKey) -> &mut BTreeMap<PduRef, StateEntry> {
        self.sets.of(self.reads, key).await
    }

    /// Reports the recipients for which a message cannot be queued.
    pub(crate) fn report_left_out(&mut self, message: &SubmissionId, left_out: &[(ServerName, &'static str)]) {
        for (server, reason) in left_out {
            let (message, server, reason) = (message.clone(), server.clone(), Some((*reason).to_owned()));
            self.changes.push(Change::FeedAppended(FeedItem::Delivery { message, server, state: "parked", reason }));
        }
    }

    pub(crate) fn take(&mut self, fresh: NewPdu) {
        self.fresh_order.push(fresh.pdu.reference.clone());
        self.fresh.insert(fresh.pdu.reference.clone(), fresh);
    }

    /// Records the delivery of a PDU of this step that was not held.
    pub(crate) fn delivered_at_once(&mut self, fresh: NewPdu, delivery: Delivery) {
        self.changes.push(fresh.stored(self.now, PduState::Delivered(delivery)));
    }

    /// Records a delivery: a PDU of this step is stored as delivered, an earlier one was stored as held.
    pub(crate) fn delivered(&mut self, reference: &PduRef, context: &ContextId, delivery: Delivery) {
        self.changes.push(match self.fresh.remove(reference) {
            Some(fresh) => fresh.stored(self.now, PduState::Delivered(delivery)),
            None => {
                let (reference, context) = (reference.clone(), context.clone());
                Change::PduDelivered { reference, context, delivery }
            }
        });
    }

    /// Returns the changes of the step: the deliveries, then the held PDUs with their missing parents, the gaps and the
    /// links.
    pub(crate) fn take_changes(
        &mut self,
        context: &ContextId,
        order: &mut CausalOrder,
        gaps: &mut Gaps,
        links: &mut Links,
    ) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.changes);
        for reference in order.take_changed() {
            if let Some(waiting) = order.get(&reference).filter(|_| !self.fresh.contains_key(&reference)) {
                changes.push(Change::PduHeld { reference, context: context.clone(), hold: waiting.hold() });
            }
        }
        for reference in std::mem::take(&mut self.fresh_order) {
            if let (Some(fresh), Some(waiting)) = (self.fresh.remove(&reference), order.get(&reference)) {
                changes.push(fresh.stored(self.now, PduState::Held(waiting.hold())));
            }
        }
        let opened = gaps.take_touched().into_iter();
        changes.extend(opened.map(|gap| Change::GapOpened { context: context.clone(), gap }));
        let opened = links.take_touched().into_iter();
        changes.extend(opened.map(|link| Change::MissingPrevStateAdded { context: context.clone(), link }));
        changes
    }
}

/// The outcome of one PDU of a batch, before it is known whether this step delivers it.
#[derive(Debug, Clone)]
pub(crate) enum PduOutcome {
    Taken(PduRef),
    Told(PduVerdict),
}

/// A reply, before the step has ended.
pub(crate) enum PendingReply {
    Verdicts(ReplyToken<Vec<PduVerdict>>, Vec<PduOutcome>),
    Verdict(ReplyToken<PduVerdict>, PduOutcome),
    Reply(ContextReply),
}

impl PendingReply {
    pub(crate) fn into_effect(self, order: &CausalOrder) -> ContextEffect {
        let verdict = |fate| match fate {
            PduOutcome::Taken(reference) if order.holds(&reference) => PduVerdict::Held,
            PduOutcome::Taken(_) => PduVerdict::Accepted,
            PduOutcome::Told(verdict) => verdict,
        };
        match self {
            Self::Verdicts(token, fates) => {
                let verdicts = fates.into_iter().map(verdict).collect();
                ContextEffect::HandedOver(ContextReply::Verdicts(token, verdicts))
            }
            Self::Verdict(token, fate) => ContextEffect::HandedOver(ContextReply::Verdict(token, verdict(fate))),
            Self::Reply(reply) => ContextEffect::Answer(reply),
        }
    }
}
