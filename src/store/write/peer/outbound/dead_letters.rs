//! Moves outbox rows to the dead letters and removes the oldest dead letters.

use std::ops::RangeInclusive;

use actors::model::{DeadLetterReason, ServerName};
use redb::ReadableTable;

use crate::store::schema::codec::columns::{DeadLetterValue, ItemValue, OutboxValue};
use crate::store::schema::tables;
use crate::store::write::apply::WriteBatch;

/// Maximum number of dead letters removed at once: a lower limit in the settings is reached over several commits.
const TRIM_ROWS_MAX: usize = 256;

/// A copy of an outbox row.
struct OwnedDeadLetter {
    index: u64,
    item: u64,
    origin: String,
    id: String,
    submission: String,
}

impl WriteBatch<'_> {
    /// Moves a range of outbox rows to the dead letters. The caller bounds the range: a page of the outbox, or the
    /// items of one submission.
    pub(crate) fn outbox_left(
        &mut self,
        server: &ServerName,
        places: RangeInclusive<u64>,
        fate: DeadLetterReason,
        reason: &str,
        keep: u64,
    ) -> Result<(), redb::Error> {
        let before = self.dead_letters_of(server)?;
        let name = server.as_str();
        let mut gone = Vec::new();
        for row in self.outbox.open()?.range((name, *places.start())..=(name, *places.end()))? {
            let (key, row) = row?;
            let OutboxValue { item, origin, id, submission, .. } = row.value();
            let index = tables::number_of(key.value());
            let (origin, id, submission) = (origin.to_owned(), id.to_owned(), submission.to_owned());
            gone.push(OwnedDeadLetter { index, item, origin, id, submission });
        }
        self.counts.lookups += 1;
        self.counts.rows_read += gone.len() as u64;
        for row in &gone {
            // An item that the peer accepted also keeps its outbox row, so its reference count rises by one. PDUs are not
            // counted.
            match fate.was_taken() {
                true => self.named_once_more(row.item)?,
                false => drop(self.outbox.open()?.remove((name, row.index))?),
            }
            let letter = DeadLetterValue {
                kind: fate.as_str(),
                removed: self.now.0,
                reason,
                item: row.item,
                origin: &row.origin,
                id: &row.id,
                submission: &row.submission,
            };
            self.dead_letters.open()?.insert((name, row.index), letter)?;
            self.counts.rows_written += 1;
        }
        let left = self.trim_dead_letters(server, before + gone.len() as u64, keep)?;
        self.memory.peers.entry(server.clone()).or_default().dead_letters = Some(left);
        Ok(())
    }

    fn named_once_more(&mut self, item: u64) -> Result<(), redb::Error> {
        if item == 0 {
            return Ok(());
        }
        let items = self.items.open()?;
        let Some((names, bytes)) = items.get(item)?.map(|row| (row.value().names, row.value().bytes.to_vec())) else {
            return Ok(());
        };
        items.insert(item, ItemValue { names: names + 1, bytes: &bytes })?;
        self.counts.rows_read += 1;
        self.counts.rows_written += 1;
        Ok(())
    }

    /// Returns the number of dead letters. Indexes have gaps here, so the first call counts the rows, which are
    /// bounded.
    fn dead_letters_of(&mut self, server: &ServerName) -> Result<u64, redb::Error> {
        if let Some(count) = self.memory.peers.get(server).and_then(|ends| ends.dead_letters) {
            return Ok(count);
        }
        let mut count = 0;
        for row in self.dead_letters.open()?.range(tables::all_of(server.as_str()))? {
            row?;
            count += 1;
        }
        self.counts.lookups += 1;
        self.counts.rows_read += count;
        Ok(count)
    }

    fn trim_dead_letters(&mut self, server: &ServerName, count: u64, keep: u64) -> Result<u64, redb::Error> {
        let too_many = usize::try_from(count.saturating_sub(keep)).unwrap_or(usize::MAX);
        if too_many == 0 {
            return Ok(count);
        }
        let letters = self.dead_letters.open()?;
        let oldest = letters.range(tables::all_of(server.as_str()))?.take(too_many.min(TRIM_ROWS_MAX));
        let oldest = oldest.map(|row| row.map(|(key, value)| (tables::number_of(key.value()), value.value().item)));
        let oldest = oldest.collect::<Result<Vec<_>, _>>()?;
        for &(index, item) in &oldest {
            letters.remove((server.as_str(), index))?;
            // `item` is 0 for PDUs: they are not reference-counted and stay in `pdus`.
            if item > 0 {
                *self.item_refcount_decrements.entry(item).or_default() += 1;
            }
            self.counts.trim_reads += 1;
            self.counts.rows_trimmed += 1;
        }
        Ok(count - oldest.len() as u64)
    }
}
