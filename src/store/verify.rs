//! Whether a store that nobody has open is sound: the engine's own checks, and what our rows promise one another.

mod graph;
mod queues;

use std::fmt;
use std::path::Path;

use actors::model::Millis;
use redb::{Database, ReadTransaction, ReadableDatabase, StorageBackend};

use super::failure::{OpenError, UNREADABLE, is_damage};
use super::open::SCHEMA;
use super::restored;
use super::stats::{TableStats, measured};
use super::tables;
use super::untouched::Untouched;
use crate::panics::{Expected, caught_as};

/// The exit code of a process that aborts while it examines a store.
const WRONG: i32 = 1;

/// Findings told one by one; the others are counted.
const FINDINGS_MAX: usize = 100;
/// Bytes of pages in memory while a file is examined.
const CACHE: usize = 64 << 20;

/// A promise that rows do not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which table; `meta` for what is wrong with the file as a whole.
    pub table: &'static str,
    /// What, in words.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.table, self.what)
    }
}

/// What a store that was examined is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Whose it is.
    pub server: String,
    /// How often it was opened.
    pub epoch: u64,
    /// When it was taken, where it is a backup.
    pub taken: Option<Millis>,
    /// Every table.
    pub tables: Vec<TableStats>,
    /// What is wrong, at most a hundred of it.
    pub findings: Vec<Finding>,
    /// How much more is wrong.
    pub more: u64,
}

impl Verified {
    /// Nothing is wrong.
    pub const fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn damaged(what: String) -> Self {
        Self { findings: vec![Finding { table: "meta", what }], ..Self::default() }
    }
}

/// Examine the file at `path`, which nobody may have open. It is not changed, not even where redb has to repair it in order to
/// read it. An error says that it cannot be examined; what is wrong with it is told by [`Verified::findings`].
pub fn verify(path: impl AsRef<Path>) -> Result<Verified, OpenError> {
    let path = path.as_ref();
    let place = path.display().to_string();
    let file = Untouched::open(path).map_err(|error| OpenError::from_redb(&place, error))?;
    examine(&place, file)
}

/// Examine what lies in a backend of redb. That may be repaired, if it was not closed.
pub fn verify_backend(backend: impl StorageBackend) -> Result<Verified, OpenError> {
    examine("(not a file)", backend)
}

fn examine(place: &str, backend: impl StorageBackend) -> Result<Verified, OpenError> {
    match backend.len() {
        Ok(0) => return Ok(Verified::damaged("the file is empty".to_owned())),
        Ok(_) => {}
        Err(error) => return Err(OpenError::from_redb(place, redb::Error::Io(error))),
    }
    // redb trusts what it reads once the checksums are right, and before that it may panic.
    let last = Some((format!("{place} is damaged: {UNREADABLE}"), WRONG));
    let examined = caught_as(Expected { last, ..Expected::default() }, || {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = builder.create_with_backend(backend)?;
        all_of(&database.begin_read()?)
    });
    match examined {
        Ok(Ok(Examined::Sound(verified))) => Ok(verified),
        Ok(Ok(Examined::Schema(found))) => Err(OpenError::Schema { place: place.to_owned(), found, known: SCHEMA }),
        Ok(Err(redb::Error::Corrupted(what))) => Ok(Verified::damaged(what)),
        Ok(Err(error)) if is_damage(&error) => Ok(Verified::damaged(error.to_string())),
        Ok(Err(error)) => Err(OpenError::from_redb(place, error)),
        Err(_) => Ok(Verified::damaged(UNREADABLE.to_owned())),
    }
}

enum Examined {
    Sound(Verified),
    Schema(String),
}

fn all_of(read: &ReadTransaction) -> Result<Examined, redb::Error> {
    let meta = match read.open_table(tables::META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => {
            return Ok(Examined::Sound(Verified::damaged("it is a database, and not a store of fernpost".to_owned())));
        }
        Err(error) => return Err(error.into()),
    };
    let text = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|row| row.value().to_owned()));
    let schema = text("schema")?.unwrap_or_default();
    if schema != SCHEMA.to_string() {
        return Ok(Examined::Schema(schema));
    }
    let mut findings = Findings::default();
    let server = text("server")?.unwrap_or_default();
    if server.is_empty() {
        findings.add("meta", "it does not say whose it is");
    }
    let epoch = text("epoch")?.and_then(|epoch| epoch.parse().ok()).unwrap_or_else(|| {
        findings.add("meta", "its epoch is no number");
        0
    });
    let taken = restored::taken(&meta)?;
    queues::examine(read, &mut findings)?;
    graph::examine(read, &mut findings)?;
    let Findings { told, more } = findings;
    Ok(Examined::Sound(Verified { server, epoch, taken, tables: measured(read)?, findings: told, more }))
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings {
    told: Vec<Finding>,
    more: u64,
}

impl Findings {
    fn add(&mut self, table: &'static str, what: impl fmt::Display) {
        if self.told.len() < FINDINGS_MAX {
            self.told.push(Finding { table, what: what.to_string() });
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
