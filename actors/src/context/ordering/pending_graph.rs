//! The parents that each undelivered PDU waits for: held ones are awaited, missing ones fetched, given-up ones left out.
//!
//! A PDU that arrives by itself is news, and waits for all its parents. A PDU of history waits for parents of its own
//! batch only; other missing parents are the history edge.
//!
//! A missing `prev_state` is fetched although no PDU waits for it. It may be news that has not reached us, or precede our
//! first PDU of the context. So it is held for its parents, and these are fetched like any others:
//! - If its ancestors lead to news that was delivered here, it is news, and is delivered after them.
//! - If they lead only to history, it is history.
//! - If one of them cannot be fetched or is behind the edge, it is history, with all PDUs that are held only for it. It
//!   then waits only for PDUs of the same kind.
//! - If news names it, it is a parent like any other from then on.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::change::Change;
use crate::context::missing::gaps::Gaps;
use crate::context::missing::missing_parents::MissingParents;
use crate::context::ordering::causal_order::CausalOrder;
use crate::context::ordering::recent_pdus::RecentPdus;
use crate::context::state::missing_prev_state::Links;
use crate::context::state::state_walk::StateWalk;
use crate::context::step::ContextStep;
use crate::limits::ContextLimits;
use crate::model::{ContextId, Gap, HeldPdu, Millis, MissingPrevState, PduRef, PrevStateLink, ServerName, StateKey};

/// Maximum number of fetches in a row for ancestors of the first batch of a new context.
const EDGE_STEPS: u32 = 3;

/// Maximum number of fetches in a row from a state PDU in a context with an edge, one PDU each. PDUs of our time in the
/// context are closer, and those behind the edge would be walked through to the beginning.
const STEPS_AT_EDGE: u32 = 10;

/// The undelivered part of a context's graph.
pub(crate) struct PendingGraph {
    context: ContextId,
    limits: Arc<ContextLimits>,
    /// Held PDUs.
    pub(crate) order: CausalOrder,
    /// Missing PDUs that are waited for.
    pub(crate) wanted: MissingParents,
    /// Missing PDUs that were given up.
    pub(crate) gaps: Gaps,
    /// PDUs that are named as `prev_state` and are not delivered.
    pub(crate) links: Links,
    /// True if the context was joined: the join fetches the ancestors of history, so that history may wait for them.
    is_joined: bool,
}

impl PendingGraph {
    /// Returns the graph that was loaded from the store.
    pub(crate) fn load(
        context: ContextId,
        limits: Arc<ContextLimits>,
        held: Vec<HeldPdu>,
        (gaps, links): (Vec<Gap>, Vec<MissingPrevState>),
        is_joined: bool,
    ) -> Self {
        let (order, wanted) = (CausalOrder::load(held), MissingParents::new(limits.gap));
        Self { context, limits, order, wanted, gaps: Gaps::load(gaps), links: Links::load(links), is_joined }
    }

    /// Works with these limits from now on.
    pub(crate) fn change_limits(&mut self, now: Millis, limits: &Arc<ContextLimits>) {
        self.wanted.change_limits(now, limits.gap);
        self.limits = limits.clone();
    }

    /// Resumes the waiting of the previous incarnation.
    pub(crate) fn resume(&mut self, step: &mut ContextStep<'_>) {
        for reference in self.order.list() {
            let prev = self.order.get(&reference).map(|waiting| waiting.prev.clone()).unwrap_or_default();
            for parent in prev.iter().filter(|parent| self.gaps.get(parent).is_some()) {
                self.order.leaves_without(&reference, parent);
            }
            self.link(step, &reference, StateWalk::NONE);
        }
        for missing in self.links.unresolved() {
            if !self.order.holds(&missing) {
                self.wanted.want_link(step.now, &missing, None, 1);
            }
        }
    }

    pub(crate) const fn is_joined(&self) -> bool {
        self.is_joined
    }

    /// Records that the context is joined.
    pub(crate) const fn note_join(&mut self) {
        self.is_joined = true;
    }

    /// Returns whether nothing is held or requested.
    pub(crate) fn is_idle(&self) -> bool {
        self.order.len() == 0 && self.wanted.is_empty()
    }

    /// Returns whether nobody waits for the PDU, and it is neither held nor requested nor remembered as missing.
    pub(crate) fn has_nothing_of(&self, reference: &PduRef) -> bool {
        let is_in_order = self.order.holds(reference) || self.order.is_named(reference);
        let is_missing = self.wanted.contains(reference) || self.gaps.get(reference).is_some();
        !is_in_order && !is_missing && !self.links.has(reference)
    }

    /// Returns whether the context began before our first PDU of it.
    pub(crate) fn has_edge(&self) -> bool {
        self.gaps.edges().next().is_some() || self.wanted.has_edge()
    }

    /// Returns whether the PDU is missing for readers only: a new PDU that names it waits for it as for any other, and
    /// it is news if it arrives by itself.
    pub(crate) fn is_bookmark(&self, reference: &PduRef) -> bool {
        let is_bare = |gap: &Gap| gap.edge && gap.children.is_empty();
        self.gaps.get(reference).is_some_and(is_bare) && !self.order.is_left_out(reference)
    }

    /// Determines what an accepted PDU waits for.
    pub(crate) fn link(&mut self, step: &mut ContextStep<'_>, reference: &PduRef, walked: StateWalk) {
        let Some(waiting) = self.order.get(reference) else { return };
        if waiting.history {
            return self.link_past(step, reference, &[], walked.link);
        }
        if waiting.for_state {
            return self.link_for_state(step, reference, walked);
        }
        let generation = walked.parents;
        let (missing, edge, sender) = (waiting.missing.clone(), waiting.edge, waiting.sender.clone());
        let link = waiting.link.clone().zip(waiting.state.as_ref().map(|(key, _)| key.clone()));
        for parent in missing {
            if self.order.holds(&parent) {
                self.becomes_news(step, &parent, edge);
                continue;
            }
            if self.is_bookmark(&parent) {
                self.gaps.close(&parent);
                let (context, missing) = (self.context.clone(), parent.clone());
                step.changes.push(Change::GapClosed { context, missing });
            }
            // Parents beyond the history edge are fetched a few steps back only, for the messages that new PDUs may
            // answer. The rest is history, which is fetched when the messenger asks for it.
            let depth_max = if edge { EDGE_STEPS } else { self.limits.gap.depth_max };
            let too_far = generation > depth_max && !self.wanted.contains(&parent);
            if too_far && self.gaps.get(&parent).is_none() {
                self.gaps.give_up(parent.clone(), edge);
            }
            if self.gaps.get(&parent).is_some() {
                self.order.give_up(&parent);
            } else {
                self.wanted.want(step.now, &parent, sender.as_ref(), edge, generation);
            }
        }
        if let Some((replaced, key)) = link {
            self.request_prev_state(step, &replaced, &key, sender.as_ref(), walked.link);
        }
        self.order.settle(reference);
    }

    /// Determines what a PDU held for state waits for, or that it is history.
    fn link_for_state(&mut self, step: &ContextStep<'_>, reference: &PduRef, walked: StateWalk) {
        let Some(waiting) = self.order.get(reference) else { return };
        let (missing, sender) = (waiting.missing.clone(), waiting.sender.clone());
        let link = waiting.link.clone().zip(waiting.state.as_ref().map(|(key, _)| key.clone()));
        let unknown: Vec<PduRef> = missing.into_iter().filter(|parent| !self.order.holds(parent)).collect();
        let steps_max = if self.has_edge() { STEPS_AT_EDGE } else { self.limits.gap.depth_max };
        let is_lost = |parent: &PduRef| {
            let too_far = walked.parents > steps_max && !self.wanted.contains(parent);
            too_far || self.gaps.get(parent).is_some()
        };
        if unknown.iter().any(is_lost) {
            return self.becomes_history(step, reference, walked.link);
        }
        for parent in unknown {
            self.wanted.want_for_state(step.now, &parent, sender.as_ref(), walked.parents);
        }
        if let Some((replaced, key)) = link {
            self.request_prev_state(step, &replaced, &key, sender.as_ref(), walked.link);
        }
        self.order.settle(reference);
    }

    /// Links a PDU of history: it waits for parents of its own batch only. Other missing parents become the history
    /// edge.
    pub(crate) fn link_past(&mut self, step: &ContextStep<'_>, reference: &PduRef, taken: &[PduRef], generation: u32) {
        let Some(waiting) = self.order.get(reference) else { return };
        let elsewhere = waiting.missing.iter().filter(|parent| !taken.contains(parent));
        for parent in elsewhere.cloned().collect::<Vec<_>>() {
            if !self.order.holds(&parent) && !self.wanted.contains(&parent) && self.gaps.get(&parent).is_none() {
                self.gaps.give_up(parent.clone(), true);
            }
            // Parents of history are history too; a held one is delivered in this step.
            self.becomes_history(step, &parent, generation);
            if self.order.get(&parent).is_some_and(|waiting| waiting.history) {
                continue;
            }
            self.wanted.note_past(&parent);
            self.order.drop_dependency(reference, &parent);
        }
        self.settle_past(step, reference, generation);
    }

    fn settle_past(&mut self, step: &ContextStep<'_>, reference: &PduRef, generation: u32) {
        let waiting = self.order.get(reference);
        let link = waiting.and_then(|waiting| Some((waiting.link.clone()?, waiting.state.as_ref()?.0.clone())));
        if let Some((replaced, key)) = link {
            let sender = waiting.and_then(|waiting| waiting.sender.clone());
            self.request_prev_state(step, &replaced, &key, sender.as_ref(), generation);
            self.wanted.note_old(&replaced);
        }
        self.order.settle(reference);
    }

    /// Fetches the PDU that a state PDU replaces; no delivery waits for it. A held one arrives by itself.
    fn request_prev_state(
        &mut self,
        step: &ContextStep<'_>,
        replaced: &PduRef,
        key: &StateKey,
        sender: Option<&ServerName>,
        generation: u32,
    ) {
        if self.order.holds(replaced) || self.links.open(replaced, key) != PrevStateLink::Sound {
            return;
        }
        let too_far = generation > self.limits.state.chain_max && !self.wanted.contains(replaced);
        if too_far || self.gaps.get(replaced).is_some() && !self.is_bookmark(replaced) {
            // No delivered state PDU depends on this link yet, so current state need not be recomputed.
            self.links.give_up(replaced);
        } else {
            self.wanted.want_link(step.now, replaced, sender, generation);
        }
    }

    /// Turns a PDU held for state into history, with all PDUs that are held only for it or for which it is held.
    fn becomes_history(&mut self, step: &ContextStep<'_>, reference: &PduRef, generation: u32) {
        let (mut kind, mut ahead) = (BTreeSet::new(), vec![reference.clone()]);
        while let Some(next) = ahead.pop() {
            if let Some(near) = self.order.make_history(&next) {
                ahead.extend(near);
                kind.insert(next);
            }
        }
        let taken: Vec<PduRef> = kind.iter().cloned().collect();
        for reference in &taken {
            // The history fetch of a joined context continues behind this PDU.
            if !self.is_joined {
                self.leave_behind(reference, &kind);
            }
            self.link_past(step, reference, &taken, generation);
        }
    }

    /// Stops waiting for parents of another kind; history reads continue at those that are missing.
    fn leave_behind(&mut self, reference: &PduRef, kind: &BTreeSet<PduRef>) {
        let missing = self.order.get(reference).map(|waiting| waiting.missing.clone()).unwrap_or_default();
        for parent in missing.iter().filter(|parent| !kind.contains(*parent)) {
            if !self.order.holds(parent) {
                self.order.note_behind(reference, parent);
                self.wanted.note_old(parent);
            }
            self.order.drop_dependency(reference, parent);
        }
    }

    /// Handles news that names a PDU held for state: from now on it is waited for, with all its ancestors, like any parent.
    pub(crate) fn becomes_news(&mut self, step: &ContextStep<'_>, reference: &PduRef, edge: bool) {
        let mut ahead = vec![reference.clone()];
        while let Some(next) = ahead.pop() {
            let Some((missing, sender)) = self.order.make_news(&next, edge) else { continue };
            for parent in missing {
                match self.order.holds(&parent) {
                    true => ahead.push(parent),
                    // The number of fetches that led to it is known already.
                    false => self.wanted.want(step.now, &parent, sender.as_ref(), edge, u32::MAX),
                }
            }
        }
    }

    /// Handles a parent that cannot be fetched: the PDUs held for state that wait for it become history.
    pub(crate) fn lost_for_state(&mut self, step: &ContextStep<'_>, missing: &PduRef) {
        for child in self.order.held_for_state(missing) {
            self.becomes_history(step, &child, 1);
        }
    }

    /// Gives up a parent: its children are delivered without it.
    pub(crate) fn give_up(&mut self, missing: PduRef, edge: bool) {
        self.order.give_up(&missing);
        self.gaps.give_up(missing, edge);
    }

    /// Makes a parent of history an edge when it is no longer requested, so that a reader can continue there.
    pub(crate) fn end_past(&mut self, missing: PduRef) {
        if self.gaps.get(&missing).is_none() {
            self.gaps.give_up(missing, true);
        }
    }

    /// Marks the missing parents of a PDU that was fetched for state, so that a reader can continue there. They are
    /// stored beside the gaps, as edges that nothing was delivered without.
    pub(crate) fn mark_history_edge(&mut self, recent: &RecentPdus, behind: Vec<PduRef>) {
        for parent in behind {
            // A parent that a held child waits for is reported when it is given up.
            let is_awaited = self.wanted.contains(&parent) && !self.wanted.is_for_state(&parent);
            let is_here = recent.peek(&parent).is_some() || self.order.holds(&parent);
            if !is_here && !is_awaited && self.gaps.get(&parent).is_none() {
                self.gaps.give_up(parent, true);
            }
        }
    }

    /// Forgets the oldest gaps above the limit.
    pub(crate) fn forget_gaps(&mut self, step: &mut ContextStep<'_>) {
        for missing in self.gaps.forget(self.limits.gap.kept_max as usize) {
            step.changes.push(Change::GapClosed { context: self.context.clone(), missing });
        }
    }

    /// Returns the changes of the step with those of the held PDUs, the gaps and the links.
    pub(crate) fn take_changes(&mut self, step: &mut ContextStep<'_>) -> Vec<Change> {
        step.take_changes(&self.context, &mut self.order, &mut self.gaps, &mut self.links)
    }
}

#[cfg(test)]
mod tests;
