//! Thread pools for one kind of blocking work each.
//!
//! The threads of the runtime's common pool take turns: once many of them were needed for one kind of work, each job of
//! another kind runs on another of these threads, with cold caches. Commits took a tenth longer when they shared the
//! pool with the reads of a thousand peers that were retried repeatedly.

use std::io;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// A pool of at most `most` threads of one name, which are started when needed; further jobs wait. Dropping it refuses
/// new jobs, and running ones continue.
#[derive(Debug)]
pub(crate) struct BlockingPool {
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
}

impl BlockingPool {
    /// Returns a pool without threads yet; a thread ends after `idle_for` without work. It fails as the system does.
    pub(crate) fn new(name: &'static str, most: usize, idle_for: Duration) -> io::Result<Self> {
        let mut threads = Builder::new_current_thread();
        let runtime = threads.thread_name(name).max_blocking_threads(most).thread_keep_alive(idle_for).build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)) })
    }

    /// Runs a job. It fails only if the job panics or the pool was ended.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn_blocking(job)
    }

    /// Refuses new jobs and waits at most `patience` for running ones. It blocks, so it must not be called on a thread
    /// that runs tasks.
    pub(crate) fn end(&self, patience: Duration) {
        if let Some(runtime) = self.take() {
            runtime.shutdown_timeout(patience);
        }
    }

    fn take(&self) -> Option<Runtime> {
        self.runtime.lock().take()
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        // Other ways to end a runtime wait, and panic on a thread that runs tasks.
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
    async fn blocking_pool_bounds_threads() {
        let threads = BlockingPool::new("some", 2, Duration::from_secs(1)).expect("no driver is asked for");
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

    /// Regression: a graceful stop left a read running, which kept the store's file open.
    #[test]
    fn blocking_pool_shutdown_waits_for_jobs() {
        let threads = BlockingPool::new("some", 1, Duration::from_secs(1)).expect("no driver is asked for");
        let (go, goes) = mpsc::channel::<()>();
        let held = Arc::new(());
        let holds = held.clone();
        drop(threads.run(move || {
            let _ = goes.recv();
            drop(holds);
        }));
        threads.end(Duration::ZERO);
        assert_eq!(Arc::strong_count(&held), 2, "`end` returns after its patience");

        let threads = BlockingPool::new("some", 1, Duration::from_secs(1)).expect("no driver is asked for");
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
            thread::yield_now(); // the job of the first pool, for which `end` did not wait
        }
        let mut late = std::pin::pin!(threads.run(|| ()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(matches!(late.as_mut().poll(&mut context), std::task::Poll::Ready(Err(_))));
    }
}
