//! Thread pools for one kind of blocking work each.
//!
//! The threads of the runtime's common pool take turns: once many of them were needed for one kind of work, each job of
//! another kind runs on another of these threads, with cold caches. Commits took a tenth longer when they shared the
//! pool with the reads of a thousand peers that were retried repeatedly.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// A pool of at most `most` threads of one name, which are started when needed; further jobs wait. Dropping it refuses
/// new jobs, and running ones continue.
///
/// A job runs on the first thread that is idle, so that the others are used only while jobs overlap. Where threads take turns, each
/// of them allocates a part of what the store caches, in an arena of its own, and an arena keeps for seconds what others have
/// replaced: readers of one queue had 30 MB of such pages beside a cache of 40 MB.
#[derive(Debug)]
pub(crate) struct BlockingPool {
    lanes: Vec<PoolThread>,
}

/// One thread of a pool, and the jobs that are given to it.
#[derive(Debug)]
struct PoolThread {
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
    jobs: Arc<AtomicUsize>,
}

/// A job that is given to a thread and has not ended.
struct GivenJob(Arc<AtomicUsize>);

impl Drop for GivenJob {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl PoolThread {
    fn new(name: &'static str, idle_for: Duration) -> io::Result<Self> {
        let mut threads = Builder::new_current_thread();
        let runtime = threads.thread_name(name).max_blocking_threads(1).thread_keep_alive(idle_for).build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)), jobs: Arc::default() })
    }

    /// Gives the thread a job if it has none.
    fn claim_idle(&self) -> Option<GivenJob> {
        self.jobs.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire).ok()?;
        Some(GivenJob(self.jobs.clone()))
    }

    /// Gives the thread one more job.
    fn claim(&self) -> GivenJob {
        self.jobs.fetch_add(1, Ordering::AcqRel);
        GivenJob(self.jobs.clone())
    }

    fn take(&self) -> Option<Runtime> {
        self.runtime.lock().take()
    }
}

impl BlockingPool {
    /// Returns a pool without threads yet; a thread ends after `idle_for` without work. It fails as the system does.
    pub(crate) fn new(name: &'static str, most: usize, idle_for: Duration) -> io::Result<Self> {
        let lanes = (0..most.max(1)).map(|_| PoolThread::new(name, idle_for)).collect::<io::Result<_>>()?;
        Ok(Self { lanes })
    }

    /// Runs a job. It fails only if the job panics or the pool was ended.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let (lane, given) = self.claim();
        lane.handle.spawn_blocking(move || {
            let _given = given;
            job()
        })
    }

    /// Gives a job to the first idle thread, or to the one with the fewest jobs.
    fn claim(&self) -> (&PoolThread, GivenJob) {
        let idle = self.lanes.iter().find_map(|lane| Some((lane, lane.claim_idle()?)));
        idle.unwrap_or_else(|| {
            let least = self.lanes.iter().min_by_key(|lane| lane.jobs.load(Ordering::Acquire));
            let lane = least.expect("a pool has a thread");
            (lane, lane.claim())
        })
    }

    /// Refuses new jobs and waits at most `patience` for running ones. It blocks, so it must not be called on a thread
    /// that runs tasks.
    pub(crate) fn end(&self, patience: Duration) {
        // All at once, because a thread that is waited for later would take new jobs until then.
        thread::scope(|scope| {
            for runtime in self.lanes.iter().filter_map(PoolThread::take) {
                scope.spawn(move || runtime.shutdown_timeout(patience));
            }
        });
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        // Other ways to end a runtime wait, and panic on a thread that runs tasks.
        for runtime in self.lanes.iter().filter_map(PoolThread::take) {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Arc, Barrier, mpsc};

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

    /// Regression: jobs one after the other went from thread to thread, so that each thread had made a part of a cache.
    #[tokio::test]
    async fn blocking_pool_keeps_to_one_thread() {
        let threads = BlockingPool::new("some", 4, Duration::from_secs(60)).expect("no driver is asked for");
        let all = Arc::new(Barrier::new(4));
        let jobs: Vec<_> = (0..4)
            .map(|_| {
                let all = all.clone();
                threads.run(move || all.wait().is_leader())
            })
            .collect();
        for job in jobs {
            job.await.expect("each of four jobs at once has a thread");
        }
        let mut ids = HashSet::new();
        for _ in 0..50 {
            ids.insert(threads.run(|| thread::current().id()).await.expect("no panic"));
        }
        assert_eq!(ids.len(), 1, "{ids:?}");
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
