//! The executor of the store's blocking work: threads, or in a simulation the caller's own task.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use tokio::task::{JoinError, spawn_blocking};

use crate::runtime::blocking_pool::BlockingPool;

/// Idle time after which a thread ends.
const IDLE_FOR: Duration = Duration::from_secs(10);

/// The executor of commits, checkpoints and range reads.
#[derive(Clone, Default)]
pub enum BlockingExecutor {
    /// The runtime's blocking threads. While they run, a paused test clock stands still; while other threads run, it does
    /// not.
    #[default]
    Common,
    /// Threads owned by the store.
    Own(OwnThread),
    /// The caller's own task, after the delay that the function returns. A second thread would make the order of events
    /// a matter of chance; a simulation that must be reproducible has no second thread and lets virtual time pass
    /// instead.
    Inline(Arc<dyn Fn() -> Duration + Send + Sync>),
}

/// One thread for commits, one for checkpoints and a few for reads, so that none waits for another and the commit thread's caches stay
/// warm.
#[derive(Clone)]
pub struct OwnThread {
    commits: Arc<BlockingPool>,
    checkpoints: Arc<BlockingPool>,
    reads: Arc<BlockingPool>,
}

impl fmt::Debug for BlockingExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Common => "Common",
            Self::Own(_) => "Own",
            Self::Inline(_) => "Here",
        })
    }
}

impl BlockingExecutor {
    /// Starts threads owned by the store. It fails if the system cannot start a thread.
    pub fn own() -> io::Result<Self> {
        let threads = |name, most| BlockingPool::new(name, most, IDLE_FOR).map(Arc::new);
        Ok(Self::Own(OwnThread {
            commits: threads("store-commit", 1)?,
            checkpoints: threads("store-check", 1)?,
            reads: threads("store-read", READS_MAX + SEGMENTS_MAX)?,
        }))
    }

    /// Closes the owned threads for new work and waits at most `patience` for running work, which may hold the file
    /// open. It blocks.
    pub fn end(&self, patience: Duration) {
        if let Self::Own(own) = self {
            own.commits.end(patience);
            own.checkpoints.end(patience);
            own.reads.end(patience);
        }
    }

    /// Returns whether commits have a thread of their own.
    pub(crate) fn has_commit_thread(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// Runs a commit. At most one runs at a time.
    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.run(|own| &own.commits, job).await
    }

    /// Runs a checkpoint. At most one runs at a time.
    pub(crate) async fn checkpoint<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.run(|own| &own.checkpoints, job).await
    }

    /// Runs a range read.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.run(|own| &own.reads, job).await
    }

    /// Runs a job. It fails only if the job panics or the runtime shuts down.
    async fn run<T: Send + 'static>(
        &self,
        of: impl FnOnce(&OwnThread) -> &BlockingPool,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Self::Common => spawn_blocking(job).await,
            Self::Own(own) => of(own).run(job).await,
            Self::Inline(pace) => {
                tokio::time::sleep(pace()).await;
                Ok(job())
            }
        }
    }
}

/// Maximum number of concurrent range reads; further ones wait.
pub(crate) const READS_MAX: usize = 8;

/// Maximum number of segments of the log that are created at a time. They take no turn of the reads, and have a thread of their own
/// beside them, so that the writer never waits for a long read.
const SEGMENTS_MAX: usize = 1;
