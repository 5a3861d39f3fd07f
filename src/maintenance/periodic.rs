//! Periodic jobs in rounds: work that a round leaves is found by the next one.

use std::time::Duration;

use actors::change::Change;
use actors::ports::{ArchiveError, CommitPriority, Fence, JournalStopped, Ports};
use tokio::time::{MissedTickBehavior, interval};

/// The reason for which a round ended early.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// A read failed; the next round may succeed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The journal has stopped; there is no next round.
    #[error(transparent)]
    Journal(#[from] JournalStopped),
}

/// Runs a round at once and then at each interval, until the journal stops or the future is dropped.
pub async fn run(what: &'static str, every: Duration, mut round: impl AsyncFnMut() -> Result<(), RoundError>) {
    let mut rounds = interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        match round().await {
            Ok(()) => {}
            Err(RoundError::Archive(error)) => tracing::warn!(what, %error, "the rest is left for the next run"),
            Err(RoundError::Journal(_)) => return,
        }
    }
}

/// Commits a change with low priority, so that urgent commits go first.
pub async fn commit(ports: &Ports, fence: Fence, change: Change) -> Result<(), JournalStopped> {
    ports.journal.submit(fence, vec![change], CommitPriority::Deferred).committed().await
}
