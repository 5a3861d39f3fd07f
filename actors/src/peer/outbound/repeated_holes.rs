//! Holes that a peer answers without progress in between.

use crate::model::Index;

/// Counts the holes between two advances of the acknowledged index.
#[derive(Debug, Clone, Default)]
pub(crate) struct RepeatedHoles {
    pub(crate) count: u32,
    /// The acknowledged index at the last of them.
    pub(crate) acked: Index,
}

impl RepeatedHoles {
    /// One more, while everything up to `acked` is acknowledged. How many there are since that index moved, this one included.
    pub(crate) fn note(&mut self, acked: Index) -> u32 {
        if acked > self.acked {
            self.count = 0;
        }
        self.acked = acked;
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// An operator begins anew.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}
