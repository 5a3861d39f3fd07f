//! Reads of the store that are repeated until they succeed, for work that no other event would start.

use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;

use crate::model::ShortDuration;
use crate::ports::ArchiveError;

/// Pause after the first failed read; it doubles ...
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// ... up to this.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Calls `read` until it succeeds. `what` tells the log which work waits for it.
pub(crate) async fn until_read<T, F>(what: &'static str, mut read: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, ArchiveError>>,
{
    let mut pause = PAUSE_MIN;
    loop {
        match read().await {
            Ok(found) => return found,
            Err(error) => tracing::error!(%error, what, again_after = %ShortDuration(pause), "the store is read again"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
