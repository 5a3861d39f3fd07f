//! Threads for blocking work of one kind.
//!
//! The runtime's common ones wake in turn: where many were once needed for one thing, each next job of any other runs on another
//! of them, and begins cold. A commit that is waited for took a tenth longer amid the reads of a thousand peers that are tried
//! again and again.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Idle threads end after this.
const IDLE_FOR: Duration = Duration::from_secs(1);

/// At most so many threads of one name, made when they are needed; further jobs wait. Dropped, it takes no more, and what runs
/// goes on.
#[derive(Debug)]
pub(crate) struct Threads {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Threads {
    /// None at first. Fails as the system does.
    pub(crate) fn new(name: &'static str, most: usize) -> io::Result<Self> {
        let mut threads = Builder::new_current_thread();
        let runtime = threads.thread_name(name).max_blocking_threads(most).thread_keep_alive(IDLE_FOR).build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Run it on one of them. Fails only as a thread does: it panicked.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn_blocking(job)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Any other way to end a runtime waits, and where tasks run it panics.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn no_more_threads_than_said_do_all_of_it() {
        let threads = Threads::new("some", 2).expect("no driver is asked for");
        let jobs: Vec<_> = (0..50)
            .map(|_| threads.run(|| (thread::current().name().map(str::to_owned), thread::current().id())))
            .collect();
        let mut ids = HashSet::new();
        for job in jobs {
            let (name, id) = job.await.expect("no panic");
            assert_eq!(name.as_deref(), Some("some"));
            ids.insert(id);
        }
        assert!(ids.len() <= 2, "{ids:?}");
        let panics = threads.run(|| panic!("as a job may")).await;
        assert!(panics.is_err_and(|error| error.is_panic()));
    }
}
