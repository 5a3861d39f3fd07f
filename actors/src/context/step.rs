//! The working data of one step, on its way to one commit.

use std::collections::{BTreeMap, HashMap};

use crate::change::Change;
use crate::context::gaps::Gaps;
use crate::context::keys::{Reads, Sets};
use crate::context::links::Links;
use crate::context::machine::{Effect, Reply, Token};
use crate::context::order::Order;
use crate::model::{
    ContextRecord, Delivery, Millis, Pdu, PduRef, ServerName, Standing, StateKey, StatePiece, StoredPdu, Verdict,
};

/// A PDU accepted in this step; its bytes are in memory until the commit.
pub(super) struct Fresh {
    pub(super) pdu: Pdu,
    pub(super) sender: ServerName,
    pub(super) verified: &'static str,
}

impl Fresh {
    fn stored(self, received: Millis, standing: Standing) -> Change {
        let (pdu, sender, verified) = (self.pdu, Some(self.sender), self.verified);
        Change::PduStored(Box::new(StoredPdu { pdu, sender, verified, received, standing }))
    }
}

/// One step of the state machine.
pub(super) struct Step<'a> {
    pub(super) now: Millis,
    /// Reads of the store.
    pub(super) reads: &'a dyn Reads,
    /// State PDUs of the keys that the step uses.
    pub(super) sets: Sets,
    /// Changes in the order in which the messenger is to see them.
    pub(super) changes: Vec<Change>,
    fresh: HashMap<PduRef, Fresh>,
    fresh_order: Vec<PduRef>,
    /// Claims of PDUs that were refused.
    pub(super) released: Vec<PduRef>,
    /// True if the context's record has changed.
    pub(super) moved: bool,
    /// True if PDUs of non-participants go to quarantine; false for those that are there already.
    pub(super) parks: bool,
    /// True if a server has become a participant.
    pub(super) admitted: bool,
    /// Position after which the quarantine is to be read.
    pub(super) take_back: Option<(u64, u64)>,
    /// Further effects, to be performed after the commit is submitted.
    pub(super) effects: Vec<Effect>,
}

impl<'a> Step<'a> {
    pub(super) fn new(now: Millis, reads: &'a dyn Reads) -> Self {
        let (fresh, fresh_order) = (HashMap::new(), vec![]);
        let (changes, released, sets) = (vec![], vec![], Sets::default());
        Self {
            now,
            reads,
            sets,
            changes,
            fresh,
            fresh_order,
            released,
            moved: false,
            parks: true,
            admitted: false,
            take_back: None,
            effects: vec![],
        }
    }

    /// Returns all delivered state PDUs of a key, including those of this step.
    pub(super) fn set(&mut self, key: &StateKey) -> &mut BTreeMap<PduRef, StatePiece> {
        self.sets.of(self.reads, key)
    }

    pub(super) fn take(&mut self, fresh: Fresh) {
        self.fresh_order.push(fresh.pdu.reference.clone());
        self.fresh.insert(fresh.pdu.reference.clone(), fresh);
    }

    /// Records a delivery: a PDU of this step is stored as delivered, an earlier one was stored as held.
    pub(super) fn delivered(&mut self, reference: &PduRef, record: &ContextRecord, delivery: Delivery) {
        self.changes.push(match self.fresh.remove(reference) {
            Some(fresh) => fresh.stored(self.now, Standing::Delivered(delivery)),
            None => {
                let (reference, context) = (reference.clone(), record.context.clone());
                Change::PduDelivered { reference, context, delivery }
            }
        });
    }

    /// Returns all changes to commit: the deliveries, then the held PDUs with their missing parents, the gaps, the
    /// links and the record.
    pub(super) fn take_changes(
        &mut self,
        record: &ContextRecord,
        order: &mut Order,
        gaps: &mut Gaps,
        links: &mut Links,
        heads_max: usize,
    ) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.changes);
        let context = &record.context;
        for reference in order.take_changed() {
            if let Some(waiting) = order.get(&reference).filter(|_| !self.fresh.contains_key(&reference)) {
                changes.push(Change::PduHeld { reference, context: context.clone(), hold: waiting.hold() });
            }
        }
        for reference in std::mem::take(&mut self.fresh_order) {
            if let (Some(fresh), Some(waiting)) = (self.fresh.remove(&reference), order.get(&reference)) {
                changes.push(fresh.stored(self.now, Standing::Held(waiting.hold())));
            }
        }
        let opened = gaps.take_touched().into_iter();
        changes.extend(opened.map(|gap| Change::GapOpened { context: context.clone(), gap }));
        let opened = links.take_touched().into_iter();
        changes.extend(opened.map(|link| Change::LinkOpened { context: context.clone(), link }));
        if self.moved {
            let heads = record.heads.iter().take(heads_max).cloned().collect();
            changes.push(Change::ContextMoved(Box::new(ContextRecord { heads, ..record.clone() })));
        }
        changes
    }
}

/// The outcome of one PDU of a batch, before it is known whether this step delivers it.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    Taken(PduRef),
    Told(Verdict),
}

/// An answer, before the step has ended.
pub(super) enum Owed {
    Verdicts(Token, Vec<Fate>),
    Reply(Token, Reply),
}

impl Owed {
    pub(super) fn into_effect(self, order: &Order) -> Effect {
        let verdict = |fate| match fate {
            Fate::Taken(reference) if order.holds(&reference) => Verdict::Held,
            Fate::Taken(_) => Verdict::Accepted,
            Fate::Told(verdict) => verdict,
        };
        match self {
            Self::Verdicts(token, fates) => {
                Effect::HandedOver(token, Reply::Verdicts(fates.into_iter().map(verdict).collect()))
            }
            Self::Reply(token, reply) => Effect::Answer(token, reply),
        }
    }
}
