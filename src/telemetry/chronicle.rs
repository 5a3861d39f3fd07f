//! A journal decorator that logs the durable changes that an operator must see.

use std::sync::Arc;

use actors::change::{Change, Urgency};
use actors::model::{Fate, FeedItem, ServerName};
use actors::ports::{Fence, Journal, Pressure, Ticket};
use actors::supervise::seldom::Seldom;

/// A journal that also logs. Events that others can cause in large numbers are logged once a minute per subject.
pub struct Chronicle {
    journal: Arc<dyn Journal>,
    /// Items that a peer did not accept, by peer.
    left: Seldom,
    /// Quarantined items, by peer.
    parked: Seldom,
    /// Parents that were given up, by context.
    gaps: Seldom,
}

impl Chronicle {
    /// Returns a decorator of this journal.
    pub fn new(journal: Arc<dyn Journal>) -> Self {
        Self {
            journal,
            left: Seldom::new(|peer, items, last| {
                tracing::warn!(peer, items, last, "items are not delivered; see `fernpost quarantine list`");
            }),
            parked: Seldom::new(|peer, items, last| {
                tracing::warn!(
                    peer,
                    items,
                    last,
                    "what a peer sent goes into quarantine; see `fernpost quarantine list`"
                );
            }),
            gaps: Seldom::new(|context, missing, last| {
                tracing::warn!(
                    context,
                    missing,
                    last,
                    "messages are given up; what answers them is delivered with a gap"
                );
            }),
        }
    }

    fn tell(&self, change: &Change) {
        match change {
            Change::OutboxLeft { server, first, last, fate, reason, .. } => {
                let what = match fate {
                    Fate::Parked | Fate::Refused => format!("refused: {reason}"),
                    Fate::ParkedByPeer => format!("parked: {reason}"),
                    Fate::Expired => format!("expired: {reason}"),
                    // The operator's command is logged by itself, with the caller's address.
                    Fate::Dropped => return,
                };
                self.left.note(server.as_str(), last.since(*first) + 1, &what);
            }
            Change::Quarantined { parked, .. } => {
                self.parked.note(parked.from.as_str(), 1, &format!("{}: {}", parked.code.as_str(), parked.reason));
            }
            Change::Fed(FeedItem::Gap { context, missing, .. }) => {
                let last = missing.last().map(ToString::to_string).unwrap_or_default();
                self.gaps.note(context.as_str(), missing.len() as u64, &last);
            }
            Change::Fed(FeedItem::UpdateGap { from, server, first, last }) => {
                tracing::warn!(peer = %server, %from, %first, %last, "updates cannot be had any more");
            }
            Change::Fed(FeedItem::Notice { text, server }) => {
                let peer = server.as_ref().map(ServerName::as_str);
                tracing::warn!(peer, notice = text, "the messenger is told");
            }
            _ => {}
        }
    }
}

impl Journal for Chronicle {
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: Urgency) -> Ticket {
        changes.iter().for_each(|change| self.tell(change));
        self.journal.submit(fence, changes, urgency)
    }

    fn barrier(&self) -> Ticket {
        self.journal.barrier()
    }

    fn pressure(&self) -> Pressure {
        self.journal.pressure()
    }
}
