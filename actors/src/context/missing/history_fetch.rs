//! History fetches: the join of a context, and history beyond the edge of a known one.
//!
//! The fetched PDUs are history and not news. They are stored and delivered at once, whether or not their parents are
//! known, and are marked as history; they precede all other PDUs in the timeline. Parents that they name and that no
//! server returned are the history edge from then on.

use std::collections::HashMap;

use crate::change::Change;
use crate::context::machine::{ContextEffect, ContextMachine};
use crate::context::missing::history_request::{FetchPurpose, HistoryRequest};
use crate::context::provenance::Provenance;
use crate::context::step::ContextStep;
use crate::errors::ContextError;
use crate::model::{
    CountedNoun, FeedItem, FetchRequest, Gap, Head, JoinProgress, JoinStage, Pdu, PduRef, PduStatus, ServerName,
};

/// Maximum number of PDUs named in one request.
const NAMED_MAX: usize = 20;

/// Maximum number of servers asked for older history, as for missing parents.
const CANDIDATES_MAX: usize = 16;

impl ContextMachine {
    /// Returns whether a history request is in flight or a join is in progress.
    pub(crate) fn has_open_history_fetch(&self) -> bool {
        self.past.asking.is_some() || self.has_open_join()
    }

    pub(crate) fn has_open_join(&self) -> bool {
        self.open_join().is_some()
    }

    fn open_join(&self) -> Option<&JoinProgress> {
        self.record.join.as_ref().filter(|join| join.stage.is_open())
    }

    /// Starts a join; the server to fetch from becomes a participant.
    pub(crate) fn join(
        &mut self,
        step: &mut ContextStep<'_>,
        via: ServerName,
        backfill: u32,
    ) -> Result<(), ContextError> {
        let participants = &mut self.record.participants;
        if !participants.contains(&via) {
            let max = self.limits.participants_max;
            if participants.len() >= max as usize {
                return Err(ContextError::TooManyParticipants { count: participants.len() + 1, max });
            }
            participants.push(via.clone());
            step.admitted = true;
        }
        self.record.adopted = false;
        self.record.join = Some(JoinProgress { via, left: backfill, came: 0, stage: JoinStage::State, reason: None });
        (self.past.tries, self.past.again) = (0, None);
        self.past.exhausted_edges.clear();
        // A response to a request of an earlier join does not belong to this one.
        self.past.asking.take_if(|asking| matches!(asking.purpose, FetchPurpose::Join));
        step.record_dirty = true;
        Ok(())
    }

    /// Registers a history read. It is answered when the next request ends, whichever read or join sent it: a request in
    /// flight may bring the PDUs that the read lacks.
    pub(crate) fn older(&mut self, step: &mut ContextStep<'_>, limit: u32) {
        self.past.lacking = self.past.lacking.max(Some(limit));
        if self.past.asking.is_none() {
            self.read_on(step);
        }
    }

    /// Requests the PDUs that the waiting history reads lack from the participants, one after the other.
    fn read_on(&mut self, step: &mut ContextStep<'_>) {
        let Some(limit) = self.past.lacking else { return };
        let mut servers: Vec<ServerName> = self.record.participants.clone();
        servers.truncate(CANDIDATES_MAX);
        servers.reverse();
        self.ask_next(step, servers, limit);
    }

    /// Asks the last of these servers; without a server or an edge the readers get no PDUs.
    fn ask_next(&mut self, step: &mut ContextStep<'_>, mut then: Vec<ServerName>, limit: u32) {
        // Another server may have what the server of the join lacks.
        let from = self.edges(|_| true);
        match then.pop().filter(|_| !from.is_empty()) {
            Some(of) => {
                let limit = limit.clamp(1, self.limits.history.backfill_max);
                let want = FetchRequest::History { context: self.record.context.clone(), from, limit };
                self.ask_past(step, of, want, FetchPurpose::Read { then, limit });
            }
            None => self.answer_reads(step, 0),
        }
    }

    fn ask_past(&mut self, step: &mut ContextStep<'_>, of: ServerName, want: FetchRequest, purpose: FetchPurpose) {
        let until = step.now.after(self.limits.gap.give_up);
        self.past.asking = Some(HistoryRequest { of: of.clone(), want: want.clone(), purpose, until });
        step.effects.push(ContextEffect::Fetch { of: of.clone(), want, cause: of });
    }

    fn answer_reads(&mut self, step: &mut ContextStep<'_>, came: u64) {
        if self.past.lacking.take().is_some() {
            step.effects.push(ContextEffect::AnswerReads(came));
        }
    }

    /// Returns the history edges that may be requested, the newest first.
    fn edges(&self, may_ask: impl Fn(&PduRef) -> bool) -> Vec<PduRef> {
        let mut edges: Vec<&PduRef> = self.gaps.edges().filter(|edge| may_ask(edge)).collect();
        edges.sort_by_key(|edge| std::cmp::Reverse(self.past.edge_depths.get(edge).copied().unwrap_or(0)));
        edges.into_iter().take(NAMED_MAX).cloned().collect()
    }

    /// Continues the history fetches; it is called at the end of each step.
    pub(crate) async fn drive_history_fetch(&mut self, step: &mut ContextStep<'_>) {
        if let Some(silent) = self.past.asking.take_if(|asking| asking.until <= step.now) {
            let why = "it has not answered within contexts.gap.give_up".to_owned();
            self.question_ended(step, silent, Err(why), &HashMap::new()).await;
        }
        if self.past.asking.is_some() || self.past.again.is_some_and(|again| again > step.now) {
            return;
        }
        self.past.again = None;
        let Some(JoinProgress { via, left, stage, .. }) = self.open_join().cloned() else { return };
        let context = self.record.context.clone();
        let from = self.edges(|edge| !self.past.exhausted_edges.contains(edge));
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
        if let Some(join) = &mut self.record.join {
            change(join);
            step.record_dirty = true;
        }
    }

    /// Handles the response to a history request, or its failure.
    pub(crate) async fn on_history_response(
        &mut self,
        step: &mut ContextStep<'_>,
        want: &FetchRequest,
        from: &ServerName,
        pdus: Result<Vec<Pdu>, String>,
        known: &HashMap<PduRef, PduStatus>,
    ) {
        let is_awaited = |asking: &mut HistoryRequest| asking.of == *from && asking.want == *want;
        match self.past.asking.take_if(is_awaited) {
            Some(asking) => self.question_ended(step, asking, pdus, known).await,
            // The response is late; its PDUs are accepted all the same.
            None => {
                self.admit_past(step, from, pdus.unwrap_or_default(), known).await;
            }
        }
    }

    /// Handles the end of the request in flight, with or without a response.
    async fn question_ended(
        &mut self,
        step: &mut ContextStep<'_>,
        asking: HistoryRequest,
        pdus: Result<Vec<Pdu>, String>,
        known: &HashMap<PduRef, PduStatus>,
    ) {
        let HistoryRequest { of, want, purpose, .. } = asking;
        let (pdus, failed) = match pdus {
            Ok(pdus) => (pdus, None),
            Err(why) => (vec![], Some(why)),
        };
        let came = self.admit_past(step, &of, pdus, known).await;
        match purpose {
            FetchPurpose::Read { .. } if came > 0 => self.answer_reads(step, came),
            FetchPurpose::Read { then, limit } => self.ask_next(step, then, limit),
            FetchPurpose::Join => {
                match failed {
                    Some(why) => self.schedule_join_retry(step, why),
                    None => self.join_goes_on(step, want, came),
                }
                // History reads that arrived meanwhile have waited for this request. If it brought nothing, other servers
                // are asked before the join continues, so neither delays the other by more than one round.
                match came {
                    0 => self.read_on(step),
                    came => self.answer_reads(step, came),
                }
            }
        }
    }

    /// Handles the response of the server of the join.
    fn join_goes_on(&mut self, step: &mut ContextStep<'_>, want: FetchRequest, came: u64) {
        self.past.tries = 0;
        let mut taken = 0;
        if let FetchRequest::History { from, .. } = want {
            taken = u32::try_from(came).unwrap_or(u32::MAX);
            if came == 0 {
                self.past.exhausted_edges.extend(from);
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
        self.past.tries += 1;
        let tries = self.past.tries;
        if tries >= self.limits.gap.tries_max {
            if let Some(JoinProgress { via, came, .. }) = &self.record.join {
                let text = format!(
                    "joining {} from {via} failed after {} (contexts.gap.tries_max), with {} received: {why}; check \
                     that {via} lists us as a participant and can be reached, then join again",
                    self.record.context,
                    CountedNoun(tries.into(), "attempt"),
                    CountedNoun(*came, "PDU")
                );
                step.changes.push(Change::FeedAppended(FeedItem::Notice { text, server: Some(via.clone()) }));
            }
            return self.join_moves(step, |join| (join.stage, join.reason) = (JoinStage::Failed, Some(why)));
        }
        self.join_moves(step, |join| join.reason = Some(why));
        let pause = self.limits.gap.grace.saturating_mul(1 << self.past.tries.min(16));
        self.past.again = Some(step.now.after(pause));
    }

    /// Accepts PDUs as history, and returns their number.
    async fn admit_past(
        &mut self,
        step: &mut ContextStep<'_>,
        from: &ServerName,
        pdus: Vec<Pdu>,
        known: &HashMap<PduRef, PduStatus>,
    ) -> u64 {
        let way = Provenance { from, verified: None, walked: 0, past: true };
        let (mut taken, mut ends): (Vec<PduRef>, Vec<(PduRef, Option<u64>)>) = (vec![], vec![]);
        for pdu in pdus {
            let (reference, claimed) = (pdu.reference.clone(), pdu.depth.unwrap_or(0));
            if taken.contains(&reference) || self.judge_past(step, from, &pdu, known).await.is_err() {
                continue;
            }
            if !pdu.is_for(&self.us) {
                self.know_by_name(step, pdu, known).await;
                continue;
            }
            if pdu.to.is_none() {
                ends.push((reference.clone(), pdu.depth));
            }
            for parent in &pdu.prev {
                let rank = self.past.edge_depths.entry(parent.clone()).or_default();
                *rank = (*rank).max(claimed);
            }
            self.hold(step, way, pdu, known, true);
            taken.push(reference);
        }
        for reference in &taken {
            self.link_past(step, reference, &taken, 1);
        }
        let count = i64::try_from(taken.len()).unwrap_or(0);
        let lowest = 1 - i64::try_from(self.record.history_count).unwrap_or(i64::MAX) - count;
        self.past.places = lowest..lowest + count;
        self.record.history_count += taken.len() as u64;
        self.deliver(step).await;
        let ranks = std::mem::take(&mut self.past.edge_depths);
        self.past.edge_depths = ranks.into_iter().filter(|(edge, _)| self.gaps.is_edge(edge)).collect();
        self.begin_heads(step, ends);
        taken.len() as u64
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

    /// Sets the first heads of a context in which no news was delivered: the newest fetched PDUs. The order of state PDUs among the
    /// messages is not known; their stated depth decides, which affects no delivery order.
    fn begin_heads(&mut self, step: &mut ContextStep<'_>, came: Vec<(PduRef, Option<u64>)>) {
        if self.record.next > 1 && !self.record.heads.is_empty() {
            return;
        }
        let head = |(reference, stated): (PduRef, Option<u64>)| {
            let depth = self.recent.peek(&reference).map_or(0, |(depth, _)| *depth);
            Head::of(reference, depth, stated)
        };
        let newest = came.into_iter().map(head).max_by_key(|head| (head.emitted, head.depth));
        let before = self.record.heads.iter().map(|head| head.emitted).max();
        if let Some(newest) = newest.filter(|newest| Some(newest.emitted) > before) {
            self.record.heads = vec![newest];
            step.record_dirty = true;
        }
    }

    /// Makes a parent of history an edge when it is no longer requested, so that a reader can continue there.
    pub(crate) fn end_past(&mut self, missing: PduRef) {
        if self.gaps.get(&missing).is_none() {
            self.gaps.give_up(missing, true);
        }
    }

    /// Marks the missing parents of a PDU that was fetched for state, so that a reader can continue there. They are
    /// stored beside the gaps, as edges that nothing was delivered without.
    pub(crate) fn mark_history_edge(&mut self, behind: Vec<PduRef>) {
        for parent in behind {
            // A parent that a held child waits for is reported when it is given up.
            let is_awaited = self.wanted.contains(&parent) && !self.wanted.is_for_state(&parent);
            let is_here = self.recent.peek(&parent).is_some() || self.order.holds(&parent);
            if !is_here && !is_awaited && self.gaps.get(&parent).is_none() {
                self.gaps.give_up(parent, true);
            }
        }
    }

    /// Returns whether the PDU is missing for readers only: a new PDU that names it waits for it as for any other, and
    /// it is news if it arrives by itself.
    pub(crate) fn is_bookmark(&self, reference: &PduRef) -> bool {
        let is_bare = |gap: &Gap| gap.edge && gap.children.is_empty();
        self.gaps.get(reference).is_some_and(is_bare) && !self.order.is_left_out(reference)
    }

    /// Returns the next timeline position of history: a batch keeps its order and precedes everything that came
    /// earlier.
    pub(crate) fn past_position(&mut self, step: &mut ContextStep<'_>) -> i64 {
        step.record_dirty = true;
        self.past.places.next().unwrap_or_else(|| {
            self.record.history_count += 1;
            1 - i64::try_from(self.record.history_count).unwrap_or(i64::MAX)
        })
    }
}

#[cfg(test)]
mod tests;
