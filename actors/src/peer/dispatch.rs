//! One batch of a peer on its way through the conversations: which PDUs go where, what each got, and what is done about a
//! conversation that dies on them.
//!
//! A conversation that dies takes the answer with it: the peer is told to come again. When the same PDUs come again they go
//! one by one, so that the second death names the one that kills; that one goes to quarantine and counts as received. A
//! conversation that has been given up sends its PDUs there at once: it costs itself, never the link.
//!
//! A conversation that is too busy to take its PDUs in time costs nobody anything: they are staged, that is, stored with the
//! batch, and it takes them from there. Only where its stage is full is the batch given back.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{ContextId, ParkedCode, Pdu, PduRef, Refusal, Verdict};

/// Why a conversation has no verdicts for what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// It died: what it was given may or may not be on its way to the disk.
    Died,
    /// It did not answer in time, or was not reached: it may be starting again, or wait for a slow disk. That is no death, and
    /// says nothing about what it was given, which may or may not be on its way.
    Late,
    /// It has been given up.
    Faulty,
    /// It has too much to do; nothing was taken.
    Busy(Refusal),
    /// One of the two before, and its stage can be had.
    Slow(Stage),
}

/// The stage of a conversation, as far as it concerns one peer and the PDUs of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// PDUs of the peer that lie there.
    pub count: u64,
    /// How many may.
    pub max: u64,
    /// Those of the group that lie there already.
    pub staged: Vec<PduRef>,
}

impl Stage {
    /// Nothing of the peer lies there.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether a group of so many fits in. An empty stage takes any group: a larger one could never be taken else.
    pub fn has_room(&self, pdus: usize) -> bool {
        let new = pdus.saturating_sub(self.staged.len()) as u64;
        self.is_empty() || self.count.saturating_add(new) <= self.max
    }
}

/// When to come again to a full stage: it empties page by page once its conversation has time.
const STAGE_WAIT: Duration = Duration::from_secs(5);

/// PDUs for one conversation, by their place in the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Which conversation.
    pub context: ContextId,
    /// The places, ascending.
    pub places: Vec<usize>,
}

/// Conversations of a batch that nobody here has heard of.
#[derive(Debug, Clone, Default)]
pub struct Strange {
    /// Which ones, in the order of the batch.
    pub contexts: Vec<ContextId>,
    /// How many the peer may begin in all.
    pub most: u64,
}

/// PDUs a conversation has died on, and how often, the oldest suspicion first. Bounded: that one is dropped.
#[derive(Debug, Clone, Default)]
pub struct Suspects(VecDeque<(PduRef, u32)>);

const SUSPECTS_MAX: usize = 256;
/// The death that convicts.
const DEATHS: u32 = 2;

impl Suspects {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn deaths(&self, reference: &PduRef) -> u32 {
        self.0.iter().find(|(other, _)| other == reference).map_or(0, |(_, deaths)| *deaths)
    }

    fn holds(&self, reference: &PduRef) -> bool {
        self.deaths(reference) > 0
    }

    /// It lies in quarantine: given to its conversation once more, it would only kill it once more.
    fn convicted(&self, reference: &PduRef) -> bool {
        self.deaths(reference) >= DEATHS
    }

    /// One more death; tells whether it convicts.
    fn died_on(&mut self, reference: &PduRef, alone: bool) -> bool {
        let before = self.deaths(reference);
        let deaths = if alone { before + 1 } else { before.max(1) };
        match self.0.iter_mut().find(|(other, _)| other == reference) {
            Some(suspect) => suspect.1 = deaths,
            None => {
                if self.0.len() >= SUSPECTS_MAX {
                    self.0.pop_front();
                }
                self.0.push_back((reference.clone(), deaths));
            }
        }
        deaths >= DEATHS
    }

    fn cleared(&mut self, reference: &PduRef) {
        self.0.retain(|(other, _)| other != reference);
    }
}

/// The state of one batch.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// By place in the batch; `None`: not given to a conversation, or not back yet.
    verdicts: Vec<Option<Verdict>>,
    out: Vec<Group>,
    /// Suspects, to go one at a time.
    later: VecDeque<Group>,
    /// Why the batch is given back, where it is.
    give_back: Option<Refusal>,
    /// PDUs the peer's actor itself puts into quarantine, and why.
    parked: Vec<(usize, ParkedCode)>,
    /// PDUs that are staged.
    staged: Vec<usize>,
}

impl Dispatch {
    /// A batch of `count` entries of which these are PDUs to dispatch.
    pub fn new<'a>(count: usize, pdus: impl Iterator<Item = (usize, &'a Pdu)>, suspects: &Suspects) -> Self {
        let (mut out, mut later): (Vec<Group>, VecDeque<Group>) = Default::default();
        let mut verdicts = vec![None; count];
        for (place, pdu) in pdus {
            let context = &pdu.context;
            if suspects.convicted(&pdu.reference) {
                verdicts[place] = Some(Verdict::Parked { code: ParkedCode::Poison.as_str() });
            } else if suspects.holds(&pdu.reference) {
                later.push_back(Group { context: context.clone(), places: vec![place] });
            } else if let Some(group) = out.iter_mut().find(|group| group.context == *context) {
                group.places.push(place);
            } else {
                out.push(Group { context: context.clone(), places: vec![place] });
            }
        }
        Self { verdicts, out, later, give_back: None, parked: vec![], staged: vec![] }
    }

    /// The entry at this place goes to no conversation: this is what it gets.
    pub fn settle(&mut self, place: usize, verdict: Verdict) {
        self.verdicts[place] = Some(verdict);
    }

    /// What to give to conversations first: everything but the suspects, or the first suspect.
    pub fn begin(&mut self) -> Vec<Group> {
        if self.out.is_empty() {
            self.out.extend(self.later.pop_front());
        }
        self.out.clone()
    }

    /// A group came back. Returns what to give out next.
    pub fn back<'a>(
        &mut self,
        group: &Group,
        outcome: Result<Vec<Verdict>, Undone>,
        reference: impl Fn(usize) -> &'a PduRef,
        suspects: &mut Suspects,
    ) -> Option<Group> {
        self.out.retain(|other| other != group);
        match outcome {
            Ok(verdicts) => {
                for (&place, verdict) in group.places.iter().zip(verdicts) {
                    suspects.cleared(reference(place));
                    self.verdicts[place] = Some(verdict);
                }
            }
            Err(Undone::Faulty) => group.places.iter().for_each(|&place| self.park(place, ParkedCode::ContextFaulty)),
            Err(Undone::Busy(refusal)) => self.give_back = Some(refusal),
            Err(Undone::Late) => self.give_back = Some(Refusal::OutcomeUnknown),
            Err(Undone::Slow(stage)) => self.stage(group, &stage, reference),
            Err(Undone::Died) => {
                let alone = group.places.len() == 1;
                for &place in &group.places {
                    if suspects.died_on(reference(place), alone) && alone {
                        self.park(place, ParkedCode::Poison);
                    } else {
                        self.give_back = Some(Refusal::OutcomeUnknown);
                    }
                }
            }
        }
        if !self.out.is_empty() || self.give_back.is_some() {
            return None;
        }
        let next = self.later.pop_front()?;
        self.out.push(next.clone());
        Some(next)
    }

    /// What it was to be given one by one goes there, too: it takes each by itself where it has died on several.
    fn stage<'a>(&mut self, group: &Group, stage: &Stage, reference: impl Fn(usize) -> &'a PduRef) {
        let is_of_it = |other: &Group| other.context == group.context;
        let (of_it, later): (VecDeque<Group>, VecDeque<Group>) =
            std::mem::take(&mut self.later).into_iter().partition(is_of_it);
        self.later = later;
        let later = of_it.into_iter().flat_map(|other| other.places);
        let places: Vec<usize> = group.places.iter().copied().chain(later).collect();
        if !stage.has_room(places.len()) {
            let (limit, value, wait) = ("contexts.stage_max", stage.max, STAGE_WAIT);
            self.give_back = Some(Refusal::Busy { limit, value, wait });
            return;
        }
        for place in places {
            let is_there = stage.staged.contains(reference(place));
            self.verdicts[place] = Some(if is_there { Verdict::Duplicate } else { Verdict::Held });
            if !is_there {
                self.staged.push(place);
            }
        }
    }

    /// The places of those that are staged.
    pub fn staged(&self) -> &[usize] {
        &self.staged
    }

    /// Whether everything is back.
    pub fn is_done(&self) -> bool {
        self.out.is_empty() && (self.later.is_empty() || self.give_back.is_some())
    }

    /// Why the batch is given back, where it is.
    pub const fn give_back(&self) -> Option<&Refusal> {
        self.give_back.as_ref()
    }

    /// What was decided about the entry at this place, and the code under which the peer's actor parks it, if it does.
    pub fn verdict(&self, place: usize) -> (Option<&Verdict>, Option<ParkedCode>) {
        let parked = self.parked.iter().find(|(other, _)| *other == place).map(|(_, code)| *code);
        (self.verdicts[place].as_ref(), parked)
    }

    fn park(&mut self, place: usize, code: ParkedCode) {
        self.verdicts[place] = Some(Verdict::Parked { code: code.as_str() });
        self.parked.push((place, code));
    }
}

#[cfg(test)]
mod tests;
