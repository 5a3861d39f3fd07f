//! What operators order about a peer.

use super::{Index, Seq, SubmissionId};

/// One order about one peer. It is answered once what it changed is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Write nothing to it, also after a restart, until it is resumed; what it sends is still taken.
    Suspend,
    /// End a suspension, whatever its cause, and write at once.
    Resume,
    /// Bring the next attempt forward to now. Failures stay counted: only a success clears them.
    Retry,
    /// The peer's next new strong update carries this number: it was restored from a backup, or cannot go back to 1.
    Expect {
        /// The number.
        number: Seq,
        /// Also where it lies more than `renumber_max` above the number expected until now.
        yes: bool,
    },
    /// Our first item that the peer has not acknowledged carries this number from now on; ends a suspension `ahead_of_us`.
    Renumber {
        /// The number.
        number: Seq,
        /// Also where it lies more than `renumber_max` above our newest number.
        yes: bool,
    },
    /// Items of a submission that are not acknowledged leave the queue; they lie among the dead letters from then on.
    Drop {
        /// Whose.
        message: SubmissionId,
        /// The first, by its place.
        first: Index,
        /// The last.
        last: Index,
    },
}
