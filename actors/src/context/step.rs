//! What one step has done so far, on its way to one commit.

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

/// A PDU taken in this step: its bytes are in hand, and leave with the commit.
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

/// One step of the machine.
pub(super) struct Step<'a> {
    pub(super) now: Millis,
    /// What may be read.
    pub(super) reads: &'a dyn Reads,
    /// The state PDUs it has to do with.
    pub(super) sets: Sets,
    /// In the order in which the messenger is to see them.
    pub(super) changes: Vec<Change>,
    fresh: HashMap<PduRef, Fresh>,
    fresh_order: Vec<PduRef>,
    /// Claims of PDUs that were not taken.
    pub(super) released: Vec<PduRef>,
    /// The conversation's record is not as it was.
    pub(super) moved: bool,
    /// What may not speak here goes to quarantine; not where it lies there already.
    pub(super) parks: bool,
    /// A server has come to take part.
    pub(super) admitted: bool,
    /// What lies in quarantine after this place is to be looked at.
    pub(super) take_back: Option<(u64, u64)>,
    /// What else is to be done, after the commit is handed over.
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

    /// All state PDUs of a key that were delivered, those of this step included.
    pub(super) fn set(&mut self, key: &StateKey) -> &mut BTreeMap<PduRef, StatePiece> {
        self.sets.of(self.reads, key)
    }

    pub(super) fn take(&mut self, fresh: Fresh) {
        self.fresh_order.push(fresh.pdu.reference.clone());
        self.fresh.insert(fresh.pdu.reference.clone(), fresh);
    }

    /// A PDU is delivered: stored at once where it came in this step, else it has been stored as held.
    pub(super) fn delivered(&mut self, reference: &PduRef, record: &ContextRecord, delivery: Delivery) {
        self.changes.push(match self.fresh.remove(reference) {
            Some(fresh) => fresh.stored(self.now, Standing::Delivered(delivery)),
            None => {
                let (reference, context) = (reference.clone(), record.context.clone());
                Change::PduDelivered { reference, context, delivery }
            }
        });
    }

    /// All that is to be committed: the deliveries, then what is held, and for what, the gaps, and the record.
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

/// What became of one PDU of a batch, before it is clear whether it is delivered in this step.
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
