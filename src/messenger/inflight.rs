//! Submissions being worked on: so many at once, and of each id one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::model::SubmissionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The submissions being worked on. Workers share one.
#[derive(Debug)]
pub(super) struct Inflight {
    /// One for each call at work or waiting for its turn: a waiting one holds its body, too.
    permits: Arc<Semaphore>,
    /// Whose turn it is, by id; the channel closes when that turn ends.
    turns: Mutex<HashMap<SubmissionId, watch::Receiver<()>>>,
    /// How many permits there are.
    max: usize,
}

/// As many submissions are being worked on as may be; nothing of this one was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("submissions_max is reached ({max})")]
pub(super) struct TooMany {
    /// The limit.
    max: usize,
}

/// The right to work on one id, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    id: SubmissionId,
    inflight: Arc<Inflight>,
    /// Dropped after the id has left the map: whoever is woken finds it free, or taken by another.
    _ends: watch::Sender<()>,
    _permit: OwnedSemaphorePermit,
}

impl Inflight {
    /// At most `max` at once.
    pub(super) fn new(max: usize) -> Arc<Self> {
        let max = max.min(Semaphore::MAX_PERMITS);
        Arc::new(Self { permits: Arc::new(Semaphore::new(max)), turns: Mutex::default(), max })
    }

    /// Wait until nobody works on `id`. Who comes second finds what the first left: a record, and then it is a repeat; or
    /// nothing, and then it is the first itself.
    pub(super) async fn turn(self: &Arc<Self>, id: SubmissionId) -> Result<Turn, TooMany> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| TooMany { max: self.max })?;
        loop {
            let mut before_us = match self.take(&id) {
                Ok(ends) => return Ok(Turn { id, inflight: self.clone(), _ends: ends, _permit: permit }),
                Err(before_us) => before_us,
            };
            // Nothing is ever sent: this returns when the turn ends.
            let _closed = before_us.changed().await;
        }
    }

    fn take(&self, id: &SubmissionId) -> Result<watch::Sender<()>, watch::Receiver<()>> {
        let mut turns = self.turns();
        if let Some(before_us) = turns.get(id) {
            return Err(before_us.clone());
        }
        let (ends, waits) = watch::channel(());
        turns.insert(id.clone(), waits);
        Ok(ends)
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<SubmissionId, watch::Receiver<()>>> {
        // Each change is one call on the map: a panic elsewhere cannot have left it half done.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.inflight.turns().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn id(text: &str) -> SubmissionId {
        text.parse().expect("valid")
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_call_of_an_id_waits_for_the_first_and_others_do_not() {
        let inflight = Inflight::new(4);
        let first = inflight.turn(id("a")).await.expect("room");
        let _other = inflight.turn(id("b")).await.expect("another id does not wait");
        let mut second = Box::pin(inflight.turn(id("a")));
        timeout(Duration::from_secs(60), &mut second).await.expect_err("waits");
        drop(first);
        second.await.expect("its turn");
        assert_eq!(inflight.turns().len(), 1, "an id leaves with its turn");
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_that_wait_one_at_a_time_goes_on() {
        let inflight = Inflight::new(8);
        let first = inflight.turn(id("a")).await.expect("room");
        let at_work = Arc::new(Mutex::new((0, 0)));
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..7 {
            let (inflight, at_work) = (inflight.clone(), at_work.clone());
            waiting.spawn(async move {
                let _turn = inflight.turn(id("a")).await.expect("room");
                let now = {
                    let mut counts = at_work.lock().expect("whole");
                    counts.0 += 1;
                    counts.1 += 1;
                    counts.0
                };
                assert_eq!(now, 1, "alone");
                tokio::task::yield_now().await;
                at_work.lock().expect("whole").0 -= 1;
            });
        }
        tokio::task::yield_now().await;
        drop(first);
        while let Some(done) = waiting.join_next().await {
            done.expect("no panic");
        }
        assert_eq!(*at_work.lock().expect("whole"), (0, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_call_counts_and_one_too_many_is_told_at_once() {
        let inflight = Inflight::new(2);
        let first = inflight.turn(id("a")).await.expect("room");
        let second = tokio::spawn({
            let inflight = inflight.clone();
            async move { inflight.turn(id("a")).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(inflight.turn(id("b")).await.expect_err("full"), TooMany { max: 2 });
        second.abort();
        let _gone = second.await;
        inflight.turn(id("b")).await.expect("a call that went away gives its place back");
        drop(first);
    }
}
