//! Where the store's blocking work runs: on tokio's threads for such work, or, in a simulation, where its caller stands.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};

/// Where commits and long reads run.
#[derive(Clone, Default)]
pub enum Lane {
    /// On threads of their own: nobody waits for the disk who need not.
    #[default]
    Threads,
    /// On the thread that asks, after as long as this says. With a second thread, what happens while a commit runs is a matter
    /// of chance; a simulation that is to take the same course twice has none, and lets virtual time pass instead.
    Here(Arc<dyn Fn() -> Duration + Send + Sync>),
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "Threads",
            Self::Here(_) => "Here",
        })
    }
}

impl Lane {
    /// Run it. Fails only as a thread does: it panicked, or the runtime ends.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Self::Threads => spawn_blocking(job).await,
            Self::Here(pace) => {
                tokio::time::sleep(pace()).await;
                Ok(job())
            }
        }
    }
}
