//! Delivery to the messenger: of PDUs that are ready, and of those whose missing parents were given up, with a gap.

use std::collections::HashSet;

use crate::change::Change;
use crate::context::machine::{ContextMachine, fetch_candidates};
use crate::context::ordering::causal_order::PendingPdu;
use crate::context::state::context_state::ResolvedEntry;
use crate::context::state::state_walk::StateWalk;
use crate::context::step::ContextStep;
use crate::model::{Delivery, FeedFlags, FeedItem, Head, PduRef, PrevStateLink, ServerName, StateKey};

/// Maximum number of fetches in a row for ancestors of the first batch of a new context.
const EDGE_STEPS: u32 = 3;

/// The gap event that precedes the children which are delivered without a parent.
#[derive(Default)]
struct AnnouncedGaps {
    missing: Vec<PduRef>,
    children: Vec<PduRef>,
    named: HashSet<PduRef>,
}

impl ContextMachine {
    /// Delivers the ready PDUs, and those that become ready by that, ordered by depth, origin and id.
    pub(crate) async fn deliver(&mut self, step: &mut ContextStep<'_>) {
        let begin = step.changes.len();
        let mut announced = AnnouncedGaps::default();
        while let Some((reference, waiting)) = self.order.pop() {
            let gap = self.missing_parents_of(&reference, &waiting, &mut announced);
            self.deliver_one(step, &reference, waiting, gap).await;
        }
        let AnnouncedGaps { missing, children, .. } = announced;
        if !missing.is_empty() {
            let context = self.record.context.clone();
            step.changes.insert(begin, Change::FeedAppended(FeedItem::Gap { context, missing, children }));
        }
    }

    /// Returns the parents that a PDU is delivered without, and adds those with a first such child to the gap event.
    /// Parents beyond the history edge are no gaps.
    fn missing_parents_of(
        &mut self,
        child: &PduRef,
        waiting: &PendingPdu,
        announced: &mut AnnouncedGaps,
    ) -> Vec<PduRef> {
        let mut gap = vec![];
        for parent in &waiting.prev {
            let Some(edge) = self.gaps.get(parent).map(|gap| gap.edge) else { continue };
            if waiting.absent_parents.contains(parent) && self.is_bookmark(parent) {
                continue;
            }
            let first = self.gaps.delivered_without(parent, child);
            if edge {
                continue;
            }
            gap.push(parent.clone());
            if first {
                announced.missing.push(parent.clone());
                announced.named.insert(parent.clone());
            }
        }
        if gap.iter().any(|parent| announced.named.contains(parent)) {
            announced.children.push(child.clone());
        }
        gap
    }

    async fn deliver_one(
        &mut self,
        step: &mut ContextStep<'_>,
        reference: &PduRef,
        waiting: PendingPdu,
        gap: Vec<PduRef>,
    ) {
        let PendingPdu {
            prev,
            depth,
            state,
            narrowed,
            stated,
            absent_parents: behind,
            for_state,
            on_news,
            history,
            ..
        } = waiting;
        // None of the parents of a PDU fetched for state is news; without parents it is at the beginning of the context.
        let is_old = for_state && !on_news && (!prev.is_empty() || self.has_edge());
        let history = history || is_old;
        let link = self.state.links.close(reference);
        // A parent that was given up arrives in time if no child was delivered without it yet.
        let given_up = self.gaps.close(reference);
        let late = !history && given_up.as_ref().is_some_and(|gap| !gap.children.is_empty());
        let own = state.as_ref().map(|(key, _)| key.clone());
        let counted = match state {
            Some((key, piece)) => Some(self.state.resolve_with(step, &self.recent, key, piece, link.as_ref()).await),
            None => None,
        };
        let current = counted.as_ref().is_some_and(ResolvedEntry::is_current);
        let shown = Some(FeedFlags { gap, late, history, current, again: false });
        let position = if history { self.past_position(step) } else { self.next_position(step, depth) };
        step.delivered(reference, &self.record, Delivery { position, depth, shown });
        // History and narrowed PDUs never become heads and replace none.
        if !history && !narrowed {
            // A delivered child names a late PDU already, so it is not a head.
            let head = (!late).then(|| Head::of(reference.clone(), depth, stated));
            self.heads.advance(&mut self.record.heads, &prev, head, self.limits.heads_max);
        }
        self.recent.put(reference.clone(), (depth, history));
        if let Some(counted) = counted {
            self.apply_resolution(step, counted).await;
        }
        if let Some(link) = link {
            self.link_came(step, link, own.as_ref()).await;
        }
        if let Some(gap) = given_up {
            let (context, missing) = (self.record.context.clone(), reference.clone());
            step.changes.push(Change::GapClosed { context: context.clone(), missing: missing.clone() });
            if late && !gap.edge {
                let (missing, children) = (vec![missing], gap.children);
                step.changes.push(Change::FeedAppended(FeedItem::GapFilled { context, missing, children }));
            }
        }
        self.order.delivered(reference, depth, history);
        self.mark_history_edge(behind);
    }

    pub(crate) fn next_position(&mut self, step: &mut ContextStep<'_>, depth: u64) -> i64 {
        let position = i64::try_from(self.record.next).unwrap_or(i64::MAX);
        self.record.next += 1;
        self.record.depth = self.record.depth.max(depth);
        step.record_dirty = true;
        position
    }

    /// Determines what an accepted PDU waits for: held parents are awaited, given-up ones are not, others are fetched.
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
                let (context, missing) = (self.record.context.clone(), parent.clone());
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

    /// Fetches the PDU that a state PDU replaces; no delivery waits for it. A held one arrives by itself.
    pub(crate) fn request_prev_state(
        &mut self,
        step: &ContextStep<'_>,
        replaced: &PduRef,
        key: &StateKey,
        sender: Option<&ServerName>,
        generation: u32,
    ) {
        if self.order.holds(replaced) || self.state.links.open(replaced, key) != PrevStateLink::Sound {
            return;
        }
        let too_far = generation > self.limits.state.chain_max && !self.wanted.contains(replaced);
        if too_far || self.gaps.get(replaced).is_some() && !self.is_bookmark(replaced) {
            // No delivered state PDU depends on this link yet, so current state need not be recomputed.
            self.state.links.give_up(replaced);
        } else {
            self.wanted.want_link(step.now, replaced, sender, generation);
        }
    }

    /// Gives up the parents whose time has passed.
    pub(crate) async fn give_up_due(&mut self, step: &mut ContextStep<'_>) {
        let given_up = self.wanted.give_up(step.now, fetch_candidates(&self.us, &self.record, &self.limits));
        if given_up.is_empty() {
            return;
        }
        for (missing, want) in given_up {
            self.link_given_up(step, &missing).await;
            self.lost_for_state(step, &missing);
            if !want.for_state {
                self.order.give_up(&missing);
                self.gaps.give_up(missing, want.edge);
            } else if want.past {
                self.end_past(missing);
            }
        }
        self.deliver(step).await;
    }

    /// Releases the oldest held PDU above the limit, as if its missing ancestors had been given up. Refusing new PDUs
    /// instead would be a livelock, because the missing parent may stand behind the children.
    pub(crate) async fn release_over_limit(&mut self, step: &mut ContextStep<'_>) {
        while self.order.len() > self.limits.held_max as usize {
            let roots = self.order.missing_ancestors_of_oldest();
            debug_assert!(!roots.is_empty(), "what is held waits, in the end, for something unknown");
            if roots.is_empty() {
                break;
            }
            for missing in roots {
                let want = self.wanted.remove(&missing);
                let (edge, past) = want.map_or((false, false), |want| (want.edge, want.past));
                self.link_given_up(step, &missing).await;
                self.lost_for_state(step, &missing);
                if self.order.is_awaited(&missing) {
                    self.order.give_up(&missing);
                    self.gaps.give_up(missing, edge);
                } else if past {
                    self.end_past(missing);
                }
            }
            self.deliver(step).await;
        }
    }
}
