//! Unconfirmed items: the peer may have accepted them, but the request that carried them got no response.
//!
//! If such an item is refused later, or dropped by an operator, it is removed and its number goes to the next item. If
//! the peer holds it under that number all the same, the next item meets a conflict, is renumbered, and the items
//! behind it arrive twice. So before the number is reused, a push without updates (a confirmation probe) asks for it: a
//! hole at or before the number means that the peer lacks the item, any other answer that it has something under the
//! number. Normally that is the item; if either side was restored from an old backup it may be another one, so the
//! messenger is told.
//!
//! The next item could serve as the probe, under the following number. But a late copy of it would be accepted in the
//! place of a third item; a push without updates is harmless however often it arrives.

use crate::model::{Index, NumberingScheme, SubmissionId};

/// The unconfirmed items of one outbox.
#[derive(Debug, Clone, Default)]
pub(super) struct UnconfirmedItems {
    /// Highest index that was sent without a response.
    upto: Index,
    /// Highest index of removed items that were unconfirmed; their numbers are kept until the peer has answered.
    taken_out: Index,
    /// Open confirmation probe. Boxed, like the next field, because most peers never need one.
    question: Option<Box<ConfirmationProbe>>,
    /// Refused item that the peer lacks by its own answer, with the reason; it is dead-lettered once its row is in
    /// memory again.
    lacking: Option<Box<(Index, String)>>,
}

/// A confirmation probe: it asks whether the peer has the items up to `last`.
#[derive(Debug, Clone)]
struct ConfirmationProbe {
    last: Index,
    /// Submission and reason of the last item, if it was refused although it may have been accepted before.
    refused: Option<(SubmissionId, String)>,
}

impl UnconfirmedItems {
    /// Returns the state after a start. The store does not record which items the previous process sent without a
    /// response, so all unacknowledged items may have been accepted, including those that were removed since.
    pub(super) fn at_start(scheme: NumberingScheme, tail: Index) -> Self {
        let upto = if scheme == NumberingScheme::Sequence { tail } else { Index(0) };
        Self { upto, taken_out: upto, ..Self::default() }
    }

    /// Records that a request with items up to this one got no response.
    pub(super) fn unanswered(&mut self, last: Index) {
        self.upto = self.upto.max(last);
    }

    /// Records that items were removed. Returns whether the peer may have accepted any of them.
    pub(super) fn take_out(&mut self, first: Index, last: Index) -> bool {
        let concerned = first <= self.upto;
        if concerned {
            self.taken_out = self.taken_out.max(last);
        }
        // An item that is removed while the peer is asked about it no longer counts as refused.
        if let Some(question) =
            self.question.as_mut().filter(|question| first <= question.last && question.last <= last)
        {
            question.refused = None;
        }
        concerned
    }

    /// Returns whether the peer may have accepted the item, and no probe is open.
    pub(super) fn concerns(&self, index: Index) -> bool {
        index <= self.upto && self.question.is_none()
    }

    /// Returns whether the number of this removed item must not be reused yet.
    pub(super) fn keeps(&self, gone: Index) -> bool {
        gone <= self.taken_out
    }

    /// Opens a probe for removed items up to this one.
    pub(super) fn ask_about_gone(&mut self, last: Index) {
        self.question.get_or_insert_with(|| Box::new(ConfirmationProbe { last, refused: None }));
    }

    /// Opens a probe for a refused item.
    pub(super) fn ask_about_refused(&mut self, index: Index, message: SubmissionId, reason: String) {
        self.question = Some(Box::new(ConfirmationProbe { last: index, refused: Some((message, reason)) }));
    }

    /// Returns the last item of the open probe.
    pub(super) fn question(&self) -> Option<Index> {
        self.question.as_ref().map(|question| question.last)
    }

    /// Cancels the open probe.
    pub(super) fn cancel_probe(&mut self) {
        self.question = None;
    }

    /// Ends the probe without an answer: the items are removed as if the peer lacked them. Returns whether a probe was
    /// open.
    pub(super) fn give_up(&mut self) -> bool {
        let Some(question) = self.question.take() else { return false };
        *self = Self { lacking: question.lacking(), ..Self::default() };
        true
    }

    /// Handles a hole: the peer expects the item at this index next.
    pub(super) fn expects(&mut self, next: Index) {
        let question = self.question.take().filter(|question| question.last == next);
        *self = Self { lacking: question.and_then(|question| question.lacking()), ..Self::default() };
    }

    /// Records that the peer has everything up to this item.
    pub(super) fn taken(&mut self, last: Index) {
        if last >= self.upto {
            self.upto = Index(0);
        }
        if last >= self.taken_out {
            self.taken_out = Index(0);
        }
    }

    /// Handles the answer that the peer has the items of the probe. Returns the last one, and its submission and reason
    /// if it was refused.
    pub(super) fn confirmed(&mut self) -> Option<(Index, Option<(SubmissionId, String)>)> {
        let question = self.question.take()?;
        self.taken(question.last);
        Some((question.last, question.refused))
    }

    /// Forgets all unconfirmed items, because the numbering starts anew.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns the item that must be dead-lettered and the reason, if it is the next one to send.
    pub(super) fn leaves(&mut self, next: Index) -> Option<(Index, String)> {
        self.lacking.take().map(|lacking| *lacking).filter(|(index, _)| *index == next)
    }
}

impl ConfirmationProbe {
    fn lacking(self) -> Option<Box<(Index, String)>> {
        let (_, reason) = self.refused?;
        Some(Box::new((self.last, reason)))
    }
}
