//! Writes the rows of a store that no process has open, or of a backup, as lines.

use std::io::{self, Write};
use std::path::Path;

use actors::model::Millis;
use redb::{Database, ReadableDatabase, TableDefinition, TableError, TableHandle};

use crate::runtime::caught_panics::{ExpectedPanics, caught_as};
use crate::store::engine::log::log_backend::LogFolder;
use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::error::OpenError;
use crate::store::offline::adopt_backup;
use crate::store::offline::backup::CopyProgress;
use crate::store::offline::overlay_backend::OverlayBackend;
use crate::store::offline::replay_offline::replay_offline;
use crate::store::offline::row_lines::line::{
    ExportEnd, ExportHeader, ExportTotals, ExportedBytes, ExportedRow, FORMAT, LineTotals,
};
use crate::store::open::log_folder;
use crate::store::schema::tables;
use crate::store::schema::tables::{RowKey, RowValue, TableVisitor};
use crate::store::schema::version::{SCHEMA, is_known_schema};

/// The exit code of a process that aborts while it reads a store.
const WRONG: i32 = 1;
/// Bytes of the page cache.
const CACHE: usize = 16 << 20;
/// Number of rows between two reports of progress.
const REPORT_EVERY: u64 = 1024;
/// Row of `meta` that belongs to the log beside the file, which an import does not have.
const LOG_POSITION: &str = "log";

/// A finished export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportReport {
    /// Name of the server that owns the store.
    pub server: String,
    /// Number of rows.
    pub rows: u64,
    /// Number of bytes that were written.
    pub bytes: u64,
    /// Digest of the lines, as the last one states it.
    pub sha256: String,
}

/// Error: the export is not complete.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The lines cannot be written.
    #[error("the export cannot be written: {0}; check the free space and whoever reads it")]
    Write(#[source] io::Error),
}

/// Errors of the engine and of the output.
enum ExportFault {
    Store(redb::Error),
    Schema(String),
    Output(io::Error),
}

impl<E: Into<redb::Error>> From<E> for ExportFault {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// Writes the store at `path`, which no process may have open, as lines. The file is not changed. A row is in memory at a time, and
/// the rows that only the log of an unclosed store has.
pub fn export(
    path: &Path,
    out: &mut dyn Write,
    now: Millis,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<ExportReport, ExportError> {
    let place = path.display().to_string();
    let file = OverlayBackend::open(path).map_err(|error| OpenError::from_redb(&place, error))?;
    let unreadable = OpenError::unreadable(&place);
    let last = Some((unreadable.to_string(), WRONG));
    let written = caught_as(ExpectedPanics { last, ..ExpectedPanics::default() }, || {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE);
        let database = builder.create_with_backend(file)?;
        replay_offline(&database, &LogFolder::new(log_folder(path)))?;
        write_all(&database, out, now, progress)
    });
    match written {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(ExportFault::Store(error))) => Err(OpenError::from_redb(&place, error).into()),
        Ok(Err(ExportFault::Schema(found))) => Err(OpenError::Schema { place, found, known: SCHEMA }.into()),
        Ok(Err(ExportFault::Output(error))) => Err(ExportError::Write(error)),
        Err(_) => Err(unreadable.into()),
    }
}

fn write_all(
    database: &Database,
    out: &mut dyn Write,
    now: Millis,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<ExportReport, ExportFault> {
    let header = header(database, now)?;
    let server = header.server.clone();
    let read = ReadSnapshot::of_file(database.begin_read()?, 0);
    let mut rows_total = ExportRowCount { read: &read, rows: 0 };
    tables::each(&mut rows_total)?;
    let done = CopyProgress { rows_total: rows_total.rows, ..CopyProgress::default() };
    let mut lines = LineWriter { read: &read, out, totals: LineTotals::default(), done, progress };
    lines.line(&header)?;
    tables::each(&mut lines)?;
    let LineWriter { out, totals, done, .. } = lines;
    let mut bytes = totals.bytes;
    let end = ExportEnd { end: totals.finish() };
    let mut last = serde_json::to_vec(&end).map_err(|error| ExportFault::Output(error.into()))?;
    last.push(b'\n');
    bytes += last.len() as u64;
    out.write_all(&last).and_then(|()| out.flush()).map_err(ExportFault::Output)?;
    let ExportTotals { sha256, .. } = end.end;
    Ok(ExportReport { server, rows: done.rows, bytes, sha256 })
}

fn header(database: &Database, now: Millis) -> Result<ExportHeader, ExportFault> {
    let read = database.begin_read()?;
    let meta = match read.open_table(tables::META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            let words = "it is a database, and not a store of fernpost".to_owned();
            return Err(ExportFault::Store(redb::Error::Corrupted(words)));
        }
        Err(error) => return Err(error.into()),
    };
    let text = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|row| row.value().to_owned()).unwrap_or_default());
    let found = text("schema")?;
    if !is_known_schema(&found) {
        return Err(ExportFault::Schema(found));
    }
    let taken = adopt_backup::backup_taken_at(&meta)?.unwrap_or(now);
    Ok(ExportHeader {
        fernpost_export: FORMAT,
        schema: found.parse().unwrap_or(SCHEMA),
        server: text("server")?,
        taken: taken.0,
    })
}

/// Returns nothing for a table that the version which wrote the store did not have.
fn present<T>(opened: Result<T, redb::Error>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(redb::Error::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

struct ExportRowCount<'t> {
    read: &'t ReadSnapshot,
    rows: u64,
}

impl TableVisitor for ExportRowCount<'_> {
    type Error = redb::Error;

    fn visit<K: RowKey, V: RowValue>(&mut self, table: TableDefinition<'static, K, V>) -> Result<(), redb::Error> {
        if let Some(table) = present(self.read.open_table(table))? {
            self.rows += table.len()?;
        }
        Ok(())
    }
}

struct LineWriter<'t> {
    read: &'t ReadSnapshot,
    out: &'t mut dyn Write,
    totals: LineTotals,
    done: CopyProgress,
    progress: &'t mut dyn FnMut(CopyProgress),
}

impl LineWriter<'_> {
    fn line(&mut self, content: &impl serde::Serialize) -> Result<(), ExportFault> {
        let mut line = serde_json::to_vec(content).map_err(|error| ExportFault::Output(error.into()))?;
        line.push(b'\n');
        self.totals.line(&line);
        self.out.write_all(&line).map_err(ExportFault::Output)
    }
}

impl TableVisitor for LineWriter<'_> {
    type Error = ExportFault;

    fn visit<K: RowKey, V: RowValue>(&mut self, definition: TableDefinition<'static, K, V>) -> Result<(), ExportFault> {
        let name = definition.name().to_owned();
        let Some(table) = present(self.read.open_table(definition))? else { return Ok(()) };
        for row in table.iter()? {
            let (key, value) = row?;
            let (key, value) = (key.value(), value.value());
            let (key, value) = (K::as_bytes(&key), V::as_bytes(&value));
            if name == tables::META.name() && key.as_ref() == LOG_POSITION.as_bytes() {
                continue;
            }
            let (key, value) = (ExportedBytes::of(key.as_ref()), ExportedBytes::of(value.as_ref()));
            self.line(&ExportedRow { table: name.as_str().into(), key, value })?;
            self.totals.row(&name);
            self.done.rows += 1;
            self.done.bytes = self.totals.bytes;
            if self.done.rows.is_multiple_of(REPORT_EVERY) {
                (self.progress)(self.done);
            }
        }
        Ok(())
    }
}
