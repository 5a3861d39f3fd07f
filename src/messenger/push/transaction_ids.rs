//! Ids of transactions: they rise, and none is used for two bodies, whatever happens between them.

use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::errors::UnavailableError;
use actors::model::Millis;
use actors::ports::{ArchiveError, CommitPriority, Ports};

/// Time by which ids are reserved ahead of the clock, so that a busy push needs a commit of its own only that often.
const RESERVE_AHEAD: Duration = Duration::from_secs(10);

/// Error: no id can be reserved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTransactionId {
    /// The reserve cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ArchiveError),
    /// The reserve cannot be written.
    #[error("{0}")]
    Unwritable(#[from] UnavailableError),
}

/// The ids: `max(last + 1, now in ms)`, reserved on disk before they are used.
pub(crate) struct TransactionIds {
    ports: Arc<Ports>,
    /// Last id and highest reserved one; `None`: the reserve was not read yet.
    last: Option<(u64, u64)>,
}

impl TransactionIds {
    pub(crate) const fn new(ports: Arc<Ports>) -> Self {
        Self { ports, last: None }
    }

    /// Returns the next id, once its reserve is on disk.
    pub(crate) async fn next(&mut self) -> Result<u64, NoTransactionId> {
        let (last, reserved) = match self.last {
            Some(known) => known,
            None => {
                // An id up to the reserve may have been used before this start.
                let reserved = self.ports.archive.feed.push_ids_reserved().await?;
                (reserved, reserved)
            }
        };
        let now = self.ports.clock.now();
        let next = next_id(last, now);
        let reserved = match next > reserved {
            true => self.reserve(next.max(now.after(RESERVE_AHEAD).0)).await?,
            false => reserved,
        };
        self.last = Some((next, reserved));
        Ok(next)
    }

    async fn reserve(&self, upto: u64) -> Result<u64, UnavailableError> {
        let fence = self.ports.ownership.claim_feed().ok_or(UnavailableError::Stopping)?;
        let reserve = vec![Change::PushIdsReserved { upto }];
        let written = self.ports.journal.submit(fence, reserve, CommitPriority::Now).committed().await;
        written.map(|()| upto).map_err(|_| UnavailableError::OutcomeUnknown)
    }
}

fn next_id(last: u64, now: Millis) -> u64 {
    last.saturating_add(1).max(now.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_id_follows_clock_and_rises() {
        assert_eq!(next_id(0, Millis(5_000)), 5_000);
        assert_eq!(next_id(5_000, Millis(5_000)), 5_001, "twice in a millisecond");
        assert_eq!(next_id(9_000, Millis(5_000)), 9_001, "the clock was set back");
    }
}
