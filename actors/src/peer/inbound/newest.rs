//! A bounded set of recent items, for actions that must not be repeated soon.

use std::collections::VecDeque;

/// A bounded FIFO set; at the limit the oldest item is dropped. Boxed, because most peers have no items and there are
/// many peers.
#[expect(clippy::box_collection, reason = "empty it is a pointer, and not four words")]
#[derive(Debug, Clone)]
pub(super) struct RecentSet<T>(Option<Box<VecDeque<T>>>);

impl<T> Default for RecentSet<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: PartialEq> RecentSet<T> {
    /// Adds an item; above `max` the oldest is dropped.
    pub(super) fn push(&mut self, item: T, max: usize) {
        let items = self.0.get_or_insert_default();
        items.push_back(item);
        while items.len() > max {
            items.pop_front();
        }
    }

    /// Returns whether the item is in the set.
    pub(super) fn contains(&self, item: &T) -> bool {
        self.0.as_ref().is_some_and(|items| items.contains(item))
    }
}
