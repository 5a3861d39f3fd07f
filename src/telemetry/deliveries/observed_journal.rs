//! A journal decorator that shows the changes to the observer of deliveries.

use std::sync::Arc;

use actors::change::{Change, CommitPriority};
use actors::ports::{CommitTicket, Fence, Journal, QueueDepth, SettledCall};

use crate::telemetry::deliveries::delivery_observer::DeliveryObserver;

/// A journal whose changes are observed when they are decided. Their commit follows; if it fails, the process ends.
pub struct ObservedJournal {
    journal: Arc<dyn Journal>,
    observer: DeliveryObserver,
}

impl ObservedJournal {
    /// Returns a decorator of this journal.
    pub fn new(journal: Arc<dyn Journal>, observer: DeliveryObserver) -> Self {
        Self { journal, observer }
    }
}

impl Journal for ObservedJournal {
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: CommitPriority) -> CommitTicket {
        self.observer.note_changes(&changes);
        self.journal.submit(fence, changes, urgency)
    }

    fn barrier(&self) -> CommitTicket {
        self.journal.barrier()
    }

    fn when_settled(&self, done: SettledCall) {
        self.journal.when_settled(done);
    }

    fn pressure(&self) -> QueueDepth {
        self.journal.pressure()
    }
}
