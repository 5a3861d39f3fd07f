//! Gives a store that is only read what its log holds.

use redb::{Database, ReadableDatabase, TableError};

use crate::store::engine::checkpoint;
use crate::store::engine::log::log_backend::LogBackend;
use crate::store::engine::log::log_position::LogPosition;
use crate::store::engine::log::recovery;
use crate::store::schema::tables;

/// Writes the groups that the file lacks into the file as the caller has opened it, in memory as a rule. The log is not
/// changed.
pub(super) fn replay_offline(database: &Database, log: &dyn LogBackend) -> Result<(), redb::Error> {
    let position = match database.begin_read()?.open_table(tables::META) {
        Ok(meta) => LogPosition::read(&meta)?,
        // It is no store, which others report.
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let Some(position) = position else { return Ok(()) };
    if log.segments()?.is_empty() {
        let missing = || redb::Error::Corrupted("the store was not closed, and its log is missing".to_owned());
        return if position.is_closed { Ok(()) } else { Err(missing()) };
    }
    let lacking = recovery::replay(log, &position.identity, position.number)?;
    if lacking.last == position.number {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    checkpoint::write_rows(&transaction, &lacking)?;
    Ok(transaction.commit()?)
}
