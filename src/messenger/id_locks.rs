//! Submissions in progress: limited in number, and one at a time per id.

use std::collections::HashMap;
use std::sync::Arc;

use actors::model::SubmissionId;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The submissions in progress. All workers share one instance.
#[derive(Debug)]
pub(super) struct SubmissionLocks {
    /// One permit for each call in progress or waiting, because a waiting call holds its body in memory, too.
    permits: Arc<Semaphore>,
    /// Ids in progress. The notification of an id is made by the first call that waits for it, because nearly all ids are new.
    turns: Mutex<HashMap<SubmissionId, Option<Arc<Notify>>>>,
    /// Maximum number of submissions in progress or waiting.
    max: usize,
}

/// Error: the maximum number of submissions is in progress. Nothing of this one was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("messenger.submissions_max is reached ({max})")]
pub(super) struct TooMany {
    /// Maximum number of submissions in progress or waiting.
    max: usize,
}

/// The exclusive right to work on some ids, until it is dropped.
#[derive(Debug)]
pub(super) struct IdLockGuard {
    held: Vec<SubmissionId>,
    inflight: Arc<SubmissionLocks>,
    _permit: OwnedSemaphorePermit,
}

impl SubmissionLocks {
    /// Returns a limit of `max` concurrent calls.
    pub(super) fn new(max: usize) -> Arc<Self> {
        let max = max.min(Semaphore::MAX_PERMITS);
        Arc::new(Self { permits: Arc::new(Semaphore::new(max)), turns: Mutex::default(), max })
    }

    /// Waits until no other call works on any of the ids. The second call for an id then finds a record and is a
    /// repeat, or finds none and is the first. The ids of one call take one permit, because its body is held once.
    pub(super) async fn lock_ids(self: &Arc<Self>, mut ids: Vec<SubmissionId>) -> Result<IdLockGuard, TooMany> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| TooMany { max: self.max })?;
        // All calls lock their ids in the same order: otherwise two calls could deadlock.
        ids.sort_unstable();
        ids.dedup();
        let mut turn = IdLockGuard { held: Vec::with_capacity(ids.len()), inflight: self.clone(), _permit: permit };
        for id in ids {
            while let Err(before_us) = self.take(&id) {
                before_us.await;
            }
            turn.held.push(id);
        }
        Ok(turn)
    }

    /// Takes an id, or returns the end of the other call's work on it.
    fn take(&self, id: &SubmissionId) -> Result<(), OwnedNotified> {
        let mut turns = self.at_work();
        match turns.get_mut(id) {
            // The future is made under the lock: it is woken by every notification from then on, polled or not.
            Some(waiters) => Err(Arc::clone(waiters.get_or_insert_default()).notified_owned()),
            None => {
                turns.insert(id.clone(), None);
                Ok(())
            }
        }
    }

    fn at_work(&self) -> MutexGuard<'_, HashMap<SubmissionId, Option<Arc<Notify>>>> {
        // The lock does not poison, which is safe: each change is one call on the map, so a panic elsewhere cannot have left it
        // half done.
        self.turns.lock()
    }
}

impl Drop for IdLockGuard {
    fn drop(&mut self) {
        let mut turns = self.inflight.at_work();
        for id in &self.held {
            // The id leaves the map before its waiters are woken, so they find it free or taken by another call.
            if let Some(Some(waiters)) = turns.remove(id) {
                waiters.notify_waiters();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn ids(texts: &[&str]) -> Vec<SubmissionId> {
        texts.iter().map(|text| text.parse().expect("valid")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn same_submission_id_waits_its_turn() {
        let inflight = SubmissionLocks::new(4);
        let first = inflight.lock_ids(ids(&["a"])).await.expect("room");
        let _other = inflight.lock_ids(ids(&["b"])).await.expect("another id does not wait");
        let mut second = Box::pin(inflight.lock_ids(ids(&["a"])));
        timeout(Duration::from_secs(60), &mut second).await.expect_err("waits");
        drop(first);
        second.await.expect("its turn");
        assert_eq!(inflight.at_work().len(), 1, "an id leaves with its turn");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_submissions_run_singly() {
        let inflight = SubmissionLocks::new(8);
        let first = inflight.lock_ids(ids(&["a"])).await.expect("room");
        let at_work = Arc::new(Mutex::new((0, 0)));
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..7 {
            let (inflight, at_work) = (inflight.clone(), at_work.clone());
            waiting.spawn(async move {
                let _turn = inflight.lock_ids(ids(&["a"])).await.expect("room");
                let now = {
                    let mut counts = at_work.lock();
                    counts.0 += 1;
                    counts.1 += 1;
                    counts.0
                };
                assert_eq!(now, 1, "alone");
                tokio::task::yield_now().await;
                at_work.lock().0 -= 1;
            });
        }
        tokio::task::yield_now().await;
        drop(first);
        while let Some(done) = waiting.join_next().await {
            done.expect("no panic");
        }
        assert_eq!(*at_work.lock(), (0, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn multi_id_locks_never_deadlock() {
        let inflight = SubmissionLocks::new(2);
        let first = inflight.lock_ids(ids(&["b"])).await.expect("room");
        let mut many = Box::pin(inflight.lock_ids(ids(&["c", "b", "a", "b"])));
        timeout(Duration::from_secs(60), &mut many).await.expect_err("waits for b");
        drop(first);
        let many = many.await.expect("its turn");
        let mut other = Box::pin(inflight.lock_ids(ids(&["a", "c"])));
        timeout(Duration::from_secs(60), &mut other).await.expect_err("waits for a");
        assert_eq!(inflight.at_work().len(), 3);
        drop(many);
        drop(other.await.expect("its turn"));
        assert!(inflight.at_work().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_submissions_are_bounded() {
        let inflight = SubmissionLocks::new(2);
        let first = inflight.lock_ids(ids(&["a"])).await.expect("room");
        let second = tokio::spawn({
            let inflight = inflight.clone();
            async move { inflight.lock_ids(ids(&["a"])).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(inflight.lock_ids(ids(&["b"])).await.expect_err("full"), TooMany { max: 2 });
        second.abort();
        let _gone = second.await;
        inflight.lock_ids(ids(&["b"])).await.expect("a call that went away gives its place back");
        drop(first);
    }
}
