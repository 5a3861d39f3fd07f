//! PDUs that are fetched because state depends on them, and their ancestors: news or history, as the ancestors show.
//!
//! A missing `prev_state` is fetched although no PDU waits for it. It may be news that has not reached us, or precede our
//! first PDU of the context. So it is held for its parents, and these are fetched like any others:
//! - If its ancestors lead to news that was delivered here, it is news, and is delivered after them.
//! - If they lead only to history, it is history.
//! - If one of them cannot be fetched or is behind the edge, it is history, with all PDUs that are held only for it. It
//!   then waits only for PDUs of the same kind.
//! - If news names it, it is a parent like any other from then on.

use std::collections::BTreeSet;

use crate::context::machine::ContextMachine;
use crate::context::state::state_walk::StateWalk;
use crate::context::step::ContextStep;
use crate::model::PduRef;

/// Maximum number of fetches in a row from a state PDU in a context with an edge, one PDU each. PDUs of our time in the
/// context are closer, and those behind the edge would be walked through to the beginning.
const STEPS_AT_EDGE: u32 = 10;

impl ContextMachine {
    /// Returns whether the context began before our first PDU of it.
    pub(crate) fn has_edge(&self) -> bool {
        self.gaps.edges().next().is_some() || self.wanted.has_edge()
    }

    /// Determines what a PDU held for state waits for, or that it is history.
    pub(crate) fn link_for_state(&mut self, step: &mut ContextStep<'_>, reference: &PduRef, walked: StateWalk) {
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

    /// Turns a PDU held for state into history, with all PDUs that are held only for it or for which it is held.
    pub(crate) fn becomes_history(&mut self, step: &ContextStep<'_>, reference: &PduRef, generation: u32) {
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
            if self.record.join.is_none() {
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
}

#[cfg(test)]
mod tests;
