//! The dead letters of peers, of which the newest are kept.

use actors::model::{DeadLetterReason, PduRef, ServerName, SubmissionId};

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::BadRow;
use crate::store::schema::codec::columns::{DeadLetterValue, IN_ROW};
use crate::store::schema::{codec, tables};
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::peer::outbound::outbox::OwnedOutboxRow;
use crate::store::write::writer_context::WriterContext;

/// Maximum number of dead letters removed at once: a lower limit in the settings is reached over several commits.
const TRIM_ROWS_MAX: usize = 256;

/// A dead letter that was removed from its table.
pub(crate) struct RemovedDeadLetter {
    /// Number of the stored update; 0 for a PDU.
    pub(crate) item: u64,
    origin: String,
    id: String,
    /// Submission that the item came from.
    pub(crate) submission: SubmissionId,
}

impl RemovedDeadLetter {
    /// Returns the identity of the PDU, if it is one.
    pub(crate) fn reference(&self) -> Result<PduRef, redb::Error> {
        codec::reference("dead_letters", &self.origin, &self.id).map_err(BadRow::into_corrupted)
    }
}

/// The dead letters of all peers.
pub(crate) struct DeadLetterTable<'t> {
    rows: LazyTable<'t, (&'static str, u64), DeadLetterValue<'static>>,
}

impl<'t> DeadLetterTable<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self { rows: LazyTable::new(transaction, tables::DEAD_LETTERS) }
    }

    /// Returns the number of dead letters. Indexes have gaps here, so the first call counts the rows, which are
    /// bounded.
    pub(crate) fn count(&mut self, cx: &mut WriterContext<'_>, server: &ServerName) -> Result<u64, redb::Error> {
        if let Some(count) = cx.tails.get(server).and_then(|ends| ends.dead_letters) {
            return Ok(count);
        }
        let mut count = 0;
        for row in self.rows.open()?.range(tables::all_of(server.as_str()))? {
            row?;
            count += 1;
        }
        cx.counts.lookups += 1;
        cx.counts.rows_read += count;
        Ok(count)
    }

    /// Adds the letter of an outbox row, and of the item with this number.
    pub(crate) fn insert(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        (row, item): (&OwnedOutboxRow, u64),
        (fate, reason): (DeadLetterReason, &str),
    ) -> RedbResult {
        let letter = DeadLetterValue {
            kind: fate.as_str(),
            removed: cx.now.0,
            reason,
            item,
            origin: &row.origin,
            id: if row.item == IN_ROW { "" } else { &row.id },
            submission: &row.submission,
        };
        self.rows.open()?.insert((server.as_str(), row.index), letter)?;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Removes the oldest of `count` letters beyond `keep`, and remembers how many are left. Returns the index and the item of
    /// each removed letter.
    pub(crate) fn trim(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        count: u64,
        keep: u64,
    ) -> Result<Vec<(u64, u64)>, redb::Error> {
        let mut gone = Vec::new();
        let too_many = usize::try_from(count.saturating_sub(keep)).unwrap_or(usize::MAX);
        if too_many > 0 {
            let letters = self.rows.open()?;
            for row in letters.range(tables::all_of(server.as_str()))?.take(too_many.min(TRIM_ROWS_MAX)) {
                let (key, value) = row?;
                gone.push((tables::number_of(key.value()), value.value().item));
            }
            for &(index, _) in &gone {
                letters.remove((server.as_str(), index))?;
                cx.counts.trim_reads += 1;
                cx.counts.rows_trimmed += 1;
            }
        }
        cx.tails.entry(server).dead_letters = Some(count - gone.len() as u64);
        Ok(gone)
    }

    /// Removes a letter and returns it.
    pub(crate) fn take(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        index: u64,
    ) -> Result<Option<RemovedDeadLetter>, redb::Error> {
        cx.counts.lookups += 1;
        let Some(row) = self.rows.open()?.take((server.as_str(), index))? else { return Ok(None) };
        cx.counts.rows_trimmed += 1;
        if let Some(count) = cx.tails.get_mut(server).and_then(|ends| ends.dead_letters.as_mut()) {
            *count = count.saturating_sub(1);
        }
        let DeadLetterValue { item, origin, id, submission, .. } = row.value();
        let submission = codec::submission_id("dead_letters", submission).map_err(BadRow::into_corrupted)?;
        Ok(Some(RemovedDeadLetter { item, origin: origin.to_owned(), id: id.to_owned(), submission }))
    }
}
