//! One question for transactions of the peer's: asked again, later each time, until it is answered or too old.

use std::time::Duration;

use crate::backoff;
use crate::limits::PeerLimits;
use crate::model::{Millis, PushFailure};
use crate::peer::outbound::StepInput;

/// A pull of transactions and its progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PullQuestion {
    /// After which of the peer's transactions.
    pub(crate) after: u64,
    /// Time of the first request; 0: none yet, or by a version that did not record it.
    pub(crate) since: Millis,
    /// Answers in a row that say no, or nothing that can be read.
    pub(crate) refusals: u32,
    /// Failures in a row that say "not now".
    failures: u32,
    state: QuestionState,
}

#[derive(Debug, Clone, Copy)]
enum QuestionState {
    /// It may be asked.
    Ready,
    /// A request is under way.
    Asked {
        /// The peer was heard of meanwhile: should it turn out to be unreachable, it is worth another request.
        heard: bool,
        /// Contact has brought it forward; it had this date.
        forwarded: Option<Millis>,
    },
    /// It failed, and is not asked before this.
    Later {
        again: Millis,
        /// The peer could not be reached: contact brings it forward, once.
        by_contact: bool,
    },
}

impl PullQuestion {
    /// A question that may be asked.
    pub(crate) const fn new(after: u64, since: Millis) -> Self {
        Self { after, since, refusals: 0, failures: 0, state: QuestionState::Ready }
    }

    /// A request for it is under way.
    pub(crate) const fn is_asked(&self) -> bool {
        matches!(self.state, QuestionState::Asked { .. })
    }

    /// The peer is heard of, or the time has come. Whether it is to be asked now, which the caller does.
    pub(crate) fn ask(&mut self, now: Millis) -> bool {
        let forwarded = match &mut self.state {
            QuestionState::Ready => None,
            QuestionState::Later { again, .. } if *again <= now => None,
            QuestionState::Later { again, by_contact: true } => Some(*again),
            QuestionState::Later { by_contact: false, .. } => return false,
            QuestionState::Asked { heard, .. } => {
                *heard = true;
                return false;
            }
        };
        self.state = QuestionState::Asked { heard: false, forwarded };
        if self.since == Millis(0) {
            self.since = now;
        }
        true
    }

    /// It was not asked after all.
    pub(crate) const fn put_off(&mut self) {
        self.state = QuestionState::Ready;
    }

    /// It is asked again after this time.
    pub(crate) fn wait(&mut self, now: Millis, time: Duration) {
        self.state = QuestionState::Later { again: now.after(time), by_contact: false };
    }

    /// A page was answered; the next one begins after this transaction.
    pub(crate) const fn goes_on(&mut self, after: u64) {
        (self.after, self.failures, self.refusals) = (after, 0, 0);
        self.state = QuestionState::Asked { heard: false, forwarded: None };
    }

    /// The peer says "not now", or nothing. Whether it is asked once more at once, as it was heard of meanwhile.
    pub(crate) fn failed(&mut self, at: StepInput, limits: &PeerLimits, failure: &PushFailure) -> bool {
        let QuestionState::Asked { heard, forwarded } = self.state else { return false };
        let is_distance = is_distance(failure);
        // The counter moves once a period: a request that contact brought forward is not one more.
        self.failures += u32::from(forwarded.is_none());
        let date = at.now.after(backoff::delay(&limits.backoff(), self.failures.max(1), at.jitter_roll));
        if heard && is_distance && forwarded.is_none() {
            self.state = QuestionState::Asked { heard: false, forwarded: Some(date) };
            return true;
        }
        let least = match failure {
            PushFailure::Troubled { retry_after: Some(time), .. } => at.now.after((*time).min(limits.wait_max)),
            _ => date,
        };
        let again = forwarded.unwrap_or(date).max(least);
        self.state = QuestionState::Later { again, by_contact: is_distance && forwarded.is_none() };
        false
    }

    /// Returns the time at which the pull is repeated, if a timer decides that.
    pub(crate) const fn again(&self) -> Option<Millis> {
        match self.state {
            QuestionState::Later { again, .. } => Some(again),
            QuestionState::Ready | QuestionState::Asked { .. } => None,
        }
    }

    /// Returns the time at which the pull expires; `None`: it was never sent.
    pub(crate) fn ends(&self, keep: Duration) -> Option<Millis> {
        (self.since > Millis(0)).then(|| self.since.after(keep))
    }
}

/// The peer was not reached, or no answer came back.
pub(crate) const fn is_distance(failure: &PushFailure) -> bool {
    matches!(failure, PushFailure::Unreachable(_) | PushFailure::Broken(_) | PushFailure::TimedOut)
}

/// Returns whether a failure may pass by itself: the peer was unreachable, or answered that it is busy.
pub(crate) const fn is_for_now(failure: &PushFailure) -> bool {
    is_distance(failure) || matches!(failure, PushFailure::Troubled { .. })
}
