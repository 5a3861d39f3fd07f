//! Gives the unused pages of a store's file back to the system. No process may have the store open: the engine moves pages only while nobody
//! reads, and a running gateway always does.
//!
//! The rows stay as they are, and so does the log beside the file. A crash meanwhile costs the next opening a repair, and no row.

use std::path::Path;

use actors::ports::Disk;
use redb::{CompactionError, Database, ReadableDatabase, TableError};

use crate::runtime::caught_panics::{ExpectedPanics, caught_as};
use crate::runtime::free_space::FolderDisk;
use crate::store::error::OpenError;
use crate::store::schema::tables;
use crate::store::schema::version::{SCHEMA, is_known_schema};

/// The exit code of a process that aborts while it reads a store.
const WRONG: i32 = 1;
/// Bytes of the page cache.
const CACHE: usize = 64 << 20;

/// Free space that is needed at least: commits of the compaction write pages before they free others.
const FREE_MIN: u64 = 16 << 20;
/// Part of the file's size that has to be free.
const FREE_PART: u64 = 16;

/// A compacted file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactReport {
    /// Size of the file before.
    pub before: u64,
    /// Size of the file now.
    pub after: u64,
}

/// Error: the file is as large as before.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The disk may become full meanwhile.
    #[error("the disk of {place} has {free} bytes free, and the compaction needs {needed}; free some space first")]
    DiskLow {
        /// Path of the store's file.
        place: String,
        /// Bytes that are free.
        free: u64,
        /// Bytes that have to be.
        needed: u64,
    },
}

/// Compacts the file at `path`.
pub fn compact(path: &Path) -> Result<CompactReport, CompactError> {
    let place = path.display().to_string();
    let unusable = |error: redb::Error| CompactError::Open(OpenError::from_redb(&place, error));
    let length = || path.metadata().map(|file| file.len()).map_err(|error| unusable(redb::Error::Io(error)));
    let before = length()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let needed = FREE_MIN.max(before / FREE_PART);
    if let Some(free) = FolderDisk(folder.to_owned()).free().filter(|free| *free < needed) {
        return Err(CompactError::DiskLow { place, free, needed });
    }
    let unreadable = OpenError::unreadable(&place);
    let last = Some((unreadable.to_string(), WRONG));
    let compacted = caught_as(ExpectedPanics { last, ..ExpectedPanics::default() }, || {
        let mut builder = Database::builder();
        let mut database = builder.set_cache_size(CACHE).open(path)?;
        if let Some(found) = unknown_schema(&database)? {
            return Ok(Some(found));
        }
        database.compact().map_err(|error| match error {
            CompactionError::Storage(error) => redb::Error::from(error),
            // Nobody else has the file, and savepoints are not used.
            other => redb::Error::Corrupted(other.to_string()),
        })?;
        database.close()?;
        Ok(None)
    });
    match compacted {
        Ok(Ok(None)) => Ok(CompactReport { before, after: length()? }),
        Ok(Ok(Some(found))) => Err(OpenError::Schema { place, found, known: SCHEMA }.into()),
        Ok(Err(error)) => Err(unusable(error)),
        Err(_) => Err(unreadable.into()),
    }
}

/// Returns the version of the schema if this program does not know it.
fn unknown_schema(database: &Database) -> Result<Option<String>, redb::Error> {
    let read = database.begin_read()?;
    let meta = match read.open_table(tables::META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            return Err(redb::Error::Corrupted("it is a database, and not a store of fernpost".to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    let found = meta.get("schema")?.map(|row| row.value().to_owned()).unwrap_or_default();
    Ok((!is_known_schema(&found)).then_some(found))
}
