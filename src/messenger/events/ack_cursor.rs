//! The acknowledged position of the feed, as answered: it is ahead of the disk until the deferred commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actors::change::Change;
use actors::model::Position;
use actors::ports::{CommitPriority, FeedBounds, Fence, Journal};

/// The newest acknowledgement that was answered. Clones share it.
///
/// An acknowledgement rides with the next commit, or is committed alone within 100 ms. A crash before loses it, and the messenger
/// then gets events again, which it recognises by their ids: a commit of its own for each would cost more than the events.
#[derive(Debug, Clone, Default)]
pub(crate) struct AckCursor(Arc<AtomicU64>);

impl AckCursor {
    /// Returns the acknowledged position.
    pub(crate) fn position(&self, bounds: FeedBounds) -> Position {
        bounds.acked.max(Position(self.0.load(Ordering::Acquire)))
    }

    /// Acknowledges everything up to a position, unless that is done already.
    pub(crate) fn advance(&self, upto: Position, bounds: FeedBounds, journal: &dyn Journal, fence: Fence) {
        if upto > bounds.acked && self.0.fetch_max(upto.0, Ordering::AcqRel) < upto.0 {
            // Nobody waits for the ticket: the answer does not depend on the commit.
            drop(journal.submit(fence, vec![Change::FeedAcked { upto }], CommitPriority::Deferred));
        }
    }

    /// Forgets what is ahead of the disk, because a rewind follows. The journal commits in order, so a deferred acknowledgement
    /// is on disk before the rewind is.
    pub(crate) fn rewind(&self) {
        self.0.store(0, Ordering::Release);
    }
}
