//! The events that the messenger refused, and those of them that are pushed again.

use actors::model::{Position, RefusedEvent};

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::columns::{RefusedEventValue, ReleasedEventValue};
use crate::store::schema::tables;
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::writer_context::WriterContext;

/// Maximum number of rows removed at once: a lower limit in the settings is reached over several commits.
const ROWS_MAX: u64 = 256;

/// The refused and the released events.
pub(crate) struct RefusedEventTables<'t> {
    refused: LazyTable<'t, u64, RefusedEventValue<'static>>,
    released: LazyTable<'t, u64, ReleasedEventValue<'static>>,
}

impl<'t> RefusedEventTables<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self {
            refused: LazyTable::new(transaction, tables::REFUSED_EVENTS),
            released: LazyTable::new(transaction, tables::RELEASED_EVENTS),
        }
    }

    /// Adds an event, and removes the oldest ones beyond `keep`.
    pub(crate) fn add(&mut self, cx: &mut WriterContext<'_>, event: &RefusedEvent, keep: u64) -> RedbResult {
        let refused = self.refused.open()?;
        let row = RefusedEventValue { time: cx.now.0, reason: &event.reason, bytes: &event.bytes };
        refused.insert(event.position.0, row)?;
        cx.counts.rows_written += 1;
        for _ in 0..refused.len()?.saturating_sub(keep).min(ROWS_MAX) {
            refused.pop_first()?;
            cx.counts.trim_reads += 1;
            cx.counts.rows_trimmed += 1;
        }
        Ok(())
    }

    /// Moves an event to the released ones, to be pushed after the events up to `tail`.
    pub(crate) fn release(&mut self, cx: &mut WriterContext<'_>, position: Position, tail: u64) -> RedbResult {
        let Some(event) = self.refused.open()?.take(position.0)? else { return Ok(()) };
        let released = self.released.open()?;
        let number = released.last()?.map_or(0, |(number, _)| number.value()) + 1;
        let row = ReleasedEventValue { position: position.0, after: tail, bytes: event.value().bytes };
        released.insert(number, row)?;
        cx.counts.lookups += 1;
        cx.counts.rows_written += 1;
        cx.counts.rows_trimmed += 1;
        Ok(())
    }

    /// Deletes a refused event.
    pub(crate) fn remove(&mut self, cx: &mut WriterContext<'_>, position: Position) -> RedbResult {
        let gone = self.refused.open()?.take(position.0)?;
        cx.counts.rows_trimmed += u64::from(gone.is_some());
        Ok(())
    }

    /// Deletes released events that were pushed.
    pub(crate) fn forget_released(&mut self, cx: &mut WriterContext<'_>, upto: u64) -> RedbResult {
        let released = self.released.open()?;
        while released.first()?.is_some_and(|(number, _)| number.value() <= upto) {
            released.pop_first()?;
            cx.counts.trim_reads += 1;
            cx.counts.rows_trimmed += 1;
        }
        Ok(())
    }
}
