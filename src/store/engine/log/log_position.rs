//! The place of the file in the log: the row of `meta` that says from which group on the log is needed.

use redb::{ReadableTable, WriteTransaction};

use crate::store::engine::log::log_record::LogIdentity;
use crate::store::schema::tables;

/// Key of the row in `meta`.
const LOG: &str = "log";

/// Words for a log that may hold groups beyond the position, and for one that holds none.
const OPEN: &str = "open";
const CLOSED: &str = "closed";

/// The place of the file in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogPosition {
    /// Identity of the log.
    pub(crate) identity: LogIdentity,
    /// Number of the last group that the file holds.
    pub(crate) number: u64,
    /// The store was closed, so the log holds nothing beyond this.
    pub(crate) is_closed: bool,
}

impl LogPosition {
    /// Returns the position for the log of a new opening.
    pub(crate) fn begin(number: u64) -> Result<Self, redb::Error> {
        let mut identity = [0; 16];
        getrandom::fill(&mut identity).map_err(|error| redb::Error::Io(std::io::Error::other(error)))?;
        Ok(Self { identity, number, is_closed: false })
    }

    /// Reads the position; `None` in a store of a program without a log, and in a backup.
    pub(crate) fn read(meta: &impl ReadableTable<&'static str, &'static str>) -> Result<Option<Self>, redb::Error> {
        let Some(row) = meta.get(LOG)? else { return Ok(None) };
        let bad = || redb::Error::Corrupted(format!("the row {LOG} of meta is no position in a log"));
        parse(row.value()).map(Some).ok_or_else(bad)
    }

    /// Writes the position.
    pub(crate) fn write(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let identity = u128::from_be_bytes(self.identity);
        let state = if self.is_closed { CLOSED } else { OPEN };
        let text = format!("{identity:032x} {} {state}", self.number);
        transaction.open_table(tables::META)?.insert(LOG, text.as_str())?;
        Ok(())
    }

    /// Removes the position from a copy of the store, which has no log.
    pub(crate) fn remove(transaction: &WriteTransaction) -> Result<(), redb::Error> {
        transaction.open_table(tables::META)?.remove(LOG)?;
        Ok(())
    }
}

fn parse(text: &str) -> Option<LogPosition> {
    let mut words = text.split(' ');
    let identity = u128::from_str_radix(words.next()?, 16).ok()?.to_be_bytes();
    let number = words.next()?.parse().ok()?;
    let is_closed = match words.next()? {
        OPEN => false,
        CLOSED => true,
        _ => return None,
    };
    words.next().is_none().then_some(LogPosition { identity, number, is_closed })
}
