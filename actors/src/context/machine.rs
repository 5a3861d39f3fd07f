//! The state machine of a context: it takes PDUs in any order, and delivers no PDU before one that it names as a
//! parent.
//!
//! The life of a PDU: unknown -> held (some parents are not delivered) -> ready -> delivered. A missing parent is
//! waited for briefly, then fetched; when every candidate has been asked for long enough, it is given up, and its
//! children are delivered with a gap. No PDU is ever skipped or reordered silently.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::change::{Change, CommitPriority};
use crate::context::missing::gaps::Gaps;
use crate::context::missing::history_request::HistoryFetch;
use crate::context::missing::missing_parent::FetchCandidates;
use crate::context::missing::missing_parents::MissingParents;
use crate::context::ordering::causal_order::{CausalOrder, PendingPdu};
use crate::context::ordering::heads::HeadRows;
use crate::context::ordering::recent_pdus::{RecentPdus, recent_pdus};
use crate::context::provenance::Provenance;
use crate::context::quarantine_walks::QuarantineWalks;
use crate::context::stage_page::StageReader;
use crate::context::state::context_state::ContextState;
use crate::context::state::set_cache::StateReader;
use crate::context::state::state_walk::StateWalk;
use crate::context::step::{ContextStep, PendingReply};
use crate::errors::ContextError;
use crate::limits::ContextLimits;
use crate::model::{
    ContextId, ContextRecord, ContextSnapshot, ContextStatus, FetchRequest, Millis, Pdu, PduRef, PduText,
    PendingParents, ServerName,
};

pub use crate::context::event::{ComposeOutcomes, ContextEffect, ContextEvent, ContextReply, RecipientReach};

/// Number of quarantined PDUs that are read at once.
const KEPT_PAGE: u32 = 100;

/// The state machine of one context.
pub struct ContextMachine {
    pub(crate) us: ServerName,
    pub(crate) limits: Arc<ContextLimits>,
    pub(crate) text: Arc<dyn PduText>,
    pub(crate) record: ContextRecord,
    /// True if the record has a row, or was submitted.
    stored: bool,
    pub(crate) order: CausalOrder,
    pub(crate) wanted: MissingParents,
    pub(crate) gaps: Gaps,
    /// Recently delivered PDUs.
    pub(crate) recent: RecentPdus,
    /// Current state, and the links of state PDUs.
    pub(crate) state: ContextState,
    /// Rows of the heads.
    pub(crate) heads: HeadRows,
    /// History fetches of readers and of the join.
    pub(crate) past: HistoryFetch,
    /// Progress of reading the stage.
    pub(crate) stage: StageReader,
    /// Reads of quarantine since servers became participants.
    quarantine: QuarantineWalks,
    /// True if the store records unfinished work.
    unfinished_stored: bool,
    /// Time that the actor's timer is set to.
    armed: Option<Millis>,
}

impl ContextMachine {
    /// Returns the machine in the state that was loaded from the store; the first PDU will create an unknown context.
    pub fn new(
        context: ContextId,
        us: ServerName,
        limits: Arc<ContextLimits>,
        text: Arc<dyn PduText>,
        load: Option<ContextSnapshot>,
    ) -> Self {
        let stored = load.is_some();
        let new = || ContextRecord::new(context, vec![], true);
        let load = load.unwrap_or_else(|| ContextSnapshot {
            record: new(),
            held: vec![],
            gaps: vec![],
            links: vec![],
            unfinished: false,
        });
        let mut recent = recent_pdus();
        for head in &load.record.heads {
            recent.put(head.reference.clone(), (head.depth, false));
        }
        let mut order = CausalOrder::default();
        for held in load.held {
            let (prev, sender, state) = (held.prev, held.sender, held.state);
            let PendingParents { missing, edge, depth, for_state } = held.hold;
            // `link` is not restored here: a prev_state that was missing on arrival is in `links`; if it has arrived
            // since, nothing has to be fetched.
            let (narrowed, stated, behind) = (held.narrowed, held.stated, vec![]);
            let waiting = PendingPdu {
                prev,
                missing,
                edge,
                depth,
                sender,
                state,
                link: None,
                history: false,
                for_state,
                on_news: held.on_news,
                narrowed,
                stated,
                absent_parents: behind,
            };
            order.insert(held.reference, waiting);
        }
        let (wanted, gaps) = (MissingParents::new(limits.gap), Gaps::load(load.gaps));
        let record = load.record;
        let state = ContextState::load(record.context.clone(), load.links);
        let heads = HeadRows::load(&record.heads);
        let past = HistoryFetch::default();
        Self {
            us,
            limits,
            text,
            record,
            stored,
            order,
            wanted,
            gaps,
            recent,
            state,
            heads,
            past,
            stage: StageReader::default(),
            quarantine: QuarantineWalks::load(load.unfinished),
            unfinished_stored: load.unfinished,
            armed: None,
        }
    }

    /// Returns those of these PDUs, and those of their parents, whose status is not in memory.
    pub fn refs_to_look_up(&self, pdus: &[Pdu]) -> (Vec<PduRef>, Vec<PduRef>) {
        let is_known = |reference: &PduRef| self.recent.peek(reference).is_some() || self.order.holds(reference);
        let ours = || pdus.iter().filter(|pdu| pdu.context == self.record.context);
        let mut seen = HashSet::new();
        let mut ask =
            |reference: &PduRef| (!is_known(reference) && seen.insert(reference.clone())).then(|| reference.clone());
        let arriving = ours().filter_map(|pdu| ask(&pdu.reference)).collect();
        let replaced = |pdu: &'_ Pdu| pdu.state.as_ref().and_then(|state| state.prev.clone());
        let mut parents: Vec<PduRef> = ours().flat_map(|pdu| &pdu.prev).filter_map(&mut ask).collect();
        parents.extend(ours().filter_map(replaced).filter_map(|replaced| ask(&replaced)));
        (arriving, parents)
    }

    /// Handles one event and returns its effects. It awaits its reads, and nothing else.
    pub async fn step(&mut self, now: Millis, event: ContextEvent, reads: &dyn StateReader) -> Vec<ContextEffect> {
        let mut step = ContextStep::new(now, reads);
        // A peer's actor commits right after an arrival, and that commit covers both; the end of a quarantine walk is not
        // awaited either.
        let urgency = match event {
            ContextEvent::Arrive { .. } | ContextEvent::TakenBack => CommitPriority::Deferred,
            _ => CommitPriority::Now,
        };
        let answer = match event {
            ContextEvent::Started => {
                self.resume(&mut step).await;
                self.read_stage(&mut step);
                None
            }
            ContextEvent::Arrive { token, from, verified, pdus, known } => {
                let fates = self
                    .admit(
                        &mut step,
                        Provenance { from: &from, verified: Some(verified), walked: 0, past: false },
                        pdus,
                        &known,
                    )
                    .await;
                Some(PendingReply::Verdicts(token, fates))
            }
            ContextEvent::Readmit { token, from, pdu, known } => {
                let fate = self.readmit(&mut step, &from, pdu, &known).await;
                Some(PendingReply::Verdict(token, fate))
            }
            ContextEvent::Compose { token, drafts, reach } => {
                let composed = self.compose(&mut step, drafts, &reach).await;
                Some(PendingReply::Reply(ContextReply::Composed(token, composed)))
            }
            ContextEvent::Participants { token, servers } => {
                Some(PendingReply::Reply(ContextReply::Set(token, self.set_participants(&mut step, servers))))
            }
            ContextEvent::Join { token, via, backfill } => {
                Some(PendingReply::Reply(ContextReply::Set(token, self.join(&mut step, via, backfill))))
            }
            ContextEvent::Older { limit } => {
                self.older(&mut step, limit);
                None
            }
            ContextEvent::Fetched {
                want: want @ (FetchRequest::State(_) | FetchRequest::History { .. }),
                from,
                pdus,
                failed,
                known,
            } => {
                self.on_history_response(&mut step, &want, &from, failed.map_or(Ok(pdus), Err), &known).await;
                None
            }
            ContextEvent::Fetched { want, from, pdus, failed: _, known } => {
                let walked = self.wanted.generation(want.named());
                // A server that did not answer counts as asked too: it is asked again in the next round, and a PDU that it
                // may have is given up only when the time for that has passed.
                for reference in want.named() {
                    self.wanted.on_response(
                        now,
                        reference,
                        &from,
                        fetch_candidates(&self.us, &self.record, &self.limits),
                    );
                }
                self.admit(&mut step, Provenance { from: &from, verified: None, walked, past: false }, pdus, &known)
                    .await;
                None
            }
            ContextEvent::PutOff {
                want: want @ (FetchRequest::State(_) | FetchRequest::History { .. }),
                from,
                why,
            }
            | ContextEvent::Declined {
                want: want @ (FetchRequest::State(_) | FetchRequest::History { .. }),
                from,
                why,
            } => {
                self.on_history_response(&mut step, &want, &from, Err(why), &HashMap::new()).await;
                None
            }
            ContextEvent::PutOff { want, from, why: _ } => {
                for reference in want.named() {
                    self.wanted.put_off(now, reference, &from);
                }
                None
            }
            ContextEvent::Declined { want, from, why: _ } => {
                let servers = fetch_candidates(&self.us, &self.record, &self.limits);
                want.named().iter().for_each(|reference| self.wanted.declined(now, reference, &from, servers));
                None
            }
            ContextEvent::Intake { open } => {
                self.wanted.intake(now, open);
                None
            }
            ContextEvent::Kept { kept, known, next } => {
                if let Some(kept) = kept {
                    self.retry_quarantined(&mut step, kept, &known).await;
                }
                step.take_back = next;
                None
            }
            ContextEvent::StageFilled => {
                self.read_stage(&mut step);
                None
            }
            ContextEvent::Staged { page, known } => {
                self.take_staged(&mut step, page, &known).await;
                None
            }
            ContextEvent::TakenBack => {
                self.quarantine.end();
                None
            }
            ContextEvent::Due => {
                self.armed = None;
                None
            }
        };
        self.release_over_limit(&mut step).await;
        self.give_up_due(&mut step).await;
        self.drive_history_fetch(&mut step).await;
        for missing in self.gaps.forget(self.limits.gap.kept_max as usize) {
            step.changes.push(Change::GapClosed { context: self.record.context.clone(), missing });
        }
        self.finish(step, urgency, answer)
    }

    /// Returns the number of heads, and the number of heads forgotten since the last call.
    pub fn take_head_stats(&mut self) -> (usize, u64) {
        (self.record.heads.len(), self.heads.take_forgotten())
    }

    /// Returns whether nothing is held, requested or being read, so that the context may leave memory.
    pub fn is_idle(&self) -> bool {
        !self.stage.is_reading() && self.order.len() == 0 && self.wanted.is_empty() && !self.has_open_history_fetch()
    }

    /// Returns the status of the context.
    pub fn status(&self) -> ContextStatus {
        let (held, wanted, gaps) = (self.order.len() as u64, self.wanted.list(), self.gaps.list());
        ContextStatus { record: self.record.clone(), held, wanted, gaps }
    }

    /// Returns whether nothing was ever accepted and the messenger has not named the context: the first PDU then
    /// creates it.
    pub(crate) fn is_new(&self) -> bool {
        let record = &self.record;
        let untouched = record.participants.is_empty() && record.next == 1;
        record.adopted && untouched && self.order.len() == 0 && self.gaps.is_empty()
    }

    /// Returns whether the context was joined and has no new PDU since: missing parents of the first one are then the
    /// history edge.
    pub(crate) fn is_just_joined(&self) -> bool {
        self.record.join.is_some() && self.record.next == 1 && self.order.len() == 0
    }

    /// Resumes the waiting of the previous incarnation.
    async fn resume(&mut self, step: &mut ContextStep<'_>) {
        for reference in self.order.list() {
            let prev = self.order.get(&reference).map(|waiting| waiting.prev.clone()).unwrap_or_default();
            for parent in prev.iter().filter(|parent| self.gaps.get(parent).is_some()) {
                self.order.leaves_without(&reference, parent);
            }
            self.link(step, &reference, StateWalk::NONE);
        }
        // The previous incarnation may have ended just after it admitted servers, so the quarantine is read again.
        step.take_back = self.stored.then_some((0, 0));
        for missing in self.state.links.unresolved() {
            if !self.order.holds(&missing) {
                self.wanted.want_link(step.now, &missing, None, 1);
            }
        }
        self.deliver(step).await;
    }

    fn set_participants(&mut self, step: &mut ContextStep<'_>, servers: Vec<ServerName>) -> Result<(), ContextError> {
        let mut seen = HashSet::from([self.us.clone()]);
        let servers: Vec<ServerName> = servers.into_iter().filter(|server| seen.insert(server.clone())).collect();
        let max = self.limits.participants_max;
        if servers.len() > max as usize {
            return Err(ContextError::TooManyParticipants { count: servers.len(), max });
        }
        let adopted = self.record.adopted && !self.is_new();
        let is_other = self.record.participants != servers;
        step.admitted = servers.iter().any(|server| !self.record.participants.contains(server));
        step.record_dirty |= !self.stored || is_other || self.record.adopted != adopted;
        self.record.adopted = adopted;
        self.record.participants = servers;
        Ok(())
    }

    /// Records unfinished work that a restart has to continue.
    fn note_work(&mut self, step: &mut ContextStep<'_>) {
        let unfinished = self.quarantine.is_needed() || self.has_open_join();
        if unfinished != self.unfinished_stored {
            self.unfinished_stored = unfinished;
            step.changes.push(Change::ContextWork { context: self.record.context.clone(), unfinished });
        }
    }

    fn finish(
        &mut self,
        mut step: ContextStep<'_>,
        urgency: CommitPriority,
        owed: Option<PendingReply>,
    ) -> Vec<ContextEffect> {
        if step.admitted {
            self.wanted.reschedule_all(step.now, fetch_candidates(&self.us, &self.record, &self.limits));
        }
        let has_participants = !self.record.participants.is_empty();
        step.take_back = self.quarantine.next(step.take_back, step.admitted, has_participants);
        self.note_work(&mut step);
        let asks = self.wanted.ask(step.now, fetch_candidates(&self.us, &self.record, &self.limits));
        let mut effects = vec![];
        self.stored |= step.record_dirty;
        if step.record_dirty {
            step.changes.extend(self.heads.changed(&self.record));
        }
        let changes = step.take_changes(&self.record, &mut self.order, &mut self.gaps, &mut self.state.links);
        if !changes.is_empty() {
            effects.push(ContextEffect::Commit(changes, urgency));
        }
        if !step.released.is_empty() {
            effects.push(ContextEffect::Release(step.released));
        }
        effects.extend(owed.map(|owed| owed.into_effect(&self.order)));
        for ask in asks {
            let (of, cause) = (ask.of.clone(), ask.cause.clone());
            let wants = ask.wants(&self.record.context, self.limits.history.backfill_max);
            effects.extend(wants.map(|want| ContextEffect::Fetch { of: of.clone(), want, cause: cause.clone() }));
        }
        if let Some(after) = step.take_back {
            let participants = self.record.participants.clone();
            effects.push(ContextEffect::TakeBack { participants, after, limit: KEPT_PAGE });
        }
        effects.extend(step.effects);
        let due = [self.wanted.due(), self.past.due()].into_iter().flatten().min();
        if due != self.armed {
            effects.push(due.map_or(ContextEffect::Disarm, ContextEffect::Arm));
            self.armed = due;
        }
        effects
    }
}

/// Returns the servers that may have missing PDUs.
pub(crate) fn fetch_candidates<'a>(
    us: &'a ServerName,
    record: &'a ContextRecord,
    limits: &ContextLimits,
) -> FetchCandidates<'a> {
    FetchCandidates { us, participants: &record.participants, open: limits.open }
}

#[cfg(test)]
mod tests;
