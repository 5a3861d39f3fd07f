//! Virtual time: a test under a paused clock runs in a [`world`] and lets time pass.

use std::future::Future;
use std::time::Duration;

use actors::model::Millis;
use tokio::task::LocalSet;

/// Wall time at the start of a test: not zero, so that a missing time is detected.
pub const BASE: Millis = Millis(1_700_000_000_000);

/// Runs a test, or one process of a gateway. Everything that it started is dropped at the end, as by the end of a process.
pub async fn world<T>(body: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(body).await
}

/// Lets this many seconds of virtual time pass.
pub async fn seconds(count: u64) {
    millis(count * 1000).await;
}

/// Lets this much virtual time pass. Everything that can run without time passing runs before.
pub async fn millis(count: u64) {
    tokio::time::sleep(Duration::from_millis(count)).await;
}

/// Returns when no task can run any more: only then does a paused clock move. A held sync keeps the clock still.
pub async fn at_rest() {
    seconds(1).await;
}

/// The same while a sync is held and the clock stands still: each task wakes few others, so this many turns are enough.
pub async fn all_has_run() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}
