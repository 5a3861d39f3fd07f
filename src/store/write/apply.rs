//! Applies changes to the tables: one match, without reads on the hot path.

use std::collections::{BTreeMap, HashMap};

use actors::change::Change;
use actors::model::{ContextId, ContextRecord, Index, Millis, PeerRecord, ServerName, SubmittedContent};
use actors::ports::OutboxRow;
use redb::{Key, Table, TableDefinition, Value, WriteTransaction};

use crate::store::counters::RowCounts;
use crate::store::delivery_clock::DeliveryClock;
use crate::store::position_jumps::PositionJumps;
use crate::store::schema::codec::FeedRow;
use crate::store::schema::codec::columns::{
    AttemptValue, DeadLetterValue, FeedValue, GapValue, HeldValue, HolderValue, ItemValue, OutboxValue, PduValue,
    PieceValue, QuarantinePlace, QuarantineValue, SeenValue, StageValue, SubmissionValue,
};
use crate::store::schema::tables::{
    ContextPduKey, CopyKey, DeliveredKey, NonceKey, RefValue, StageIdKey, StateEntryKey,
};
use crate::store::schema::{codec, tables};

/// Number of nonces that are removed with each new one, at most: more than one, so that the table shrinks again after a burst.
pub(crate) const NONCES_TRIMMED: u32 = 2;

/// The writer's cache between groups; it lets rows be appended without reading. It is correct only as long as every
/// group commits: after one that does not, the journal has stopped and the cache is dropped.
#[derive(Debug, Default)]
pub(crate) struct WriterCache {
    /// Newest position of the feed.
    pub(crate) feed_tail: u64,
    /// Newest position that the messenger has acknowledged.
    pub(crate) feed_acked: u64,
    /// Positions that restores skipped.
    pub(crate) jumps: PositionJumps,
    /// Number of the next item.
    pub(crate) next_item: u64,
    /// Epoch of this opening: the order of arrival of held PDUs begins with it.
    pub(crate) epoch: u64,
    /// Number of PDUs held since the store was opened.
    pub(crate) arrivals: u64,
    /// Clock that gives delivery times.
    pub(crate) deliveries: DeliveryClock,
    /// Ends of the tables of each server, filled in at the first use.
    pub(crate) peers: HashMap<ServerName, TableTails>,
}

/// Maximum number of servers in the cache. All values can be read again with one lookup each, so the cache is simply
/// cleared.
const REMEMBERED_MAX: usize = 16_384;

/// The ends of the tables of one server.
#[derive(Debug, Default)]
pub(crate) struct TableTails {
    /// Newest index of the outbox, and the bytes ever queued up to there.
    pub(crate) outbox: Option<(u64, u64)>,
    /// Range of the numbers with digests.
    pub(crate) taken: Option<TakenEnds>,
    /// Newest number in quarantine.
    pub(crate) quarantine: Option<u64>,
    /// Number of dead letters.
    pub(crate) dead_letters: Option<u64>,
    /// The newest number among its failed attempts.
    pub(crate) attempts: Option<u64>,
    /// Newest number among the transactions.
    pub(crate) seen: Option<u64>,
}

/// The ends of the `taken` rows of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakenEnds {
    /// Number after the oldest row; that row is removed once everything below this number may be forgotten.
    pub(crate) oldest: u64,
    /// Number after the newest row.
    pub(crate) newest: u64,
}

/// A table that is opened at its first use, so that a group pays nothing for tables that it does not touch.
pub(crate) struct LazyTable<'t, K: Key + 'static, V: Value + 'static> {
    transaction: &'t WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    table: Option<Table<'t, K, V>>,
}

impl<'t, K: Key + 'static, V: Value + 'static> LazyTable<'t, K, V> {
    fn new(transaction: &'t WriteTransaction, definition: TableDefinition<'static, K, V>) -> Self {
        Self { transaction, definition, table: None }
    }

    pub(crate) fn open(&mut self) -> Result<&mut Table<'t, K, V>, redb::Error> {
        match &mut self.table {
            Some(table) => Ok(table),
            closed => Ok(closed.insert(self.transaction.open_table(self.definition)?)),
        }
    }
}

/// The growth of one outbox in a group.
#[derive(Debug)]
pub(crate) struct OutboxGrowth {
    pub(crate) tail: Index,
    pub(crate) queued_bytes: u64,
    pub(crate) rows: Vec<OutboxRow>,
}

/// The work that remains after the commit of a group.
#[derive(Debug)]
pub(crate) struct AppliedGroup {
    pub(crate) grown: BTreeMap<ServerName, OutboxGrowth>,
    pub(crate) counts: RowCounts,
}

/// A group that is being written. Rows that many changes of a group overwrite are collected and written once, at the
/// end.
pub(crate) struct WriteBatch<'t> {
    pub(crate) peers: LazyTable<'t, &'static str, &'static [u8]>,
    pub(crate) outbox: LazyTable<'t, (&'static str, u64), OutboxValue<'static>>,
    pub(crate) items: LazyTable<'t, u64, ItemValue<'static>>,
    pub(crate) taken: LazyTable<'t, (&'static str, u64), &'static [u8]>,
    pub(crate) submissions: LazyTable<'t, &'static str, SubmissionValue<'static>>,
    pub(crate) feed: LazyTable<'t, u64, FeedValue<'static>>,
    pub(crate) feed_cursor: LazyTable<'t, &'static str, u64>,
    pub(crate) quarantine: LazyTable<'t, (&'static str, u64), QuarantineValue<'static>>,
    pub(crate) dead_letters: LazyTable<'t, (&'static str, u64), DeadLetterValue<'static>>,
    pub(crate) attempts: LazyTable<'t, (&'static str, u64), AttemptValue<'static>>,
    pub(crate) delivered: LazyTable<'t, DeliveredKey, &'static [u8]>,
    pub(crate) sent: LazyTable<'t, (&'static str, u64), (u64, u64)>,
    pub(crate) seen: LazyTable<'t, (&'static str, u64), SeenValue<'static>>,
    pub(crate) pdus: LazyTable<'t, RefValue, PduValue<'static>>,
    pub(crate) timeline: LazyTable<'t, (&'static str, i64), RefValue>,
    contexts: LazyTable<'t, &'static str, &'static [u8]>,
    pub(crate) held: LazyTable<'t, ContextPduKey, HeldValue<'static>>,
    pub(crate) gaps: LazyTable<'t, ContextPduKey, GapValue<'static>>,
    pub(crate) state: LazyTable<'t, ContextPduKey, HolderValue<'static>>,
    pub(crate) state_pdus: LazyTable<'t, StateEntryKey, PieceValue<'static>>,
    pub(crate) state_links: LazyTable<'t, (&'static str, u8, &'static str, &'static str), &'static [u8]>,
    pub(crate) strangers: LazyTable<'t, CopyKey, QuarantinePlace>,
    pub(crate) heads: LazyTable<'t, ContextPduKey, u64>,
    context_work: LazyTable<'t, &'static str, ()>,
    pub(crate) stage: LazyTable<'t, (&'static str, &'static str, u64), StageValue<'static>>,
    pub(crate) stage_ids: LazyTable<'t, StageIdKey, u64>,
    pub(crate) nonces: LazyTable<'t, NonceKey, ()>,
    pub(crate) meta: LazyTable<'t, &'static str, &'static str>,
    pub(crate) memory: &'t mut WriterCache,
    pub(crate) now: Millis,
    pub(crate) moved: HashMap<ServerName, Box<PeerRecord>>,
    contexts_moved: HashMap<ContextId, Box<ContextRecord>>,
    acked_moved: bool,
    /// Item number -> number of references that this group removed.
    pub(crate) item_refcount_decrements: BTreeMap<u64, u32>,
    pub(crate) grown: BTreeMap<ServerName, OutboxGrowth>,
    pub(crate) counts: RowCounts,
}

impl<'t> WriteBatch<'t> {
    pub(crate) fn new(transaction: &'t WriteTransaction, memory: &'t mut WriterCache, now: Millis) -> Self {
        memory.deliveries.at(now.0);
        Self {
            peers: LazyTable::new(transaction, tables::PEERS),
            outbox: LazyTable::new(transaction, tables::OUTBOX),
            items: LazyTable::new(transaction, tables::ITEMS),
            taken: LazyTable::new(transaction, tables::INBOUND_DIGESTS),
            submissions: LazyTable::new(transaction, tables::SUBMISSIONS),
            feed: LazyTable::new(transaction, tables::FEED),
            feed_cursor: LazyTable::new(transaction, tables::FEED_CURSOR),
            quarantine: LazyTable::new(transaction, tables::QUARANTINE),
            dead_letters: LazyTable::new(transaction, tables::DEAD_LETTERS),
            attempts: LazyTable::new(transaction, tables::ATTEMPTS),
            delivered: LazyTable::new(transaction, tables::DELIVERED),
            sent: LazyTable::new(transaction, tables::OUTBOUND_TRANSACTIONS),
            seen: LazyTable::new(transaction, tables::INBOUND_TRANSACTIONS),
            pdus: LazyTable::new(transaction, tables::PDUS),
            timeline: LazyTable::new(transaction, tables::TIMELINE),
            contexts: LazyTable::new(transaction, tables::CONTEXTS),
            held: LazyTable::new(transaction, tables::HELD),
            gaps: LazyTable::new(transaction, tables::GAPS),
            state: LazyTable::new(transaction, tables::STATE),
            state_pdus: LazyTable::new(transaction, tables::STATE_PDUS),
            state_links: LazyTable::new(transaction, tables::STATE_LINKS),
            strangers: LazyTable::new(transaction, tables::QUARANTINE_BY_CONTEXT),
            heads: LazyTable::new(transaction, tables::HEADS),
            context_work: LazyTable::new(transaction, tables::CONTEXT_WORK),
            stage: LazyTable::new(transaction, tables::STAGE),
            stage_ids: LazyTable::new(transaction, tables::STAGE_IDS),
            nonces: LazyTable::new(transaction, tables::NONCES),
            meta: LazyTable::new(transaction, tables::META),
            memory,
            now,
            moved: HashMap::new(),
            contexts_moved: HashMap::new(),
            acked_moved: false,
            item_refcount_decrements: BTreeMap::new(),
            grown: BTreeMap::new(),
            counts: RowCounts::default(),
        }
    }

    pub(crate) fn apply(&mut self, change: Change) -> Result<(), redb::Error> {
        match change {
            Change::Submitted(submission) => self.submitted(&submission),
            Change::PeerRecordUpdated(record) => {
                self.moved.insert(record.server.clone(), record);
                Ok(())
            }
            Change::OutboxTrimmed { server, upto, keep_items, queued_before, rows_max } => {
                self.trim_outbox(&server, upto.0, keep_items, queued_before.0, rows_max)
            }
            Change::OutboxDeadLettered { server, first, last, fate, reason, keep } => {
                self.outbox_left(&server, first.0..=last.0, fate, &reason, keep)
            }
            Change::AttemptFailed { server, attempt, keep } => self.attempt_failed(&server, &attempt, keep),
            Change::Delivered { server, spans } => self.delivered(&server, &spans),
            Change::DeliveriesForgotten { server, before, rows_max } => {
                self.forget_deliveries(&server, before.0, rows_max)
            }
            Change::TransactionSent { server, id, first, last } => {
                self.sent.open()?.insert((server.as_str(), id), (first.0, last.0))?;
                self.counts.rows_written += 1;
                Ok(())
            }
            Change::InboundDigestsStored { from, first, digests, forget_below } => {
                self.taken(&from, first.0, &digests, forget_below.0)
            }
            Change::OverflowHeadsChanged { context, added, gone } => self.heads_moved(&context, &added, &gone),
            Change::FeedAppended(item) => self.append_feed(&codec::feed_to_row(&item)),
            Change::Quarantined { parked, keep } => self.quarantined(parked, keep),
            Change::QuarantineRemoved { server, number } => self.quarantine_left(&server, number),
            Change::DeadLetterDeleted { server, index } => self.dead_letter_left(&server, index.0),
            Change::DeadLetterRequeued { server, index } => self.dead_letter_requeued(&server, index.0),
            Change::SkippedRecipientQueued { server, submission } => self.left_out_queued(&server, &submission),
            Change::FeedAcked { upto } => {
                // A cursor beyond the tail would skip events that are appended later.
                let upto = upto.0.min(self.memory.feed_tail);
                if upto > self.memory.feed_acked {
                    self.memory.feed_acked = upto;
                    self.acked_moved = true;
                }
                Ok(())
            }
            Change::FeedTrimmed { before, rows_max } => self.trim_feed(before.0, rows_max),
            Change::TransactionSeen { from, seen, keep } => self.transaction_seen(&from, &seen, keep),
            Change::NonceUsed(nonce) => self.nonce_used(&nonce),
            Change::PduStored(stored) => self.pdu_stored(&stored),
            Change::PduDelivered { reference, context, delivery } => {
                self.pdu_delivered(&reference, &context, &delivery)
            }
            Change::PduHeld { reference, context, hold } => self.pdu_held(&reference, &context, &hold),
            Change::StateEventStored { context, key, piece } => self.state_kept(&context, &key, &piece),
            Change::CurrentStateChanged { context, key, current } => self.state_moved(&context, &key, current.as_ref()),
            Change::StateReemitted { reference } => self.state_again(&reference),
            Change::MissingPrevStateAdded { context, link } => self.link_opened(&context, &link),
            Change::MissingPrevStateResolved { context, missing } => self.link_closed(&context, &missing),
            Change::ContextRecordUpdated(record) => {
                self.contexts_moved.insert(record.context.clone(), record);
                Ok(())
            }
            Change::Staged { context, from, verified, pdus } => self.staged(&context, &from, verified, &pdus),
            Change::StageLeft { context, from, number, reference } => {
                self.stage_left(&context, &from, number, &reference)
            }
            Change::ContextWork { context, unfinished } => self.context_work(&context, unfinished),
            Change::GapOpened { context, gap } => self.gap_opened(&context, &gap),
            Change::GapClosed { context, missing } => self.gap_closed(&context, &missing),
            Change::SubmissionsPruned(ids) => self.forget_submissions(&ids),
            Change::PduContentPruned { context, pdus, before } => self.forget_pdus(&context, &pdus, before.0),
        }
    }

    /// Writes the collected rows.
    pub(crate) fn finish(mut self) -> Result<AppliedGroup, redb::Error> {
        for (server, record) in &self.moved {
            self.peers.open()?.insert(server.as_str(), codec::peer_to_row(record).as_slice())?;
            self.counts.rows_written += 1;
        }
        for (context, record) in &self.contexts_moved {
            self.contexts.open()?.insert(context.as_str(), codec::context_to_row(record).as_slice())?;
            self.counts.rows_written += 1;
        }
        if self.acked_moved {
            self.feed_cursor.open()?.insert(tables::MESSENGER, self.memory.feed_acked)?;
            self.counts.rows_written += 1;
        }
        self.delete_unreferenced_items()?;
        if let Some((key, value)) = self.memory.deliveries.persist_if_ahead() {
            self.meta.open()?.insert(key, value.as_str())?;
        }
        if self.memory.peers.len() > REMEMBERED_MAX {
            self.memory.peers.clear();
        }
        Ok(AppliedGroup { grown: self.grown, counts: self.counts })
    }

    fn context_work(&mut self, context: &ContextId, unfinished: bool) -> Result<(), redb::Error> {
        let work = self.context_work.open()?;
        if unfinished {
            work.insert(context.as_str(), ())?;
            self.counts.rows_written += 1;
        } else {
            self.counts.rows_trimmed += u64::from(work.remove(context.as_str())?.is_some());
        }
        Ok(())
    }

    pub(crate) fn append_feed(&mut self, row: &FeedRow<'_>) -> Result<(), redb::Error> {
        let position = self.memory.feed_tail + 1;
        self.feed.open()?.insert(position, row.row(self.now.0))?;
        self.memory.feed_tail = position;
        self.counts.rows_written += 1;
        Ok(())
    }
}

/// Returns the estimated number of rows of a batch: rows written, and for trimming the rows that it may remove.
pub(crate) fn estimate_rows(changes: &[Change]) -> u64 {
    let rows = |change: &Change| match change {
        Change::Submitted(submission) => match &submission.what {
            SubmittedContent::Updates(updates) => (updates.len() * (submission.servers.len() + 1) + 1) as u64,
            SubmittedContent::Pdu(..) => submission.servers.len() as u64 + 1,
        },
        Change::PduStored(_) => 3,
        Change::PduDelivered { .. } => 4,
        Change::PduHeld { .. }
        | Change::StateEventStored { .. }
        | Change::CurrentStateChanged { .. }
        | Change::StateReemitted { .. }
        | Change::ContextRecordUpdated(_)
        | Change::ContextWork { .. }
        | Change::GapOpened { .. }
        | Change::GapClosed { .. } => 1,
        Change::TransactionSeen { .. }
        | Change::MissingPrevStateAdded { .. }
        | Change::MissingPrevStateResolved { .. }
        | Change::StageLeft { .. } => 2,
        Change::Staged { pdus, .. } => 2 * pdus.len() as u64,
        Change::AttemptFailed { .. } => 2,
        Change::NonceUsed(_) => 1 + u64::from(NONCES_TRIMMED),
        Change::PeerRecordUpdated(_)
        | Change::Delivered { .. }
        | Change::TransactionSent { .. }
        | Change::FeedAppended(_)
        | Change::FeedAcked { .. }
        | Change::InboundDigestsStored { .. } => 1,
        Change::OverflowHeadsChanged { added, gone, .. } => (added.len() + gone.len()) as u64,
        Change::Quarantined { .. } => 3,
        Change::OutboxDeadLettered { first, last, .. } => 2 * (last.since(*first) + 1),
        Change::QuarantineRemoved { .. } | Change::DeadLetterDeleted { .. } => 1,
        Change::DeadLetterRequeued { .. } | Change::SkippedRecipientQueued { .. } => 3,
        Change::OutboxTrimmed { rows_max, .. }
        | Change::FeedTrimmed { rows_max, .. }
        | Change::DeliveriesForgotten { rows_max, .. } => u64::from(*rows_max),
        Change::SubmissionsPruned(ids) => ids.len() as u64,
        Change::PduContentPruned { pdus, .. } => 2 * pdus.len() as u64,
    };
    changes.iter().map(rows).sum()
}
