//! The current state of each key: which state PDU it is, which it was, and the events for the messenger when it
//! changes.
//!
//! A state PDU counts from its delivery on. Usually it replaces the current one and nothing is read; otherwise all
//! delivered state PDUs of its key are resolved again.

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::change::Change;
use crate::context::ordering::recent_pdus::{RecentPdus, newest_entries};
use crate::context::state::missing_prev_state::Links;
use crate::context::state::resolution::winner;
use crate::context::step::ContextStep;
use crate::model::{ContextId, MissingPrevState, PduRef, PduStatus, PrevStateLink, StateEntry, StateKey};

/// Number of state keys whose current PDU is remembered, so that a plain replacement reads nothing.
const KEYS_KEPT: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// The current state of a context, and the links of its state PDUs.
pub(crate) struct ContextState {
    context: ContextId,
    /// PDUs that are named as `prev_state` and are not delivered.
    pub(crate) links: Links,
    /// Current state PDU of recently used keys.
    holders: LruCache<StateKey, Option<StateEntry>>,
}

/// A change of the current state PDU of a key.
pub(crate) struct HolderChange {
    pub(crate) before: Option<StateEntry>,
    pub(crate) now: Option<StateEntry>,
}

/// A state PDU that is about to be delivered, with the winner of its key.
pub(crate) struct ResolvedEntry {
    key: StateKey,
    piece: StateEntry,
    winner: Option<StateEntry>,
}

impl ResolvedEntry {
    /// Returns whether it is the winner.
    pub(crate) fn is_current(&self) -> bool {
        self.winner.as_ref().is_some_and(|winner| winner.reference == self.piece.reference)
    }
}

impl ContextState {
    /// Returns the state that was loaded from the store.
    pub(crate) fn load(context: ContextId, links: Vec<MissingPrevState>) -> Self {
        Self { context, links: Links::load(links), holders: newest_entries(KEYS_KEPT) }
    }

    /// Returns the current state PDU of a key.
    pub(crate) async fn holder(&mut self, step: &ContextStep<'_>, key: &StateKey) -> Option<StateEntry> {
        if let Some(holder) = self.holders.peek(key) {
            return holder.clone();
        }
        let holder = step.reads.current(key).await;
        self.holders.put(key.clone(), holder.clone());
        holder
    }

    /// Returns whether this delivered PDU is a state PDU of the key.
    pub(crate) async fn is_of_key(&mut self, step: &mut ContextStep<'_>, key: &StateKey, reference: &PduRef) -> bool {
        let is_holder = self.holder(step, key).await.is_some_and(|holder| holder.reference == *reference);
        is_holder || step.set(key).await.contains_key(reference)
    }

    /// Resolves the key of a state PDU that is about to be delivered. `link`: other state PDUs name it as `prev_state`.
    pub(crate) async fn resolve_with(
        &mut self,
        step: &mut ContextStep<'_>,
        recent: &RecentPdus,
        key: StateKey,
        mut piece: StateEntry,
        link: Option<&MissingPrevState>,
    ) -> ResolvedEntry {
        let holder = self.holder(step, &key).await;
        let replaced = holder.as_ref().map(|holder| &holder.reference);
        let is_direct = replaced.is_some() && piece.prev.as_ref() == replaced;
        if let Some(prev) = piece.prev.clone().filter(|_| !is_direct) {
            piece.bond = self.bond(step, recent, &key, &prev).await;
        }
        step.sets.keep(&key, piece.clone());
        let is_named = link.is_some_and(|link| link.keys.contains(&key));
        let is_plain = !is_named && piece.bond != PrevStateLink::Foreign && (is_direct || holder.is_none());
        let winner = match is_plain {
            true => Some(piece.clone()),
            false => winner(step.set(&key).await.values()).cloned(),
        };
        ResolvedEntry { key, piece, winner }
    }

    /// Returns the status of a state PDU's link at its delivery.
    async fn bond(
        &mut self,
        step: &mut ContextStep<'_>,
        recent: &RecentPdus,
        key: &StateKey,
        prev: &PduRef,
    ) -> PrevStateLink {
        if step.set(key).await.contains_key(prev) {
            return PrevStateLink::Sound;
        }
        let ours = &self.context;
        let is_other = |known: &PduStatus| matches!(known, PduStatus::Delivered { .. }) || known.context() != ours;
        if recent.peek(prev).is_some() || step.reads.known(prev).await.is_some_and(|known| is_other(&known)) {
            return PrevStateLink::Foreign;
        }
        self.links.open(prev, key)
    }

    /// Records a delivered state PDU as a candidate of its key, and updates the current state.
    pub(crate) async fn apply(&mut self, step: &mut ContextStep<'_>, counted: ResolvedEntry) -> Option<HolderChange> {
        let ResolvedEntry { key, piece, winner } = counted;
        let reference = piece.reference.clone();
        self.keep(step, &key, piece);
        self.set_current(step, key, winner, Some(&reference)).await
    }

    fn keep(&self, step: &mut ContextStep<'_>, key: &StateKey, piece: StateEntry) {
        let context = self.context.clone();
        step.changes.push(Change::StateEventStored { context, key: key.clone(), piece });
    }

    /// Sets the link status of the state PDUs of a key that name this one, and resolves the key again.
    pub(crate) async fn reclassify_links(
        &mut self,
        step: &mut ContextStep<'_>,
        key: StateKey,
        prev: &PduRef,
        bond: PrevStateLink,
    ) -> Option<HolderChange> {
        let rests = |piece: &&mut StateEntry| piece.prev.as_ref() == Some(prev) && piece.bond != PrevStateLink::Foreign;
        let mut moved = vec![];
        for piece in step.set(&key).await.values_mut().filter(rests) {
            piece.bond = bond;
            moved.push(piece.clone());
        }
        if moved.is_empty() {
            return None;
        }
        moved.into_iter().for_each(|piece| self.keep(step, &key, piece));
        let winner = winner(step.set(&key).await.values()).cloned();
        self.set_current(step, key, winner, None).await
    }

    /// Sets the current state PDU of a key. One that is in the feed already is emitted again.
    async fn set_current(
        &mut self,
        step: &mut ContextStep<'_>,
        key: StateKey,
        holder: Option<StateEntry>,
        news: Option<&PduRef>,
    ) -> Option<HolderChange> {
        let before = self.holder(step, &key).await;
        let reference = holder.as_ref().map(|holder| &holder.reference);
        if before.as_ref().map(|before| &before.reference) == reference {
            return None;
        }
        let again = reference.filter(|reference| Some(*reference) != news).cloned();
        let (context, current) = (self.context.clone(), holder.clone());
        step.changes.push(Change::CurrentStateChanged { context, key: key.clone(), current });
        step.changes.extend(again.map(|reference| Change::StateReemitted { reference }));
        self.holders.put(key, holder.clone());
        Some(HolderChange { before, now: holder })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::harness::at;

    #[test]
    fn only_winner_is_current() {
        let entry = |reference: &str| {
            let (reference, bond) = (at(reference), PrevStateLink::Sound);
            StateEntry { reference, power: 0, prev: None, bond, member: None }
        };
        let is_current = |winner: Option<&str>| {
            let key = ("m.topic".into(), String::new());
            ResolvedEntry { key, piece: entry("red/1"), winner: winner.map(entry) }.is_current()
        };
        assert_eq!([Some("red/1"), Some("red/2"), None].map(is_current), [true, false, false]);
    }
}
