//! Delivery to the messenger: of PDUs that are ready, and of those whose missing parents were given up, with a gap.

use std::collections::HashSet;
use std::sync::Arc;

use crate::change::Change;
use crate::context::missing::planned_fetch::PlannedFetch;
use crate::context::ordering::causal_order::PendingPdu;
use crate::context::ordering::pending_graph::PendingGraph;
use crate::context::ordering::timeline::ContextTimeline;
use crate::context::state::context_state::{ContextState, ResolvedEntry};
use crate::context::state::participants::ContextParticipants;
use crate::context::step::{ContextStep, NewPdu};
use crate::limits::ContextLimits;
use crate::model::{
    ContextId, ContextRecord, ContextSnapshot, Delivery, FeedFlags, FeedItem, FetchRequest, Head, Millis, Pdu, PduRef,
    PduText, ServerName,
};

/// The graph of a context: PDUs that wait, PDUs that were delivered, and what follows from them.
pub(crate) struct ContextGraph {
    pub(crate) context: ContextId,
    pub(crate) limits: Arc<ContextLimits>,
    pub(crate) pending: PendingGraph,
    pub(crate) timeline: ContextTimeline,
    pub(crate) state: ContextState,
    pub(crate) participants: ContextParticipants,
}

/// The gap event that precedes the children which are delivered without a parent.
#[derive(Default)]
struct AnnouncedGaps {
    missing: Vec<PduRef>,
    children: Vec<PduRef>,
    named: HashSet<PduRef>,
}

impl AnnouncedGaps {
    /// Returns the parents that a PDU is delivered without, and adds those with a first such child to the event. Parents
    /// beyond the history edge are no gaps.
    fn note(&mut self, pending: &mut PendingGraph, child: &PduRef, waiting: &PendingPdu) -> Vec<PduRef> {
        let mut gap = vec![];
        for parent in &waiting.prev {
            let Some(edge) = pending.gaps.get(parent).map(|gap| gap.edge) else { continue };
            if waiting.absent_parents.contains(parent) && pending.is_bookmark(parent) {
                continue;
            }
            let first = pending.gaps.delivered_without(parent, child);
            if edge {
                continue;
            }
            gap.push(parent.clone());
            if first {
                self.missing.push(parent.clone());
                self.named.insert(parent.clone());
            }
        }
        if gap.iter().any(|parent| self.named.contains(parent)) {
            self.children.push(child.clone());
        }
        gap
    }
}

impl ContextGraph {
    /// Returns the graph that was loaded from the store.
    pub(crate) fn load(
        us: ServerName,
        limits: Arc<ContextLimits>,
        text: Arc<dyn PduText>,
        load: ContextSnapshot,
    ) -> Self {
        let ContextSnapshot { mut record, held, gaps, links, unfinished: _ } = load;
        let timeline = ContextTimeline::load(&mut record, limits.heads_max);
        let ContextRecord { context, participants, members, adopted, join, .. } = record;
        let named = (participants, members, adopted);
        Self {
            pending: PendingGraph::load(context.clone(), limits.clone(), held, (gaps, links), join.is_some()),
            timeline,
            state: ContextState::new(context.clone()),
            participants: ContextParticipants::load(context.clone(), us, limits.clone(), text, named),
            context,
            limits,
        }
    }

    /// Works with these limits from now on.
    pub(crate) fn change_limits(&mut self, now: Millis, limits: &Arc<ContextLimits>) {
        self.pending.change_limits(now, limits);
        self.timeline.heads.change_max(limits.heads_max);
        self.participants.change_limits(limits);
        self.limits = limits.clone();
    }

    /// Resumes the waiting of the previous incarnation.
    pub(crate) async fn resume(&mut self, step: &mut ContextStep<'_>) {
        self.pending.resume(step);
        self.deliver(step).await;
    }

    /// Returns whether nothing was ever accepted and the messenger has not named the context: the first PDU then
    /// creates it.
    pub(crate) fn is_new(&self) -> bool {
        let untouched = self.participants.are_unknown() && !self.timeline.has_news();
        untouched && self.pending.order.len() == 0 && self.pending.gaps.is_empty()
    }

    /// Returns whether the context was joined and has no new PDU since: missing parents of the first one are then the
    /// history edge.
    pub(crate) fn is_just_joined(&self) -> bool {
        self.pending.is_joined() && !self.timeline.has_news() && self.pending.order.len() == 0
    }

    /// Returns whether the PDU is held, or was delivered recently.
    pub(crate) fn has_in_memory(&self, reference: &PduRef) -> bool {
        self.timeline.recent.peek(reference).is_some() || self.pending.order.holds(reference)
    }

    /// Delivers the ready PDUs, and those that become ready by that, ordered by depth, origin and id.
    pub(crate) async fn deliver(&mut self, step: &mut ContextStep<'_>) {
        let begin = step.changes.len();
        let mut announced = AnnouncedGaps::default();
        while let Some((reference, waiting)) = self.pending.order.pop() {
            let gap = announced.note(&mut self.pending, &reference, &waiting);
            self.deliver_one(step, &reference, waiting, gap).await;
        }
        let AnnouncedGaps { missing, children, .. } = announced;
        if !missing.is_empty() {
            let context = self.context.clone();
            step.changes.insert(begin, Change::FeedAppended(FeedItem::Gap { context, missing, children }));
        }
    }

    async fn deliver_one(
        &mut self,
        step: &mut ContextStep<'_>,
        reference: &PduRef,
        waiting: PendingPdu,
        gap: Vec<PduRef>,
    ) {
        let Self { context, limits: _, pending, timeline, state: current_state, participants } = self;
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
        let is_old = for_state && !on_news && (!prev.is_empty() || pending.has_edge());
        let history = history || is_old;
        let link = pending.links.close(reference);
        // A parent that was given up arrives in time if no child was delivered without it yet.
        let given_up = pending.gaps.close(reference);
        let late = !history && given_up.as_ref().is_some_and(|gap| !gap.children.is_empty());
        let own = state.as_ref().map(|(key, _)| key.clone());
        let counted = match state {
            Some((key, piece)) => {
                let (links, recent) = (&mut pending.links, &timeline.recent);
                Some(current_state.resolve_with(step, links, recent, key, piece, link.as_ref()).await)
            }
            None => None,
        };
        let current = counted.as_ref().is_some_and(ResolvedEntry::is_current);
        // A PDU of ours that comes back gets no event, because its messenger knows it.
        let is_ours = participants.is_us(&reference.origin);
        let shown = (!is_ours).then_some(FeedFlags { gap, late, history, current, again: false });
        let position = if history { timeline.past_position(step) } else { timeline.next_position(step, depth) };
        step.delivered(reference, context, Delivery { position, depth, shown });
        // History and narrowed PDUs never become heads and replace none.
        if !history && !narrowed {
            // A delivered child names a late PDU already, so it is not a head.
            let head = (!late).then(|| Head::of(reference.clone(), depth, stated));
            timeline.heads.advance(&prev, head);
        }
        timeline.recent.put(reference.clone(), (depth, history));
        if let Some(counted) = counted {
            current_state.apply(step, participants, counted).await;
        }
        if let Some(link) = link {
            current_state.link_came(step, participants, link, own.as_ref()).await;
        }
        if let Some(gap) = given_up {
            let (context, missing) = (context.clone(), reference.clone());
            step.changes.push(Change::GapClosed { context: context.clone(), missing: missing.clone() });
            if late && !gap.edge {
                let (missing, children) = (vec![missing], gap.children);
                step.changes.push(Change::FeedAppended(FeedItem::GapFilled { context, missing, children }));
            }
        }
        pending.order.delivered(reference, depth, history);
        pending.mark_history_edge(&timeline.recent, behind);
    }

    /// Delivers a PDU of this step that was never held, with its depth. Nobody waits for it, and nothing is remembered of it.
    pub(crate) fn deliver_at_once(&mut self, step: &mut ContextStep<'_>, fresh: NewPdu, depth: u64) {
        let Pdu { reference, prev, to, depth: stated, .. } = &fresh.pdu;
        // A PDU of ours that comes back gets no event, because its messenger knows it.
        let shown = (!self.participants.is_us(&reference.origin)).then(FeedFlags::default);
        let position = self.timeline.next_position(step, depth);
        // A narrowed PDU never becomes a head and replaces none.
        if to.is_none() {
            self.timeline.heads.advance(prev, Some(Head::of(reference.clone(), depth, *stated)));
        }
        self.timeline.recent.put(reference.clone(), (depth, false));
        step.delivered_at_once(fresh, Delivery { position, depth, shown });
    }

    /// Handles the end of a fetch, with or without a response. Returns the number of fetches in a row that led to its PDUs.
    pub(crate) fn on_fetch_ended(&mut self, now: Millis, want: &FetchRequest, from: &ServerName) -> u32 {
        let (wanted, servers) = (&mut self.pending.wanted, self.participants.candidates());
        let walked = wanted.generation(want.named());
        // A server that did not answer counts as asked too: it is asked again in the next round, and a PDU that it
        // may have is given up only when the time for that has passed.
        for reference in want.named() {
            wanted.on_response(now, reference, from, servers);
        }
        walked
    }

    /// Handles a fetch that was not sent, because nothing is sent to that server now.
    pub(crate) fn on_fetch_declined(&mut self, now: Millis, want: &FetchRequest, from: &ServerName) {
        let (wanted, servers) = (&mut self.pending.wanted, self.participants.candidates());
        want.named().iter().for_each(|reference| wanted.declined(now, reference, from, servers));
    }

    /// Reschedules the fetches after a change of the participants.
    pub(crate) fn reschedule_fetches(&mut self, now: Millis) {
        self.pending.wanted.reschedule_all(now, self.participants.candidates());
    }

    /// Returns the fetches to start now.
    pub(crate) fn start_fetches(&mut self, now: Millis) -> Vec<PlannedFetch> {
        self.pending.wanted.ask(now, self.participants.candidates())
    }

    /// Gives up the parents whose time has passed.
    pub(crate) async fn give_up_due(&mut self, step: &mut ContextStep<'_>) {
        let given_up = self.pending.wanted.give_up(step.now, self.participants.candidates());
        if given_up.is_empty() {
            return;
        }
        for (missing, want) in given_up {
            self.end_search(step, &missing).await;
            if !want.for_state {
                // Without a child that waits for it, the PDU of a repair is no gap.
                if !want.repair || self.pending.order.is_awaited(&missing) {
                    self.pending.give_up(missing, want.edge);
                }
            } else if want.past {
                self.pending.end_past(missing);
            }
        }
        self.deliver(step).await;
    }

    /// Releases the oldest held PDU above the limit, as if its missing ancestors had been given up. Refusing new PDUs
    /// instead would be a livelock, because the missing parent may stand behind the children.
    pub(crate) async fn release_over_limit(&mut self, step: &mut ContextStep<'_>) {
        while self.pending.order.len() > self.limits.held_max as usize {
            let roots = self.pending.order.missing_ancestors_of_oldest();
            debug_assert!(!roots.is_empty(), "what is held waits, in the end, for something unknown");
            if roots.is_empty() {
                break;
            }
            for missing in roots {
                let want = self.pending.wanted.remove(&missing);
                let (edge, past) = want.map_or((false, false), |want| (want.edge, want.past));
                self.end_search(step, &missing).await;
                if self.pending.order.is_awaited(&missing) {
                    self.pending.give_up(missing, edge);
                } else if past {
                    self.pending.end_past(missing);
                }
            }
            self.deliver(step).await;
        }
    }

    /// Handles a missing PDU that is no longer fetched: state PDUs that replace it count without it, and PDUs that are held
    /// for it only because of state become history.
    async fn end_search(&mut self, step: &mut ContextStep<'_>, missing: &PduRef) {
        let keys = self.pending.links.give_up(missing);
        self.state.link_given_up(step, &mut self.participants, missing, keys).await;
        self.pending.lost_for_state(step, missing);
    }
}
