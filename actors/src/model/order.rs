//! What operators order about a peer.

use super::Seq;

/// One order about one peer. It is answered once what it changed is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Write nothing to it, also after a restart, until it is resumed; what it sends is still taken.
    Suspend,
    /// End a suspension, whatever its cause, and write at once.
    Resume,
    /// Bring the next attempt forward to now. Failures stay counted: only a success clears them.
    Retry,
    /// The peer's next new strong update carries this number: it was restored from a backup, or cannot go back to 1.
    Expect(Seq),
}
