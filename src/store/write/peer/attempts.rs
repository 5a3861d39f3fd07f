//! Records delivery attempts for the trace of a message: each failed attempt is a row, and one row holds many deliveries.

use actors::model::{Attempt, DeliveredSpan, ServerName};

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::columns::AttemptValue;
use crate::store::schema::tables::DeliveredKey;
use crate::store::schema::{codec, tables};
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::peer::numbered_rows::{newest_number, trim_oldest};
use crate::store::write::writer_context::WriterContext;

/// The failed attempts and the deliveries of all peers.
pub(crate) struct AttemptTables<'t> {
    attempts: LazyTable<'t, (&'static str, u64), AttemptValue<'static>>,
    delivered: LazyTable<'t, DeliveredKey, &'static [u8]>,
}

impl<'t> AttemptTables<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self {
            attempts: LazyTable::new(transaction, tables::ATTEMPTS),
            delivered: LazyTable::new(transaction, tables::DELIVERED),
        }
    }

    /// Adds a failed attempt, and removes the oldest beyond `keep`.
    pub(crate) fn add_failed(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        attempt: &Attempt,
        keep: u32,
    ) -> RedbResult {
        let name = server.as_str();
        let attempts = self.attempts.open()?;
        let newest = match cx.tails.get(server).and_then(|ends| ends.attempts) {
            Some(newest) => newest,
            None => newest_number(attempts, &mut cx.counts, server)?.unwrap_or(0),
        };
        let number = newest + 1;
        let (time, first, last) = (attempt.time.0, attempt.first.0, attempt.last.0);
        let result = codec::attempt_result_to_row(attempt);
        let row = AttemptValue { time, first, last, result: &result };
        attempts.append((name, number), row)?;
        cx.counts.rows_written += 1;
        trim_oldest(attempts, &mut cx.counts, name, number.saturating_sub(keep.into()))?;
        cx.tails.entry(server).attempts = Some(number);
        Ok(())
    }

    /// Writes a row of deliveries. Its key is the newest item of all spans and the time of the last span, because a lookup
    /// of an item begins there. Items may be resent, so rows of several times may hold the same item.
    pub(crate) fn add_delivered(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        spans: &[DeliveredSpan],
    ) -> RedbResult {
        let newest = spans.iter().map(|span| span.last.0).max();
        let (Some(newest), Some(last)) = (newest, spans.last()) else { return Ok(()) };
        let key = (server.as_str(), newest, last.time.0);
        self.delivered.open()?.insert(key, codec::spans_to_row(spans).as_slice())?;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Removes deliveries before this time, oldest first.
    pub(crate) fn trim_delivered(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        before: u64,
        rows_max: u32,
    ) -> RedbResult {
        let delivered = self.delivered.open()?;
        let mut gone = Vec::new();
        for row in delivered.range(tables::deliveries_from(server.as_str(), 0))?.take(rows_max as usize) {
            let (key, _) = row?;
            let (_, newest, time) = key.value();
            cx.counts.trim_reads += 1;
            if time >= before {
                break;
            }
            gone.push((newest, time));
        }
        for (newest, time) in gone {
            delivered.remove((server.as_str(), newest, time))?;
            cx.counts.rows_trimmed += 1;
        }
        Ok(())
    }
}
