//! The window over a peer's durable outbox; the only place that maps indexes to sequence numbers.
//!
//! The queue is on disk; memory holds the next few rows. `cursor` is the next item to send: normally one above the
//! newest acknowledged, lower after a hole. `acked` never decreases.
//!
//! Rows leave the queue in two ways. Acknowledged rows are trimmed, oldest first. A row that the peer refuses
//! permanently is removed from the middle, and the row after it takes over its number: a new segment starts there, so
//! that the numbers on the wire have no gap. Rows that a rewind finds missing are closed over in the same way.

use std::collections::{HashSet, VecDeque};

use crate::limits::PeerLimits;
use crate::model::OutboxRow;
use crate::model::{Index, NumberSegment, Seq};

/// Maximum number of segments. Each records one renumbering; a rewind cannot reach further back than the oldest.
const SEGMENTS_MAX: usize = 16;

/// A range of items in one request, numbered without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexSpan {
    /// Index of the first item.
    pub first: Index,
    /// Index of the last item.
    pub last: Index,
    /// Number of the first item.
    pub first_number: Seq,
    /// Number of the last item.
    pub last_number: Seq,
}

impl IndexSpan {
    /// Returns the number of items.
    pub const fn count(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }
}

/// The next action of the sender.
#[derive(Debug, PartialEq, Eq)]
pub enum NextSpan {
    /// Send these rows in one request.
    Send(IndexSpan, Vec<OutboxRow>),
    /// Read rows from disk, from this index on.
    Load(Index),
    /// Do nothing: everything is acknowledged.
    Nothing,
}

/// The position of the number that the peer reported as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoleAt {
    /// The number belongs to an item that may still be in the outbox: send from there.
    Kept(Index),
    /// The number is no longer known: the items from this index on are the oldest that can be sent.
    Below(Index),
    /// A number that a renumbering from this item on has skipped: no item has it.
    Between(Index),
    /// A number that we never assigned.
    Above,
}

/// The window, the cursor and the numbering.
#[derive(Debug, Clone)]
pub struct Outbox {
    acked: Index,
    tail: Index,
    cursor: Index,
    segments: Vec<NumberSegment>,
    /// Rows from `cursor` on, ascending, none missing up to `loaded_to`.
    rows: VecDeque<OutboxRow>,
    /// Index up to which every row after `cursor` is in `rows`.
    loaded_to: Index,
    /// Tail at the time of the last read; an empty page means that no rows are left up to it.
    asked: Index,
    room: WindowRoom,
    /// True if a request holds at most one PDU of each context.
    one_a_context: bool,
    /// True if a request asks for one way on alone: forwards to different servers, and what is for the peer itself, are apart.
    one_route: bool,
    /// Running sums of the queued bytes, up to `acked` and up to `tail`; their difference is the size of the backlog.
    acked_bytes: u64,
    tail_bytes: u64,
    /// Ranges that were removed from the middle in this incarnation; a page read from disk may still contain them.
    left: Vec<(Index, Index)>,
    /// First number for which a receipt counts.
    told_from: Seq,
}

/// The memory limits of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRoom {
    /// Maximum number of rows.
    pub rows: usize,
    /// Maximum size of the updates in bytes.
    pub bytes: u64,
}

impl WindowRoom {
    /// Returns the memory limits of a peer's window: the next batch, and the one after it.
    pub fn of(limits: &PeerLimits) -> Self {
        Self { rows: 2 * limits.batch_items as usize, bytes: 2 * limits.batch_bytes }
    }
}

impl Outbox {
    /// Returns an outbox without rows in memory.
    pub fn new(acked: Index, tail: Index, segments: Vec<NumberSegment>, room: WindowRoom) -> Self {
        debug_assert!(!segments.is_empty(), "an outbox has a numbering");
        Self {
            acked,
            tail: tail.max(acked),
            cursor: acked.next(),
            segments,
            rows: VecDeque::new(),
            loaded_to: acked,
            asked: acked,
            room,
            one_a_context: false,
            one_route: false,
            acked_bytes: 0,
            tail_bytes: 0,
            left: vec![],
            told_from: Seq(0),
        }
    }

    /// Lets receipts count from this number on.
    #[must_use]
    pub const fn telling_from(mut self, number: Seq) -> Self {
        self.told_from = number;
        self
    }

    /// Sets the running sums of bytes from the store.
    #[must_use]
    pub fn weighing(mut self, acked_bytes: u64, tail_bytes: u64) -> Self {
        self.acked_bytes = acked_bytes;
        self.tail_bytes = tail_bytes.max(acked_bytes);
        self
    }

    /// Limits a request to one PDU of each context, if set.
    #[must_use]
    pub const fn spreading(mut self, one_a_context: bool) -> Self {
        self.one_a_context = one_a_context;
        self
    }

    /// Limits a request to items with one way on, if set.
    pub const fn change_routing(&mut self, one_route: bool) {
        self.one_route = one_route;
    }

    /// Changes the limits of the window. Rows in memory beyond them stay until they are sent.
    pub const fn change_limits(&mut self, room: WindowRoom, one_a_context: bool) {
        (self.room, self.one_a_context) = (room, one_a_context);
    }

    /// Returns the newest acknowledged index.
    pub const fn acked(&self) -> Index {
        self.acked
    }

    /// Returns the newest index that the peer has by all that it has said: it has lost what it asks for again.
    pub fn acked_again(&self) -> Index {
        self.acked.min(Index(self.cursor.0 - 1))
    }

    /// Returns the first number for which a receipt counts. A smaller one may be for an item that had this number before a restore,
    /// or before the peer lost what it had acknowledged.
    pub const fn told_from(&self) -> Seq {
        self.told_from
    }

    /// Returns the number of items that are queued and not acknowledged.
    pub const fn backlog(&self) -> u64 {
        self.tail.since(self.acked)
    }

    /// Returns the newest index.
    pub const fn tail(&self) -> Index {
        self.tail
    }

    /// Returns the index of the item to send next.
    pub const fn cursor(&self) -> Index {
        self.cursor
    }

    /// Returns the running sum of the queued bytes, up to the newest acknowledged item.
    pub const fn acked_bytes(&self) -> u64 {
        self.acked_bytes
    }

    /// Returns the running sum of the queued bytes, up to the newest index.
    pub const fn tail_bytes(&self) -> u64 {
        self.tail_bytes
    }

    /// Returns the size of the unacknowledged items in bytes; removed items count until the cursor has passed them.
    pub const fn backlog_bytes(&self) -> u64 {
        self.tail_bytes - self.acked_bytes
    }

    /// Returns the segments that map indexes to numbers.
    pub fn segments(&self) -> &[NumberSegment] {
        &self.segments
    }

    /// Returns the first unacknowledged row, if it is in memory.
    pub fn oldest(&self) -> Option<&OutboxRow> {
        self.rows.iter().find(|row| row.index > self.acked)
    }

    /// Returns the unacknowledged rows in memory up to `last`.
    pub fn unacknowledged(&self, last: Index) -> impl Iterator<Item = &OutboxRow> {
        self.rows.iter().filter(move |row| row.index > self.acked && row.index <= last)
    }

    /// Returns the newest number ever assigned, which a push without items repeats. A rejected item at the tail has no
    /// number.
    pub fn tail_number(&self) -> Seq {
        Seq(self.number(self.tail.next()).0.saturating_sub(1))
    }

    /// Extends the outbox to `tail` and to this sum of bytes; `rows` are the new rows, if they were passed along.
    pub fn grew(&mut self, tail: Index, bytes: u64, rows: Vec<OutboxRow>) {
        if tail <= self.tail {
            return;
        }
        self.tail_bytes = self.tail_bytes.max(bytes);
        let follows = rows.first().is_some_and(|row| row.index == self.loaded_to.next());
        if self.loaded_to == self.tail && follows && self.has_room_for(&rows) {
            self.rows.extend(rows);
            self.loaded_to = tail;
        }
        self.tail = tail;
    }

    /// Adds rows that were read from disk from `from` on, as requested by [`NextSpan::Load`]. Returns whether `from` itself
    /// is missing.
    pub fn loaded(&mut self, from: Index, mut rows: Vec<OutboxRow>) -> bool {
        if from != self.loaded_to.next() {
            return false; // a rewind has overtaken the read
        }
        let end = rows.last().map(|row| row.index);
        rows.retain(|row| !self.has_left(row.index));
        let missing = rows.first().is_none_or(|row| row.index > from);
        // An empty page means that no rows are left up to the tail at the time of the request.
        self.loaded_to = end.unwrap_or(self.asked.max(self.loaded_to));
        self.rows.extend(rows);
        missing
    }

    /// Drops the rows in memory, because a paused peer holds no payload in memory.
    pub fn unload(&mut self) {
        self.rows = VecDeque::new();
        self.loaded_to = Index(self.cursor.0 - 1);
    }

    /// Returns the last of the missing rows at the cursor, if it is known.
    pub fn gone(&mut self) -> Option<Index> {
        self.first_left().filter(|first| *first > self.cursor).map(|first| Index(first.0 - 1))
    }

    /// Returns the first existing row from the cursor on, or the index after the tail. `None`: it is not in memory.
    fn first_left(&mut self) -> Option<Index> {
        self.forget_sent();
        match self.rows.front() {
            Some(row) => Some(row.index),
            None => (self.loaded_to >= self.tail).then(|| self.tail.next()),
        }
    }

    /// Moves the cursor over missing rows. Returns whether their numbers went to the items after them: the new segments
    /// must be on disk before one of these is sent.
    pub fn mend(&mut self) -> bool {
        let Some(first) = self.first_left() else { return false };
        let gone = std::mem::replace(&mut self.cursor, first);
        let were_acked = gone <= self.acked;
        if first > gone {
            // No rows are left below the cursor, so everything there counts as done.
            self.acked = self.acked.max(Index(first.0 - 1));
            self.left.retain(|(_, last)| *last >= first);
        }
        if self.acked == self.tail {
            self.acked_bytes = self.tail_bytes;
        }
        // Normally a segment starts after a rejected item already; a renumbering from further below may have dropped
        // it.
        let anew = first > gone && self.number(first) != self.number(gone);
        if anew {
            self.close(gone, first, were_acked);
        }
        anew
    }

    /// Returns what to send next, once the gap at the cursor is closed: at most `items`, none after `end`, and no more
    /// once they exceed `bytes`.
    pub fn next(&mut self, items: u32, end: Option<Index>, bytes: u64) -> NextSpan {
        self.forget_sent();
        let Some(front) = self.rows.front() else {
            if self.loaded_to >= self.tail {
                return NextSpan::Nothing;
            }
            self.asked = self.tail;
            return NextSpan::Load(self.loaded_to.next());
        };
        let first = front.index;
        let segment_end = self.segment_end(first);
        let mut size = 0;
        let mut taken = vec![];
        let mut contexts = HashSet::new();
        for row in &self.rows {
            size += row.item.bytes().len() as u64;
            let consecutive = row.index.0 == first.0 + taken.len() as u64 && row.index < segment_end;
            let within = end.is_none_or(|end| row.index <= end);
            let fits = taken.is_empty() || (taken.len() < items as usize && within && size <= bytes);
            let is_second = self.one_a_context && row.context.as_ref().is_some_and(|context| !contexts.insert(context));
            let is_elsewhere = self.one_route && row.item.route() != front.item.route();
            if !(consecutive && fits) || is_second || is_elsewhere {
                break;
            }
            taken.push(row.clone());
        }
        let last = Index(first.0 + taken.len() as u64 - 1);
        NextSpan::Send(
            IndexSpan { first, last, first_number: self.number(first), last_number: self.number(last) },
            taken,
        )
    }

    /// Records that the peer has everything up to `last`. Returns by how much the acknowledged index has advanced.
    pub fn ack(&mut self, last: Index) -> u64 {
        let moved = last.since(self.acked);
        self.acked = self.acked.max(last);
        self.cursor = self.cursor.max(last.next());
        while self.rows.front().is_some_and(|row| row.index <= last) {
            self.acked_bytes = self.rows.pop_front().map_or(0, |row| row.queued_bytes).max(self.acked_bytes);
        }
        self.loaded_to = self.loaded_to.max(last);
        if self.acked >= self.tail {
            self.acked_bytes = self.tail_bytes;
        }
        self.tail_bytes = self.tail_bytes.max(self.acked_bytes);
        moved
    }

    /// Removes the unacknowledged items up to `last`, however many, as one step in the numbering. A rewind in progress
    /// continues.
    pub fn leave(&mut self, last: Index) {
        let rewound = (self.cursor <= self.acked).then_some(self.cursor);
        self.left.push((self.acked.next(), last));
        self.close(self.acked.next(), last.next(), false);
        self.ack(last);
        if let Some(cursor) = rewound {
            self.rewind(cursor);
        }
    }

    /// Removes items from the middle. Their numbers are closed over when the cursor reaches them.
    pub fn forget(&mut self, first: Index, last: Index) {
        self.rows.retain(|row| row.index < first || row.index > last);
        self.left.push((first, last));
    }

    /// Returns whether an item was removed in this incarnation.
    pub fn has_left(&self, index: Index) -> bool {
        self.left.iter().any(|&(first, last)| first <= index && index <= last)
    }

    /// Removes the item at `index`, the next to send, without an acknowledgement; the item after it takes over its
    /// number. `None`: the row is not in memory, and stays.
    pub fn skip(&mut self, index: Index) -> Option<OutboxRow> {
        self.rows.front().filter(|row| row.index == index)?;
        let row = self.rows.pop_front()?;
        self.close(index, index.next(), index <= self.acked);
        self.ack(index);
        Some(row)
    }

    /// Maps the number that the peer expects next to a position in the outbox.
    pub fn locate(&self, n: Seq) -> HoleAt {
        let newest = self.segments[self.segments.len() - 1];
        if n >= newest.number {
            // A peer may state any number, so the sum may overflow.
            let index = Index(newest.first.0.saturating_add(n.0 - newest.number.0));
            return if index <= self.tail { HoleAt::Kept(index) } else { HoleAt::Above };
        }
        // Older segments serve rewinds only; a newer segment that renumbers from below hides the numbers that it
        // overlaps.
        for pair in self.segments.windows(2).rev() {
            let (older, newer) = (pair[0], pair[1]);
            if n < older.number {
                continue;
            }
            let index = Index(older.first.0.saturating_add(n.0 - older.number.0));
            return if index < newer.first { HoleAt::Kept(index) } else { HoleAt::Between(newer.first) };
        }
        HoleAt::Below(self.segments[0].first)
    }

    /// Returns the index of the next row to send, if it is in memory.
    pub fn front(&self) -> Option<Index> {
        self.rows.iter().map(|row| row.index).find(|index| *index >= self.cursor)
    }

    /// Moves the cursor back to `index`, so that items are sent again from there.
    pub fn rewind(&mut self, index: Index) {
        self.cursor = index;
        self.unload();
    }

    /// Renumbers the items from `first` on, starting with `number`, and moves the cursor there.
    pub fn renumber(&mut self, first: Index, number: Seq) {
        if first <= self.acked && self.number(first) != number {
            self.distrust_numbers();
        }
        self.begin_segment(first, first, number);
        self.rewind(first);
    }

    /// Closes over the removed items from `from` up to `to`: the item `to` takes over the number of the first of them.
    /// Segments that start among them are dropped, so that a long run of removed items is one step in the numbering.
    /// `were_acked`: the peer had acknowledged the first of them.
    fn close(&mut self, from: Index, to: Index, were_acked: bool) {
        let number = self.number(from);
        if were_acked {
            self.distrust_numbers();
        }
        self.begin_segment(from, to, number);
    }

    /// Lets no receipt count for a number that was given so far. The peer has lost items that it had acknowledged, and others get
    /// their numbers; a receipt for one of the lost items may still be under way.
    fn distrust_numbers(&mut self) {
        self.told_from = self.told_from.max(self.tail_number().next());
    }

    fn begin_segment(&mut self, kept_below: Index, first: Index, number: Seq) {
        self.segments.retain(|segment| segment.first < kept_below);
        self.segments.push(NumberSegment { first, number });
        // A rewind still needs the numbers of the segment in which it lies. Removals at the acknowledged index replace each
        // other's segment, so a rewind adds only a few.
        while self.segments.len() > SEGMENTS_MAX && self.cursor >= self.segments[1].first {
            self.segments.remove(0);
        }
    }

    fn forget_sent(&mut self) {
        while self.rows.front().is_some_and(|row| row.index < self.cursor) {
            self.rows.pop_front();
        }
    }

    fn has_room_for(&self, rows: &[OutboxRow]) -> bool {
        let bytes = self.rows.iter().chain(rows).map(|row| row.item.bytes().len() as u64).sum::<u64>();
        self.rows.len() + rows.len() <= self.room.rows && bytes <= self.room.bytes
    }

    /// Returns the sequence number of an item.
    pub fn number(&self, index: Index) -> Seq {
        let segment = self.segments.iter().rev().find(|segment| segment.first <= index);
        // Before the first segment there is only index 0, the tail of an empty outbox.
        segment.map_or(Seq(0), |segment| Seq(segment.number.0.saturating_add(index.0 - segment.first.0)))
    }

    fn segment_end(&self, index: Index) -> Index {
        self.segments.iter().map(|segment| segment.first).find(|&first| first > index).unwrap_or(Index(u64::MAX))
    }
}

#[cfg(test)]
mod tests;
pub(super) mod trim_schedule;
