//! The dispatch of one inbound batch to its contexts: which PDUs go to which context, their verdicts, and the handling
//! of a context whose actor crashes.
//!
//! An actor that crashes returns no verdicts, so the peer is told to retry. When the same PDUs come again they are
//! dispatched one by one, so that a second crash identifies the PDU that causes it; that PDU is quarantined and counts
//! as received. PDUs of a faulty context are quarantined at once, so that it harms its own context only and never the
//! link.
//!
//! A context that is too busy to process its PDUs in time delays nothing else: they are staged, that is, stored with the
//! batch, and the context reads them from there. Only if its stage is full is the batch rejected.

use std::collections::VecDeque;
use std::time::Duration;

use crate::errors::{AdmissionError, UnavailableError};
use crate::model::{ContextId, ParkedCode, PduRef, PduVerdict};

/// The reason for which a context returned no verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DispatchError {
    /// The context's actor crashed; the PDUs may or may not have been submitted to the journal.
    Died,
    /// The context did not answer in time or could not be reached, for instance because it restarts or the disk is
    /// slow. This is no crash and says nothing about the PDUs, which may or may not have been submitted.
    Late,
    /// The context's actor is suspended as faulty.
    Faulty,
    /// The context's admission limit is reached; nothing was accepted.
    Busy(AdmissionError),
    /// The context was late or busy, and its stage is known.
    Slow(PeerStage),
}

/// The stage of a context, as far as it concerns one peer and the PDUs of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStage {
    /// Number of PDUs of the peer in the stage.
    pub count: u64,
    /// Maximum number of PDUs in the stage.
    pub max: u64,
    /// PDUs of the group that are staged already.
    pub staged: Vec<PduRef>,
}

impl PeerStage {
    /// Returns whether no PDU of the peer is staged.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns whether a group of `pdus` fits. An empty stage accepts any group, because a larger one could never be staged otherwise.
    pub fn has_room(&self, pdus: usize) -> bool {
        let new = pdus.saturating_sub(self.staged.len()) as u64;
        self.is_empty() || self.count.saturating_add(new) <= self.max
    }
}

/// Time after which to retry with a full stage, which is emptied page by page.
const STAGE_WAIT: Duration = Duration::from_secs(5);

/// The PDUs of a batch that belong to one context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextGroup {
    /// Context of the PDUs.
    pub context: ContextId,
    /// Positions of the PDUs in the batch, ascending.
    pub places: Vec<usize>,
    /// True if the entries are messages of groups, which the context composes; they are never staged.
    pub is_bridged: bool,
}

/// The contexts of a batch that have no record here.
#[derive(Debug, Clone, Default)]
pub struct UnknownContexts {
    /// Unknown contexts, in the order of the batch.
    pub contexts: Vec<ContextId>,
    /// Number of contexts that the peer may create in total.
    pub most: u64,
}

/// PDUs that were being processed when a context's actor crashed, each with the number of crashes, oldest first. At the
/// limit the oldest is dropped. Boxed while there are any, because most peers have none, and a waiting peer takes little memory.
#[expect(clippy::box_collection, reason = "empty it is a pointer, and not four words")]
#[derive(Debug, Clone, Default)]
pub struct PoisonCandidates(Option<Box<VecDeque<(PduRef, u32)>>>);

const SUSPECTS_MAX: usize = 256;
/// Number of crashes from which a PDU is poison.
const POISON_CRASHES: u32 = 2;

impl PoisonCandidates {
    /// Returns whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn deaths(&self, reference: &PduRef) -> u32 {
        self.0
            .iter()
            .flat_map(|suspects| suspects.iter())
            .find(|(other, _)| other == reference)
            .map_or(0, |(_, deaths)| *deaths)
    }

    fn holds(&self, reference: &PduRef) -> bool {
        self.deaths(reference) > 0
    }

    /// Returns whether the PDU is poison: it is in quarantine, and dispatching it again would only crash the actor
    /// again.
    fn is_poison(&self, reference: &PduRef) -> bool {
        self.deaths(reference) >= POISON_CRASHES
    }

    /// Records a crash; returns whether the PDU is poison now. Only a crash on the PDU `alone` counts more than once.
    fn record_crash(&mut self, reference: &PduRef, alone: bool) -> bool {
        let before = self.deaths(reference);
        let deaths = if alone { before + 1 } else { before.max(1) };
        let suspects = self.0.get_or_insert_default();
        match suspects.iter_mut().find(|(other, _)| other == reference) {
            Some(suspect) => suspect.1 = deaths,
            None => {
                if suspects.len() >= SUSPECTS_MAX {
                    suspects.pop_front();
                }
                suspects.push_back((reference.clone(), deaths));
            }
        }
        deaths >= POISON_CRASHES
    }

    fn clear(&mut self, reference: &PduRef) {
        if let Some(suspects) = &mut self.0 {
            suspects.retain(|(other, _)| other != reference);
        }
        self.0.take_if(|suspects| suspects.is_empty());
    }
}

/// An entry of a batch that goes to a context.
#[derive(Debug, Clone, Copy)]
pub struct DispatchItem<'a> {
    /// Position in the batch.
    pub place: usize,
    /// Identity of the entry, by which crashes on it are counted.
    pub reference: &'a PduRef,
    /// Context of the entry.
    pub context: &'a ContextId,
    /// True if the entry is a message of a group.
    pub is_bridged: bool,
}

/// The progress of one batch.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// Verdicts by position in the batch; `None`: not dispatched, or without outcome yet.
    verdicts: Vec<Option<PduVerdict>>,
    out: Vec<ContextGroup>,
    /// Suspects; they are dispatched one at a time.
    later: VecDeque<ContextGroup>,
    /// Reason for which the whole batch is rejected, if it is.
    give_back: Option<UnavailableError>,
    /// PDUs that the peer's actor itself quarantines, each with its code.
    parked: Vec<(usize, ParkedCode)>,
    /// PDUs that are staged.
    staged: Vec<usize>,
}

impl Dispatch {
    /// Returns the dispatch of a batch with `count` entries, of which these go to contexts.
    ///
    /// The entries of one context keep their order if messages of groups are among them. PDUs alone need not, because a context
    /// orders them by their parents.
    pub fn new<'a>(count: usize, items: impl Iterator<Item = DispatchItem<'a>>, suspects: &PoisonCandidates) -> Self {
        let (mut out, mut later): (Vec<ContextGroup>, VecDeque<ContextGroup>) = Default::default();
        let mut verdicts = vec![None; count];
        for DispatchItem { place, reference, context, is_bridged } in items {
            let is_of_it = |other: &ContextGroup| other.context == *context;
            let single = || ContextGroup { context: context.clone(), places: vec![place], is_bridged };
            if suspects.is_poison(reference) {
                verdicts[place] = Some(PduVerdict::Parked { code: ParkedCode::Poison.as_str() });
            } else if suspects.holds(reference) || is_bridged && later.iter().any(is_of_it) {
                later.push_back(single());
            } else if let Some(group) = out.iter_mut().find(|group| group.context == *context) {
                match group.is_bridged == is_bridged {
                    true => group.places.push(place),
                    false => later.push_back(single()),
                }
            } else {
                out.push(single());
            }
        }
        Self { verdicts, out, later, give_back: None, parked: vec![], staged: vec![] }
    }

    /// Sets the verdict of an entry that goes to no context.
    pub fn settle(&mut self, place: usize, verdict: PduVerdict) {
        self.verdicts[place] = Some(verdict);
    }

    /// Returns the groups to dispatch first: all PDUs but the suspects, or else the first suspect.
    pub fn begin(&mut self) -> Vec<ContextGroup> {
        if self.out.is_empty() {
            self.out.extend(self.later.pop_front());
        }
        self.out.clone()
    }

    /// Handles the outcome of a group; returns the group to dispatch next.
    pub fn back<'a>(
        &mut self,
        group: &ContextGroup,
        outcome: Result<Vec<PduVerdict>, DispatchError>,
        reference: impl Fn(usize) -> &'a PduRef,
        suspects: &mut PoisonCandidates,
    ) -> Option<ContextGroup> {
        self.out.retain(|other| other != group);
        match outcome {
            Ok(verdicts) => {
                for (&place, verdict) in group.places.iter().zip(verdicts) {
                    suspects.clear(reference(place));
                    self.verdicts[place] = Some(verdict);
                }
            }
            Err(DispatchError::Faulty) => {
                group.places.iter().for_each(|&place| self.park(place, ParkedCode::ContextFaulty));
            }
            Err(DispatchError::Busy(refusal)) => self.give_back = Some(refusal.into()),
            Err(DispatchError::Late) => self.give_back = Some(UnavailableError::OutcomeUnknown),
            Err(DispatchError::Slow(stage)) => self.stage(group, &stage, reference),
            Err(DispatchError::Died) => {
                let alone = group.places.len() == 1;
                for &place in &group.places {
                    if suspects.record_crash(reference(place), alone) && alone {
                        self.park(place, ParkedCode::Poison);
                    } else {
                        self.give_back = Some(UnavailableError::OutcomeUnknown);
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

    /// Stages a group, with the PDUs that were to be dispatched one by one: the context processes staged PDUs singly after
    /// a crash.
    fn stage<'a>(&mut self, group: &ContextGroup, stage: &PeerStage, reference: impl Fn(usize) -> &'a PduRef) {
        let is_of_it = |other: &ContextGroup| other.context == group.context && !other.is_bridged;
        let (of_it, later): (VecDeque<ContextGroup>, VecDeque<ContextGroup>) =
            std::mem::take(&mut self.later).into_iter().partition(is_of_it);
        self.later = later;
        let later = of_it.into_iter().flat_map(|other| other.places);
        let places: Vec<usize> = group.places.iter().copied().chain(later).collect();
        if !stage.has_room(places.len()) {
            let (limit, value, wait) = ("contexts.stage_max", stage.max, STAGE_WAIT);
            self.give_back = Some(AdmissionError::LimitReached { limit, value, wait }.into());
            return;
        }
        for place in places {
            let is_there = stage.staged.contains(reference(place));
            self.verdicts[place] = Some(if is_there { PduVerdict::Duplicate } else { PduVerdict::Held });
            if !is_there {
                self.staged.push(place);
            }
        }
    }

    /// Returns the positions of the staged PDUs.
    pub fn staged(&self) -> &[usize] {
        &self.staged
    }

    /// Returns whether nothing is outstanding.
    pub fn is_done(&self) -> bool {
        self.out.is_empty() && (self.later.is_empty() || self.give_back.is_some())
    }

    /// Returns the reason for which the whole batch is rejected, if it is.
    pub const fn rejection(&self) -> Option<&UnavailableError> {
        self.give_back.as_ref()
    }

    /// Returns the verdict of an entry, and the code under which the peer's actor quarantines it, if it does.
    pub fn verdict(&self, place: usize) -> (Option<&PduVerdict>, Option<ParkedCode>) {
        let parked = self.parked.iter().find(|(other, _)| *other == place).map(|(_, code)| *code);
        (self.verdicts[place].as_ref(), parked)
    }

    fn park(&mut self, place: usize, code: ParkedCode) {
        self.verdicts[place] = Some(PduVerdict::Parked { code: code.as_str() });
        self.parked.push((place, code));
    }
}

#[cfg(test)]
mod tests;
