//! `Change` to writes: one match, nothing read on the hot path.

use std::collections::{BTreeMap, HashMap};

use actors::change::Change;
use actors::model::{FeedItem, Index, Item, Millis, PeerRecord, ServerName, Submission, Submitted};
use actors::ports::OutboxRow;
use redb::{Key, ReadableTable, Table, TableDefinition, Value, WriteTransaction};

use super::counters::Counts;
use super::rows;
use super::tables::{self, FeedValue, QuarantineValue, SubmissionValue};

/// What the writer remembers between groups, so that appending needs no reading. Right only as long as every group
/// commits: after one that does not, the journal has stopped and this is dropped.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The newest position of the feed.
    pub(super) feed_tail: u64,
    /// The newest position acknowledged.
    pub(super) feed_acked: u64,
    /// The number of the next item.
    pub(super) next_item: u64,
    /// Where the tables of each server end; filled at its first use.
    pub(super) peers: HashMap<ServerName, Ends>,
}

/// Servers remembered at once. All can be found again by one look-up each, so beyond it they are simply forgotten.
const REMEMBERED_MAX: usize = 16_384;

/// Where the tables of one server end.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// The newest index of its outbox.
    pub(super) outbox: Option<u64>,
    /// The span of the numbers with digests.
    pub(super) taken: Option<TakenEnds>,
    /// The newest number in quarantine.
    pub(super) quarantine: Option<u64>,
}

/// The ends of the `taken` rows of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct TakenEnds {
    /// The number after the oldest row; the row goes once nothing below this is wanted.
    pub(super) oldest: u64,
    /// The number after the newest row.
    pub(super) newest: u64,
}

/// A table opened when it is first needed: a table that a group does not touch costs it nothing.
pub(super) struct Lazy<'t, K: Key + 'static, V: Value + 'static> {
    transaction: &'t WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    table: Option<Table<'t, K, V>>,
}

impl<'t, K: Key + 'static, V: Value + 'static> Lazy<'t, K, V> {
    fn new(transaction: &'t WriteTransaction, definition: TableDefinition<'static, K, V>) -> Self {
        Self { transaction, definition, table: None }
    }

    pub(super) fn open(&mut self) -> Result<&mut Table<'t, K, V>, redb::Error> {
        match &mut self.table {
            Some(table) => Ok(table),
            closed => Ok(closed.insert(self.transaction.open_table(self.definition)?)),
        }
    }
}

/// What became of one outbox in a group.
#[derive(Debug)]
pub(super) struct Grown {
    pub(super) tail: Index,
    pub(super) rows: Vec<OutboxRow>,
}

/// What a group leaves to do after its commit.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) grown: BTreeMap<ServerName, Grown>,
    pub(super) counts: Counts,
}

/// One group being written. Rows that many changes of a group replace are kept back and written once, at its end.
pub(super) struct Group<'t> {
    pub(super) peers: Lazy<'t, &'static str, &'static [u8]>,
    pub(super) outbox: Lazy<'t, (&'static str, u64), (u64, u64)>,
    pub(super) items: Lazy<'t, u64, (u32, &'static [u8])>,
    pub(super) taken: Lazy<'t, (&'static str, u64), &'static [u8]>,
    pub(super) submissions: Lazy<'t, &'static str, SubmissionValue>,
    pub(super) feed: Lazy<'t, u64, FeedValue>,
    pub(super) feed_cursor: Lazy<'t, &'static str, u64>,
    pub(super) quarantine: Lazy<'t, (&'static str, u64), QuarantineValue>,
    pub(super) memory: &'t mut Memory,
    now: Millis,
    moved: HashMap<ServerName, Box<PeerRecord>>,
    acked_moved: bool,
    /// Item number -> outbox rows fewer.
    pub(super) unnamed: BTreeMap<u64, u32>,
    grown: BTreeMap<ServerName, Grown>,
    pub(super) counts: Counts,
}

impl<'t> Group<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, memory: &'t mut Memory, now: Millis) -> Self {
        Self {
            peers: Lazy::new(transaction, tables::PEERS),
            outbox: Lazy::new(transaction, tables::OUTBOX),
            items: Lazy::new(transaction, tables::ITEMS),
            taken: Lazy::new(transaction, tables::TAKEN),
            submissions: Lazy::new(transaction, tables::SUBMISSIONS),
            feed: Lazy::new(transaction, tables::FEED),
            feed_cursor: Lazy::new(transaction, tables::FEED_CURSOR),
            quarantine: Lazy::new(transaction, tables::QUARANTINE),
            memory,
            now,
            moved: HashMap::new(),
            acked_moved: false,
            unnamed: BTreeMap::new(),
            grown: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn apply(&mut self, change: Change) -> Result<(), redb::Error> {
        match change {
            Change::Submitted(submission) => self.submitted(&submission),
            Change::PeerMoved(record) => {
                self.moved.insert(record.server.clone(), record);
                Ok(())
            }
            Change::OutboxTrimmed { server, upto, keep_items, queued_before, rows_max } => {
                self.trim_outbox(&server, upto.0, keep_items, queued_before.0, rows_max)
            }
            Change::Taken { from, first, digests, forget_below } => {
                self.taken(&from, first.0, &digests, forget_below.0)
            }
            Change::Fed(item) => self.fed(&item),
            Change::Quarantined { parked, keep } => self.quarantined(parked, keep),
            Change::FeedAcked { upto } => {
                // Beyond the tail there is nothing to have: a cursor there would swallow what comes next.
                let upto = upto.0.min(self.memory.feed_tail);
                if upto > self.memory.feed_acked {
                    self.memory.feed_acked = upto;
                    self.acked_moved = true;
                }
                Ok(())
            }
            Change::FeedTrimmed { before, rows_max } => self.trim_feed(before.0, rows_max),
            Change::PduStored(_)
            | Change::PduDelivered { .. }
            | Change::PduHeld { .. }
            | Change::StateMoved { .. }
            | Change::ContextMoved(_)
            | Change::GapOpened { .. }
            | Change::GapClosed { .. }
            | Change::TransactionSeen { .. } => Ok(()),
            Change::SubmissionsForgotten(ids) => self.forget_submissions(&ids),
        }
    }

    /// Write what was kept back.
    pub(super) fn finish(mut self) -> Result<Applied, redb::Error> {
        for (server, record) in &self.moved {
            self.peers.open()?.insert(server.as_str(), rows::peer_to_row(record).as_slice())?;
            self.counts.rows_written += 1;
        }
        if self.acked_moved {
            self.feed_cursor.open()?.insert(tables::MESSENGER, self.memory.feed_acked)?;
            self.counts.rows_written += 1;
        }
        self.drop_unnamed_items()?;
        if self.memory.peers.len() > REMEMBERED_MAX {
            self.memory.peers.clear();
        }
        Ok(Applied { grown: self.grown, counts: self.counts })
    }

    fn submitted(&mut self, submission: &Submission) -> Result<(), redb::Error> {
        let updates = bodies(submission);
        let mut places = Vec::with_capacity(submission.servers.len());
        let first_item = self.memory.next_item;
        for server in &submission.servers {
            let tail = self.outbox_tail(server)?;
            places.push((server.as_str(), tail + 1));
            self.append(server, tail, first_item, updates)?;
        }
        if let Ok(names @ 1..) = u32::try_from(submission.servers.len()) {
            let items = self.items.open()?;
            for (number, bytes) in (first_item..).zip(updates) {
                items.insert(number, (names, &bytes[..]))?;
            }
            self.memory.next_item += updates.len() as u64;
            self.counts.rows_written += updates.len() as u64;
        }
        let accepted = submission.accepted.0;
        let updates = u32::try_from(updates.len()).unwrap_or(u32::MAX);
        let places = rows::places_to_row(&places);
        let row = (accepted, &submission.digest.0, updates, places.as_slice());
        self.submissions.open()?.insert(submission.id.as_str(), row)?;
        self.counts.rows_written += 1;
        Ok(())
    }

    fn append(
        &mut self,
        server: &ServerName,
        tail: u64,
        first_item: u64,
        updates: &[bytes::Bytes],
    ) -> Result<(), redb::Error> {
        if updates.is_empty() {
            return Ok(());
        }
        let outbox = self.outbox.open()?;
        let grown = self.grown.entry(server.clone());
        let grown = grown.or_insert_with(|| Grown { tail: Index(tail), rows: Vec::new() });
        for ((index, item), bytes) in (tail + 1..).zip(first_item..).zip(updates) {
            outbox.insert((server.as_str(), index), (item, self.now.0))?;
            grown.tail = Index(index);
            grown.rows.push(OutboxRow { index: Index(index), queued: self.now, item: Item::Update(bytes.clone()) });
        }
        self.memory.peers.entry(server.clone()).or_default().outbox = Some(grown.tail.0);
        self.counts.rows_written += updates.len() as u64;
        Ok(())
    }

    /// The newest index ever given. Trimming may have emptied the outbox, but touches acknowledged rows only: the record
    /// then knows.
    fn outbox_tail(&mut self, server: &ServerName) -> Result<u64, redb::Error> {
        if let Some(tail) = self.memory.peers.get(server).and_then(|ends| ends.outbox) {
            return Ok(tail);
        }
        let newest = self.outbox.open()?.range(tables::all_of(server.as_str()))?.next_back().transpose()?;
        let newest = newest.map_or(0, |(key, _)| key.value().1);
        self.counts.lookups += 1;
        self.counts.rows_read += u64::from(newest > 0);
        let acked = match self.moved.get(server) {
            Some(record) => record.outbound.acked.0,
            None => self.acked_on_disk(server)?,
        };
        let tail = newest.max(acked);
        self.memory.peers.entry(server.clone()).or_default().outbox = Some(tail);
        Ok(tail)
    }

    fn acked_on_disk(&mut self, server: &ServerName) -> Result<u64, redb::Error> {
        self.counts.lookups += 1;
        let Some(row) = self.peers.open()?.get(server.as_str())? else { return Ok(0) };
        self.counts.rows_read += 1;
        let record = rows::peer_from_row(server.clone(), row.value());
        let record = record.map_err(|error| redb::Error::Corrupted(error.to_string()))?;
        Ok(record.outbound.acked.0)
    }

    pub(super) fn fed(&mut self, item: &FeedItem) -> Result<(), redb::Error> {
        let position = self.memory.feed_tail + 1;
        self.feed.open()?.insert(position, rows::feed_to_row(self.now.0, item))?;
        self.memory.feed_tail = position;
        self.counts.rows_written += 1;
        Ok(())
    }

    pub(super) fn now(&self) -> Millis {
        self.now
    }
}

fn bodies(submission: &Submission) -> &[bytes::Bytes] {
    match &submission.what {
        Submitted::Updates(updates) => updates,
        Submitted::Pdu(_, bytes) => std::slice::from_ref(bytes),
    }
}

/// How many rows a batch is reckoned at: what it writes, and for trimming what it may remove.
pub(super) fn weight(changes: &[Change]) -> u64 {
    let rows = |change: &Change| match change {
        Change::Submitted(submission) => (bodies(submission).len() * (submission.servers.len() + 1) + 1) as u64,
        Change::PduStored(_) | Change::PduDelivered { .. } => 3,
        Change::PduHeld { .. }
        | Change::StateMoved { .. }
        | Change::ContextMoved(_)
        | Change::GapOpened { .. }
        | Change::GapClosed { .. }
        | Change::TransactionSeen { .. } => 1,
        Change::PeerMoved(_) | Change::Fed(_) | Change::FeedAcked { .. } | Change::Taken { .. } => 1,
        Change::Quarantined { .. } => 2,
        Change::OutboxTrimmed { rows_max, .. } | Change::FeedTrimmed { rows_max, .. } => u64::from(*rows_max),
        Change::SubmissionsForgotten(ids) => ids.len() as u64,
    };
    changes.iter().map(rows).sum()
}
