//! The number of ephemeral items that were not shown to the messenger, by reason.

use std::sync::atomic::{AtomicU64, Ordering};

/// The reason for which an ephemeral item is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// No reader listens.
    NoReader,
    /// A request has more items than `weak_items` of its peer.
    TooMany,
    /// The item is larger than everything that may wait for a reader.
    TooLarge,
    /// A newer item with its key took its place while it waited for a reader.
    Replaced,
    /// So many items wait for a reader that the oldest go.
    Full,
    /// It expired while it waited for a reader.
    Expired,
    /// It was pushed, and the messenger did not take it.
    NotTaken,
}

impl DropReason {
    /// All reasons, each with the word of the metrics.
    const WORDS: [(Self, &'static str); 7] = [
        (Self::NoReader, "no_reader"),
        (Self::TooMany, "too_many"),
        (Self::TooLarge, "too_large"),
        (Self::Replaced, "replaced"),
        (Self::Full, "full"),
        (Self::Expired, "expired"),
        (Self::NotTaken, "not_taken"),
    ];
}

/// The counts since the start. An item that two readers wait for is dropped twice, if it is dropped for both.
#[derive(Debug, Default)]
pub(super) struct DroppedItems([AtomicU64; DropReason::WORDS.len()]);

impl DroppedItems {
    /// Counts items.
    pub(super) fn count(&self, reason: DropReason, items: usize) {
        self.0[reason as usize].fetch_add(items as u64, Ordering::Relaxed);
    }

    /// Returns the counts by reason.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        let count =
            |(reason, word): (DropReason, &'static str)| (word, self.0[reason as usize].load(Ordering::Relaxed));
        DropReason::WORDS.into_iter().map(count).collect()
    }
}
