//! The exchange about our numbers with a peer: the holes that it answers, the number that a rewind looks for, and whether
//! the numbers in use are on disk.

use crate::model::{Index, Seq};

/// The state of the exchange.
#[derive(Debug, Clone, Default)]
pub(super) struct Renumbering {
    /// Number of holes since the peer last accepted something new: more than one are failures.
    holes: u32,
    /// Acknowledged index at the last of them.
    acked: Index,
    /// True if the next push carries numbers, or confirms receipts, that are not committed yet.
    uncommitted: bool,
    /// Number that a rewind looks for below what may still be kept; the read shows whether it exists.
    rewind_target: Option<Seq>,
}

impl Renumbering {
    /// Counts a hole, while everything up to `acked` is acknowledged. Returns how many there are since that index moved,
    /// this one included.
    pub(super) fn note_hole(&mut self, acked: Index) -> u32 {
        if acked > self.acked {
            self.holes = 0;
        }
        self.acked = acked;
        self.holes = self.holes.saturating_add(1);
        self.holes
    }

    /// Resets the holes by an operator's command: the next hole is the first one.
    pub(super) fn forget_holes(&mut self) {
        (self.holes, self.acked) = (0, Index::default());
    }

    /// Records that numbers were assigned which must be on disk before they are sent.
    pub(super) const fn assign(&mut self) {
        self.uncommitted = true;
    }

    /// Records that the next push shows the peer that its last answer was read, so that what came with it must be on disk.
    pub(super) const fn commit_answer(&mut self) {
        self.uncommitted = true;
    }

    /// Returns whether the next push has to wait for a commit.
    pub(super) const fn take_uncommitted(&mut self) -> bool {
        std::mem::replace(&mut self.uncommitted, false)
    }

    /// Records the number that a rewind looks for; `None`: what it does not find was reported before.
    pub(super) const fn rewind_to(&mut self, target: Option<Seq>) {
        self.rewind_target = target;
    }

    /// Ends the search of a rewind; returns the number that it looked for.
    pub(super) const fn take_rewind_target(&mut self) -> Option<Seq> {
        self.rewind_target.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_count_until_peer_advances() {
        let mut dialogue = Renumbering::default();
        let counted = [5, 5, 5, 6, 6, 4].map(|acked| dialogue.note_hole(Index(acked)));
        assert_eq!(counted, [1, 2, 3, 1, 2, 3], "an index that went back is no progress");
        dialogue.forget_holes();
        assert_eq!(dialogue.note_hole(Index(4)), 1);
    }

    #[test]
    fn new_numbers_delay_one_push() {
        let mut dialogue = Renumbering::default();
        assert!(!dialogue.take_uncommitted());
        dialogue.assign();
        assert!(dialogue.take_uncommitted() && !dialogue.take_uncommitted());
    }
}
