//! The current state of each key: which state PDU it is, which it was, and the events for the messenger when it
//! changes.
//!
//! A state PDU counts from its delivery on. Usually it replaces the current one and nothing is read; otherwise all
//! delivered state PDUs of its key are resolved again.

use std::collections::{BTreeMap, HashMap};

use crate::change::Change;
use crate::context::machine::Machine;
use crate::context::state::winner;
use crate::context::step::Step;
use crate::model::{Bond, Known, PduRef, ServerName, StateKey, StateLink, StatePiece};

/// The reads that a step may make; like time, they are an argument. They see everything that was submitted before the
/// step. A read that fails returns nothing, and the caller then discards the result of the step.
pub trait Reads {
    /// Returns the current state PDU of a key.
    fn holder(&self, key: &StateKey) -> Option<StatePiece>;
    /// Returns all delivered state PDUs of a key.
    fn set(&self, key: &StateKey) -> Vec<StatePiece>;
    /// Returns the status of a PDU.
    fn known(&self, reference: &PduRef) -> Option<Known>;
    /// Whether it lies in quarantine, as this server sent it, because its origin takes no part.
    fn is_kept(&self, reference: &PduRef, from: &ServerName) -> bool;
}

/// The state PDUs of the keys that a step uses: as stored, with the changes of the step.
#[derive(Default)]
pub(super) struct Sets {
    read: HashMap<StateKey, BTreeMap<PduRef, StatePiece>>,
    /// State PDUs of this step, for keys that have not been read.
    kept: HashMap<StateKey, Vec<StatePiece>>,
}

impl Sets {
    pub(super) fn of(&mut self, reads: &dyn Reads, key: &StateKey) -> &mut BTreeMap<PduRef, StatePiece> {
        let kept = &mut self.kept;
        self.read.entry(key.clone()).or_insert_with(|| {
            let kept = kept.remove(key).unwrap_or_default();
            reads.set(key).into_iter().chain(kept).map(|piece| (piece.reference.clone(), piece)).collect()
        })
    }

    pub(super) fn keep(&mut self, key: &StateKey, piece: StatePiece) {
        match self.read.get_mut(key) {
            Some(set) => drop(set.insert(piece.reference.clone(), piece)),
            None => self.kept.entry(key.clone()).or_default().push(piece),
        }
    }
}

/// A state PDU that is about to be delivered, with the winner of its key.
pub(super) struct Counted {
    key: StateKey,
    piece: StatePiece,
    winner: Option<StatePiece>,
}

impl Counted {
    /// Returns whether it is the winner.
    pub(super) fn is_current(&self) -> bool {
        self.winner.as_ref().is_some_and(|winner| winner.reference == self.piece.reference)
    }
}

impl Machine {
    /// Returns the current state PDU of a key.
    pub(super) fn holder(&mut self, step: &Step<'_>, key: &StateKey) -> Option<StatePiece> {
        if let Some(holder) = self.holders.get(key) {
            return holder.clone();
        }
        let holder = step.reads.holder(key);
        self.holders.insert(key.clone(), holder.clone());
        holder
    }

    /// Returns whether this delivered PDU is a state PDU of the key.
    pub(super) fn is_of_key(&mut self, step: &mut Step<'_>, key: &StateKey, reference: &PduRef) -> bool {
        let is_holder = self.holder(step, key).is_some_and(|holder| holder.reference == *reference);
        is_holder || step.set(key).contains_key(reference)
    }

    /// Resolves the key of a state PDU that is about to be delivered. `link`: other state PDUs name it as `prev_state`.
    pub(super) fn count(
        &mut self,
        step: &mut Step<'_>,
        key: StateKey,
        mut piece: StatePiece,
        link: Option<&StateLink>,
    ) -> Counted {
        let holder = self.holder(step, &key);
        let replaced = holder.as_ref().map(|holder| &holder.reference);
        let is_direct = replaced.is_some() && piece.prev.as_ref() == replaced;
        if let Some(prev) = piece.prev.clone().filter(|_| !is_direct) {
            piece.bond = self.bond(step, &key, &prev);
        }
        step.sets.keep(&key, piece.clone());
        let is_named = link.is_some_and(|link| link.keys.contains(&key));
        let is_plain = !is_named && piece.bond != Bond::Foreign && (is_direct || holder.is_none());
        let winner = match is_plain {
            true => Some(piece.clone()),
            false => winner(step.set(&key).values()).cloned(),
        };
        Counted { key, piece, winner }
    }

    /// Returns the status of a state PDU's link at its delivery.
    fn bond(&mut self, step: &mut Step<'_>, key: &StateKey, prev: &PduRef) -> Bond {
        if step.set(key).contains_key(prev) {
            return Bond::Sound;
        }
        let ours = &self.record.context;
        let is_other = |known: &Known| matches!(known, Known::Delivered { .. }) || known.context() != ours;
        if self.recent.get(prev).is_some() || step.reads.known(prev).is_some_and(|known| is_other(&known)) {
            return Bond::Foreign;
        }
        self.links.open(prev, key)
    }

    /// Records a delivered state PDU as a candidate of its key, and updates the current state.
    pub(super) fn counted(&mut self, step: &mut Step<'_>, counted: Counted) {
        let Counted { key, piece, winner } = counted;
        let reference = piece.reference.clone();
        self.keep(step, &key, piece);
        self.seat(step, key, winner, Some(&reference));
    }

    fn keep(&self, step: &mut Step<'_>, key: &StateKey, piece: StatePiece) {
        let context = self.record.context.clone();
        step.changes.push(Change::StateKept { context, key: key.clone(), piece });
    }

    /// Handles the delivery of a PDU that was missing as `prev_state`. State PDUs of other keys that name it are
    /// excluded.
    pub(super) fn link_came(&mut self, step: &mut Step<'_>, link: StateLink, own: Option<&StateKey>) {
        let StateLink { missing, keys, .. } = link;
        step.changes.push(Change::LinkClosed { context: self.record.context.clone(), missing: missing.clone() });
        for key in keys.into_iter().filter(|key| Some(key) != own) {
            self.rebind(step, key, &missing, Bond::Foreign);
        }
    }

    /// Gives up a missing `prev_state`: the state PDUs that name it count as roots.
    pub(super) fn link_given_up(&mut self, step: &mut Step<'_>, missing: &PduRef) {
        for key in self.links.give_up(missing) {
            self.rebind(step, key, missing, Bond::GivenUp);
        }
    }

    /// Sets the link status of the state PDUs of a key that name this one, and resolves the key again.
    fn rebind(&mut self, step: &mut Step<'_>, key: StateKey, prev: &PduRef, bond: Bond) {
        let rests = |piece: &&mut StatePiece| piece.prev.as_ref() == Some(prev) && piece.bond != Bond::Foreign;
        let mut moved = vec![];
        for piece in step.set(&key).values_mut().filter(rests) {
            piece.bond = bond;
            moved.push(piece.clone());
        }
        if moved.is_empty() {
            return;
        }
        moved.into_iter().for_each(|piece| self.keep(step, &key, piece));
        let winner = winner(step.set(&key).values()).cloned();
        self.seat(step, key, winner, None);
    }

    /// Sets the current state PDU of a key. One that is in the feed already is emitted again.
    fn seat(&mut self, step: &mut Step<'_>, key: StateKey, holder: Option<StatePiece>, news: Option<&PduRef>) {
        let before = self.holder(step, &key);
        let reference = holder.as_ref().map(|holder| &holder.reference);
        if before.as_ref().map(|before| &before.reference) == reference {
            return;
        }
        let again = reference.filter(|reference| Some(*reference) != news).cloned();
        let (context, current) = (self.record.context.clone(), holder.clone());
        step.changes.push(Change::StateMoved { context, key: key.clone(), current });
        step.changes.extend(again.map(|reference| Change::StateAgain { reference }));
        self.member_moved(step, before.as_ref(), holder.as_ref());
        self.holders.insert(key, holder);
    }
}

#[cfg(test)]
mod tests;
