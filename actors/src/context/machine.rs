//! The state machine of a context: it takes PDUs in any order, and delivers no PDU before one that it names as a
//! parent.
//!
//! The life of a PDU: unknown -> held (some parents are not delivered) -> ready -> delivered. A missing parent is
//! waited for briefly, then fetched; when every candidate has been asked for long enough, it is given up, and its
//! children are delivered with a gap. No PDU is ever skipped or reordered silently.
//!
//! `ContextStep` (`step.rs`) collects what one event changes, and turns each delivery into the change that stores it. At the
//! end of the step `finish` makes one commit of all, with the priority of the event, and answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::change::{Change, CommitPriority};
use crate::context::admit::PduAdmission;
use crate::context::compose::{DraftComposer, DraftSource};
use crate::context::groups::group_composer::GroupComposer;
use crate::context::groups::passed_on::pass_on;
use crate::context::missing::history_fetch::HistoryFetch;
use crate::context::missing::repair_fetch::RepairFetch;
use crate::context::ordering::context_graph::ContextGraph;
use crate::context::provenance::Provenance;
use crate::context::quarantine_walks::QuarantineWalks;
use crate::context::stage_reader::StageReader;
use crate::context::state::set_cache::StateReader;
use crate::context::step::{ContextStep, PduOutcome, PendingReply};
use crate::limits::ContextLimits;
use crate::model::{
    ContextId, ContextRecord, ContextSnapshot, ContextStatus, FetchRequest, Head, Millis, Pdu, PduRef, PduText,
    ServerName,
};

pub use crate::context::event::{ComposeOutcomes, ContextEffect, ContextEvent, ContextReply, RecipientReach};

/// Number of quarantined PDUs that are read at once.
const KEPT_PAGE: u32 = 100;

/// The state machine of one context. Each part owns its fields; this file gives each event to its part.
pub struct ContextMachine {
    limits: Arc<ContextLimits>,
    text: Arc<dyn PduText>,
    graph: ContextGraph,
    /// History fetches of readers and of the join.
    history: HistoryFetch,
    /// Fetches of PDUs that a comparison found missing.
    repairs: RepairFetch,
    /// Progress of reading the stage.
    stage: StageReader,
    /// Reads of quarantine since servers became participants.
    quarantine: QuarantineWalks,
    /// True if the context has a row, or one was submitted.
    stored: bool,
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
        let load = load.unwrap_or_else(|| ContextSnapshot {
            record: ContextRecord::new(context, vec![], true),
            held: vec![],
            gaps: vec![],
            links: vec![],
            unfinished: false,
        });
        let (context, join, unfinished) = (load.record.context.clone(), load.record.join.clone(), load.unfinished);
        Self {
            history: HistoryFetch::load(context, limits.clone(), join),
            repairs: RepairFetch::default(),
            graph: ContextGraph::load(us, limits.clone(), text.clone(), load),
            limits,
            text,
            stage: StageReader::default(),
            quarantine: QuarantineWalks::load(unfinished),
            stored,
            unfinished_stored: unfinished,
            armed: None,
        }
    }

    /// Returns those of these PDUs, and those of their parents, whose status is not in memory.
    pub fn refs_to_look_up(&self, pdus: &[Pdu]) -> (Vec<PduRef>, Vec<PduRef>) {
        let is_known = |reference: &PduRef| self.graph.has_in_memory(reference);
        let ours = || pdus.iter().filter(|pdu| pdu.context == self.graph.context);
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
            ContextEvent::Arrive { .. } | ContextEvent::Bridge { .. } | ContextEvent::TakenBack => {
                CommitPriority::Deferred
            }
            _ => CommitPriority::Now,
        };
        let answer = match event {
            ContextEvent::Started => {
                // The previous incarnation may have ended just after it admitted servers, so the quarantine is read again.
                step.take_back = self.stored.then_some((0, 0));
                self.graph.resume(&mut step).await;
                self.stage.read_on(&mut step);
                None
            }
            ContextEvent::Arrive { token, from, verified, pdus, known } => {
                let way = Provenance::arrived(&from, verified);
                let named = self.named_for_repair(&pdus);
                let fates = PduAdmission::new(&mut self.graph, way, &known).admit(&mut step, pdus).await;
                self.repairs.note(&named, &fates);
                Some(PendingReply::Verdicts(token, fates))
            }
            ContextEvent::Readmit { token, from, pdu, known } => {
                let fate = {
                    // An operator's release does not know how the sender was authenticated, so assume the weakest proof.
                    let mut admission = PduAdmission::of_quarantined(&mut self.graph, &from, "network", &known);
                    admission.readmit(&mut step, pdu).await
                };
                Some(PendingReply::Verdict(token, fate))
            }
            ContextEvent::Bridge { token, from, verified, messages } => {
                let mut composer = GroupComposer { graph: &mut self.graph, text: &*self.text, from: &from, verified };
                let verdicts = composer.take(&mut step, messages).await;
                Some(PendingReply::Verdicts(token, verdicts.into_iter().map(PduOutcome::Told).collect()))
            }
            ContextEvent::Compose { token, drafts, reach } => {
                let mut composer = DraftComposer {
                    graph: &mut self.graph,
                    text: &*self.text,
                    reach: &reach,
                    source: DraftSource::Messenger,
                };
                let composed = composer.compose(&mut step, drafts).await;
                Some(PendingReply::Reply(ContextReply::Composed(token, composed)))
            }
            ContextEvent::Participants { token, servers } => {
                let is_new = self.graph.is_new();
                let outcome = self.graph.participants.set(&mut step, servers, is_new, self.stored);
                Some(PendingReply::Reply(ContextReply::Set(token, outcome)))
            }
            ContextEvent::Join { token, via, backfill } => {
                let outcome = self.history.join(&mut step, &mut self.graph, via, backfill);
                Some(PendingReply::Reply(ContextReply::Set(token, outcome)))
            }
            ContextEvent::Older { limit } => {
                self.history.older(&mut step, &self.graph, limit);
                None
            }
            ContextEvent::Repair { token, via, references } => {
                self.repairs.begin(&step, &mut self.graph, token, &via, references);
                None
            }
            ContextEvent::Fetched {
                want: want @ (FetchRequest::State(_) | FetchRequest::History { .. }),
                from,
                pdus,
                failed,
                known,
            } => {
                let pdus = failed.map_or(Ok(pdus), Err);
                self.history.on_response(&mut step, &mut self.graph, &want, &from, pdus, &known).await;
                None
            }
            ContextEvent::Fetched { want, from, pdus, failed: _, known } => {
                let walked = self.graph.on_fetch_ended(now, &want, &from);
                let way = Provenance::fetched(&from, walked);
                let named = self.named_for_repair(&pdus);
                let fates = PduAdmission::new(&mut self.graph, way, &known).admit(&mut step, pdus).await;
                self.repairs.note(&named, &fates);
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
                let known = HashMap::new();
                self.history.on_response(&mut step, &mut self.graph, &want, &from, Err(why), &known).await;
                None
            }
            ContextEvent::PutOff { want, from, why: _ } => {
                let wanted = &mut self.graph.pending.wanted;
                want.named().iter().for_each(|reference| wanted.put_off(now, reference, &from));
                None
            }
            ContextEvent::Declined { want, from, why: _ } => {
                self.graph.on_fetch_declined(now, &want, &from);
                None
            }
            ContextEvent::Intake { open } => {
                self.graph.pending.wanted.intake(now, open);
                None
            }
            ContextEvent::Kept { kept, known, next } => {
                if let Some(kept) = kept {
                    PduAdmission::retry_quarantined(&mut self.graph, &mut step, kept, &known).await;
                }
                step.take_back = next;
                None
            }
            ContextEvent::StageFilled => {
                self.stage.read_on(&mut step);
                None
            }
            ContextEvent::Staged { page, known } => {
                self.stage.take_staged(&mut step, &mut self.graph, page, &known).await;
                None
            }
            ContextEvent::TakenBack => {
                self.quarantine.end();
                None
            }
            ContextEvent::LimitsChanged(limits) => {
                self.graph.change_limits(now, &limits);
                self.history.change_limits(&limits);
                self.limits = limits;
                None
            }
            ContextEvent::Due => {
                self.armed = None;
                None
            }
        };
        self.graph.release_over_limit(&mut step).await;
        self.graph.give_up_due(&mut step).await;
        self.history.go_on(&mut step, &mut self.graph).await;
        self.graph.pending.forget_gaps(&mut step);
        pass_on(&mut step, &self.graph, &*self.text).await;
        self.repairs.settle(&mut step, &self.graph);
        self.finish(step, urgency, answer)
    }

    /// Returns the number of heads, and the number of heads forgotten since the last call.
    pub fn take_head_stats(&mut self) -> (usize, u64) {
        let heads = &mut self.graph.timeline.heads;
        (heads.list().len(), heads.take_forgotten())
    }

    /// Returns whether nothing is held, requested or being read, so that the context may leave memory.
    pub fn is_idle(&self) -> bool {
        !self.stage.is_reading() && self.graph.pending.is_idle() && !self.history.is_open()
    }

    /// Returns the status of the context.
    pub fn status(&self) -> ContextStatus {
        let (pending, heads) = (&self.graph.pending, self.graph.timeline.heads.list());
        let (held, wanted, gaps) = (pending.order.len() as u64, pending.wanted.list(), pending.gaps.list());
        ContextStatus { record: self.record(heads), held, wanted, gaps }
    }

    /// Returns the identities of these PDUs if a repair may wait for one of them.
    fn named_for_repair(&self, pdus: &[Pdu]) -> Vec<PduRef> {
        if self.repairs.is_open() { pdus.iter().map(|pdu| pdu.reference.clone()).collect() } else { vec![] }
    }

    /// Returns the record with these heads.
    fn record(&self, heads: &[Head]) -> ContextRecord {
        let ContextGraph { context, timeline, participants, .. } = &self.graph;
        let (next, depth, history_count) = timeline.counters();
        ContextRecord {
            context: context.clone(),
            participants: participants.servers().to_vec(),
            heads: heads.to_vec(),
            depth,
            next,
            adopted: participants.is_adopted(),
            members: participants.members().to_vec(),
            history_count,
            join: self.history.last_join().cloned(),
        }
    }

    /// Records unfinished work that a restart has to continue.
    fn note_work(&mut self, step: &mut ContextStep<'_>) {
        let unfinished = self.quarantine.is_needed() || self.history.has_open_join();
        if unfinished != self.unfinished_stored {
            self.unfinished_stored = unfinished;
            step.changes.push(Change::ContextWork { context: self.graph.context.clone(), unfinished });
        }
    }

    fn finish(
        &mut self,
        mut step: ContextStep<'_>,
        urgency: CommitPriority,
        owed: Option<PendingReply>,
    ) -> Vec<ContextEffect> {
        if step.admitted {
            self.graph.reschedule_fetches(step.now);
        }
        let has_participants = !self.graph.participants.servers().is_empty();
        step.take_back = self.quarantine.next(step.take_back, step.admitted, has_participants);
        self.note_work(&mut step);
        let fetches = self.graph.start_fetches(step.now);
        let mut effects = vec![];
        self.stored |= step.record_dirty;
        if step.record_dirty {
            step.changes.extend(self.graph.timeline.heads.changed(&self.graph.context));
        }
        let mut changes = self.graph.pending.take_changes(&mut step);
        if step.record_dirty {
            let record = self.record(self.graph.timeline.heads.in_record());
            changes.push(Change::ContextRecordUpdated(Box::new(record)));
        }
        if !changes.is_empty() {
            effects.push(ContextEffect::Commit(changes, urgency));
        }
        if !step.released.is_empty() {
            effects.push(ContextEffect::Release(step.released));
        }
        effects.extend(owed.map(|owed| owed.into_effect(&self.graph.pending.order)));
        for fetch in fetches {
            let (of, cause) = (fetch.of.clone(), fetch.cause.clone());
            let wants = fetch.wants(&self.graph.context, self.limits.history.backfill_max);
            effects.extend(wants.map(|want| ContextEffect::Fetch { of: of.clone(), want, cause: cause.clone() }));
        }
        if let Some(after) = step.take_back {
            let participants = self.graph.participants.servers().to_vec();
            effects.push(ContextEffect::TakeBack { participants, after, limit: KEPT_PAGE });
        }
        effects.extend(step.effects);
        let due = [self.graph.pending.wanted.due(), self.history.due()].into_iter().flatten().min();
        if due != self.armed {
            effects.push(due.map_or(ContextEffect::Disarm, ContextEffect::Arm));
            self.armed = due;
        }
        effects
    }
}

#[cfg(test)]
mod tests;
