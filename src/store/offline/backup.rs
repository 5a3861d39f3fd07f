//! Backups: copies of the store at one moment, taken while it works.
//!
//! One snapshot, of the file and of the rows that are only in the log yet, is copied table by table into a new store, a few
//! mebibytes per commit, so memory use is constant and writers do not wait. Pages of the snapshot are not reused meanwhile, so the store's own file may grow
//! by what is written during the copy. The copy carries a mark that it is a backup: see [`crate::store::offline::adopt_backup`].

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actors::model::{Millis, Position};
use redb::{Database, Durability, StorageBackend, TableDefinition};

use crate::runtime::durable_file::{draft_beside, publish};
use crate::store::engine::log::log_position::LogPosition;
use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::offline::adopt_backup;
use crate::store::schema::tables;
use crate::store::schema::tables::{RowKey, RowValue, TableVisitor};
use crate::store::shared::StoreShared;

/// Bytes of rows in one commit of the copy.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of the page cache for the copy.
const CACHE: usize = 16 << 20;

/// Progress of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CopyProgress {
    /// Number of rows that are copied.
    pub rows: u64,
    /// Number of rows in total.
    pub rows_total: u64,
    /// Bytes of rows copied.
    pub bytes: u64,
}

/// A finished backup on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishedBackup {
    /// Time of the snapshot.
    pub taken: Millis,
    /// Newest position of the feed in the backup.
    pub tail: Position,
    /// Number of rows in the backup.
    pub rows: u64,
    /// Size of the rows in bytes.
    pub bytes: u64,
}

/// Error: no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file exists; a backup never replaces a file.
    #[error("{} is there already and is never overwritten; name another file", .0.display())]
    Exists(PathBuf),
    /// The new file cannot be written.
    #[error("the backup {} cannot be written: {source}; check its folder and the free space there", .path.display())]
    File {
        /// Path of the backup.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// A row cannot be read from the store, or written into the copy.
    #[error("the store cannot be copied: {0}; check the disk of the store and that of the backup")]
    Copy(Box<redb::Error>),
    /// The copying thread ended early.
    #[error("the backup was given up half-way: {0}")]
    Abandoned(String),
}

impl<E: Into<redb::Error>> From<E> for BackupError {
    fn from(error: E) -> Self {
        Self::Copy(Box::new(error.into()))
    }
}

/// Copies the store into a new file, on a blocking thread.
pub(crate) async fn copy_to_file(
    shared: Arc<StoreShared>,
    path: PathBuf,
    progress: impl FnMut(CopyProgress) + Send + 'static,
) -> Result<FinishedBackup, BackupError> {
    aside(move || to_file(&shared, &path, progress)).await
}

/// Copies the store into an empty redb backend, on a blocking thread.
pub(crate) async fn copy_to_backend(
    shared: Arc<StoreShared>,
    backend: impl StorageBackend,
    progress: impl FnMut(CopyProgress) + Send + 'static,
) -> Result<FinishedBackup, BackupError> {
    aside(move || {
        let into = Database::builder().set_cache_size(CACHE).create_with_backend(backend)?;
        copy(&shared, into, progress)
    })
    .await
}

async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| BackupError::Abandoned(error.to_string()))?
}

fn to_file(
    shared: &StoreShared,
    path: &Path,
    progress: impl FnMut(CopyProgress),
) -> Result<FinishedBackup, BackupError> {
    let failed = |source| BackupError::File { path: path.to_owned(), source };
    if path.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(path.to_owned()));
    }
    // The copy has a temporary name until it is complete, so an interruption leaves nothing that looks like a backup.
    // Only the owner may read it, as with the store itself.
    let draft = draft_beside(path).map_err(failed)?;
    let into = Database::builder().set_cache_size(CACHE).create(draft.path())?;
    let backup = copy(shared, into, progress)?;
    publish(draft, path).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => BackupError::Exists(path.to_owned()),
        _ => failed(source),
    })?;
    Ok(backup)
}

fn copy(
    shared: &StoreShared,
    into: Database,
    progress: impl FnMut(CopyProgress),
) -> Result<FinishedBackup, BackupError> {
    // The time is read before the snapshot is taken: everything committed before it is in the backup, and what was
    // committed later may be missing.
    let taken = shared.clock.now();
    let read = shared.engine.snapshot();
    let mut totals = CopyTotals { read: &read, rows: 0 };
    tables::each(&mut totals)?;
    let done = CopyProgress { rows_total: totals.rows, ..CopyProgress::default() };
    let is_closing = || shared.queue.is_ending();
    let mut copying = TableCopy { read: &read, into: &into, done, progress, is_closing };
    tables::each(&mut copying)?;
    let done = copying.done;
    let tail = read.open_table(tables::FEED)?.last()?.map_or(0, |(position, _)| position.value());
    let acked = read.open_table(tables::FEED_CURSOR)?.get(tables::MESSENGER)?.map_or(0, |row| row.value());
    let transaction = commitment(&into)?;
    adopt_backup::mark(&transaction, taken)?;
    LogPosition::remove(&transaction)?;
    transaction.commit()?;
    into.close()?;
    Ok(FinishedBackup { taken, tail: Position(tail.max(acked)), rows: done.rows, bytes: done.bytes })
}

fn commitment(into: &Database) -> Result<redb::WriteTransaction, BackupError> {
    let mut transaction = into.begin_write()?;
    transaction.set_durability(Durability::Immediate).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

struct CopyTotals<'t> {
    read: &'t ReadSnapshot,
    rows: u64,
}

impl TableVisitor for CopyTotals<'_> {
    type Error = redb::Error;

    fn visit<K: RowKey, V: RowValue>(&mut self, table: TableDefinition<'static, K, V>) -> Result<(), redb::Error> {
        self.rows += self.read.open_table(table)?.len()?;
        Ok(())
    }
}

struct TableCopy<'t, P, C> {
    read: &'t ReadSnapshot,
    into: &'t Database,
    done: CopyProgress,
    progress: P,
    /// True once the store is being closed: a stop must not wait for a copy of gigabytes.
    is_closing: C,
}

impl<P: FnMut(CopyProgress), C: Fn() -> bool> TableVisitor for TableCopy<'_, P, C> {
    type Error = BackupError;

    fn visit<K: RowKey, V: RowValue>(&mut self, definition: TableDefinition<'static, K, V>) -> Result<(), BackupError> {
        let source = self.read.open_table(definition)?;
        let mut rows = source.iter()?;
        let mut more = true;
        while more {
            if (self.is_closing)() {
                return Err(BackupError::Abandoned("the store was closed".to_owned()));
            }
            let transaction = commitment(self.into)?;
            {
                let mut table = transaction.open_table(definition)?;
                let mut bytes = 0;
                more = false;
                for row in rows.by_ref() {
                    let (key, value) = row?;
                    let (key, value) = (key.value(), value.value());
                    let size = K::as_bytes(&key).as_ref().len() + V::as_bytes(&value).as_ref().len();
                    table.insert(key, value)?;
                    bytes += size;
                    self.done.rows += 1;
                    self.done.bytes += size as u64;
                    if bytes >= BATCH_BYTES {
                        more = true;
                        break;
                    }
                }
            }
            transaction.commit()?;
            (self.progress)(self.done);
        }
        Ok(())
    }
}
