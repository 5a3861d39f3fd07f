//! An outbox row that its peer refused for good moves among the dead letters, and the oldest of these go.

use actors::model::ServerName;
use redb::ReadableTable;

use super::apply::Group;
use super::tables;

/// A smaller number to keep after a change of the settings is reached over several commits.
const TRIM_ROWS_MAX: usize = 256;

impl Group<'_> {
    pub(super) fn outbound_parked(
        &mut self,
        server: &ServerName,
        index: u64,
        reason: &str,
        keep: u64,
    ) -> Result<(), redb::Error> {
        let before = self.dead_letters_of(server)?;
        let key = (server.as_str(), index);
        self.counts.lookups += 1;
        {
            let Some(row) = self.outbox.open()?.remove(key)? else {
                tracing::error!(%server, index, "an outbox row that is to be parked is not there; this is a bug");
                return Ok(());
            };
            let (_, item, origin, id, submission) = row.value();
            // The row only moves: as many rows name the item as before.
            let row = (self.now.0, reason, item, origin, id, submission);
            self.dead_letters.open()?.insert(key, row)?;
        }
        self.counts.rows_read += 1;
        self.counts.rows_written += 1;
        let left = self.trim_dead_letters(server, before + 1, keep)?;
        self.memory.peers.entry(server.clone()).or_default().dead_letters = Some(left);
        Ok(())
    }

    /// How many there are. Indexes have gaps here, so the first time they are counted: their bound bounds the walk.
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
        let oldest = oldest.map(|row| row.map(|(key, value)| (key.value().1, value.value().2)));
        let oldest = oldest.collect::<Result<Vec<_>, _>>()?;
        for &(index, item) in &oldest {
            letters.remove((server.as_str(), index))?;
            // A PDU has no number: its row leaves, it stays.
            if item > 0 {
                *self.unnamed.entry(item).or_default() += 1;
            }
            self.counts.trim_reads += 1;
            self.counts.rows_trimmed += 1;
        }
        Ok(count - oldest.len() as u64)
    }
}
