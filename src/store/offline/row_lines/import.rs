//! Makes a store of the lines of an export. The store gets its name when all of them are read, compared with the last one, and verified.

use std::fs::File;
use std::io::{BufRead, ErrorKind, Read};
use std::path::{Path, PathBuf};

use actors::model::{CountedNoun, Millis};
use redb::{Database, Durability, TableDefinition, TableHandle};

use crate::runtime::caught_panics::caught;
use crate::runtime::durable_file::{draft_beside, publish};
use crate::store::error::OpenError;
use crate::store::marker;
use crate::store::offline::adopt_backup;
use crate::store::offline::restore::{CreatedFolders, is_in_use};
use crate::store::offline::row_lines::line::{END, ExportEnd, ExportHeader, ExportedRow, FORMAT, LINE_MAX, LineTotals};
use crate::store::offline::verify::{VerifyResult, verify};
use crate::store::open::FILE;
use crate::store::schema::tables;
use crate::store::schema::tables::{RowKey, RowValue, TableVisitor};
use crate::store::schema::version::{SCHEMA, is_known_schema};

/// Bytes of rows in one commit.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of the page cache.
const CACHE: usize = 16 << 20;

/// The meaning of the rows of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportKind {
    /// A backup: the first start expects that peers and the messenger remember more than the rows do.
    Backup,
    /// The store itself: nothing was sent or received since the export, and no other copy is started.
    Moved,
}

/// An imported store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// Path of the store's file.
    pub path: PathBuf,
    /// Number of rows.
    pub rows: u64,
    /// Result of the verification.
    pub verified: VerifyResult,
}

/// Error: nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A store exists; rows are never added to it.
    #[error("{} is there already, and rows are imported into a new store only; stop the gateway and move it away first", .0.display())]
    Exists(PathBuf),
    /// Another process has the store open.
    #[error("{} is in use by another process; stop the gateway first", .0.display())]
    InUse(PathBuf),
    /// A line is not what an export has there.
    #[error("line {line}: {why}")]
    Line {
        /// Number of the line; the first one is 1.
        line: u64,
        /// The fault, and the remedy.
        why: String,
    },
    /// The rows contradict each other.
    #[error("the rows do not fit together: {}, the first: {}; export the store again", CountedNoun(.0.findings.len() as u64 + .0.more, "finding"), .0.findings[0])]
    Damaged(Box<VerifyResult>),
    /// The new store cannot be examined.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
}

/// Makes a store in the data folder, unless one is there. `progress` gets the number of bytes that were read.
pub fn import(
    lines: &mut dyn BufRead,
    data_dir: &Path,
    kind: ImportKind,
    progress: &mut dyn FnMut(u64),
) -> Result<ImportReport, ImportError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ImportError::File { path, source }
    };
    let path = data_dir.join(FILE);
    match File::open(&path) {
        Ok(there) if is_in_use(&there) => return Err(ImportError::InUse(path)),
        Ok(_) => return Err(ImportError::Exists(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(failed(&path)(source)),
    }
    let mut made = CreatedFolders::folder(data_dir).map_err(failed(data_dir))?;
    let draft = draft_beside(&path).map_err(failed(&path))?;
    let rows = fill(draft.path(), &mut LineReader::new(lines, progress), kind)?;
    let verified = verify(draft.path())?;
    if !verified.is_sound() {
        return Err(ImportError::Damaged(Box::new(verified)));
    }
    // The marker is written first, as for a restore.
    let marked = match kind {
        ImportKind::Backup => marker::restoring(&path),
        ImportKind::Moved => marker::moving(&path),
    };
    marked.map_err(failed(&path))?;
    publish(draft, &path).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => ImportError::Exists(path.clone()),
        _ => failed(&path)(source),
    })?;
    made.keep();
    Ok(ImportReport { path, rows, verified })
}

/// Writes the rows into an empty file, and returns their number.
fn fill(draft: &Path, lines: &mut LineReader<'_>, kind: ImportKind) -> Result<u64, ImportError> {
    let place = draft.display().to_string();
    let unusable = |error: redb::Error| ImportError::Open(OpenError::from_redb(&place, error));
    let header = lines.header()?;
    let into = Database::builder().set_cache_size(CACHE).create(draft).map_err(|error| unusable(error.into()))?;
    let mut rows = RowImport { lines, into: &into, rows: 0 };
    tables::each(&mut rows).map_err(|error| match error {
        RowError::Import(error) => error,
        RowError::Redb(error) => unusable(error),
    })?;
    let count = rows.rows;
    lines.finish()?;
    let marked = || {
        let transaction = into.begin_write()?;
        if kind == ImportKind::Backup {
            adopt_backup::mark(&transaction, Millis(header.taken))?;
        }
        Ok(transaction.commit()?)
    };
    marked().map_err(unusable)?;
    into.close().map_err(|error| unusable(error.into()))?;
    Ok(count)
}

/// Key and value of a row, as the engine stores them.
type EncodedRow = (Vec<u8>, Vec<u8>);

/// Reads lines, and compares them with the last one.
struct LineReader<'a> {
    from: &'a mut dyn BufRead,
    progress: &'a mut dyn FnMut(u64),
    totals: LineTotals,
    /// Number of the line that was read last.
    number: u64,
    line: Vec<u8>,
}

impl<'a> LineReader<'a> {
    fn new(from: &'a mut dyn BufRead, progress: &'a mut dyn FnMut(u64)) -> Self {
        Self { from, progress, totals: LineTotals::default(), number: 0, line: Vec::new() }
    }

    fn wrong(&self, why: impl Into<String>) -> ImportError {
        ImportError::Line { line: self.number, why: why.into() }
    }

    /// Reads the next line; the last one is not added to the totals.
    fn read(&mut self) -> Result<(), ImportError> {
        self.number += 1;
        self.line.clear();
        let read = (&mut *self.from).take(LINE_MAX).read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| self.wrong(format!("it cannot be read: {error}")))?;
        if read == 0 {
            return Err(self.wrong("the file ends without its last line, so it was cut; copy or export it again"));
        }
        if self.line.last() != Some(&b'\n') {
            return Err(self.wrong("the file ends within this line, so it was cut; copy or export it again"));
        }
        if !self.line.starts_with(END) {
            self.totals.line(&self.line);
        }
        (self.progress)(self.totals.bytes);
        Ok(())
    }

    fn header(&mut self) -> Result<ExportHeader, ImportError> {
        self.read()?;
        let header: Result<ExportHeader, _> = serde_json::from_slice(&self.line);
        let header = header.map_err(|_| self.wrong("this is no export of fernpost (`fernpost store export`)"))?;
        if header.fernpost_export != FORMAT {
            let found = header.fernpost_export;
            return Err(self
                .wrong(format!("the format is {found}, this program knows {FORMAT}; use the version that wrote it")));
        }
        if !is_known_schema(&header.schema.to_string()) {
            let found = header.schema;
            return Err(self.wrong(format!(
                "the rows have schema version {found}, this program knows {SCHEMA}; import them with the version that wrote them"
            )));
        }
        // The first row stands ready for the first table.
        self.read()?;
        Ok(header)
    }

    /// Returns the row of the current line if it is one of this table.
    fn row_of(&self, table: &str) -> Result<Option<EncodedRow>, ImportError> {
        if self.line.starts_with(END) {
            return Ok(None);
        }
        let row: Result<ExportedRow<'_>, _> = serde_json::from_slice(&self.line);
        let row = row.map_err(|error| self.wrong(format!("this is no row: {error}")))?;
        if row.table != table {
            return Ok(None);
        }
        let bytes = |bytes: Result<Vec<u8>, String>| bytes.map_err(|error| self.wrong(format!("bad base64: {error}")));
        Ok(Some((bytes(row.key.into_bytes())?, bytes(row.value.into_bytes())?)))
    }

    /// Compares all lines with the last one, which is the current one.
    fn finish(&mut self) -> Result<(), ImportError> {
        if !self.line.starts_with(END) {
            let row: Result<ExportedRow<'_>, _> = serde_json::from_slice(&self.line);
            let table = row.map(|row| row.table.into_owned()).unwrap_or_default();
            return Err(self.wrong(format!("a row of the table {table:?} is not expected here")));
        }
        let stated: Result<ExportEnd, _> = serde_json::from_slice(&self.line);
        let stated = stated.map_err(|error| self.wrong(format!("the last line cannot be read: {error}")))?;
        if std::mem::take(&mut self.totals).finish() != stated.end {
            return Err(self.wrong(
                "the lines before do not fit the counts and the digest of this one; copy or export the file again",
            ));
        }
        let mut rest = [0; 1];
        match self.from.read(&mut rest) {
            Ok(0) => Ok(()),
            _ => {
                self.number += 1;
                Err(self.wrong("something follows after the last line; copy or export the file again"))
            }
        }
    }
}

/// Errors of a table that is filled.
enum RowError {
    Import(ImportError),
    Redb(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for RowError {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

struct RowImport<'a, 'l> {
    lines: &'a mut LineReader<'l>,
    into: &'a Database,
    rows: u64,
}

impl TableVisitor for RowImport<'_, '_> {
    type Error = RowError;

    fn visit<K: RowKey, V: RowValue>(&mut self, definition: TableDefinition<'static, K, V>) -> Result<(), RowError> {
        let name = definition.name().to_owned();
        loop {
            let mut transaction = self.into.begin_write()?;
            transaction
                .set_durability(Durability::Immediate)
                .map_err(|error| redb::Error::Corrupted(error.to_string()))?;
            let mut bytes = 0;
            {
                let mut table = transaction.open_table(definition)?;
                while bytes < BATCH_BYTES
                    && let Some((key, value)) = self.lines.row_of(&name).map_err(RowError::Import)?
                {
                    bytes += key.len() + value.len();
                    // The engine trusts the bytes of a row, and panics on some that no row has.
                    let put = caught(|| table.insert(K::from_bytes(&key), V::from_bytes(&value)).map(drop));
                    put.map_err(|_| RowError::Import(self.lines.wrong("the row has not the form of its table")))??;
                    self.lines.totals.row(&name);
                    self.rows += 1;
                    self.lines.read().map_err(RowError::Import)?;
                }
            }
            transaction.commit()?;
            if bytes < BATCH_BYTES {
                return Ok(());
            }
        }
    }
}
