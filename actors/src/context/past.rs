//! What is fetched because somebody wants to read it: a conversation we join, and what lies before the edge of one we know.
//!
//! What comes is history and not news. It is stored and delivered at once, whether or not what lies before it is known, and
//! marked so; it stands in the timeline before all that was said here. What it names and nobody gave is the edge from then on.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::change::Change;
use crate::context::admit::Way;
use crate::context::machine::{Effect, Machine};
use crate::context::step::Step;
use crate::model::{
    Counted, FeedItem, Gap, Head, Join, JoinStage, Known, Millis, Pdu, PduRef, Refusal, ServerName, Want,
};

/// PDUs one question names.
const NAMED_MAX: usize = 20;

/// Servers asked for what lies further back; see the same for missing parents.
const CANDIDATES_MAX: usize = 16;

/// What is being fetched of the past.
#[derive(Default)]
pub(super) struct Past {
    asking: Option<Asking>,
    /// The most PDUs that a waiting history read lacks; `None`: no read waits.
    lacking: Option<u32>,
    /// Not before this is a server that did not answer asked again ...
    again: Option<Millis>,
    /// ... which it was so often.
    tries: u32,
    /// Edges that the server we join by knows nothing of: the join does not ask it for them again.
    barren: HashSet<PduRef>,
    /// How deep the PDUs lie that name an edge, in the words of their origins: the newest edge is asked for first.
    ranks: HashMap<PduRef, u64>,
    /// Places for what is being delivered.
    places: Range<i64>,
}

/// The question under way.
struct Asking {
    of: ServerName,
    want: Want,
    purpose: Purpose,
    /// An actor may die with a request in hand: until then an answer is waited for.
    until: Millis,
}

/// Why a server is asked for the past.
enum Purpose {
    /// A join goes on.
    Join,
    /// History reads wait.
    Read {
        /// Whom to ask next, the last first, where this one has nothing.
        then: Vec<ServerName>,
        /// How many PDUs are wanted.
        limit: u32,
    },
}

impl Past {
    /// When something is to be done next.
    pub(super) fn due(&self) -> Option<Millis> {
        [self.asking.as_ref().map(|asking| asking.until), self.again].into_iter().flatten().min()
    }
}

impl Machine {
    /// Something of the past is still to come, or waited for.
    pub(super) fn is_after_the_past(&self) -> bool {
        self.past.asking.is_some() || self.has_open_join()
    }

    pub(super) fn has_open_join(&self) -> bool {
        self.open_join().is_some()
    }

    fn open_join(&self) -> Option<&Join> {
        self.record.join.as_ref().filter(|join| join.stage.is_open())
    }

    /// Our messenger joins: whoever is to tell us takes part.
    pub(super) fn join(&mut self, step: &mut Step<'_>, via: ServerName, backfill: u32) -> Result<(), Refusal> {
        let participants = &mut self.record.participants;
        if !participants.contains(&via) {
            let max = self.limits.participants_max;
            if participants.len() >= max as usize {
                return Err(Refusal::TooManyParticipants { count: participants.len() + 1, max });
            }
            participants.push(via.clone());
            step.admitted = true;
        }
        self.record.adopted = false;
        self.record.join = Some(Join { via, left: backfill, came: 0, stage: JoinStage::State, reason: None });
        (self.past.tries, self.past.again) = (0, None);
        self.past.barren.clear();
        // The answer to what an earlier join has asked is not this one's.
        self.past.asking.take_if(|asking| matches!(asking.purpose, Purpose::Join));
        step.moved = true;
        Ok(())
    }

    /// A history read waits. It is answered by the next question that ends, whoever asked it: one that is under way may bring
    /// what the read lacks.
    pub(super) fn older(&mut self, step: &mut Step<'_>, limit: u32) {
        self.past.lacking = self.past.lacking.max(Some(limit));
        if self.past.asking.is_none() {
            self.read_on(step);
        }
    }

    /// Ask those who take part, one after the other, for what the waiting history reads lack.
    fn read_on(&mut self, step: &mut Step<'_>) {
        let Some(limit) = self.past.lacking else { return };
        let mut servers: Vec<ServerName> = self.record.participants.clone();
        servers.truncate(CANDIDATES_MAX);
        servers.reverse();
        self.ask_next(step, servers, limit);
    }

    /// Ask the last of these; without any, or without an edge, nothing comes.
    fn ask_next(&mut self, step: &mut Step<'_>, mut then: Vec<ServerName>, limit: u32) {
        // What the server we join by does not have, another may.
        let from = self.edges(|_| true);
        match then.pop().filter(|_| !from.is_empty()) {
            Some(of) => {
                let limit = limit.clamp(1, self.limits.history.backfill_max);
                let want = Want::History { context: self.record.context.clone(), from, limit };
                self.ask_past(step, of, want, Purpose::Read { then, limit });
            }
            None => self.answer_reads(step, 0),
        }
    }

    fn ask_past(&mut self, step: &mut Step<'_>, of: ServerName, want: Want, purpose: Purpose) {
        let until = step.now.after(self.limits.gap.give_up);
        self.past.asking = Some(Asking { of: of.clone(), want: want.clone(), purpose, until });
        step.effects.push(Effect::Fetch { of: of.clone(), want, cause: of });
    }

    fn answer_reads(&mut self, step: &mut Step<'_>, came: u64) {
        if self.past.lacking.take().is_some() {
            step.effects.push(Effect::AnswerReads(came));
        }
    }

    /// Where the past begins that we do not have, the newest first; those that may be asked for.
    fn edges(&self, may_ask: impl Fn(&PduRef) -> bool) -> Vec<PduRef> {
        let mut edges: Vec<&PduRef> = self.gaps.edges().filter(|edge| may_ask(edge)).collect();
        edges.sort_by_key(|edge| std::cmp::Reverse(self.past.ranks.get(edge).copied().unwrap_or(0)));
        edges.into_iter().take(NAMED_MAX).cloned().collect()
    }

    /// Go on with what is to be fetched, at the end of each step.
    pub(super) fn pursue_past(&mut self, step: &mut Step<'_>) {
        if let Some(silent) = self.past.asking.take_if(|asking| asking.until <= step.now) {
            let why = "it has not answered within contexts.gap.give_up".to_owned();
            self.question_ended(step, silent, Err(why), &HashMap::new());
        }
        if self.past.asking.is_some() || self.past.again.is_some_and(|again| again > step.now) {
            return;
        }
        self.past.again = None;
        let Some(Join { via, left, stage, .. }) = self.open_join().cloned() else { return };
        let context = self.record.context.clone();
        let from = self.edges(|edge| !self.past.barren.contains(edge));
        match stage {
            JoinStage::State => self.ask_past(step, via, Want::State(context), Purpose::Join),
            _ if left == 0 || from.is_empty() => self.join_moves(step, |join| join.stage = JoinStage::Done),
            _ => {
                let limit = left.min(self.limits.history.backfill_max);
                self.ask_past(step, via, Want::History { context, from, limit }, Purpose::Join);
            }
        }
    }

    fn join_moves(&mut self, step: &mut Step<'_>, change: impl FnOnce(&mut Join)) {
        if let Some(join) = &mut self.record.join {
            change(join);
            step.moved = true;
        }
    }

    /// A question about the past has its answer, or none.
    pub(super) fn past_came(
        &mut self,
        step: &mut Step<'_>,
        want: &Want,
        from: &ServerName,
        pdus: Result<Vec<Pdu>, String>,
        known: &HashMap<PduRef, Known>,
    ) {
        let is_awaited = |asking: &mut Asking| asking.of == *from && asking.want == *want;
        match self.past.asking.take_if(is_awaited) {
            Some(asking) => self.question_ended(step, asking, pdus, known),
            // It comes after its time; what it brings is welcome all the same.
            None => {
                self.admit_past(step, from, pdus.unwrap_or_default(), known);
            }
        }
    }

    /// The question under way has its answer, or will have none.
    fn question_ended(
        &mut self,
        step: &mut Step<'_>,
        asking: Asking,
        pdus: Result<Vec<Pdu>, String>,
        known: &HashMap<PduRef, Known>,
    ) {
        let Asking { of, want, purpose, .. } = asking;
        let (pdus, failed) = match pdus {
            Ok(pdus) => (pdus, None),
            Err(why) => (vec![], Some(why)),
        };
        let came = self.admit_past(step, &of, pdus, known);
        match purpose {
            Purpose::Read { .. } if came > 0 => self.answer_reads(step, came),
            Purpose::Read { then, limit } => self.ask_next(step, then, limit),
            Purpose::Join => {
                match failed {
                    Some(why) => self.join_waits(step, why),
                    None => self.join_goes_on(step, want, came),
                }
                // History reads that came meanwhile have waited for it. Where it brought nothing, others are asked before the
                // join goes on; so neither keeps the other waiting for longer than one round.
                match came {
                    0 => self.read_on(step),
                    came => self.answer_reads(step, came),
                }
            }
        }
    }

    /// The server we join by has answered.
    fn join_goes_on(&mut self, step: &mut Step<'_>, want: Want, came: u64) {
        self.past.tries = 0;
        let mut taken = 0;
        if let Want::History { from, .. } = want {
            taken = u32::try_from(came).unwrap_or(u32::MAX);
            if came == 0 {
                self.past.barren.extend(from);
            }
        }
        self.join_moves(step, |join| {
            (join.stage, join.reason) = (JoinStage::History, None);
            join.came += came;
            join.left = join.left.saturating_sub(taken);
        });
    }

    /// The server that is to tell us has not answered: it is asked again, and in the end no more.
    fn join_waits(&mut self, step: &mut Step<'_>, why: String) {
        self.past.tries += 1;
        let tries = self.past.tries;
        if tries >= self.limits.gap.tries_max {
            if let Some(Join { via, came, .. }) = &self.record.join {
                let text = format!(
                    "joining {} by {via} has failed after {} (contexts.gap.tries_max), when {} had come: {why}; \
                     see that {via} counts us among the participants and can be reached, then join again",
                    self.record.context,
                    Counted(tries.into(), "attempt"),
                    Counted(*came, "PDU")
                );
                step.changes.push(Change::Fed(FeedItem::Notice { text, server: Some(via.clone()) }));
            }
            return self.join_moves(step, |join| (join.stage, join.reason) = (JoinStage::Failed, Some(why)));
        }
        self.join_moves(step, |join| join.reason = Some(why));
        let pause = self.limits.gap.grace.saturating_mul(1 << self.past.tries.min(16));
        self.past.again = Some(step.now.after(pause));
    }

    /// Take in what is history; how many PDUs that is.
    fn admit_past(
        &mut self,
        step: &mut Step<'_>,
        from: &ServerName,
        pdus: Vec<Pdu>,
        known: &HashMap<PduRef, Known>,
    ) -> u64 {
        let way = Way { from, verified: None, walked: 0, past: true };
        let (mut taken, mut ends): (Vec<PduRef>, Vec<(PduRef, Option<u64>)>) = (vec![], vec![]);
        for pdu in pdus {
            let (reference, claimed) = (pdu.reference.clone(), pdu.depth.unwrap_or(0));
            if taken.contains(&reference) || self.judge_past(step, from, &pdu, known).is_err() {
                continue;
            }
            if !pdu.is_for(&self.us) {
                self.know_by_name(step, pdu, known);
                continue;
            }
            if pdu.to.is_none() {
                ends.push((reference.clone(), pdu.depth));
            }
            for parent in &pdu.prev {
                let rank = self.past.ranks.entry(parent.clone()).or_default();
                *rank = (*rank).max(claimed);
            }
            self.hold(step, way, pdu, known, true);
            taken.push(reference);
        }
        for reference in &taken {
            self.link_past(step, reference, &taken, 1);
        }
        let count = i64::try_from(taken.len()).unwrap_or(0);
        let lowest = 1 - i64::try_from(self.record.past).unwrap_or(i64::MAX) - count;
        self.past.places = lowest..lowest + count;
        self.record.past += taken.len() as u64;
        self.deliver(step);
        let ranks = std::mem::take(&mut self.past.ranks);
        self.past.ranks = ranks.into_iter().filter(|(edge, _)| self.gaps.is_edge(edge)).collect();
        self.begin_heads(step, ends);
        taken.len() as u64
    }

    /// It waits for those it came with. What else it names and is not here is the edge.
    pub(super) fn link_past(&mut self, step: &Step<'_>, reference: &PduRef, taken: &[PduRef], generation: u32) {
        let Some(waiting) = self.order.get(reference) else { return };
        let elsewhere = waiting.missing.iter().filter(|parent| !taken.contains(parent));
        for parent in elsewhere.cloned().collect::<Vec<_>>() {
            if !self.order.holds(&parent) && !self.wanted.contains(&parent) && self.gaps.get(&parent).is_none() {
                self.gaps.give_up(parent.clone(), true);
            }
            // What history names is history; held, it is delivered in this step.
            self.becomes_history(step, &parent, generation);
            if self.order.get(&parent).is_some_and(|waiting| waiting.history) {
                continue;
            }
            self.wanted.note_past(&parent);
            self.order.waits_not(reference, &parent);
        }
        self.settle_past(step, reference, generation);
    }

    fn settle_past(&mut self, step: &Step<'_>, reference: &PduRef, generation: u32) {
        let waiting = self.order.get(reference);
        let link = waiting.and_then(|waiting| Some((waiting.link.clone()?, waiting.state.as_ref()?.0.clone())));
        if let Some((replaced, key)) = link {
            let sender = waiting.and_then(|waiting| waiting.sender.clone());
            self.seek(step, &replaced, &key, sender.as_ref(), generation);
            self.wanted.note_old(&replaced);
        }
        self.order.settle(reference);
    }

    /// Where nothing was ever said here as news, what we say next follows the newest of what came. Of the PDUs of a state it is not
    /// known how they lie among the messages; there the depth that their origins state tells, which moves no order here.
    fn begin_heads(&mut self, step: &mut Step<'_>, came: Vec<(PduRef, Option<u64>)>) {
        if self.record.next > 1 && !self.record.heads.is_empty() {
            return;
        }
        let head = |(reference, stated): (PduRef, Option<u64>)| {
            let depth = self.recent.get(&reference).map_or(0, |(depth, _)| *depth);
            Head::of(reference, depth, stated)
        };
        let newest = came.into_iter().map(head).max_by_key(|head| (head.emitted, head.depth));
        let before = self.record.heads.iter().map(|head| head.emitted).max();
        if let Some(newest) = newest.filter(|newest| Some(newest.emitted) > before) {
            self.record.heads = vec![newest];
            step.moved = true;
        }
    }

    /// History names it, and it is looked for no more: whoever reads goes on there.
    pub(super) fn end_past(&mut self, missing: PduRef) {
        if self.gaps.get(&missing).is_none() {
            self.gaps.give_up(missing, true);
        }
    }

    /// What was fetched for its state names these, and they are not here: whoever reads goes on there. It is written beside the
    /// gaps, as an edge that nothing was delivered without.
    pub(super) fn bookmark(&mut self, behind: Vec<PduRef>) {
        for parent in behind {
            // What a held child waits for is told when it is given up.
            let is_awaited = self.wanted.contains(&parent) && !self.wanted.is_for_state(&parent);
            let is_here = self.recent.get(&parent).is_some() || self.order.holds(&parent);
            if !is_here && !is_awaited && self.gaps.get(&parent).is_none() {
                self.gaps.give_up(parent, true);
            }
        }
    }

    /// Whether it is missing only to whoever reads: news that names it waits for it as for any other, and it is news itself
    /// should it come by itself.
    pub(super) fn is_bookmark(&self, reference: &PduRef) -> bool {
        let is_bare = |gap: &Gap| gap.edge && gap.children.is_empty();
        self.gaps.get(reference).is_some_and(is_bare) && !self.order.is_left_out(reference)
    }

    /// The next place for what came as history: a batch stands in its order, before all that came earlier.
    pub(super) fn past_position(&mut self, step: &mut Step<'_>) -> i64 {
        step.moved = true;
        self.past.places.next().unwrap_or_else(|| {
            self.record.past += 1;
            1 - i64::try_from(self.record.past).unwrap_or(i64::MAX)
        })
    }
}

#[cfg(test)]
mod tests;
