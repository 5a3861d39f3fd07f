//! The facts of a store that no process has open, without an examination of its rows.

use std::path::Path;

use actors::model::Millis;
use redb::{Database, ReadTransaction, ReadableDatabase};

use crate::runtime::caught_panics::{ExpectedPanics, caught_as};
use crate::store::delivery_clock::{AHEAD_MS, DeliveryClock};
use crate::store::engine::log::log_backend::LogFolder;
use crate::store::error::OpenError;
use crate::store::offline::overlay_backend::OverlayBackend;
use crate::store::offline::replay_offline::replay_offline;
use crate::store::open::log_folder;
use crate::store::schema::tables;
use crate::store::schema::version::{SCHEMA, is_known_schema};

/// The exit code of a process that aborts while it reads a store.
const WRONG: i32 = 1;

/// Bytes of the page cache: a few rows are read.
const CACHE: usize = 1 << 20;

/// The facts of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSummary {
    /// Name of the server that owns the store.
    pub server: String,
    /// Number of times that the store was opened.
    pub epoch: u64,
    /// Time at which something was written for certain, by the clock of then; `None`: nothing was written yet.
    pub written: Option<Millis>,
}

/// Reads the facts of the store at `path`, which no process may have open. The file is not changed, even if redb has to repair
/// it in order to read it.
pub fn summary(path: &Path) -> Result<StoreSummary, OpenError> {
    let place = path.display().to_string();
    let file = OverlayBackend::open(path).map_err(|error| OpenError::from_redb(&place, error))?;
    let unreadable = OpenError::unreadable(&place);
    // redb trusts what it reads, and panics on some damaged files.
    let last = Some((unreadable.to_string(), WRONG));
    let read = caught_as(ExpectedPanics { last, ..ExpectedPanics::default() }, || {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE);
        let database = builder.create_with_backend(file)?;
        replay_offline(&database, &LogFolder::new(log_folder(path)))?;
        facts(&database.begin_read()?)
    });
    match read {
        Ok(Ok((schema, summary))) if is_known_schema(&schema) => Ok(summary),
        Ok(Ok((found, _))) => Err(OpenError::Schema { place, found, known: SCHEMA }),
        Ok(Err(error)) => Err(OpenError::from_redb(&place, error)),
        Err(_) => Err(unreadable),
    }
}

/// Returns the version of the schema, and the facts.
fn facts(read: &ReadTransaction) -> Result<(String, StoreSummary), redb::Error> {
    let meta = read.open_table(tables::META)?;
    let text = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|row| row.value().to_owned()).unwrap_or_default());
    let ahead = DeliveryClock::behind(&meta)?.ahead;
    let summary = StoreSummary {
        server: text("server")?,
        epoch: text("epoch")?.parse().unwrap_or(0),
        written: (ahead > 0).then(|| Millis(ahead.saturating_sub(AHEAD_MS))),
    };
    Ok((text("schema")?, summary))
}
