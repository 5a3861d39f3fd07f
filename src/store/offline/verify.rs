//! Verifies a store that no process has open: with redb's own checks, and by comparing the rows with each other.

mod contexts;
mod queues;
use std::fmt;
use std::path::Path;

use actors::model::Millis;
use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition, TableHandle};

use crate::runtime::caught_panics::{ExpectedPanics, caught_as};
use crate::store::engine::log::log_backend::{LogBackend, LogFolder};
use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::error::{OpenError, UNREADABLE, is_damage};
use crate::store::offline::adopt_backup;
use crate::store::offline::overlay_backend::OverlayBackend;
use crate::store::offline::replay_offline::replay_offline;
use crate::store::open::{LoggedBackend, log_folder};
use crate::store::position_jumps::PositionJumps;
use crate::store::schema::tables;
use crate::store::schema::tables::{RowKey, RowValue, TableVisitor};
use crate::store::schema::version::{SCHEMA, is_known_schema};
use crate::store::stats::{TableStats, measured};

/// The exit code of a process that aborts while it examines a store.
const WRONG: i32 = 1;

/// Maximum number of findings that are listed; further ones are only counted.
const FINDINGS_MAX: usize = 100;
/// Bytes of the page cache while a file is verified.
const CACHE: usize = 64 << 20;

/// An inconsistency that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyFinding {
    /// Table of the row; `meta` for a fault of the whole file.
    pub table: &'static str,
    /// Description of the inconsistency.
    pub what: String,
}

impl fmt::Display for VerifyFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.table, self.what)
    }
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyResult {
    /// Name of the server that owns the store.
    pub server: String,
    /// Epoch: the number of times that the store was opened.
    pub epoch: u64,
    /// Time at which it was taken, if it is a backup.
    pub taken: Option<Millis>,
    /// Size of every table.
    pub tables: Vec<TableStats>,
    /// Inconsistencies that were found, at most a hundred.
    pub findings: Vec<VerifyFinding>,
    /// Number of further inconsistencies.
    pub more: u64,
}

impl VerifyResult {
    /// Returns whether no inconsistency was found.
    pub const fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn damaged(what: String) -> Self {
        Self { findings: vec![VerifyFinding { table: "meta", what }], ..Self::default() }
    }
}

/// Verifies the file at `path`, which no process may have open. The file is not changed, even if redb has to repair it
/// in order to read it. An error means that it cannot be examined; damage is reported in [`VerifyResult::findings`].
pub fn verify(path: impl AsRef<Path>) -> Result<VerifyResult, OpenError> {
    let path = path.as_ref();
    let place = path.display().to_string();
    let file = OverlayBackend::open(path).map_err(|error| OpenError::from_redb(&place, error))?;
    examine(&place, file, &LogFolder::new(log_folder(path)))
}

/// Verifies the store in a redb backend. redb may repair it, and thereby change it, if it was not closed.
pub fn verify_backend(backend: impl LoggedBackend) -> Result<VerifyResult, OpenError> {
    let log = backend.log();
    examine("(not a file)", backend, &*log)
}

fn examine(place: &str, backend: impl StorageBackend, log: &dyn LogBackend) -> Result<VerifyResult, OpenError> {
    match backend.len() {
        Ok(0) => return Ok(VerifyResult::damaged("the file is empty".to_owned())),
        Ok(_) => {}
        Err(error) => return Err(OpenError::from_redb(place, redb::Error::Io(error))),
    }
    // redb trusts what it reads once the checksums are right; before that it may panic.
    let last = Some((format!("{place} is damaged: {UNREADABLE}"), WRONG));
    let examined = caught_as(ExpectedPanics { last, ..ExpectedPanics::default() }, || {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = builder.create_with_backend(backend)?;
        replay_offline(&database, log)?;
        all_of(&database)
    });
    match examined {
        Ok(Ok(VerifyInput::Sound(verified))) => Ok(verified),
        Ok(Ok(VerifyInput::Schema(found))) => Err(OpenError::Schema { place: place.to_owned(), found, known: SCHEMA }),
        Ok(Err(redb::Error::Corrupted(what))) => Ok(VerifyResult::damaged(what)),
        Ok(Err(error)) if is_damage(&error) => Ok(VerifyResult::damaged(error.to_string())),
        Ok(Err(error)) => Err(OpenError::from_redb(place, error)),
        Err(_) => Ok(VerifyResult::damaged(UNREADABLE.to_owned())),
    }
}

enum VerifyInput {
    Sound(VerifyResult),
    Schema(String),
}

fn all_of(database: &Database) -> Result<VerifyInput, redb::Error> {
    let read = &database.begin_read()?;
    let meta = match read.open_table(tables::META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => {
            return Ok(VerifyInput::Sound(VerifyResult::damaged(
                "it is a database, and not a store of fernpost".to_owned(),
            )));
        }
        Err(error) => return Err(error.into()),
    };
    let text = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|row| row.value().to_owned()));
    let schema = text("schema")?.unwrap_or_default();
    if !is_known_schema(&schema) {
        return Ok(VerifyInput::Schema(schema));
    }
    let mut findings = VerifyFindings::default();
    let server = text("server")?.unwrap_or_default();
    if server.is_empty() {
        findings.add("meta", "its server name is missing");
    }
    let epoch = text("epoch")?.and_then(|epoch| epoch.parse().ok()).unwrap_or_else(|| {
        findings.add("meta", "its epoch is no number");
        0
    });
    let taken = adopt_backup::backup_taken_at(&meta)?;
    let snapshot = ReadSnapshot::of_file(database.begin_read()?, 0);
    tables::each(&mut BlockExamination { read: &snapshot, findings: &mut findings })?;
    queues::examine(&snapshot, &PositionJumps::read(&meta)?, &mut findings)?;
    contexts::examine(&snapshot, &mut findings)?;
    let VerifyFindings { told, more } = findings;
    let tables = measured(&snapshot)?;
    Ok(VerifyInput::Sound(VerifyResult { server, epoch, taken, tables, findings: told, more }))
}

/// The examination of the blocks of rows.
struct BlockExamination<'e> {
    read: &'e ReadSnapshot,
    findings: &'e mut VerifyFindings,
}

impl TableVisitor for BlockExamination<'_> {
    type Error = redb::Error;

    fn visit<K: RowKey, V: RowValue>(&mut self, table: TableDefinition<'static, K, V>) -> Result<(), redb::Error> {
        let Some((blocks, _)) = tables::blocks_of(table.name()) else { return Ok(()) };
        self.read.open_table(table)?.file().examine_blocks(|fault| self.findings.add(blocks, fault))
    }
}

/// The inconsistencies found so far.
#[derive(Debug, Default)]
struct VerifyFindings {
    told: Vec<VerifyFinding>,
    more: u64,
}

impl VerifyFindings {
    fn add(&mut self, table: &'static str, what: impl fmt::Display) {
        if self.told.len() < FINDINGS_MAX {
            self.told.push(VerifyFinding { table, what: what.to_string() });
        } else {
            self.more += 1;
        }
    }

    fn unless(&mut self, holds: bool, table: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.add(table, what());
        }
    }
}
