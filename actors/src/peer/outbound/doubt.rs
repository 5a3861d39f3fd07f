//! Items that the peer may have taken although nobody told us: the request that carried them had no answer.
//!
//! One that is refused later would leave, and give its number to the next. If the peer holds it under that number all the same,
//! the next one meets a conflict there, is numbered anew, and what stands behind it arrives twice. So before such an item leaves,
//! the next goes under its own number: a hole says that the peer lacks the item, anything else that it has something under its
//! number. As a rule that is the item; where one of both was restored from an old copy it may be another, so the messenger is told.

use crate::{
    limits::Speech,
    model::{Index, OutboxRow, SubmissionId},
};

/// What may have been taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubt {
    /// Up to here items went out, and no answer came.
    upto: Index,
    /// Refused by the peer, and perhaps taken before; the next item is on its way to tell.
    /// Boxed, like the next: most peers never have one.
    suspect: Option<Box<Suspect>>,
    /// The peer lacks it, as the next one told: it leaves as soon as it is in memory again.
    lacking: Option<Box<(Index, String)>>,
}

#[derive(Debug, Clone)]
struct Suspect {
    index: Index,
    message: SubmissionId,
    reason: String,
}

impl Doubt {
    /// What the process before this one sent without an answer is not on disk, so all that is unacknowledged may have been taken.
    pub(super) fn at_start(speech: Speech, tail: Index) -> Self {
        let upto = if speech == Speech::Updates { tail } else { Index(0) };
        Self { upto, ..Self::default() }
    }

    /// A request that carried items up to here has no answer.
    pub(super) fn unanswered(&mut self, last: Index) {
        self.upto = self.upto.max(last);
    }

    /// Whether the peer may have taken this one, and nothing is being found out yet.
    pub(super) fn concerns(&self, index: Index) -> bool {
        index <= self.upto && self.suspect.is_none()
    }

    /// It is refused; the next item is to tell about it.
    pub(super) fn ask_about(&mut self, row: &OutboxRow, reason: String) {
        self.suspect = Some(Box::new(Suspect { index: row.index, message: row.submission.clone(), reason }));
    }

    /// Something is being found out.
    pub(super) const fn is_asking(&self) -> bool {
        self.suspect.is_some()
    }

    /// It is not found out now. Which item it was about.
    pub(super) fn put_off(&mut self) -> Option<Index> {
        self.suspect.take().map(|suspect| suspect.index)
    }

    /// Nothing is found out: the item leaves as if the peer lacked it.
    pub(super) fn give_up(&mut self) -> Option<Index> {
        self.upto = Index(0);
        self.lacking = self.suspect.take().map(|suspect| Box::new((suspect.index, suspect.reason)));
        self.lacking.as_ref().map(|lacking| lacking.0)
    }

    /// The peer said what it expects next: the item at this place.
    pub(super) fn expects(&mut self, next: Index) {
        self.upto = Index(0);
        let suspect = self.suspect.take().filter(|suspect| suspect.index == next);
        self.lacking = suspect.map(|suspect| Box::new((suspect.index, suspect.reason)));
    }

    /// The peer has everything up to here. What it refused all the same, and why.
    pub(super) fn taken(&mut self, last: Index) -> Option<(SubmissionId, String)> {
        if last >= self.upto {
            self.upto = Index(0);
        }
        self.suspect.take().map(|suspect| (suspect.message, suspect.reason))
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
