//! A conversation's machine: PDUs in, in any order; deliveries out, no PDU before a PDU it names as a parent.
//!
//! The life of a PDU: unknown -> held (some parents are not delivered) -> ready -> delivered. A missing parent is waited for
//! briefly, then asked for; when everybody was asked for long enough it is given up, and its children are delivered with a
//! gap. Nothing is ever silently skipped or reordered.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::change::{Change, Urgency};
use crate::context::admit::Way;
pub use crate::context::event::{Effect, Event, Reach, Reply, Token};
use crate::context::for_state::Walked;
use crate::context::gaps::Gaps;
use crate::context::heads;
use crate::context::keys::Reads;
use crate::context::links::Links;
use crate::context::order::{Order, Waiting};
use crate::context::past::Past;
use crate::context::recent::Recent;
use crate::context::staged::StageReader;
use crate::context::step::{Owed, Step};
use crate::context::wanted::{Circle, Wanted};
use crate::limits::ContextLimits;
use crate::model::{
    ContextId, ContextLoad, ContextRecord, ContextStatus, Head, Hold, Millis, Pdu, PduRef, PduText, Refusal,
    ServerName, StateKey, StatePiece, Want,
};

/// PDUs taken back from quarantine at once.
const KEPT_PAGE: u32 = 100;

/// Open ends that the record holds on disk, which is written whole with each commit; further ones have rows of their own.
const HEADS_IN_RECORD: usize = 100;

/// Delivered PDUs remembered, so that parents are normally found without a look-up.
const REFERENCES_KEPT: usize = 1024;

/// State keys whose holder is remembered, so that a plain replacement reads nothing.
const KEYS_KEPT: usize = 1024;

/// The machine of one conversation.
pub struct Machine {
    pub(super) us: ServerName,
    pub(super) limits: Arc<ContextLimits>,
    pub(super) text: Arc<dyn PduText>,
    pub(super) record: ContextRecord,
    /// The record has a row, or was handed over.
    stored: bool,
    pub(super) order: Order,
    pub(super) wanted: Wanted,
    pub(super) gaps: Gaps,
    /// Delivered lately, with their depths, and whether they came as history.
    pub(super) recent: Recent<PduRef, (u64, bool)>,
    /// State PDUs that are named as replaced and were not delivered.
    pub(super) links: Links,
    /// Who holds the keys that were looked at lately.
    pub(super) holders: Recent<StateKey, Option<StatePiece>>,
    /// Open ends that have rows of their own.
    spilled: BTreeSet<PduRef>,
    /// Open ends that were forgotten, and not told of yet.
    forgotten: u64,
    /// What is being fetched because somebody wants to read it.
    pub(super) past: Past,
    /// How far the stage is read.
    pub(super) stage: StageReader,
    /// Walks through quarantine that have not ended.
    take_backs: u32,
    /// Servers were let in, and quarantine was not looked through to its end since.
    let_in: bool,
    /// The disk says that there is unfinished work.
    unfinished_stored: bool,
    /// What the shell's timer is set to.
    armed: Option<Millis>,
}

impl Machine {
    /// The machine as the store left it; a conversation nobody has heard of is one that its first PDU will begin.
    pub fn new(
        context: ContextId,
        us: ServerName,
        limits: Arc<ContextLimits>,
        text: Arc<dyn PduText>,
        load: Option<ContextLoad>,
    ) -> Self {
        let stored = load.is_some();
        let new = || ContextRecord::new(context, vec![], true);
        let load = load.unwrap_or_else(|| ContextLoad {
            record: new(),
            held: vec![],
            gaps: vec![],
            links: vec![],
            unfinished: false,
        });
        let mut recent = Recent::new(REFERENCES_KEPT);
        load.record.heads.iter().for_each(|head| recent.insert(head.reference.clone(), (head.depth, false)));
        let mut order = Order::default();
        for held in load.held {
            let (prev, sender, state) = (held.prev, held.sender, held.state);
            let Hold { missing, edge, depth, for_state } = held.hold;
            // A link that was lacking when it came is among the links; one that came since is not.
            let (narrowed, stated, behind) = (held.narrowed, held.stated, vec![]);
            let waiting = Waiting {
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
                behind,
            };
            order.insert(held.reference, waiting);
        }
        let (wanted, gaps, links) = (Wanted::new(limits.gap), Gaps::load(load.gaps), Links::load(load.links));
        let (record, holders) = (load.record, Recent::new(KEYS_KEPT));
        let spilled = record.heads.iter().skip(HEADS_IN_RECORD).map(|head| head.reference.clone()).collect();
        let past = Past::default();
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
            links,
            holders,
            spilled,
            forgotten: 0,
            past,
            stage: StageReader::default(),
            take_backs: 0,
            let_in: load.unfinished,
            unfinished_stored: load.unfinished,
            armed: None,
        }
    }

    /// Which of these PDUs, and which of their parents, the machine cannot tell about from memory.
    pub fn unknown(&self, pdus: &[Pdu]) -> (Vec<PduRef>, Vec<PduRef>) {
        let is_known = |reference: &PduRef| self.recent.get(reference).is_some() || self.order.holds(reference);
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

    /// One step.
    pub fn step(&mut self, now: Millis, event: Event, reads: &dyn Reads) -> Vec<Effect> {
        let mut step = Step::new(now, reads);
        // A peer's actor commits right after an arrival, and that commit holds both; nobody waits for the end of a walk.
        let urgency = match event {
            Event::Arrive { .. } | Event::TakenBack => Urgency::Rides,
            _ => Urgency::Now,
        };
        let answer = match event {
            Event::Started => {
                self.resume(&mut step);
                self.read_stage(&mut step);
                None
            }
            Event::Arrive { token, from, verified, pdus, known } => {
                let fates = self.admit(
                    &mut step,
                    Way { from: &from, verified: Some(verified), walked: 0, past: false },
                    pdus,
                    &known,
                );
                Some(Owed::Verdicts(token, fates))
            }
            Event::Readmit { token, from, pdu, known } => {
                let fates = self.readmit(&mut step, &from, pdu, &known);
                Some(Owed::Verdicts(token, fates))
            }
            Event::Compose { token, drafts, reach } => {
                let composed = self.compose(&mut step, drafts, &reach);
                Some(Owed::Reply(token, Reply::Composed(composed)))
            }
            Event::Participants { token, servers } => {
                Some(Owed::Reply(token, Reply::Set(self.set_participants(&mut step, servers))))
            }
            Event::Join { token, via, backfill } => {
                Some(Owed::Reply(token, Reply::Set(self.join(&mut step, via, backfill))))
            }
            Event::Older { limit } => {
                self.older(&mut step, limit);
                None
            }
            Event::Fetched { want: want @ (Want::State(_) | Want::History { .. }), from, pdus, failed, known } => {
                self.past_came(&mut step, &want, &from, failed.map_or(Ok(pdus), Err), &known);
                None
            }
            Event::Fetched { want, from, pdus, failed: _, known } => {
                let walked = self.wanted.generation(want.named());
                // One that could not be asked is heard too: it is asked again in the next round, and what it may have is
                // given up only when the time for that has passed.
                for reference in want.named() {
                    self.wanted.heard(now, reference, &from, circle(&self.us, &self.record, &self.limits));
                }
                self.admit(&mut step, Way { from: &from, verified: None, walked, past: false }, pdus, &known);
                None
            }
            Event::PutOff { want: want @ (Want::State(_) | Want::History { .. }), from, why } => {
                self.past_came(&mut step, &want, &from, Err(why), &HashMap::new());
                None
            }
            Event::PutOff { want, from, why: _ } => {
                for reference in want.named() {
                    self.wanted.put_off(now, reference, &from);
                }
                None
            }
            Event::Intake { open } => {
                self.wanted.intake(now, open);
                None
            }
            Event::Kept { kept, known, next } => {
                if let Some(kept) = kept {
                    self.take_back(&mut step, kept, &known);
                }
                step.take_back = next;
                None
            }
            Event::StageFilled => {
                self.read_stage(&mut step);
                None
            }
            Event::Staged { page, known } => {
                self.take_staged(&mut step, page, &known);
                None
            }
            Event::TakenBack => {
                self.take_backs = self.take_backs.saturating_sub(1);
                self.let_in &= self.take_backs > 0;
                None
            }
            Event::Due => {
                self.armed = None;
                None
            }
        };
        self.release_over_limit(&mut step);
        self.give_up_due(&mut step);
        self.pursue_past(&mut step);
        for missing in self.gaps.forget(self.limits.gap.kept_max as usize) {
            step.changes.push(Change::GapClosed { context: self.record.context.clone(), missing });
        }
        self.finish(step, urgency, answer)
    }

    /// A PDU was delivered, and is an open end where `head` says so.
    pub(super) fn advance_heads(&mut self, named: &[PduRef], head: Option<Head>) {
        let max = self.limits.heads_max as usize;
        self.forgotten += u64::from(heads::advance(&mut self.record.heads, named, head, max));
    }

    /// How many open ends there are, and how many were forgotten since this was asked last.
    pub fn take_ends(&mut self) -> (usize, u64) {
        (self.record.heads.len(), std::mem::take(&mut self.forgotten))
    }

    /// Nothing is held, asked for or being read: it may leave memory.
    pub fn is_idle(&self) -> bool {
        !self.stage.is_reading() && self.order.len() == 0 && self.wanted.is_empty() && !self.is_after_the_past()
    }

    /// The conversation as others see it.
    pub fn status(&self) -> ContextStatus {
        let (held, wanted, gaps) = (self.order.len() as u64, self.wanted.list(), self.gaps.list());
        ContextStatus { record: self.record.clone(), held, wanted, gaps }
    }

    /// Nothing was ever taken, and our messenger has not named it: what comes first begins it.
    pub(super) fn is_new(&self) -> bool {
        let record = &self.record;
        let untouched = record.participants.is_empty() && record.next == 1;
        record.adopted && untouched && self.order.len() == 0 && self.gaps.is_empty()
    }

    /// It was joined, and nothing was said in it since: what the first PDU names and the past did not bring is the edge.
    pub(super) fn is_just_joined(&self) -> bool {
        self.record.join.is_some() && self.record.next == 1 && self.order.len() == 0
    }

    /// What the former life waited for is waited for anew.
    fn resume(&mut self, step: &mut Step<'_>) {
        for reference in self.order.list() {
            let prev = self.order.get(&reference).map(|waiting| waiting.prev.clone()).unwrap_or_default();
            for parent in prev.iter().filter(|parent| self.gaps.get(parent).is_some()) {
                self.order.leaves_without(&reference, parent);
            }
            self.link(step, &reference, Walked::NONE);
        }
        // What a former life did not come to: servers that were let in just before it ended.
        step.take_back = self.stored.then_some((0, 0));
        for missing in self.links.list_sought() {
            if !self.order.holds(&missing) {
                self.wanted.want_link(step.now, &missing, None, 1);
            }
        }
        self.deliver(step);
    }

    fn set_participants(&mut self, step: &mut Step<'_>, servers: Vec<ServerName>) -> Result<(), Refusal> {
        let mut seen = HashSet::from([self.us.clone()]);
        let servers: Vec<ServerName> = servers.into_iter().filter(|server| seen.insert(server.clone())).collect();
        let max = self.limits.participants_max;
        if servers.len() > max as usize {
            return Err(Refusal::TooManyParticipants { count: servers.len(), max });
        }
        let adopted = self.record.adopted && !self.is_new();
        let is_other = self.record.participants != servers;
        step.admitted = servers.iter().any(|server| !self.record.participants.contains(server));
        step.moved |= !self.stored || is_other || self.record.adopted != adopted;
        self.record.adopted = adopted;
        self.record.participants = servers;
        Ok(())
    }

    /// The disk learns which open ends have rows of their own now: mostly none.
    fn spill_heads(&mut self, step: &mut Step<'_>) {
        let beyond = self.record.heads.get(HEADS_IN_RECORD..).unwrap_or_default();
        if beyond.is_empty() && self.spilled.is_empty() {
            return;
        }
        let now: BTreeSet<PduRef> = beyond.iter().map(|head| head.reference.clone()).collect();
        let added: Vec<Head> = beyond.iter().filter(|head| !self.spilled.contains(&head.reference)).cloned().collect();
        let gone: Vec<PduRef> = self.spilled.difference(&now).cloned().collect();
        self.spilled = now;
        if !added.is_empty() || !gone.is_empty() {
            step.changes.push(Change::HeadsMoved { context: self.record.context.clone(), added, gone });
        }
    }

    /// Work that a restart has to go on with is on disk as long as there is any.
    fn note_work(&mut self, step: &mut Step<'_>) {
        let unfinished = self.let_in || self.has_open_join();
        if unfinished != self.unfinished_stored {
            self.unfinished_stored = unfinished;
            step.changes.push(Change::ContextWork { context: self.record.context.clone(), unfinished });
        }
    }

    fn finish(&mut self, mut step: Step<'_>, urgency: Urgency, owed: Option<Owed>) -> Vec<Effect> {
        if step.admitted {
            self.wanted.ask_anew(step.now, circle(&self.us, &self.record, &self.limits));
            // This walk replaces one that would have gone on, so that both together end once.
            self.take_backs -= u32::from(self.take_backs > 0 && step.take_back.is_some_and(|next| next != (0, 0)));
            step.take_back = Some((0, 0));
            self.let_in = true;
        }
        step.take_back = step.take_back.filter(|_| !self.record.participants.is_empty());
        self.take_backs += u32::from(step.take_back == Some((0, 0)));
        self.let_in &= self.take_backs > 0;
        self.note_work(&mut step);
        let asks = self.wanted.ask(step.now, circle(&self.us, &self.record, &self.limits));
        let mut effects = vec![];
        self.stored |= step.moved;
        if step.moved {
            self.spill_heads(&mut step);
        }
        let changes =
            step.take_changes(&self.record, &mut self.order, &mut self.gaps, &mut self.links, HEADS_IN_RECORD);
        if !changes.is_empty() {
            effects.push(Effect::Commit(changes, urgency));
        }
        if !step.released.is_empty() {
            effects.push(Effect::Release(step.released));
        }
        effects.extend(owed.map(|owed| owed.into_effect(&self.order)));
        for ask in asks {
            let (of, cause) = (ask.of.clone(), ask.cause.clone());
            let wants = ask.wants(&self.record.context, self.limits.history.backfill_max);
            effects.extend(wants.map(|want| Effect::Fetch { of: of.clone(), want, cause: cause.clone() }));
        }
        if let Some(after) = step.take_back {
            let participants = self.record.participants.clone();
            effects.push(Effect::TakeBack { participants, after, limit: KEPT_PAGE });
        }
        effects.extend(step.effects);
        let due = [self.wanted.due(), self.past.due()].into_iter().flatten().min();
        if due != self.armed {
            effects.push(due.map_or(Effect::Disarm, Effect::Arm));
            self.armed = due;
        }
        effects
    }
}

/// The servers that may have what is missing.
pub(super) fn circle<'a>(us: &'a ServerName, record: &'a ContextRecord, limits: &ContextLimits) -> Circle<'a> {
    Circle { us, participants: &record.participants, open: limits.open }
}

#[cfg(test)]
mod tests;
