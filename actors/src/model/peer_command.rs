//! Commands of an operator for a peer.

use super::{Index, Seq, ServerName, SubmissionId};

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
    /// Removes unacknowledged items of a submission from the outbox.
    Drop {
        /// Submission that the items belong to.
        message: SubmissionId,
        /// Index of the first item.
        first: Index,
        /// Index of the last item.
        last: Index,
        /// Fate of the items.
        fate: RemovalFate,
    },
}

/// The fate of items that an operator takes out of an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovalFate {
    /// They become dead letters for this reason.
    DeadLetter {
        /// Reason as text.
        reason: &'static str,
    },
    /// They go to the end of the outbox of another peer, all of them or none.
    MoveTo(ServerName),
}

impl RemovalFate {
    /// Items of a message that an operator drops.
    pub const TAKEN_OUT: Self = Self::DeadLetter { reason: "taken out by an operator" };
}
