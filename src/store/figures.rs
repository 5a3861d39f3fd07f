//! Figures of the store that are cheap to read, for `/metrics`.

use std::sync::Arc;

use actors::ports::ArchiveError;

use crate::store::counters::RowCounts;
use crate::store::schema::tables::{DEAD_LETTERS, QUARANTINE};
use crate::store::shared::StoreShared;

/// Figures of the store. A table states its number of rows without being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreFigures {
    /// Bytes of the file; `None` for a store that is not a file.
    pub file_bytes: Option<u64>,
    /// Number of inbound items in quarantine.
    pub quarantine_items: u64,
    /// Number of dead letters.
    pub dead_letters: u64,
    /// Work done since the store was opened.
    pub counts: RowCounts,
}

/// Reads the figures on a blocking thread.
pub(crate) async fn read_aside(shared: Arc<StoreShared>) -> Result<StoreFigures, ArchiveError> {
    let read = tokio::task::spawn_blocking(move || read(&shared)).await;
    let failed = |error: &dyn ToString| ArchiveError(error.to_string());
    read.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

fn read(shared: &StoreShared) -> Result<StoreFigures, redb::Error> {
    let read = shared.engine.snapshot();
    let file = shared.file.as_ref().map(std::fs::metadata).transpose().map_err(redb::Error::Io)?;
    Ok(StoreFigures {
        file_bytes: file.map(|file| file.len()),
        quarantine_items: read.open_table(QUARANTINE)?.len()?,
        dead_letters: read.open_table(DEAD_LETTERS)?.len()?,
        counts: shared.counters.now(),
    })
}
