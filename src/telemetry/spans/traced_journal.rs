//! A journal decorator that makes the commit of a traced item a span.

use std::sync::Arc;

use actors::change::{Change, CommitPriority};
use actors::ports::{CommitTicket, Fence, Journal, QueueDepth, SettledCall};
use opentelemetry::trace::{Span, SpanKind, Status};

use super::span_hub::SpanHub;

/// A journal whose commits are spans of what they commit.
pub(super) struct TracedJournal {
    journal: Arc<dyn Journal>,
    hub: Arc<SpanHub>,
}

impl TracedJournal {
    /// Returns a decorator of this journal.
    pub(super) fn new(journal: Arc<dyn Journal>, hub: Arc<SpanHub>) -> Self {
        Self { journal, hub }
    }
}

impl Journal for TracedJournal {
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: CommitPriority) -> CommitTicket {
        let parents = self.hub.of_changes(&changes);
        let span = self.hub.begin("commit", SpanKind::Internal, &parents, vec![]);
        let ticket = self.journal.submit(fence, changes, urgency);
        let Some(mut span) = span else { return ticket };
        let (done, told) = CommitTicket::pair();
        tokio::spawn(async move {
            match ticket.committed().await {
                Ok(()) => {
                    span.end();
                    // Nobody may wait for it.
                    let _ = done.send(());
                }
                Err(error) => span.set_status(Status::error(error.to_string())),
            }
        });
        told
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
