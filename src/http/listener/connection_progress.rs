//! The requests of a connection: how many have arrived and how many are answered, and which deadline has passed.
//!
//! The stream knows what arrives, the middleware what is answered. Both write here, because the HTTP library between them tells neither.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::http::listener::connection_table::OpenConnection;
use crate::telemetry::limit_counts::LimitCounts;

/// The progress of one connection. One thread writes it, so the order of its parts needs no lock.
#[derive(Debug, Default)]
pub struct ConnectionProgress {
    /// Requests that have arrived whole.
    arrived: AtomicU64,
    answered: AtomicU64,
    late_head: OnceLock<Duration>,
    late_body: OnceLock<Duration>,
    /// True once the caller sends nothing more.
    is_ended: AtomicBool,
    ended: Notify,
    /// Entry in the table of connections, which must not close a connection whose request is being handled.
    entry: Option<Arc<OpenConnection>>,
    /// Counts of what is refused before a route is called.
    counts: LimitCounts,
}

impl ConnectionProgress {
    /// Returns the progress of a connection with this entry in a table.
    pub fn of(entry: Option<Arc<OpenConnection>>, counts: LimitCounts) -> Self {
        Self { entry, counts, ..Self::default() }
    }

    /// Counts a refusal before a route is called.
    pub(in crate::http) fn count(&self, limit: &'static str) {
        self.counts.count(limit);
    }

    /// Records the number of requests that have arrived whole.
    pub(super) fn arrived(&self, count: u64) {
        if self.arrived.swap(count, Ordering::Relaxed) != count {
            self.tell_table();
        }
    }

    /// Records that the answer to a request is known. Requests are answered in their order.
    pub fn answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.tell_table();
    }

    fn tell_table(&self) {
        if let Some(entry) = &self.entry {
            entry.set_busy(self.arrived.load(Ordering::Relaxed) > self.answered());
        }
    }

    /// Records that the caller has closed the connection, or its half of it.
    pub(super) fn end(&self) {
        self.is_ended.store(true, Ordering::SeqCst);
        self.ended.notify_waiters();
    }

    /// Waits until the caller has closed the connection. HTTP/1.1 has no other way to withdraw a request.
    pub async fn caller_left(&self) {
        let ended = self.ended.notified();
        // The future is made first, so that an end after the look is not missed.
        if !self.is_ended.load(Ordering::SeqCst) {
            ended.await;
        }
    }

    /// Returns the number of requests whose answer is known.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Records that a head did not arrive within this time.
    pub(super) fn head_is_late(&self, limit: Duration) {
        self.late_head.get_or_init(|| limit);
    }

    /// Returns the time within which the latest head did not arrive.
    pub fn late_head(&self) -> Option<Duration> {
        self.late_head.get().copied()
    }

    /// Records that a body did not arrive within this time.
    pub(super) fn body_is_late(&self, limit: Duration) {
        self.late_body.get_or_init(|| limit);
    }

    /// Returns the time within which the latest body did not arrive.
    pub fn late_body(&self) -> Option<Duration> {
        self.late_body.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn end_reaches_early_and_late_waiters() {
        let progress = ConnectionProgress::default();
        let waits = async { tokio::time::timeout(Duration::from_secs(1), progress.caller_left()).await.is_ok() };
        assert!(!waits.await, "the caller waits for its answer");
        let ends = async {
            tokio::task::yield_now().await;
            progress.end();
        };
        tokio::join!(progress.caller_left(), ends);
        progress.caller_left().await;
    }
}
