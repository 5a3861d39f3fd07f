//! The queues of peers: outbox rows, the items that they refer to, and dead letters.
//!
//! An item can be referred to by rows of several outboxes and by dead letters; these owners are together here, because a
//! reference that moves or ends changes two of them.

pub(crate) mod dead_letters;
pub(crate) mod items;
pub(crate) mod outbox;
pub(crate) mod records;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use actors::model::{
    DeadLetterReason, ForwardRoute, Index, Item, Millis, PeerRecord, PlainCopy, ServerName, Submission, SubmissionId,
};
use bytes::Bytes;

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec;
use crate::store::schema::codec::BadRow;
use crate::store::schema::codec::columns::IN_ROW;
use crate::store::write::peer::outbound::dead_letters::{DeadLetterTable, RemovedDeadLetter};
use crate::store::write::peer::outbound::items::ItemTable;
use crate::store::write::peer::outbound::outbox::{AppendedItem, OutboxGrowth, OutboxTables, OwnedOutboxRow};
use crate::store::write::peer::outbound::records::PeerRecordTable;
use crate::store::write::writer_context::WriterContext;

/// The place at which a submission was queued.
pub(crate) struct QueuedSubmission<'s> {
    /// Number of its items.
    pub(crate) items: u32,
    /// Recipients, each with the index of the first item in its outbox.
    pub(crate) places: Vec<(&'s str, u64)>,
}

/// A forward that goes to the end of an outbox.
pub(crate) struct ForwardRow {
    pub(crate) text: Bytes,
    /// Time from which its stay is counted, if that is earlier than now.
    pub(crate) since: Option<Millis>,
    /// Id under which lists show it.
    pub(crate) submission: SubmissionId,
}

/// The queues of all peers, and their records, which hold the ends of empty outboxes.
pub(crate) struct OutboundTables<'t> {
    records: PeerRecordTable<'t>,
    outbox: OutboxTables<'t>,
    items: ItemTable<'t>,
    dead_letters: DeadLetterTable<'t>,
}

impl<'t> OutboundTables<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>, next_item: &'t mut u64) -> Self {
        Self {
            records: PeerRecordTable::new(transaction),
            outbox: OutboxTables::new(transaction),
            items: ItemTable::new(transaction, next_item),
            dead_letters: DeadLetterTable::new(transaction),
        }
    }

    pub(crate) fn update_record(&mut self, record: Box<PeerRecord>) {
        self.records.update(record);
    }

    pub(crate) fn add_transaction(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        id: u64,
        places: (Index, Index),
    ) -> RedbResult {
        self.outbox.add_transaction(cx, server, id, places)
    }

    /// Appends the items of a submission to the outbox of each recipient.
    pub(crate) fn queue<'s>(
        &mut self,
        cx: &mut WriterContext<'_>,
        submission: &'s Submission,
    ) -> Result<QueuedSubmission<'s>, redb::Error> {
        let queued = self.items.store(cx, submission)?;
        let mut places = Vec::with_capacity(submission.servers.len() + submission.left_out.len());
        for server in &submission.servers {
            let tail = self.outbox.tail(cx, &mut self.records, server)?;
            places.push((server.as_str(), tail.0 + 1));
            let rows = queued.iter().map(|(number, item)| AppendedItem {
                number: *number,
                since: None,
                item: item.clone(),
                context: submission.what.context().cloned(),
                submission: submission.id.clone(),
            });
            self.outbox.append(cx, server, tail, rows, false)?;
        }
        Ok(QueuedSubmission { items: u32::try_from(queued.len()).unwrap_or(u32::MAX), places })
    }

    /// Appends an update that a peer gets in place of a PDU, and returns its index.
    pub(crate) fn queue_copy(
        &mut self,
        cx: &mut WriterContext<'_>,
        copy: &PlainCopy,
        submission: &SubmissionId,
    ) -> Result<u64, redb::Error> {
        let tail = self.outbox.tail(cx, &mut self.records, &copy.server)?;
        let number = self.items.number_alone(cx, &copy.update)?;
        let (item, submission) = (Item::Update(copy.update.clone()), submission.clone());
        let row = AppendedItem { number, since: None, item, context: None, submission };
        self.outbox.append(cx, &copy.server, tail, [row], false)?;
        Ok(tail.0 + 1)
    }

    /// Appends forwards to the outbox of the peer that is to get them.
    pub(crate) fn queue_forwards(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        route: &ForwardRoute,
        forwards: impl IntoIterator<Item = ForwardRow>,
    ) -> RedbResult {
        let tail = self.outbox.tail(cx, &mut self.records, server)?;
        let mut rows = Vec::new();
        for ForwardRow { text, since, submission } in forwards {
            let number = self.items.store_update(cx, &text, 1)?;
            let item = Item::Forward(route.clone(), text);
            rows.push(AppendedItem { number, since, item, context: None, submission });
        }
        self.outbox.append(cx, server, tail, rows, false)
    }

    /// Appends an item that left its outbox, or found no room in it, and returns its index. It is a new index, because the
    /// sequence number that the item had went to the item after it.
    pub(crate) fn queue_again(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        item: AppendedItem,
    ) -> Result<u64, redb::Error> {
        let tail = self.outbox.tail(cx, &mut self.records, server)?;
        self.outbox.append(cx, server, tail, [item], true)?;
        Ok(tail.0 + 1)
    }

    /// Removes acknowledged rows, oldest first; returns the index of the newest one removed.
    pub(crate) fn trim_outbox(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        upto: u64,
        keep_items: u64,
        queued_before: u64,
        rows_max: u32,
    ) -> Result<Option<u64>, redb::Error> {
        let gone = self.outbox.trim(cx, server, upto, keep_items, queued_before, rows_max)?;
        let newest = gone.last().map(|(index, _)| *index);
        gone.into_iter().for_each(|(_, item)| self.items.release(item));
        Ok(newest)
    }

    /// Returns the submission of the item at an index, if its row is kept.
    pub(crate) fn submission_at(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        index: u64,
    ) -> Result<Option<SubmissionId>, redb::Error> {
        let rows = self.outbox.rows_in(cx, server, index..=index)?;
        let submission = rows.first().map(|row| codec::submission_id("outbox", &row.submission));
        submission.transpose().map_err(BadRow::into_corrupted)
    }

    /// Moves a range of outbox rows to the dead letters. The caller bounds the range: a page of the outbox, or the
    /// items of one submission.
    pub(crate) fn move_to_dead_letters(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        places: RangeInclusive<u64>,
        fate: DeadLetterReason,
        reason: &str,
        keep: u64,
    ) -> RedbResult {
        let before = self.dead_letters.count(cx, server)?;
        let gone = self.outbox.rows_in(cx, server, places)?;
        for row in &gone {
            // A forward is not ours to deliver: its origin still has the update, and is the one that is told.
            if row.is_forward() {
                if !fate.was_taken() {
                    self.outbox.remove(server, row.index)?;
                    self.items.release(row.item);
                }
                continue;
            }
            // An item that the peer accepted also keeps its outbox row, so its reference count rises by one. The text of an update
            // goes with the outbox row, and the letter needs it for longer.
            let number = match row.item {
                IN_ROW => self.items.store_update(cx, &Bytes::copy_from_slice(row.id.as_bytes()), 1)?,
                item if fate.was_taken() => self.items.refer_again(cx, item).map(|()| item)?,
                item => item,
            };
            if !fate.was_taken() {
                self.outbox.remove(server, row.index)?;
            }
            self.dead_letters.insert(cx, server, (row, number), (fate, reason))?;
        }
        let letters = gone.iter().filter(|row| !row.is_forward()).count() as u64;
        let trimmed = self.dead_letters.trim(cx, server, before + letters, keep)?;
        trimmed.into_iter().for_each(|(_, item)| self.items.release(item));
        Ok(())
    }

    /// Returns copies of the rows in a range of indexes of an outbox.
    pub(crate) fn rows_in(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        places: RangeInclusive<u64>,
    ) -> Result<Vec<OwnedOutboxRow>, redb::Error> {
        self.outbox.rows_in(cx, server, places)
    }

    /// Moves rows from an outbox to the end of another one, and returns the index of the first. The references to their items go with
    /// them.
    pub(crate) fn move_rows(
        &mut self,
        cx: &mut WriterContext<'_>,
        (from, to): (&ServerName, &ServerName),
        rows: &[OwnedOutboxRow],
        items: Vec<AppendedItem>,
    ) -> Result<u64, redb::Error> {
        for row in rows {
            self.outbox.remove(from, row.index)?;
        }
        let tail = self.outbox.tail(cx, &mut self.records, to)?;
        self.outbox.append(cx, to, tail, items, true)?;
        Ok(tail.0 + 1)
    }

    /// Takes a dead letter out of its table; its item is still referred to.
    pub(crate) fn take_dead_letter(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        index: u64,
    ) -> Result<Option<RemovedDeadLetter>, redb::Error> {
        self.dead_letters.take(cx, server, index)
    }

    /// Ends a reference to an item; 0 stands for a PDU.
    pub(crate) fn release_item(&mut self, item: u64) {
        self.items.release(item);
    }

    /// Returns the bytes of a stored update.
    pub(crate) fn update_bytes(&mut self, item: u64) -> Result<Option<Bytes>, redb::Error> {
        self.items.bytes(item)
    }

    /// Writes the collected records and reference counts.
    pub(crate) fn finish(&mut self, cx: &mut WriterContext<'_>) -> RedbResult {
        self.records.finish(cx)?;
        self.items.finish(cx)
    }

    /// Returns the outboxes that grew in this group.
    pub(crate) fn into_growth(self) -> BTreeMap<ServerName, OutboxGrowth> {
        self.outbox.into_growth()
    }
}
