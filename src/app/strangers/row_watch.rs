//! Counts the rows of strangers in the store, whenever they may have changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::app::strangers::open_roster::PeerTableSource;
use crate::app::strangers::strangers_book::StrangersBook;
use crate::store::Store;

/// Pause between two counts, at least: longer than a commit takes. A count that takes long is followed by a longer pause.
const PAUSE_MIN: Duration = Duration::from_secs(2);

/// Pause after a count, in multiples of its time: counting takes at most a twentieth of a core.
const PAUSE_TIMES: u32 = 20;

/// Counts the rows of strangers once.
async fn count(store: &Store, table: &PeerTableSource, book: &StrangersBook) {
    let peers = table();
    if !peers.is_open() {
        return;
    }
    let most = peers.stranger_bounds().rows_max;
    book.rows.begin_count();
    match store.rows_of_servers(move |server| peers.is_open_to(server), most).await {
        Ok(rows) => book.rows.end_count(rows),
        Err(error) => tracing::error!(%error, "the rows of strangers cannot be counted"),
    }
}

/// Counts the rows of strangers before it returns, and then returns a task that counts them again whenever they may have changed.
pub(in crate::app) async fn watch_rows(
    store: Store,
    table: PeerTableSource,
    book: Arc<StrangersBook>,
) -> impl Future<Output = ()> + Send + 'static {
    count(&store, &table, &book).await;
    async move {
        loop {
            book.rows.asked.notified().await;
            let began = Instant::now();
            count(&store, &table, &book).await;
            sleep(PAUSE_MIN.max(began.elapsed() * PAUSE_TIMES)).await;
        }
    }
}
