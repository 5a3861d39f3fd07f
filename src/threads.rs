//! Threads for blocking work of one kind.
//!
//! The runtime's common ones wake in turn: where many were once needed for one thing, each next job of any other runs on another
//! of them, and begins cold. A commit that is waited for took a tenth longer amid the reads of a thousand peers that are tried
//! again and again.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// At most so many threads of one name, made when they are needed; further jobs wait. Dropped, it takes no more, and what runs
/// goes on.
#[derive(Debug)]
pub(crate) struct Threads {
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
}

impl Threads {
    /// None at first; those that were idle for so long end. Fails as the system does.
    pub(crate) fn new(name: &'static str, most: usize, idle_for: Duration) -> io::Result<Self> {
        let mut threads = Builder::new_current_thread();
        let runtime = threads.thread_name(name).max_blocking_threads(most).thread_keep_alive(idle_for).build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)) })
    }

    /// Run it on one of them. Fails only as a thread does: it panicked, or they have ended.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn_blocking(job)
    }

    /// Take no more, and wait for what runs, for so long at most. Blocks: not for a thread on which tasks run.
    pub(crate) fn end(&self, patience: Duration) {
        if let Some(runtime) = self.take() {
            runtime.shutdown_timeout(patience);
        }
    }

    fn take(&self) -> Option<Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Any other way to end a runtime waits, and where tasks run it panics.
        if let Some(runtime) = self.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Arc, Barrier, mpsc};
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn no_more_threads_than_said_do_all_of_it() {
        let threads = Threads::new("some", 2, Duration::from_secs(1)).expect("no driver is asked for");
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

    /// An orderly end left a read behind, which kept the store's file open.
    #[test]
    fn what_runs_is_waited_for_and_nothing_is_begun_after_the_end() {
        let threads = Threads::new("some", 1, Duration::from_secs(1)).expect("no driver is asked for");
        let (go, goes) = mpsc::channel::<()>();
        let held = Arc::new(());
        let holds = held.clone();
        drop(threads.run(move || {
            let _ = goes.recv();
            drop(holds);
        }));
        threads.end(Duration::ZERO);
        assert_eq!(Arc::strong_count(&held), 2, "patience has an end");

        let threads = Threads::new("some", 1, Duration::from_secs(1)).expect("no driver is asked for");
        let (holds, begun) = (held.clone(), Arc::new(Barrier::new(2)));
        let begins = begun.clone();
        drop(threads.run(move || {
            begins.wait();
            let _ = go.send(());
            drop(holds);
        }));
        begun.wait();
        threads.end(Duration::from_secs(60));
        while Arc::strong_count(&held) > 1 {
            thread::yield_now(); // the first one, which nobody waited for
        }
        let mut late = std::pin::pin!(threads.run(|| ()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(matches!(late.as_mut().poll(&mut context), std::task::Poll::Ready(Err(_))));
    }
}
