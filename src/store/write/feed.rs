//! The feed: appends events, moves the messenger's cursor, and removes old rows.

use std::time::Duration;

use actors::model::{FeedFlags, PduRef, Position};
use actors::ports::FeedBounds;
use redb::Table;

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::position_jumps::PositionJumps;
use crate::store::schema::codec::FeedRow;
use crate::store::schema::codec::columns::FeedValue;
use crate::store::schema::{codec, tables};
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::writer_context::WriterContext;

/// The ends of the feed, which the writer remembers between groups.
#[derive(Debug)]
pub(crate) struct FeedEnds {
    /// Newest position.
    tail: u64,
    /// Newest position that the messenger has acknowledged.
    acked: u64,
    /// Positions that restores skipped.
    jumps: PositionJumps,
}

impl FeedEnds {
    /// Returns the ends of a feed whose newest row is at `newest`.
    pub(crate) fn new(newest: u64, acked: u64, jumps: PositionJumps) -> Self {
        // Only acknowledged rows are ever trimmed, so the tail of a feed without rows is its cursor.
        Self { tail: newest.max(acked), acked, jumps }
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    pub(crate) fn jumps(&self) -> &PositionJumps {
        &self.jumps
    }

    pub(crate) fn bounds(&self) -> FeedBounds {
        let skipped = self.jumps.skipped(self.acked, self.tail);
        FeedBounds { tail: Position(self.tail), acked: Position(self.acked), skipped }
    }

    /// Skips the positions that the lost store may have assigned after the backup, as [`PositionJumps::add`] says, and
    /// returns the first position after them.
    pub(crate) fn skip_span(
        &mut self,
        meta: &mut Table<'_, &'static str, &'static str>,
        oldest: Option<u64>,
        earlier: u64,
        age: Duration,
    ) -> Result<u64, redb::Error> {
        self.tail = self.jumps.add(meta, (self.tail, oldest), earlier, age)?;
        Ok(self.tail)
    }
}

/// The rows of the feed and the messenger's cursor.
pub(crate) struct FeedTables<'t> {
    rows: LazyTable<'t, u64, FeedValue<'static>>,
    cursor: LazyTable<'t, &'static str, u64>,
    push_ids: LazyTable<'t, &'static str, u64>,
    ends: &'t mut FeedEnds,
    /// The cursor moved; its row is written once, at the end of the group.
    acked_moved: bool,
}

impl<'t> FeedTables<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>, ends: &'t mut FeedEnds) -> Self {
        Self {
            rows: LazyTable::new(transaction, tables::FEED),
            cursor: LazyTable::new(transaction, tables::FEED_CURSOR),
            push_ids: LazyTable::new(transaction, tables::PUSH_IDS),
            ends,
            acked_moved: false,
        }
    }

    /// Returns the newest position, that of events of this group included.
    pub(crate) fn tail(&self) -> u64 {
        self.ends.tail
    }

    /// Appends an event at the next position.
    pub(crate) fn append(&mut self, cx: &mut WriterContext<'_>, row: &FeedRow<'_>) -> RedbResult {
        let position = self.ends.tail + 1;
        self.rows.open()?.append(position, row.row(cx.now.0))?;
        self.ends.tail = position;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Appends a PDU that was delivered, unless the messenger submitted it itself.
    pub(crate) fn append_pdu(
        &mut self,
        cx: &mut WriterContext<'_>,
        reference: &PduRef,
        shown: Option<&FeedFlags>,
    ) -> RedbResult {
        match shown {
            Some(shown) => self.append(cx, &codec::shown_to_row(reference, shown)),
            None => Ok(()),
        }
    }

    /// Appends a state PDU once more, because it became the current state.
    pub(crate) fn append_state_again(&mut self, cx: &mut WriterContext<'_>, reference: &PduRef) -> RedbResult {
        let shown = FeedFlags { current: true, again: true, ..FeedFlags::default() };
        self.append(cx, &codec::shown_to_row(reference, &shown))
    }

    /// Moves the messenger's cursor. A cursor beyond the tail would skip events that are appended later.
    pub(crate) fn acknowledge(&mut self, upto: u64) {
        let upto = upto.min(self.ends.tail);
        if upto > self.ends.acked {
            self.ends.acked = upto;
            self.acked_moved = true;
        }
    }

    /// Reserves ids of transactions that are pushed to the messenger.
    pub(crate) fn reserve_push_ids(&mut self, cx: &mut WriterContext<'_>, upto: u64) -> RedbResult {
        self.push_ids.open()?.insert(tables::MESSENGER, upto)?;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Moves the messenger's cursor back.
    pub(crate) fn rewind(&mut self, to: u64) {
        if to < self.ends.acked {
            self.ends.acked = to;
            self.acked_moved = true;
        }
    }

    /// Removes acknowledged rows that were written before this time, oldest first.
    pub(crate) fn trim(&mut self, cx: &mut WriterContext<'_>, before: u64, rows_max: u32) -> RedbResult {
        let feed = self.rows.open()?;
        let mut gone = Vec::new();
        for row in feed.range(..=self.ends.acked)?.take(rows_max as usize) {
            let (position, value) = row?;
            cx.counts.trim_reads += 1;
            if value.value().time >= before {
                break;
            }
            gone.push(position.value());
        }
        cx.counts.rows_trimmed += gone.len() as u64;
        gone.last().map_or(Ok(()), |newest| feed.remove_range(0, newest + 1))
    }

    /// Writes the row of the cursor.
    pub(crate) fn finish(&mut self, cx: &mut WriterContext<'_>) -> RedbResult {
        if self.acked_moved {
            self.cursor.open()?.insert(tables::MESSENGER, self.ends.acked)?;
            cx.counts.rows_written += 1;
        }
        Ok(())
    }
}
