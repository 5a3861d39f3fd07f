//! Items that the peer may have taken although nobody told us: the request that carried them had no answer.
//!
//! One that is refused later, or that an operator takes out, would leave, and give its number to the next. If the peer holds it
//! under that number all the same, the next one meets a conflict there, is numbered anew, and what stands behind it arrives twice.
//! So before the number is given away, a push without updates asks for it: a hole there, or before it, says that the peer lacks the
//! item, anything else that it has something under the number. As a rule that is the item; where one of both was restored from an
//! old copy it may be another, so the messenger is told.
//!
//! The next item could ask as well, under the number behind. But a copy of it that the network brings late would be taken where a
//! third item belongs; a push without updates can come as often as it likes.

use crate::limits::Speech;
use crate::model::{Index, SubmissionId};

/// What may have been taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubt {
    /// Up to here items went out, and no answer came.
    upto: Index,
    /// Up to here items of these were taken out, and their numbers are kept until the peer tells.
    taken_out: Index,
    /// What the peer is being asked. Boxed, like the next: most peers are never asked.
    question: Option<Box<Question>>,
    /// The peer lacks it, as it told: it leaves as soon as it is in memory again.
    lacking: Option<Box<(Index, String)>>,
}

/// Whether the peer has the items up to here.
#[derive(Debug, Clone)]
struct Question {
    last: Index,
    /// The last one is refused, though it may have been taken before: of this submission, for this reason.
    refused: Option<(SubmissionId, String)>,
}

impl Doubt {
    /// What the process before this one sent without an answer is not on disk, so all that is unacknowledged may have been taken,
    /// be it gone by now.
    pub(super) fn at_start(speech: Speech, tail: Index) -> Self {
        let upto = if speech == Speech::Updates { tail } else { Index(0) };
        Self { upto, taken_out: upto, ..Self::default() }
    }

    /// A request that carried items up to here has no answer.
    pub(super) fn unanswered(&mut self, last: Index) {
        self.upto = self.upto.max(last);
    }

    /// Items were taken out. Tells whether the peer may have taken any of them.
    pub(super) fn take_out(&mut self, first: Index, last: Index) -> bool {
        let concerned = first <= self.upto;
        if concerned {
            self.taken_out = self.taken_out.max(last);
        }
        // One that is asked about, and has left now, is not refused any more.
        if let Some(question) =
            self.question.as_mut().filter(|question| first <= question.last && question.last <= last)
        {
            question.refused = None;
        }
        concerned
    }

    /// Whether the peer may have taken this one, and nothing is being found out yet.
    pub(super) fn concerns(&self, index: Index) -> bool {
        index <= self.upto && self.question.is_none()
    }

    /// Whether the number of this item, which was taken out, is not to be given away yet.
    pub(super) fn keeps(&self, gone: Index) -> bool {
        gone <= self.taken_out
    }

    /// Items up to here are gone: the peer is asked whether it has them.
    pub(super) fn ask_about_gone(&mut self, last: Index) {
        self.question.get_or_insert_with(|| Box::new(Question { last, refused: None }));
    }

    /// It is refused: the peer is asked whether it has it.
    pub(super) fn ask_about_refused(&mut self, index: Index, message: SubmissionId, reason: String) {
        self.question = Some(Box::new(Question { last: index, refused: Some((message, reason)) }));
    }

    /// Up to which item the peer is being asked.
    pub(super) fn question(&self) -> Option<Index> {
        self.question.as_ref().map(|question| question.last)
    }

    /// It is not found out now.
    pub(super) fn put_off(&mut self) {
        self.question = None;
    }

    /// Nothing is found out: the items leave as if the peer lacked them. Tells whether anything was asked.
    pub(super) fn give_up(&mut self) -> bool {
        let Some(question) = self.question.take() else { return false };
        *self = Self { lacking: question.lacking(), ..Self::default() };
        true
    }

    /// The peer said what it expects next: the item at this place.
    pub(super) fn expects(&mut self, next: Index) {
        let question = self.question.take().filter(|question| question.last == next);
        *self = Self { lacking: question.and_then(|question| question.lacking()), ..Self::default() };
    }

    /// The peer has everything up to here.
    pub(super) fn taken(&mut self, last: Index) {
        if last >= self.upto {
            self.upto = Index(0);
        }
        if last >= self.taken_out {
            self.taken_out = Index(0);
        }
    }

    /// The answer to the question is yes. Up to which item, and what was refused all the same, and why.
    pub(super) fn confirmed(&mut self) -> Option<(Index, Option<(SubmissionId, String)>)> {
        let question = self.question.take()?;
        self.taken(question.last);
        Some((question.last, question.refused))
    }

    /// All that was in doubt is told.
    pub(super) fn settle(&mut self) {
        *self = Self::default();
    }

    /// What is to leave, and why, where it is this one, next in turn.
    pub(super) fn leaves(&mut self, next: Index) -> Option<(Index, String)> {
        self.lacking.take().map(|lacking| *lacking).filter(|(index, _)| *index == next)
    }
}

impl Question {
    fn lacking(self) -> Option<Box<(Index, String)>> {
        let (_, reason) = self.refused?;
        Some(Box::new((self.last, reason)))
    }
}
