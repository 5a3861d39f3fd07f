//! Commands of an operator for a peer.

use super::{Index, Seq, SubmissionId};

/// A command of an operator for one peer. It is answered after its changes are committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerCommand {
    /// Suspends sending, also across restarts, until the peer is resumed; inbound items are still accepted.
    Suspend,
    /// Ends a suspension, whatever its cause, and sends at once.
    Resume,
    /// Starts the next attempt now. The failure count is kept: only a success resets it.
    Retry,
    /// Sets the number of the peer's next new strong update: the peer was restored from a backup, or cannot go back to
    /// 1.
    Expect {
        /// The new sequence number.
        number: Seq,
        /// Confirms a number that is more than `renumber_max` above the number expected until now.
        yes: bool,
    },
    /// Assigns this number to our first item that the peer has not acknowledged; ends a suspension `ahead_of_us`.
    Renumber {
        /// The new sequence number.
        number: Seq,
        /// Confirms a number that is more than `renumber_max` above our newest number.
        yes: bool,
    },
    /// Removes unacknowledged items of a submission from the outbox and stores them as dead letters.
    Drop {
        /// Submission that the items belong to.
        message: SubmissionId,
        /// Index of the first item.
        first: Index,
        /// Index of the last item.
        last: Index,
    },
}
