//! Receipts for items that the peer itself has not acknowledged yet.
//!
//! A number alone does not say which item the peer holds under it: an item that left the queue unsent gives its number to the next
//! one, and a server that was restored from a backup uses numbers again. The peer compares an item with what it holds under the
//! number and answers a conflict if they differ, so its acknowledgement shows that the number means the same on both sides. Until
//! then a receipt by number waits here. It is dropped once its item gets another number, because it was for what the peer holds
//! under the one before.

use crate::model::{HeldReceiptRecord, HeldRejection, Index, NumberSegment};
use crate::peer::receipts::settled_items::SettledItems;

/// Maximum number of refusals that wait. They are part of the record of the peer, so there are few.
const REJECTED_MAX: usize = 100;

/// The receipts that wait.
#[derive(Debug, Clone, Default)]
pub(super) struct HeldReceipts {
    /// Numbering of the queue to which the numbers of the receipts belong.
    numbering: Vec<NumberSegment>,
    /// Items that the peer's messenger has acknowledged.
    delivered: SettledItems,
    /// Items that it has refused.
    rejected: Vec<HeldRejection>,
}

/// The receipts whose items are acknowledged now.
pub(super) struct ReleasedReceipts {
    pub(super) delivered: Vec<(u64, u64)>,
    pub(super) rejected: Vec<(Index, String)>,
}

impl HeldReceipts {
    /// Returns what the store has kept; `numbering` is that of the same record.
    pub(super) fn new(record: &HeldReceiptRecord, numbering: &[NumberSegment]) -> Self {
        let delivered = SettledItems::from_ranges(record.delivered.clone());
        Self { numbering: numbering.to_vec(), delivered, rejected: record.rejected.clone() }
    }

    /// Returns the durable state.
    pub(super) fn record(&self) -> HeldReceiptRecord {
        HeldReceiptRecord { delivered: self.delivered.ranges().to_vec(), rejected: self.rejected.clone() }
    }

    /// Returns whether none waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.rejected.is_empty()
    }

    /// Holds receipts for a range of items, named by their numbers.
    pub(super) fn hold_delivered(&mut self, (first, last): (u64, u64)) {
        self.delivered.insert(first, last);
    }

    /// Holds the refusal of an item. `is_numbered`: the receipt names it by its number.
    pub(super) fn hold_rejected(&mut self, index: Index, reason: String, is_numbered: bool) {
        if self.rejected.len() < REJECTED_MAX && self.rejected.iter().all(|held| held.index != index) {
            self.rejected.push(HeldRejection { index, reason, is_numbered });
        }
    }

    /// Drops the receipts whose items have another number now. Returns whether there were any.
    pub(super) fn follow_numbering(&mut self, numbering: &[NumberSegment]) -> bool {
        if self.numbering == numbering {
            return false;
        }
        let is_new = |segment: &&NumberSegment| !self.numbering.contains(segment);
        let changed_from = numbering.iter().filter(is_new).map(|segment| segment.first).min();
        self.numbering = numbering.to_vec();
        let Some(from) = changed_from else { return false };
        let count = self.rejected.len();
        self.rejected.retain(|held| !held.is_numbered || held.index < from);
        let are_dropped = self.delivered.cut_from(from.0);
        are_dropped || self.rejected.len() < count
    }

    /// Removes and returns the receipts for items up to this one.
    pub(super) fn release(&mut self, upto: Index) -> Option<ReleasedReceipts> {
        let delivered = self.delivered.take_upto(upto.0);
        let rejected: Vec<(Index, String)> =
            self.rejected.extract_if(.., |held| held.index <= upto).map(|held| (held.index, held.reason)).collect();
        (!delivered.is_empty() || !rejected.is_empty()).then_some(ReleasedReceipts { delivered, rejected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seq;

    fn segment(first: u64, number: u64) -> NumberSegment {
        NumberSegment { first: Index(first), number: Seq(number) }
    }

    fn held(numbering: &[NumberSegment]) -> HeldReceipts {
        let mut held = HeldReceipts::new(&HeldReceiptRecord::default(), numbering);
        held.hold_delivered((3, 6));
        held.hold_rejected(Index(7), "seven".to_owned(), true);
        held.hold_rejected(Index(8), "eight".to_owned(), false);
        held
    }

    #[test]
    fn acknowledged_items_release_receipts() {
        let mut held = held(&[segment(1, 1)]);
        assert!(held.release(Index(2)).is_none());
        let released = held.release(Index(4)).expect("two items");
        assert_eq!((released.delivered, released.rejected), (vec![(3, 4)], vec![]));
        let released = held.release(Index(9)).expect("the rest");
        let rejected = vec![(Index(7), "seven".to_owned()), (Index(8), "eight".to_owned())];
        assert_eq!((released.delivered, released.rejected), (vec![(5, 6)], rejected));
        assert!(held.is_empty());
    }

    #[test]
    fn renumbered_items_lose_numbered_receipts() {
        let mut held = held(&[segment(1, 1)]);
        assert!(!held.follow_numbering(&[segment(1, 1)]));
        assert!(!held.follow_numbering(&[segment(1, 1), segment(9, 20)]), "no receipt is for these");
        assert!(held.follow_numbering(&[segment(1, 1), segment(5, 4)]));
        let released = held.release(Index(9)).expect("some are left");
        assert_eq!((released.delivered, released.rejected), (vec![(3, 4)], vec![(Index(8), "eight".to_owned())]));
    }

    #[test]
    fn held_refusals_are_bounded() {
        let mut held = HeldReceipts::default();
        for n in 0..=REJECTED_MAX as u64 {
            held.hold_rejected(Index(n), String::new(), true);
            held.hold_rejected(Index(n), "again".to_owned(), true);
        }
        assert_eq!(held.rejected.len(), REJECTED_MAX);
    }
}
