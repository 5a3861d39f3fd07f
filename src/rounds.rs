//! Work that nobody waits for, done in rounds: what a round leaves, the next one finds.

use std::time::Duration;

use actors::change::Change;
use actors::ports::{ArchiveError, Fence, Lost, Ports, Urgency};
use tokio::time::{MissedTickBehavior, interval};

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The next round may fare better.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// There will be no other round.
    #[error(transparent)]
    Journal(#[from] Lost),
}

/// One now, and then one `every` so often, until the journal stops or the future is dropped.
pub async fn run(what: &'static str, every: Duration, mut round: impl AsyncFnMut() -> Result<(), Broken>) {
    let mut rounds = interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        match round().await {
            Ok(()) => {}
            Err(Broken::Archive(error)) => tracing::warn!(what, %error, "the rest is left for the next round"),
            Err(Broken::Journal(_)) => return,
        }
    }
}

/// A change in a commit that waits for no one, so that what people wait for goes in between.
pub async fn commit(ports: &Ports, fence: Fence, change: Change) -> Result<(), Lost> {
    ports.journal.submit(fence, vec![change], Urgency::Rides).committed().await
}
