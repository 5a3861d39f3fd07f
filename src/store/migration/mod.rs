//! Converts a store of a schema version before, when it is opened.
//!
//! First a copy of the store is made beside it. Then each step is one durable commit, together with its number in `meta`, so an opening after
//! a crash continues with the step that is missing. From the first commit to the last the store has neither version: no other program
//! opens it half converted.

pub(crate) mod kept_copy;
mod steps;

use std::fs::OpenOptions;
use std::path::Path;

use actors::model::ServerName;
use redb::backends::FileBackend;
use redb::{Builder, Database, Durability, ReadableDatabase, TableError, WriteTransaction};

use crate::store::engine::gathering_backend::GatheringBackend;
use crate::store::error::OpenError;
use crate::store::migration::kept_copy::StoreFiles;
use crate::store::migration::steps::STEPS;
use crate::store::schema::tables;
use crate::store::schema::version::{SCHEMA, SCHEMA_KEY, SCHEMAS_BEFORE, converting, version_before};

/// Key in `meta` of the number of steps that are done.
const STEPS_DONE: &str = "migration";

/// The state of a store before it is opened.
enum FoundVersion {
    /// This program's own version, or nothing yet.
    Current,
    /// A version before.
    Before(u32),
    /// A conversion from this version was interrupted after this number of steps.
    Converting(u32, usize),
}

/// Converts the store in `database` if it has a version before, and returns the database. `files`: its files, of which a copy is
/// made.
pub(crate) fn migrate(
    database: Database,
    files: Option<&StoreFiles>,
    builder: &Builder,
    (place, own): (&str, &ServerName),
) -> Result<Database, OpenError> {
    let unusable = |error: redb::Error| OpenError::from_redb(place, error);
    let database = match found(&database, place, own)? {
        FoundVersion::Current => return Ok(database),
        FoundVersion::Converting(..) => database,
        FoundVersion::Before(from) => match files {
            Some(files) => copied(database, files, builder, (place, from))?,
            None => database,
        },
    };
    let (from, first) = match found(&database, place, own)? {
        FoundVersion::Current => return Ok(database),
        FoundVersion::Converting(from, done) => (from, done),
        FoundVersion::Before(from) => {
            commit(&database, |transaction| note(transaction, &converting(from), Some(0))).map_err(unusable)?;
            (from, 0)
        }
    };
    for (number, step) in STEPS.iter().enumerate().skip(first) {
        tracing::info!(
            from,
            to = SCHEMA,
            step = number + 1,
            of = STEPS.len(),
            what = step.name,
            "the store is converted"
        );
        let done = |transaction: &WriteTransaction| {
            (step.run)(transaction)?;
            note(transaction, &converting(from), Some(number + 1))
        };
        commit(&database, done).map_err(unusable)?;
    }
    commit(&database, |transaction| note(transaction, &SCHEMA.to_string(), None)).map_err(unusable)?;
    tracing::info!(from, to = SCHEMA, "the store has the schema version of this program");
    Ok(database)
}

/// Makes a copy of the files. The database is closed meanwhile, so that the copy is of a closed store.
fn copied(
    database: Database,
    files: &StoreFiles,
    builder: &Builder,
    (place, from): (&str, u32),
) -> Result<Database, OpenError> {
    let failed = |why: String| OpenError::Conversion { place: place.to_owned(), from, to: SCHEMA, why };
    database.close().map_err(|error| OpenError::from_redb(place, error))?;
    let copy = kept_copy::make(files, from).map_err(failed)?;
    tracing::info!(copy = %copy.display(), "the store was copied before its conversion; remove the copy when you will not go back");
    reopened(builder, &files.file).map_err(|error| OpenError::from_redb(place, error))
}

fn reopened(builder: &Builder, file: &Path) -> Result<Database, redb::Error> {
    let file = OpenOptions::new().read(true).write(true).open(file)?;
    Ok(builder.create_with_backend(GatheringBackend::new(FileBackend::new(file)?))?)
}

/// Returns what is to be done with a store; a store of another server or of another version is refused.
fn found(database: &Database, place: &str, own: &ServerName) -> Result<FoundVersion, OpenError> {
    let unusable = |error: redb::Error| OpenError::from_redb(place, error);
    let read = database.begin_read().map_err(|error| unusable(error.into()))?;
    let meta = match read.open_table(tables::META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(FoundVersion::Current),
        Err(error) => return Err(unusable(error.into())),
    };
    let text = |key| {
        let row = meta.get(key).map_err(|error| unusable(error.into()))?;
        Ok::<_, OpenError>(row.map(|row| row.value().to_owned()))
    };
    let Some(found) = text(SCHEMA_KEY)? else { return Ok(FoundVersion::Current) };
    let version = if found == SCHEMA.to_string() {
        FoundVersion::Current
    } else if let Some(before) = version_before(&found) {
        FoundVersion::Before(before)
    } else if let Some(before) = SCHEMAS_BEFORE.into_iter().find(|before| found == converting(*before)) {
        let done = text(STEPS_DONE)?.and_then(|done| done.parse().ok());
        let bad = || unusable(redb::Error::Corrupted(format!("the row {STEPS_DONE} of meta is no number")));
        FoundVersion::Converting(before, done.ok_or_else(bad)?)
    } else {
        return Err(OpenError::Schema { place: place.to_owned(), found, known: SCHEMA });
    };
    match text("server")? {
        Some(owner) if owner != own.as_str() => {
            Err(OpenError::Foreign { place: place.to_owned(), owner, own: own.to_string() })
        }
        _ => Ok(version),
    }
}

fn commit(
    database: &Database,
    work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
    transaction.set_quick_repair(true);
    work(&transaction)?;
    Ok(transaction.commit()?)
}

/// Writes the version, and the number of steps that are done.
fn note(transaction: &WriteTransaction, version: &str, done: Option<usize>) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(tables::META)?;
    meta.insert(SCHEMA_KEY, version)?;
    match done {
        Some(done) => drop(meta.insert(STEPS_DONE, done.to_string().as_str())?),
        None => drop(meta.remove(STEPS_DONE)?),
    }
    Ok(())
}
