//! History fetches: the join of a context, and history beyond the edge of a known one.
//!
//! The fetched PDUs are history and not news. They are stored and delivered at once, whether or not their parents are
//! known, and are marked as history; they precede all other PDUs in the timeline. Parents that they name and that no
//! server returned are the history edge from then on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::change::Change;
use crate::context::admit::PduAdmission;
use crate::context::event::ContextEffect;
use crate::context::missing::gaps::Gaps;
use crate::context::missing::history_request::{FetchPurpose, HistoryRequest};
use crate::context::ordering::context_graph::ContextGraph;
use crate::context::provenance::Provenance;
use crate::context::step::ContextStep;
use crate::errors::ContextError;
use crate::limits::ContextLimits;
use crate::model::{
    ContextId, CountedNoun, FeedItem, FetchRequest, JoinProgress, JoinStage, Millis, Pdu, PduRef, PduStatus, ServerName,
};

/// Maximum number of PDUs named in one request.
const NAMED_MAX: usize = 20;

/// Maximum number of servers asked for older history, as for missing parents.
const CANDIDATES_MAX: usize = 16;

/// The history fetches of one context: its join, and the reads of its history.
pub(crate) struct HistoryFetch {
    context: ContextId,
    limits: Arc<ContextLimits>,
    /// Progress of the join, if the context was or is being fetched from a participant.
    join: Option<JoinProgress>,
    /// The request in flight.
    asking: Option<HistoryRequest>,
    /// Largest number of PDUs that a waiting history read lacks; `None`: no read waits.
    lacking: Option<u32>,
    /// Earliest time at which a server that did not respond is asked again.
    again: Option<Millis>,
    /// Number of attempts without a response in a row.
    tries: u32,
    /// Edges that the server of the join does not know; the join does not ask for them again.
    exhausted_edges: HashSet<PduRef>,
    /// Depths of the PDUs that name an edge, as their origins state them: the newest edge is requested first.
    edge_depths: HashMap<PduRef, u64>,
}

impl HistoryFetch {
    /// Returns the fetches in the state that was loaded from the store.
    pub(crate) fn load(context: ContextId, limits: Arc<ContextLimits>, join: Option<JoinProgress>) -> Self {
        Self {
            context,
            limits,
            join,
            asking: None,
            lacking: None,
            again: None,
            tries: 0,
            exhausted_edges: HashSet::new(),
            edge_depths: HashMap::new(),
        }
    }

    /// Works with these limits from now on.
    pub(crate) fn change_limits(&mut self, limits: &Arc<ContextLimits>) {
        self.limits = limits.clone();
    }

    /// Returns whether a history request is in flight or a join is in progress.
    pub(crate) fn is_open(&self) -> bool {
        self.asking.is_some() || self.has_open_join()
    }

    pub(crate) fn has_open_join(&self) -> bool {
        self.open_join().is_some()
    }

    pub(crate) const fn last_join(&self) -> Option<&JoinProgress> {
        self.join.as_ref()
    }

    fn open_join(&self) -> Option<&JoinProgress> {
        self.join.as_ref().filter(|join| join.stage.is_open())
    }

    /// Returns the time of the next action. While a request is in flight this is its deadline: a retry that is due waits for the
    /// response, and a timer set to the time of the retry would fire again and again until then.
    pub(crate) fn due(&self) -> Option<Millis> {
        self.asking.as_ref().map(|asking| asking.until).or(self.again)
    }

    /// Starts a join; the server to fetch from becomes a participant.
    pub(crate) fn join(
        &mut self,
        step: &mut ContextStep<'_>,
        graph: &mut ContextGraph,
        via: ServerName,
        backfill: u32,
    ) -> Result<(), ContextError> {
        graph.participants.join_via(step, &via)?;
        graph.pending.note_join();
        self.join = Some(JoinProgress { via, left: backfill, came: 0, stage: JoinStage::State, reason: None });
        (self.tries, self.again) = (0, None);
        self.exhausted_edges.clear();
        // A response to a request of an earlier join does not belong to this one.
        self.asking.take_if(|asking| matches!(asking.purpose, FetchPurpose::Join));
        Ok(())
    }

    /// Registers a history read. It is answered when the next request ends, whichever read or join sent it: a request in
    /// flight may bring the PDUs that the read lacks.
    pub(crate) fn older(&mut self, step: &mut ContextStep<'_>, graph: &ContextGraph, limit: u32) {
        self.lacking = self.lacking.max(Some(limit));
        if self.asking.is_none() {
            self.read_on(step, graph);
        }
    }

    /// Requests the PDUs that the waiting history reads lack from the participants, one after the other.
    fn read_on(&mut self, step: &mut ContextStep<'_>, graph: &ContextGraph) {
        let Some(limit) = self.lacking else { return };
        let mut servers: Vec<ServerName> = graph.participants.servers().to_vec();
        servers.truncate(CANDIDATES_MAX);
        servers.reverse();
        self.ask_next(step, graph, servers, limit);
    }

    /// Asks the last of these servers; without a server or an edge the readers get no PDUs.
    fn ask_next(&mut self, step: &mut ContextStep<'_>, graph: &ContextGraph, mut then: Vec<ServerName>, limit: u32) {
        // Another server may have what the server of the join lacks.
        let from = self.edges(&graph.pending.gaps, |_| true);
        match then.pop().filter(|_| !from.is_empty()) {
            Some(of) => {
                let limit = limit.clamp(1, self.limits.history.backfill_max);
                let want = FetchRequest::History { context: self.context.clone(), from, limit };
                self.ask_past(step, of, want, FetchPurpose::Read { then, limit });
            }
            None => self.answer_reads(step, 0),
        }
    }

    fn ask_past(&mut self, step: &mut ContextStep<'_>, of: ServerName, want: FetchRequest, purpose: FetchPurpose) {
        let until = step.now.after(self.limits.gap.give_up);
        self.asking = Some(HistoryRequest { of: of.clone(), want: want.clone(), purpose, until });
        step.effects.push(ContextEffect::Fetch { of: of.clone(), want, cause: of });
    }

    fn answer_reads(&mut self, step: &mut ContextStep<'_>, came: u64) {
        if self.lacking.take().is_some() {
            step.effects.push(ContextEffect::AnswerReads(came));
        }
    }

    /// Returns the history edges that may be requested, the newest first.
    fn edges(&self, gaps: &Gaps, may_ask: impl Fn(&PduRef) -> bool) -> Vec<PduRef> {
        let mut edges: Vec<&PduRef> = gaps.edges().filter(|edge| may_ask(edge)).collect();
        edges.sort_by_key(|edge| std::cmp::Reverse(self.edge_depths.get(edge).copied().unwrap_or(0)));
        edges.into_iter().take(NAMED_MAX).cloned().collect()
    }

    /// Continues the history fetches; it is called at the end of each step.
    pub(crate) async fn go_on(&mut self, step: &mut ContextStep<'_>, graph: &mut ContextGraph) {
        if let Some(silent) = self.asking.take_if(|asking| asking.until <= step.now) {
            let why = "it has not answered within contexts.gap.give_up".to_owned();
            self.question_ended(step, graph, silent, Err(why), &HashMap::new()).await;
        }
        if self.asking.is_some() || self.again.is_some_and(|again| again > step.now) {
            return;
        }
        self.again = None;
        let Some(JoinProgress { via, left, stage, .. }) = self.open_join().cloned() else { return };
        let context = self.context.clone();
        let from = self.edges(&graph.pending.gaps, |edge| !self.exhausted_edges.contains(edge));
        match stage {
            JoinStage::State => self.ask_past(step, via, FetchRequest::State(context), FetchPurpose::Join),
            _ if left == 0 || from.is_empty() => self.join_moves(step, |join| join.stage = JoinStage::Done),
            _ => {
                let limit = left.min(self.limits.history.backfill_max);
                self.ask_past(step, via, FetchRequest::History { context, from, limit }, FetchPurpose::Join);
            }
        }
    }

    fn join_moves(&mut self, step: &mut ContextStep<'_>, change: impl FnOnce(&mut JoinProgress)) {
        if let Some(join) = &mut self.join {
            change(join);
            step.record_dirty = true;
        }
    }

    /// Handles the response to a history request, or its failure.
    pub(crate) async fn on_response(
        &mut self,
        step: &mut ContextStep<'_>,
        graph: &mut ContextGraph,
        want: &FetchRequest,
        from: &ServerName,
        pdus: Result<Vec<Pdu>, String>,
        known: &HashMap<PduRef, PduStatus>,
    ) {
        let is_awaited = |asking: &mut HistoryRequest| asking.of == *from && asking.want == *want;
        match self.asking.take_if(is_awaited) {
            Some(asking) => self.question_ended(step, graph, asking, pdus, known).await,
            // The response is late; its PDUs are accepted all the same.
            None => {
                self.admit_past(step, graph, from, pdus.unwrap_or_default(), known).await;
            }
        }
    }

    /// Handles the end of the request in flight, with or without a response.
    async fn question_ended(
        &mut self,
        step: &mut ContextStep<'_>,
        graph: &mut ContextGraph,
        asking: HistoryRequest,
        pdus: Result<Vec<Pdu>, String>,
        known: &HashMap<PduRef, PduStatus>,
    ) {
        let HistoryRequest { of, want, purpose, .. } = asking;
        let (pdus, failed) = match pdus {
            Ok(pdus) => (pdus, None),
            Err(why) => (vec![], Some(why)),
        };
        let came = self.admit_past(step, graph, &of, pdus, known).await;
        match purpose {
            FetchPurpose::Read { .. } if came > 0 => self.answer_reads(step, came),
            FetchPurpose::Read { then, limit } => self.ask_next(step, graph, then, limit),
            FetchPurpose::Join => {
                match failed {
                    Some(why) => self.schedule_join_retry(step, why),
                    None => self.join_goes_on(step, want, came),
                }
                // History reads that arrived meanwhile have waited for this request. If it brought nothing, other servers
                // are asked before the join continues, so neither delays the other by more than one round.
                match came {
                    0 => self.read_on(step, graph),
                    came => self.answer_reads(step, came),
                }
            }
        }
    }

    /// Handles the response of the server of the join.
    fn join_goes_on(&mut self, step: &mut ContextStep<'_>, want: FetchRequest, came: u64) {
        self.tries = 0;
        let mut taken = 0;
        if let FetchRequest::History { from, .. } = want {
            taken = u32::try_from(came).unwrap_or(u32::MAX);
            if came == 0 {
                self.exhausted_edges.extend(from);
            }
        }
        self.join_moves(step, |join| {
            (join.stage, join.reason) = (JoinStage::History, None);
            join.came += came;
            join.left = join.left.saturating_sub(taken);
        });
    }

    /// Handles a join request without a response: schedules another attempt, or ends the join as failed after the last
    /// one.
    fn schedule_join_retry(&mut self, step: &mut ContextStep<'_>, why: String) {
        self.tries += 1;
        let tries = self.tries;
        if tries >= self.limits.gap.tries_max {
            if let Some(JoinProgress { via, came, .. }) = &self.join {
                let text = format!(
                    "joining {} from {via} failed after {} (contexts.gap.tries_max), with {} received: {why}; check \
                     that {via} lists us as a participant and can be reached, then join again",
                    self.context,
                    CountedNoun(tries.into(), "attempt"),
                    CountedNoun(*came, "PDU")
                );
                step.changes.push(Change::FeedAppended(FeedItem::Notice { text, server: Some(via.clone()) }));
            }
            return self.join_moves(step, |join| (join.stage, join.reason) = (JoinStage::Failed, Some(why)));
        }
        self.join_moves(step, |join| join.reason = Some(why));
        let pause = self.limits.gap.grace.saturating_mul(1 << self.tries.min(16));
        self.again = Some(step.now.after(pause));
    }

    /// Accepts PDUs as history, and returns their number.
    async fn admit_past(
        &mut self,
        step: &mut ContextStep<'_>,
        graph: &mut ContextGraph,
        from: &ServerName,
        pdus: Vec<Pdu>,
        known: &HashMap<PduRef, PduStatus>,
    ) -> u64 {
        let mut admission = PduAdmission::new(graph, Provenance::of_history(from), known);
        let (mut taken, mut ends): (Vec<PduRef>, Vec<(PduRef, Option<u64>)>) = (vec![], vec![]);
        for pdu in pdus {
            let (reference, claimed) = (pdu.reference.clone(), pdu.depth.unwrap_or(0));
            if taken.contains(&reference) || admission.judge_past(step, &pdu).await.is_err() {
                continue;
            }
            if !admission.is_for_us(&pdu) {
                admission.know_by_name(step, pdu).await;
                continue;
            }
            if pdu.to.is_none() {
                ends.push((reference.clone(), pdu.depth));
            }
            for parent in &pdu.prev {
                let rank = self.edge_depths.entry(parent.clone()).or_default();
                *rank = (*rank).max(claimed);
            }
            admission.hold(step, pdu, true);
            taken.push(reference);
        }
        for reference in &taken {
            graph.pending.link_past(step, reference, &taken, 1);
        }
        graph.timeline.reserve_past(taken.len());
        graph.deliver(step).await;
        self.edge_depths.retain(|edge, _| graph.pending.gaps.is_edge(edge));
        graph.timeline.begin_heads(step, ends);
        taken.len() as u64
    }
}

#[cfg(test)]
mod tests;
