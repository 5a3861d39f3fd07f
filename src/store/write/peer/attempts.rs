//! Records delivery attempts for the trace of a message: each failed attempt is a row, and one row holds many deliveries.

use actors::model::{Attempt, DeliveredSpan, ServerName};
use redb::ReadableTable;

use crate::store::schema::codec;
use crate::store::schema::codec::columns::AttemptValue;
use crate::store::schema::tables;
use crate::store::write::apply::WriteBatch;
use crate::store::write::peer::inbound::trim_oldest;

impl WriteBatch<'_> {
    pub(crate) fn attempt_failed(
        &mut self,
        server: &ServerName,
        attempt: &Attempt,
        keep: u32,
    ) -> Result<(), redb::Error> {
        let name = server.as_str();
        let newest = match self.memory.peers.get(server).and_then(|ends| ends.attempts) {
            Some(newest) => newest,
            None => {
                self.counts.lookups += 1;
                let newest = self.attempts.open()?.range(tables::all_of(name))?.next_back().transpose()?;
                newest.map_or(0, |(key, _)| tables::number_of(key.value()))
            }
        };
        let number = newest + 1;
        let (time, first, last) = (attempt.time.0, attempt.first.0, attempt.last.0);
        let result = codec::attempt_result_to_row(attempt);
        let row = AttemptValue { time, first, last, result: &result };
        self.attempts.open()?.insert((name, number), row)?;
        self.counts.rows_written += 1;
        trim_oldest(self.attempts.open()?, &mut self.counts, name, number.saturating_sub(keep.into()))?;
        self.memory.peers.entry(server.clone()).or_default().attempts = Some(number);
        Ok(())
    }

    /// Writes a row of deliveries. Its key is the newest item of all spans and the time of the last span, because a lookup
    /// of an item begins there. Items may be resent, so rows of several times may hold the same item.
    pub(crate) fn delivered(&mut self, server: &ServerName, spans: &[DeliveredSpan]) -> Result<(), redb::Error> {
        let newest = spans.iter().map(|span| span.last.0).max();
        let (Some(newest), Some(last)) = (newest, spans.last()) else { return Ok(()) };
        let key = (server.as_str(), newest, last.time.0);
        self.delivered.open()?.insert(key, codec::spans_to_row(spans).as_slice())?;
        self.counts.rows_written += 1;
        Ok(())
    }

    pub(crate) fn forget_deliveries(
        &mut self,
        server: &ServerName,
        before: u64,
        rows_max: u32,
    ) -> Result<(), redb::Error> {
        let delivered = self.delivered.open()?;
        let mut gone = Vec::new();
        for row in delivered.range(tables::deliveries_from(server.as_str(), 0))?.take(rows_max as usize) {
            let (key, _) = row?;
            let (_, newest, time) = key.value();
            self.counts.trim_reads += 1;
            if time >= before {
                break;
            }
            gone.push((newest, time));
        }
        for (newest, time) in gone {
            delivered.remove((server.as_str(), newest, time))?;
            self.counts.rows_trimmed += 1;
        }
        Ok(())
    }
}
