//! The newest few of something: what was done lately is not done again.

use std::collections::VecDeque;

/// Of more than it may hold the oldest is forgotten. Boxed: most peers have nothing in it, and there are many peers.
#[expect(clippy::box_collection, reason = "empty it is a pointer, and not four words")]
#[derive(Debug, Clone)]
pub(super) struct Newest<T>(Option<Box<VecDeque<T>>>);

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: PartialEq> Newest<T> {
    /// One more, of `max` at most.
    pub(super) fn push(&mut self, item: T, max: usize) {
        let items = self.0.get_or_insert_default();
        items.push_back(item);
        while items.len() > max {
            items.pop_front();
        }
    }

    /// Whether this is among them.
    pub(super) fn contains(&self, item: &T) -> bool {
        self.0.as_ref().is_some_and(|items| items.contains(item))
    }
}
