//! The rows of the outboxes, and the transactions in which they were sent.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use actors::model::{ContextId, Index, Item, Millis, ServerName, SubmissionId};
use actors::ports::OutboxRow;

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::columns::{IN_ROW, OutboxValue};
use crate::store::schema::tables;
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::peer::outbound::records::PeerRecordTable;
use crate::store::write::writer_context::WriterContext;

/// An item that goes to the end of an outbox.
pub(crate) struct AppendedItem {
    /// Number of the stored update; [`IN_ROW`] if it is stored in the row; 0 for a PDU.
    pub(crate) number: u64,
    /// Time from which its stay is counted, if that is earlier than now.
    pub(crate) since: Option<Millis>,
    pub(crate) item: Item,
    /// Context of a PDU.
    pub(crate) context: Option<ContextId>,
    pub(crate) submission: SubmissionId,
}

/// A copy of an outbox row.
pub(crate) struct OwnedOutboxRow {
    pub(crate) index: u64,
    /// Number of the stored update; [`IN_ROW`] if the id is its text; 0 for a PDU.
    pub(crate) item: u64,
    pub(crate) origin: String,
    pub(crate) id: String,
    pub(crate) submission: String,
}

impl OwnedOutboxRow {
    /// Returns whether the row is a forward: its item has a number and two ends.
    pub(crate) const fn is_forward(&self) -> bool {
        self.item > 0 && !self.origin.is_empty()
    }
}

fn no_text(error: std::str::Utf8Error) -> redb::Error {
    redb::Error::Corrupted(format!("an update is no text: {error}"))
}

/// The growth of one outbox in a group.
#[derive(Debug)]
pub(crate) struct OutboxGrowth {
    pub(crate) tail: Index,
    pub(crate) queued_bytes: u64,
    pub(crate) rows: Vec<OutboxRow>,
}

/// The outboxes of all peers.
pub(crate) struct OutboxTables<'t> {
    rows: LazyTable<'t, (&'static str, u64), OutboxValue<'static>>,
    sent: LazyTable<'t, (&'static str, u64), (u64, u64)>,
    grown: BTreeMap<ServerName, OutboxGrowth>,
}

impl<'t> OutboxTables<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self {
            rows: LazyTable::new(transaction, tables::OUTBOX),
            sent: LazyTable::new(transaction, tables::OUTBOUND_TRANSACTIONS),
            grown: BTreeMap::new(),
        }
    }

    /// Appends items after the tail of an outbox.
    pub(crate) fn append(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        (tail, mut queued_bytes): (u64, u64),
        rows: impl IntoIterator<Item = AppendedItem>,
        again: bool,
    ) -> RedbResult {
        let mut rows = (tail + 1..).zip(rows).peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let outbox = self.rows.open()?;
        let grown = self.grown.entry(server.clone());
        let grown = grown.or_insert_with(|| OutboxGrowth { tail: Index(tail), queued_bytes, rows: Vec::new() });
        for (index, AppendedItem { number, since, item, context, submission }) in rows {
            let since = since.map_or(cx.now, |since| since.min(cx.now));
            let (origin, id) = match &item {
                Item::Pdu(pdu, _) => (pdu.origin.as_str(), pdu.id.as_str()),
                Item::Forward(route, _) => (route.origin.as_str(), route.destination.as_str()),
                Item::Update(text) if number == IN_ROW => ("", std::str::from_utf8(text).map_err(no_text)?),
                Item::Update(_) => ("", ""),
            };
            queued_bytes += item.bytes().len() as u64;
            let (queued, submission_id) = (since.0, submission.as_str());
            let row = OutboxValue { queued, queued_bytes, again, item: number, origin, id, submission: submission_id };
            outbox.append((server.as_str(), index), row)?;
            cx.counts.rows_written += 1;
            (grown.tail, grown.queued_bytes) = (Index(index), queued_bytes);
            let (index, queued) = (Index(index), since);
            grown.rows.push(OutboxRow { index, queued, item, context, submission, queued_bytes, again });
        }
        cx.tails.entry(server).outbox = Some((grown.tail.0, queued_bytes));
        Ok(())
    }

    /// Returns the newest index ever assigned and the bytes ever queued up to it. Trimming or removing rows may have
    /// emptied the outbox, but leaves no index above the one in the peer's record, which is used then.
    pub(crate) fn tail(
        &mut self,
        cx: &mut WriterContext<'_>,
        records: &mut PeerRecordTable<'_>,
        server: &ServerName,
    ) -> Result<(u64, u64), redb::Error> {
        if let Some(tail) = cx.tails.get(server).and_then(|ends| ends.outbox) {
            return Ok(tail);
        }
        let newest = self.rows.open()?.range(tables::all_of(server.as_str()))?.newest()?;
        let newest = newest.map_or((0, 0), |(key, row)| (tables::number_of(key.value()), row.value().queued_bytes));
        cx.counts.lookups += 1;
        cx.counts.rows_read += u64::from(newest.0 > 0);
        let (given, bytes) = records.outbox_ends(cx, server)?;
        let tail = (newest.0.max(given), newest.1.max(bytes));
        cx.tails.entry(server).outbox = Some(tail);
        Ok(tail)
    }

    /// Records an acknowledged transaction: the index of its first and of its last item.
    pub(crate) fn add_transaction(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        id: u64,
        (first, last): (Index, Index),
    ) -> RedbResult {
        self.sent.open()?.append((server.as_str(), id), (first.0, last.0))?;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Returns copies of the rows in a range of indexes.
    pub(crate) fn rows_in(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        places: RangeInclusive<u64>,
    ) -> Result<Vec<OwnedOutboxRow>, redb::Error> {
        let (name, (first, last)) = (server.as_str(), places.into_inner());
        let mut rows = Vec::new();
        for row in self.rows.open()?.range((name, first)..=(name, last))? {
            let (key, row) = row?;
            let OutboxValue { item, origin, id, submission, .. } = row.value();
            let index = tables::number_of(key.value());
            let (origin, id, submission) = (origin.to_owned(), id.to_owned(), submission.to_owned());
            rows.push(OwnedOutboxRow { index, item, origin, id, submission });
        }
        cx.counts.lookups += 1;
        cx.counts.rows_read += rows.len() as u64;
        Ok(rows)
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, server: &ServerName, index: u64) -> RedbResult {
        self.rows.open()?.remove((server.as_str(), index))?;
        Ok(())
    }

    /// Removes acknowledged rows, oldest first, and the transactions of which no row is left. Returns the index and the item of
    /// each removed row.
    pub(crate) fn trim(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        upto: u64,
        keep_items: u64,
        queued_before: u64,
        rows_max: u32,
    ) -> Result<Vec<(u64, u64)>, redb::Error> {
        let outbox = self.rows.open()?;
        let mut gone = Vec::new();
        // The walk ends at the oldest row that stays, so it reads one more row than it removes and not the whole
        // outbox.
        for row in outbox.range((server.as_str(), 0)..(server.as_str(), upto))?.take(rows_max as usize) {
            let (key, value) = row?;
            let (index, OutboxValue { queued, item, .. }) = (tables::number_of(key.value()), value.value());
            cx.counts.trim_reads += 1;
            if upto - index <= keep_items && queued >= queued_before {
                break;
            }
            gone.push((index, item));
        }
        if let Some(&(newest, _)) = gone.last() {
            outbox.remove_range((server.as_str(), 0), (server.as_str(), newest + 1))?;
            cx.counts.rows_trimmed += gone.len() as u64;
            self.trim_sent(cx, server, newest, rows_max)?;
        }
        Ok(gone)
    }

    /// Removes transactions of which no outbox row is left, oldest first.
    fn trim_sent(&mut self, cx: &mut WriterContext<'_>, server: &ServerName, newest: u64, rows_max: u32) -> RedbResult {
        let sent = self.sent.open()?;
        let mut behind = None;
        for row in sent.range(tables::all_of(server.as_str()))?.take(rows_max as usize) {
            let (key, places) = row?;
            cx.counts.trim_reads += 1;
            let (_, last) = places.value();
            if last > newest {
                break;
            }
            behind = tables::number_of(key.value()).checked_add(1);
            cx.counts.rows_trimmed += 1;
        }
        behind.map_or(Ok(()), |behind| sent.remove_range((server.as_str(), 0), (server.as_str(), behind)))
    }

    /// Returns the outboxes that grew in this group.
    pub(crate) fn into_growth(self) -> BTreeMap<ServerName, OutboxGrowth> {
        self.grown
    }
}
