//! A journal decorator that logs the durable changes that an operator must see.

use std::sync::Arc;

use actors::change::{Change, CommitPriority};
use actors::model::{DeadLetterReason, FeedItem, ServerName};
use actors::ports::{CommitTicket, Fence, Journal, QueueDepth, SettledCall};
use actors::supervise::log_throttle::LogThrottle;

/// A journal that also logs. Events that others can cause in large numbers are logged once a minute per subject.
pub struct LoggingJournal {
    journal: Arc<dyn Journal>,
    /// Items that were not delivered to a peer, by peer.
    left: LogThrottle,
    /// Quarantined items, by peer.
    parked: LogThrottle,
    /// Parents that were given up, by context.
    gaps: LogThrottle,
}

impl LoggingJournal {
    /// Returns a decorator of this journal.
    pub fn new(journal: Arc<dyn Journal>) -> Self {
        Self {
            journal,
            left: LogThrottle::new(|peer, items, last| {
                tracing::warn!(peer, items, last, "items are not delivered; see `fernpost quarantine list`");
            }),
            parked: LogThrottle::new(|peer, items, last| {
                tracing::warn!(peer, items, last, "items of a peer are quarantined; see `fernpost quarantine list`");
            }),
            gaps: LogThrottle::new(|context, missing, last| {
                tracing::warn!(
                    context,
                    missing,
                    last,
                    "missing messages are given up; replies to them are delivered with a gap"
                );
            }),
        }
    }

    fn tell(&self, change: &Change) {
        match change {
            Change::OutboxDeadLettered { server, first, last, fate, reason, .. } => {
                let what = match fate {
                    DeadLetterReason::Parked | DeadLetterReason::Refused => format!("refused: {reason}"),
                    DeadLetterReason::ParkedByPeer => format!("parked: {reason}"),
                    DeadLetterReason::Rejected => format!("rejected: {reason}"),
                    DeadLetterReason::Expired => format!("expired: {reason}"),
                    // The operator's command is logged by itself, with the caller's address.
                    DeadLetterReason::Dropped => return,
                };
                self.left.note(server.as_str(), last.since(*first) + 1, &what);
            }
            Change::Quarantined { parked, .. } => {
                self.parked.note(parked.from.as_str(), 1, &format!("{}: {}", parked.code.as_str(), parked.reason));
            }
            Change::FeedAppended(FeedItem::Gap { context, missing, .. }) => {
                let last = missing.last().map(ToString::to_string).unwrap_or_default();
                self.gaps.note(context.as_str(), missing.len() as u64, &last);
            }
            Change::FeedAppended(FeedItem::UpdateGap { from, server, first, last }) => {
                tracing::warn!(peer = %server, %from, %first, %last, "updates are lost, because they are no longer kept");
            }
            Change::FeedAppended(FeedItem::Notice { text, server }) => {
                let peer = server.as_ref().map(ServerName::as_str);
                tracing::warn!(peer, notice = text, "a notice was sent to the messenger");
            }
            _ => {}
        }
    }
}

impl Journal for LoggingJournal {
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: CommitPriority) -> CommitTicket {
        changes.iter().for_each(|change| self.tell(change));
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
