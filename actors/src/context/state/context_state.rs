//! The current state of each key: which state PDU it is, which it was, and the events for the messenger when it
//! changes. The participants of the context follow each change.
//!
//! A state PDU counts from its delivery on. Usually it replaces the current one and nothing is read; otherwise all
//! delivered state PDUs of its key are resolved again.

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::change::Change;
use crate::context::ordering::recent_pdus::{RecentPdus, newest_entries};
use crate::context::state::missing_prev_state::Links;
use crate::context::state::participants::ContextParticipants;
use crate::context::state::resolution::winner;
use crate::context::step::ContextStep;
use crate::model::{ContextId, MissingPrevState, PduRef, PduStatus, PrevStateLink, StateEntry, StateKey};

/// Number of state keys whose current PDU is remembered, so that a plain replacement reads nothing.
const KEYS_KEPT: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// The current state of a context.
pub(crate) struct ContextState {
    context: ContextId,
    /// Current state PDU of recently used keys.
    holders: LruCache<StateKey, Option<StateEntry>>,
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
    /// Returns the state of a context; its PDUs are read from the store when they are needed.
    pub(crate) fn new(context: ContextId) -> Self {
        Self { context, holders: newest_entries(KEYS_KEPT) }
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

    /// Resolves the key of a state PDU that is about to be delivered. `link`: other state PDUs name it as `prev_state`;
    /// `links`: the other missing ones.
    pub(crate) async fn resolve_with(
        &mut self,
        step: &mut ContextStep<'_>,
        links: &mut Links,
        recent: &RecentPdus,
        key: StateKey,
        mut piece: StateEntry,
        link: Option<&MissingPrevState>,
    ) -> ResolvedEntry {
        let holder = self.holder(step, &key).await;
        let replaced = holder.as_ref().map(|holder| &holder.reference);
        let is_direct = replaced.is_some() && piece.prev.as_ref() == replaced;
        if let Some(prev) = piece.prev.clone().filter(|_| !is_direct) {
            piece.bond = self.bond(step, links, recent, &key, &prev).await;
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
        &self,
        step: &mut ContextStep<'_>,
        links: &mut Links,
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
        links.open(prev, key)
    }

    /// Records a delivered state PDU as a candidate of its key, and updates the current state.
    pub(crate) async fn apply(
        &mut self,
        step: &mut ContextStep<'_>,
        participants: &mut ContextParticipants,
        counted: ResolvedEntry,
    ) {
        let ResolvedEntry { key, piece, winner } = counted;
        let reference = piece.reference.clone();
        self.keep(step, &key, piece);
        self.set_current(step, participants, key, winner, Some(&reference)).await;
    }

    /// Handles the delivery of a PDU that was missing as `prev_state`. State PDUs of other keys that name it are
    /// excluded; `own` is the key that it sets itself.
    pub(crate) async fn link_came(
        &mut self,
        step: &mut ContextStep<'_>,
        participants: &mut ContextParticipants,
        link: MissingPrevState,
        own: Option<&StateKey>,
    ) {
        let MissingPrevState { missing, keys, .. } = link;
        let context = self.context.clone();
        step.changes.push(Change::MissingPrevStateResolved { context, missing: missing.clone() });
        for key in keys.into_iter().filter(|key| Some(key) != own) {
            self.reclassify_links(step, participants, key, &missing, PrevStateLink::Foreign).await;
        }
    }

    /// Handles a `prev_state` that was given up: the state PDUs of these keys that name it count as roots.
    pub(crate) async fn link_given_up(
        &mut self,
        step: &mut ContextStep<'_>,
        participants: &mut ContextParticipants,
        missing: &PduRef,
        keys: Vec<StateKey>,
    ) {
        for key in keys {
            self.reclassify_links(step, participants, key, missing, PrevStateLink::GivenUp).await;
        }
    }

    fn keep(&self, step: &mut ContextStep<'_>, key: &StateKey, piece: StateEntry) {
        let context = self.context.clone();
        step.changes.push(Change::StateEventStored { context, key: key.clone(), piece });
    }

    /// Sets the link status of the state PDUs of a key that name this one, and resolves the key again.
    async fn reclassify_links(
        &mut self,
        step: &mut ContextStep<'_>,
        participants: &mut ContextParticipants,
        key: StateKey,
        prev: &PduRef,
        bond: PrevStateLink,
    ) {
        let rests = |piece: &&mut StateEntry| piece.prev.as_ref() == Some(prev) && piece.bond != PrevStateLink::Foreign;
        let mut moved = vec![];
        for piece in step.set(&key).await.values_mut().filter(rests) {
            piece.bond = bond;
            moved.push(piece.clone());
        }
        if moved.is_empty() {
            return;
        }
        moved.into_iter().for_each(|piece| self.keep(step, &key, piece));
        let winner = winner(step.set(&key).await.values()).cloned();
        self.set_current(step, participants, key, winner, None).await;
    }

    /// Sets the current state PDU of a key. One that is in the feed already is emitted again.
    async fn set_current(
        &mut self,
        step: &mut ContextStep<'_>,
        participants: &mut ContextParticipants,
        key: StateKey,
        holder: Option<StateEntry>,
        news: Option<&PduRef>,
    ) {
        let before = self.holder(step, &key).await;
        let reference = holder.as_ref().map(|holder| &holder.reference);
        if before.as_ref().map(|before| &before.reference) == reference {
            return;
        }
        let again = reference.filter(|reference| Some(*reference) != news).cloned();
        let (context, current) = (self.context.clone(), holder.clone());
        step.changes.push(Change::CurrentStateChanged { context, key: key.clone(), current });
        step.changes.extend(again.map(|reference| Change::StateReemitted { reference }));
        participants.member_moved(step, before.as_ref(), holder.as_ref());
        self.holders.put(key, holder);
    }
}

#[cfg(test)]
mod tests;
