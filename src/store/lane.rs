//! Where the store's blocking work runs: on threads, or, in a simulation, where its caller stands.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};

use super::READS_MAX;
use crate::threads::Threads;

/// Threads that had nothing to do for so long end.
const IDLE_FOR: Duration = Duration::from_secs(10);

/// Where commits and long reads run.
#[derive(Clone, Default)]
pub enum Lane {
    /// On the runtime's threads for such work. A paused test clock stands still meanwhile, which it does for no other threads.
    #[default]
    Common,
    /// On threads of their own.
    Own(Own),
    /// On the thread that asks, after as long as this says. With a second thread, what happens while a commit runs is a matter
    /// of chance; a simulation that is to take the same course twice has none, and lets virtual time pass instead.
    Here(Arc<dyn Fn() -> Duration + Send + Sync>),
}

/// One thread that commits, and a few that read: neither waits for the other, and commits find theirs warm.
#[derive(Clone)]
pub struct Own {
    commits: Arc<Threads>,
    reads: Arc<Threads>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Common => "Common",
            Self::Own(_) => "Own",
            Self::Here(_) => "Here",
        })
    }
}

impl Lane {
    /// Threads of its own. Fails as the system does.
    pub fn own() -> io::Result<Self> {
        let threads = |name, most| Threads::new(name, most, IDLE_FOR).map(Arc::new);
        Ok(Self::Own(Own { commits: threads("store-commit", 1)?, reads: threads("store-read", READS_MAX)? }))
    }

    /// Let its own threads take no more, and wait for what runs on them, for so long at most: then they hold no file open. Blocks.
    pub fn end(&self, patience: Duration) {
        if let Self::Own(own) = self {
            own.commits.end(patience);
            own.reads.end(patience);
        }
    }

    /// Run what writes; there is never more than one.
    pub(super) async fn commit<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.run(|own| &own.commits, job).await
    }

    /// Run a long read.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.run(|own| &own.reads, job).await
    }

    /// Fails only as a thread does: it panicked, or the runtime ends.
    async fn run<T: Send + 'static>(
        &self,
        of: impl FnOnce(&Own) -> &Threads,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Self::Common => spawn_blocking(job).await,
            Self::Own(own) => of(own).run(job).await,
            Self::Here(pace) => {
                tokio::time::sleep(pace()).await;
                Ok(job())
            }
        }
    }
}
