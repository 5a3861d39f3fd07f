//! The next move of the outbound half: the parts of the machine decide it, and the machine performs it.

use crate::change::CommitPriority;
use crate::model::{AttemptError, Index, Millis};
use crate::peer::outbound::progress::state::OutboundState;

/// The continuation of a step.
#[derive(Debug)]
pub(in crate::peer::outbound) enum NextMove {
    /// End the step.
    Rest,
    /// Send the next request.
    Proceed,
    /// Remove this item, which the peer refuses for the reason, and send the others.
    Park(Index, String),
    /// Pause sending in this state.
    Pause(OutboundState, CommitPriority),
    /// Count a failure that says nothing about the items (no connection, trouble, an invalid response): they are kept and
    /// sent again later.
    Fail {
        error: AttemptError,
        /// Earliest time of the next attempt, if the peer stated one.
        not_before: Option<Millis>,
    },
    /// Count a failure of a peer that answers, and that has failed at least `failures` times before.
    FailDespiteContact { reason: String, failures: u32 },
    /// Suspend the peer, because it expects numbers far above ours.
    StopAheadOfUs(String),
}

impl NextMove {
    /// A failure after which only the backoff decides the time of the next attempt.
    pub(in crate::peer::outbound) fn fail(error: impl Into<AttemptError>) -> Self {
        Self::Fail { error: error.into(), not_before: None }
    }
}
