//! Writes a submission as rows: one in each recipient's outbox, and its record.

use actors::model::{ContextId, Index, Item, OutboundRecord, ServerName, Submission, SubmissionId, SubmittedContent};
use actors::ports::OutboxRow;
use redb::ReadableTable;

use crate::store::schema::codec;
use crate::store::schema::codec::columns::{ItemValue, OutboxValue, SubmissionValue};
use crate::store::schema::tables;
use crate::store::write::apply::{OutboxGrowth, WriteBatch};

/// An item that goes to the end of an outbox.
pub(crate) struct AppendedItem {
    /// Number of the stored update; 0 for a PDU.
    pub(crate) number: u64,
    pub(crate) item: Item,
    /// Context of a PDU.
    pub(crate) context: Option<ContextId>,
    pub(crate) submission: SubmissionId,
}

impl WriteBatch<'_> {
    pub(crate) fn submitted(&mut self, submission: &Submission) -> Result<(), redb::Error> {
        let queued = self.items_of(submission)?;
        let mut places = Vec::with_capacity(submission.servers.len() + submission.left_out.len());
        for server in &submission.servers {
            let tail = self.outbox_tail(server)?;
            places.push((server.as_str(), tail.0 + 1));
            let rows = queued.iter().map(|(number, item)| AppendedItem {
                number: *number,
                item: item.clone(),
                context: submission.what.context().cloned(),
                submission: submission.id.clone(),
            });
            self.append_rows(server, tail, rows, false)?;
        }
        places.extend(submission.left_out.iter().map(|server| (server.as_str(), codec::LEFT_OUT)));
        let (origin, id) = match &submission.what {
            SubmittedContent::Pdu(pdu, ..) => (pdu.origin.as_str(), pdu.id.as_str()),
            SubmittedContent::Updates(_) => ("", ""),
        };
        let accepted = submission.accepted.0;
        let items = u32::try_from(queued.len()).unwrap_or(u32::MAX);
        let places = codec::places_to_row(&places);
        let row = SubmissionValue { accepted, digest: &submission.digest.0, items, places: &places, origin, id };
        self.submissions.open()?.insert(submission.id.as_str(), row)?;
        self.counts.rows_written += 1;
        Ok(())
    }

    /// Returns the items with their numbers. Updates are written here, once for all servers; a PDU is written by its
    /// own change and has no number.
    fn items_of(&mut self, submission: &Submission) -> Result<Vec<(u64, Item)>, redb::Error> {
        let updates = match &submission.what {
            SubmittedContent::Pdu(reference, _, bytes) => {
                return Ok(vec![(0, Item::Pdu(reference.clone(), bytes.clone()))]);
            }
            SubmittedContent::Updates(updates) => updates,
        };
        let first = self.memory.next_item;
        if let Ok(names @ 1..) = u32::try_from(submission.servers.len()) {
            let items = self.items.open()?;
            for (number, bytes) in (first..).zip(updates) {
                items.insert(number, ItemValue { names, bytes })?;
            }
            self.memory.next_item += updates.len() as u64;
            self.counts.rows_written += updates.len() as u64;
        }
        Ok((first..).zip(updates.iter().cloned().map(Item::Update)).collect())
    }

    /// Appends items to the end of an outbox.
    pub(crate) fn append_rows(
        &mut self,
        server: &ServerName,
        (tail, mut queued_bytes): (u64, u64),
        rows: impl IntoIterator<Item = AppendedItem>,
        again: bool,
    ) -> Result<(), redb::Error> {
        let mut rows = (tail + 1..).zip(rows).peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let outbox = self.outbox.open()?;
        let grown = self.grown.entry(server.clone());
        let grown = grown.or_insert_with(|| OutboxGrowth { tail: Index(tail), queued_bytes, rows: Vec::new() });
        for (index, AppendedItem { number, item, context, submission }) in rows {
            let (origin, id) = match &item {
                Item::Pdu(pdu, _) => (pdu.origin.as_str(), pdu.id.as_str()),
                Item::Update(_) => ("", ""),
            };
            queued_bytes += item.bytes().len() as u64;
            let (queued, submission_id) = (self.now.0, submission.as_str());
            let row = OutboxValue { queued, queued_bytes, again, item: number, origin, id, submission: submission_id };
            outbox.insert((server.as_str(), index), row)?;
            self.counts.rows_written += 1;
            (grown.tail, grown.queued_bytes) = (Index(index), queued_bytes);
            let (index, queued) = (Index(index), self.now);
            grown.rows.push(OutboxRow { index, queued, item, context, submission, queued_bytes, again });
        }
        self.memory.peers.entry(server.clone()).or_default().outbox = Some((grown.tail.0, queued_bytes));
        Ok(())
    }

    /// Returns the newest index ever assigned and the bytes ever queued up to it. Trimming or removing rows may have
    /// emptied the outbox, but leaves no index above the one in the peer's record, which is used then.
    pub(crate) fn outbox_tail(&mut self, server: &ServerName) -> Result<(u64, u64), redb::Error> {
        if let Some(tail) = self.memory.peers.get(server).and_then(|ends| ends.outbox) {
            return Ok(tail);
        }
        let newest = self.outbox.open()?.range(tables::all_of(server.as_str()))?.next_back().transpose()?;
        let newest = newest.map_or((0, 0), |(key, row)| (tables::number_of(key.value()), row.value().queued_bytes));
        self.counts.lookups += 1;
        self.counts.rows_read += u64::from(newest.0 > 0);
        let (given, bytes) = match self.moved.get(server) {
            Some(record) => ends(&record.outbound),
            None => self.ends_on_disk(server)?,
        };
        let tail = (newest.0.max(given), newest.1.max(bytes));
        self.memory.peers.entry(server.clone()).or_default().outbox = Some(tail);
        Ok(tail)
    }

    fn ends_on_disk(&mut self, server: &ServerName) -> Result<(u64, u64), redb::Error> {
        self.counts.lookups += 1;
        let Some(row) = self.peers.open()?.get(server.as_str())? else { return Ok((0, 0)) };
        self.counts.rows_read += 1;
        let record = codec::peer_from_row(server.clone(), row.value());
        let record = record.map_err(|error| redb::Error::Corrupted(error.to_string()))?;
        Ok(ends(&record.outbound))
    }
}

/// Returns the end of an outbox according to the record: an index that was assigned, and the bytes queued up to the
/// acknowledged ones.
pub(crate) fn ends(record: &OutboundRecord) -> (u64, u64) {
    (record.acked.max(record.highest_index_assigned).0, record.acked_bytes)
}
