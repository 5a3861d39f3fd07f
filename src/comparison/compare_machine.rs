//! The side that asks: the state machine of a comparison (range-based set reconciliation).
//!
//! ```text
//!   opening ----> comparing ----> ended
//!     |  the whole window is equal  ^
//!     +-----------------------------+
//! ```
//!
//! The first call asks for the window and its digest. Each further one asks about the ranges whose digests differ. The peer answers
//! with the digests of their parts, or lists the ids of a small range; so one difference needs as many calls as the parts have levels.

use std::collections::{HashSet, VecDeque};

use actors::limits::verify::VerifyLimits;
use actors::model::{Millis, PduRef};

use crate::comparison::compared_set::{
    AskedRange, CompareSalt, ComparedRange, ComparedSet, RangeBound, RangeDigest, RangePart, tag_of,
};

/// Maximum number of parts of one range in an answer.
const PARTS_MAX: usize = 64;

/// The answer of a peer about a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RangeReply {
    /// Both sides have the same PDUs.
    Equal,
    /// These are its PDUs.
    Ids(Vec<PduRef>),
    /// These are its parts.
    Parts(Vec<RangePart>),
    /// It is to be asked again.
    Later,
}

/// The answer of a peer to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CompareReply {
    /// Begin of the window: the asked one, or a later one.
    pub(crate) from: Millis,
    /// End of the window.
    pub(crate) to: Millis,
    /// Digest of what the peer has in the window.
    pub(crate) whole: RangeDigest,
    /// One entry for each range that was asked about.
    pub(crate) ranges: Vec<RangeReply>,
}

/// The next step of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CompareEffect {
    /// Ask the peer about these ranges; without any, for the window.
    Ask(Vec<AskedRange>),
    /// The comparison has ended.
    End(CompareResult),
    /// The peer's answer makes no sense.
    Fail(BadReply),
}

/// Error: an answer does not fit the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadReply {
    /// The answer is about another window.
    #[error("its answer is about another window")]
    OtherWindow,
    /// The answer has not one entry for each range.
    #[error("its answer has not one entry for each range")]
    OtherRanges,
    /// The parts do not cover the range, one after the other.
    #[error("the parts in its answer do not cover their range")]
    BadParts,
    /// No range was answered.
    #[error("its answer is about no range")]
    NoProgress,
}

/// A list of which the first entries are kept, and all are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoundedList<T> {
    pub(crate) listed: Vec<T>,
    pub(crate) count: u64,
}

impl<T> BoundedList<T> {
    const fn new() -> Self {
        Self { listed: Vec::new(), count: 0 }
    }

    fn push(&mut self, entry: T, max: usize) {
        self.count += 1;
        if self.listed.len() < max {
            self.listed.push(entry);
        }
    }
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CompareResult {
    /// Begin of the window that was compared.
    pub(crate) from: Millis,
    /// Number of PDUs that we have in it.
    pub(crate) here: u64,
    /// Number of PDUs that the peer has in it.
    pub(crate) there: u64,
    /// Number of calls.
    pub(crate) calls: u32,
    /// False if a limit ended the comparison early.
    pub(crate) is_complete: bool,
    /// PDUs that the peer has and we have not.
    pub(crate) missing_here: BoundedList<PduRef>,
    /// Positions of PDUs that we have and the peer has not.
    pub(crate) missing_there: BoundedList<i64>,
}

/// The state of a comparison.
#[derive(Debug)]
enum CompareState {
    /// The peer is asked for the window.
    Opening,
    /// The peer is asked about the ranges that differ.
    Comparing {
        /// Ranges that are asked about next.
        waiting: VecDeque<AskedRange>,
        /// Ranges of the call under way.
        asked: Vec<AskedRange>,
    },
    /// The comparison has ended.
    Ended,
}

/// A comparison with one peer.
#[derive(Debug)]
pub(crate) struct CompareMachine {
    salt: CompareSalt,
    set: ComparedSet,
    from: Millis,
    to: Millis,
    limits: VerifyLimits,
    calls: u32,
    here: u64,
    there: u64,
    missing_here: BoundedList<PduRef>,
    missing_there: BoundedList<i64>,
    state: CompareState,
}

impl CompareMachine {
    /// Returns the comparison of our set, whose window goes from one time to another, and its first call.
    pub(crate) fn begin(
        salt: CompareSalt,
        set: ComparedSet,
        (from, to): (Millis, Millis),
        limits: VerifyLimits,
    ) -> (Self, CompareEffect) {
        let machine = Self {
            salt,
            set,
            from,
            to,
            limits,
            calls: 1,
            here: 0,
            there: 0,
            missing_here: BoundedList::new(),
            missing_there: BoundedList::new(),
            state: CompareState::Opening,
        };
        (machine, CompareEffect::Ask(vec![]))
    }

    /// Returns the window that the next call is about.
    pub(crate) const fn window(&self) -> (Millis, Millis) {
        (self.from, self.to)
    }

    /// Handles the answer to the last call.
    pub(crate) fn answered(&mut self, reply: CompareReply) -> CompareEffect {
        match self.step(reply) {
            Ok(effect) => effect,
            Err(bad) => {
                self.state = CompareState::Ended;
                CompareEffect::Fail(bad)
            }
        }
    }

    fn step(&mut self, reply: CompareReply) -> Result<CompareEffect, BadReply> {
        match std::mem::replace(&mut self.state, CompareState::Ended) {
            CompareState::Opening => self.opened(&reply),
            CompareState::Comparing { waiting, asked } => self.compared(reply, waiting, asked),
            CompareState::Ended => Err(BadReply::OtherRanges),
        }
    }

    /// Compares the whole window. The peer makes it shorter if it keeps less, or joined later.
    fn opened(&mut self, reply: &CompareReply) -> Result<CompareEffect, BadReply> {
        let is_within = (self.from..=self.to).contains(&reply.from) && reply.to == self.to;
        if !is_within {
            return Err(BadReply::OtherWindow);
        }
        self.from = reply.from;
        self.set.begin_at(reply.from);
        let range = ComparedRange { from: RangeBound::before(self.from), to: RangeBound::before(self.to) };
        let digest = self.set.digest(range);
        (self.here, self.there) = (digest.count, reply.whole.count);
        let differs = digest != reply.whole;
        Ok(self.ask(differs.then_some(AskedRange { range, digest }).into_iter().collect()))
    }

    fn compared(
        &mut self,
        reply: CompareReply,
        mut waiting: VecDeque<AskedRange>,
        asked: Vec<AskedRange>,
    ) -> Result<CompareEffect, BadReply> {
        if (reply.from, reply.to) != (self.from, self.to) {
            return Err(BadReply::OtherWindow);
        }
        if reply.ranges.len() != asked.len() {
            return Err(BadReply::OtherRanges);
        }
        if reply.ranges.iter().all(|range| *range == RangeReply::Later) {
            return Err(BadReply::NoProgress);
        }
        let mut again = vec![];
        for (question, answer) in asked.into_iter().zip(reply.ranges) {
            match answer {
                RangeReply::Equal => {}
                RangeReply::Later => again.push(question),
                RangeReply::Ids(ids) => self.note_ids(question.range, ids),
                RangeReply::Parts(parts) => waiting.extend(self.differing(question.range, &parts)?),
            }
        }
        for question in again.into_iter().rev() {
            waiting.push_front(question);
        }
        Ok(self.ask(waiting))
    }

    /// Asks about the next ranges, or ends the comparison.
    fn ask(&mut self, mut waiting: VecDeque<AskedRange>) -> CompareEffect {
        let is_complete = waiting.is_empty();
        if is_complete || self.calls >= self.limits.calls_max {
            return CompareEffect::End(self.result(is_complete));
        }
        self.calls += 1;
        let count = waiting.len().min(self.limits.ranges_max.max(1) as usize);
        let asked: Vec<AskedRange> = waiting.drain(..count).collect();
        self.state = CompareState::Comparing { waiting, asked: asked.clone() };
        CompareEffect::Ask(asked)
    }

    fn result(&mut self, is_complete: bool) -> CompareResult {
        CompareResult {
            from: self.from,
            here: self.here,
            there: self.there,
            calls: self.calls,
            is_complete,
            missing_here: std::mem::replace(&mut self.missing_here, BoundedList::new()),
            missing_there: std::mem::replace(&mut self.missing_there, BoundedList::new()),
        }
    }

    /// Compares the ids of a range with ours.
    fn note_ids(&mut self, range: ComparedRange, ids: Vec<PduRef>) {
        let max = self.limits.ids_max as usize;
        let ours = self.set.marks(range);
        // The peer decides how many ids it lists, so each is looked up, and not searched for.
        let known: HashSet<_> = ours.iter().map(|mark| mark.bound.tag).collect();
        let mut theirs = HashSet::with_capacity(ids.len());
        for reference in ids {
            let tag = tag_of(&self.salt, &reference);
            if theirs.insert(tag) && !known.contains(&tag) {
                self.missing_here.push(reference, max);
            }
        }
        for mark in ours.iter().filter(|mark| !theirs.contains(&mark.bound.tag)) {
            self.missing_there.push(mark.position, max);
        }
    }

    /// Returns the parts of a range that differ.
    fn differing(&self, range: ComparedRange, parts: &[RangePart]) -> Result<Vec<AskedRange>, BadReply> {
        let mut from = range.from;
        let mut differing = vec![];
        for part in parts {
            if part.to <= from {
                return Err(BadReply::BadParts);
            }
            let range = ComparedRange { from, to: part.to };
            let digest = self.set.digest(range);
            if digest != part.digest {
                differing.push(AskedRange { range, digest });
            }
            from = part.to;
        }
        // A range that is its only part would be asked about for ever.
        let is_split = (2..=PARTS_MAX).contains(&parts.len()) && from == range.to;
        if is_split { Ok(differing) } else { Err(BadReply::BadParts) }
    }
}

#[cfg(test)]
mod tests;
