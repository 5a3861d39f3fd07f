//! One pull of a peer's transactions: repeated, later each time, until it is answered or too old.

use std::time::Duration;

use crate::backoff;
use crate::limits::PeerLimits;
use crate::model::{Millis, PushFailure};
use crate::peer::outbound::StepInput;

/// A pull of transactions and its progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PullQuestion {
    /// Transaction of the peer after which the pull starts.
    pub(crate) after: u64,
    /// Time of the first request; 0: none yet, or by a version that did not record it.
    pub(crate) since: Millis,
    /// Number of refusals or unreadable responses in a row.
    pub(crate) refusals: u32,
    /// Number of failures in a row that may pass, such as "not now".
    failures: u32,
    state: QuestionState,
}

#[derive(Debug, Clone, Copy)]
enum QuestionState {
    /// The pull may be sent.
    Ready,
    /// A request is in flight.
    Asked {
        /// True if the peer made contact meanwhile: if the request fails because the peer is unreachable, it is repeated.
        heard: bool,
        /// Original time of the request, if contact brought it forward.
        forwarded: Option<Millis>,
    },
    /// The request failed and is not repeated before this time.
    Later {
        again: Millis,
        /// True if the peer was unreachable, so that contact brings the request forward once.
        by_contact: bool,
    },
}

impl PullQuestion {
    /// Returns a pull that may be sent.
    pub(crate) const fn new(after: u64, since: Millis) -> Self {
        Self { after, since, refusals: 0, failures: 0, state: QuestionState::Ready }
    }

    /// Returns whether a request is in flight.
    pub(crate) const fn is_asked(&self) -> bool {
        matches!(self.state, QuestionState::Asked { .. })
    }

    /// Handles contact from the peer or the timer; returns whether the caller has to send the request now.
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

    /// Records that the request was not sent.
    pub(crate) const fn put_off(&mut self) {
        self.state = QuestionState::Ready;
    }

    /// Schedules the next request after this time.
    pub(crate) fn wait(&mut self, now: Millis, time: Duration) {
        self.state = QuestionState::Later { again: now.after(time), by_contact: false };
    }

    /// Continues after this transaction, because a page was answered.
    pub(crate) const fn goes_on(&mut self, after: u64) {
        (self.after, self.failures, self.refusals) = (after, 0, 0);
        self.state = QuestionState::Asked { heard: false, forwarded: None };
    }

    /// Handles a failure that may pass; returns whether the request is repeated at once because the peer made contact
    /// meanwhile.
    pub(crate) fn failed(&mut self, at: StepInput, limits: &PeerLimits, failure: &PushFailure) -> bool {
        let QuestionState::Asked { heard, forwarded } = self.state else { return false };
        let is_distance = is_distance(failure);
        // Failures are counted once per period: a request that contact brought forward is not counted.
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

/// Returns whether the peer was unreachable, or sent no response.
pub(crate) const fn is_distance(failure: &PushFailure) -> bool {
    matches!(failure, PushFailure::Unreachable(_) | PushFailure::Broken(_) | PushFailure::TimedOut)
}

/// Returns whether a failure may pass by itself: the peer was unreachable, or answered that it is busy. A redirect counts like
/// trouble of the peer.
pub(crate) const fn is_for_now(failure: &PushFailure) -> bool {
    is_distance(failure) || matches!(failure, PushFailure::Troubled { .. } | PushFailure::Redirected { .. })
}
