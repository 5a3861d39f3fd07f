//! The window over a peer's durable outbox, and the one place where indexes become numbers.
//!
//! The queue is on disk; memory holds the next few rows. `cursor` is the next item to send: one above the newest
//! acknowledged as a rule, lower after a hole. `acked` never goes back.
//!
//! Rows leave the queue in two ways. Acknowledged ones are trimmed, oldest first. One that the peer refuses for good leaves from
//! the middle, and the row after it takes over its number: a new segment starts there, so the numbers the peer sees have no
//! hole. Whatever a rewind finds gone is closed over in the same way.

use std::collections::{HashSet, VecDeque};

use crate::model::OutboxRow;
use crate::model::{Index, Segment, Seq};

/// Segments remembered. Each tells of one renumbering; what lies further back can no longer be rewound to.
const SEGMENTS_MAX: usize = 16;

/// A run of items that one request carries, numbered without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first item.
    pub first: Index,
    /// The last item.
    pub last: Index,
    /// The number of the first.
    pub first_number: Seq,
    /// The number of the last.
    pub last_number: Seq,
}

impl Span {
    /// How many items.
    pub const fn count(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }
}

/// What there is to send next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// These rows.
    Send(Span, Vec<OutboxRow>),
    /// Rows that lie on disk, from here on.
    Load(Index),
    /// Nothing is unacknowledged.
    Nothing,
}

/// What a hole the peer reported means for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoleAt {
    /// An item we may still have: send from there.
    Kept(Index),
    /// A number we no longer know: the items from this one on are all we can still give.
    Below(Index),
    /// A number we left out when we numbered anew from this item on: nothing lies under it.
    Between(Index),
    /// A number we never gave.
    Above,
}

/// The window, the cursor and the numbering.
#[derive(Debug, Clone)]
pub struct Outbox {
    acked: Index,
    tail: Index,
    cursor: Index,
    segments: Vec<Segment>,
    /// Rows from `cursor` on, ascending, none missing up to `loaded_to`.
    rows: VecDeque<OutboxRow>,
    /// Every row after `cursor` and up to here is in `rows`.
    loaded_to: Index,
    /// The tail when rows were last asked for: what a page says ends there.
    asked: Index,
    room: Room,
    /// A request holds at most one PDU of each conversation.
    one_a_context: bool,
    /// Bytes ever queued, up to `acked` and up to `tail`: what lies between is waiting.
    acked_bytes: u64,
    tail_bytes: u64,
    /// Runs that left from the middle in this life; a page read from disk may still have them.
    left: Vec<(Index, Index)>,
}

/// How much of the queue memory may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// In rows.
    pub rows: usize,
    /// In bytes of updates.
    pub bytes: u64,
}

impl Outbox {
    /// An outbox of which nothing is in memory yet.
    pub fn new(acked: Index, tail: Index, segments: Vec<Segment>, room: Room) -> Self {
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
            acked_bytes: 0,
            tail_bytes: 0,
            left: vec![],
        }
    }

    /// The same, with what the store says of bytes.
    #[must_use]
    pub fn weighing(mut self, acked_bytes: u64, tail_bytes: u64) -> Self {
        self.acked_bytes = acked_bytes;
        self.tail_bytes = tail_bytes.max(acked_bytes);
        self
    }

    /// The same, where a request may hold only one PDU of each conversation.
    #[must_use]
    pub const fn spreading(mut self, one_a_context: bool) -> Self {
        self.one_a_context = one_a_context;
        self
    }

    /// The newest acknowledged index.
    pub const fn acked(&self) -> Index {
        self.acked
    }

    /// Items queued and not acknowledged.
    pub const fn backlog(&self) -> u64 {
        self.tail.since(self.acked)
    }

    /// The newest index.
    pub const fn tail(&self) -> Index {
        self.tail
    }

    /// The item to send next.
    pub const fn cursor(&self) -> Index {
        self.cursor
    }

    /// Bytes ever queued, up to the newest acknowledged item.
    pub const fn acked_bytes(&self) -> u64 {
        self.acked_bytes
    }

    /// Bytes queued and not acknowledged; what left from the middle counts until the cursor has passed it.
    pub const fn backlog_bytes(&self) -> u64 {
        self.tail_bytes - self.acked_bytes
    }

    /// How indexes become numbers.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The first unacknowledged row, where it is in memory.
    pub fn oldest(&self) -> Option<&OutboxRow> {
        self.rows.iter().find(|row| row.index > self.acked)
    }

    /// The rows in memory up to `last` that are not acknowledged.
    pub fn unacknowledged(&self, last: Index) -> impl Iterator<Item = &OutboxRow> {
        self.rows.iter().filter(move |row| row.index > self.acked && row.index <= last)
    }

    /// The newest number ever given; what a push without items repeats. An item that was parked last has none.
    pub fn tail_number(&self) -> Seq {
        Seq(self.number(self.tail.next()).0.saturating_sub(1))
    }

    /// The outbox grew to `tail`, and to so many bytes ever queued; `rows` are the new ones, if they came along.
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

    /// Rows read from disk from `from` on, as asked for by [`Next::Load`]. Tells whether `from` itself is gone.
    pub fn loaded(&mut self, from: Index, mut rows: Vec<OutboxRow>) -> bool {
        if from != self.loaded_to.next() {
            return false; // a rewind has overtaken the read
        }
        let end = rows.last().map(|row| row.index);
        rows.retain(|row| !self.has_left(row.index));
        let missing = rows.first().is_none_or(|row| row.index > from);
        // An empty page says that nothing is left up to the tail as it was when the page was asked for.
        self.loaded_to = end.unwrap_or(self.asked.max(self.loaded_to));
        self.rows.extend(rows);
        missing
    }

    /// Leave the window: a peer that is not being written to holds no payload in memory.
    pub fn unload(&mut self) {
        self.rows = VecDeque::new();
        self.loaded_to = Index(self.cursor.0 - 1);
    }

    /// The last of the rows from the cursor on that are gone, where that is known.
    pub fn gone(&mut self) -> Option<Index> {
        self.first_left().filter(|first| *first > self.cursor).map(|first| Index(first.0 - 1))
    }

    /// The first row from the cursor on that is left, or the place behind the tail. `None`: that is not in memory.
    fn first_left(&mut self) -> Option<Index> {
        self.forget_sent();
        match self.rows.front() {
            Some(row) => Some(row.index),
            None => (self.loaded_to >= self.tail).then(|| self.tail.next()),
        }
    }

    /// Step over rows at the cursor that are gone. Tells whether that gave their numbers to what follows: before one of these
    /// is sent, the new segments must be on disk.
    pub fn mend(&mut self) -> bool {
        let Some(first) = self.first_left() else { return false };
        let gone = std::mem::replace(&mut self.cursor, first);
        if first > gone {
            // Nothing is left below the cursor: what was there counts as done with.
            self.acked = self.acked.max(Index(first.0 - 1));
            self.left.retain(|(_, last)| *last >= first);
        }
        if self.acked == self.tail {
            self.acked_bytes = self.tail_bytes;
        }
        // As a rule a segment starts behind what was parked; it may have been lost to a renumbering from further below.
        let anew = first > gone && self.number(first) != self.number(gone);
        if anew {
            self.close(gone, first);
        }
        anew
    }

    /// What to send next, once nothing is left to [`mend`](Self::mend): at most `items`, none after `end`, and not more once they exceed `bytes`.
    pub fn next(&mut self, items: u32, end: Option<Index>, bytes: u64) -> Next {
        self.forget_sent();
        let Some(front) = self.rows.front() else {
            if self.loaded_to >= self.tail {
                return Next::Nothing;
            }
            self.asked = self.tail;
            return Next::Load(self.loaded_to.next());
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
            if !(consecutive && fits) || is_second {
                break;
            }
            taken.push(row.clone());
        }
        let last = Index(first.0 + taken.len() as u64 - 1);
        Next::Send(Span { first, last, first_number: self.number(first), last_number: self.number(last) }, taken)
    }

    /// The peer has everything up to `last`. Tells how far that moved us.
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

    /// The unacknowledged items up to `last` leave, however many: one step in the numbering. A rewind under way goes on.
    pub fn leave(&mut self, last: Index) {
        let rewound = (self.cursor <= self.acked).then_some(self.cursor);
        self.left.push((self.acked.next(), last));
        self.close(self.acked.next(), last.next());
        self.ack(last);
        if let Some(cursor) = rewound {
            self.rewind(cursor);
        }
    }

    /// Items leave from the middle. Their numbers are closed over when the cursor comes to them.
    pub fn forget(&mut self, first: Index, last: Index) {
        self.rows.retain(|row| row.index < first || row.index > last);
        self.left.push((first, last));
    }

    /// Whether an item has left in this life of the actor.
    pub fn has_left(&self, index: Index) -> bool {
        self.left.iter().any(|&(first, last)| first <= index && index <= last)
    }

    /// The item at `index`, next in turn, leaves without being acknowledged, and the one after it takes over its number. `None`:
    /// it is not in memory, and stays.
    pub fn skip(&mut self, index: Index) -> Option<OutboxRow> {
        self.rows.front().filter(|row| row.index == index)?;
        let row = self.rows.pop_front()?;
        self.close(index, index.next());
        self.ack(index);
        Some(row)
    }

    /// Where the number `n`, which the peer expects next, stands here.
    pub fn locate(&self, n: Seq) -> HoleAt {
        let newest = self.segments[self.segments.len() - 1];
        if n >= newest.number {
            // A number that a peer makes up may lie beyond all counting.
            let index = Index(newest.first.0.saturating_add(n.0 - newest.number.0));
            return if index <= self.tail { HoleAt::Kept(index) } else { HoleAt::Above };
        }
        // Older segments serve rewinds only; a newer one that numbers anew from below hides what it overlaps.
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

    /// The next row to send, where it is in memory.
    pub fn front(&self) -> Option<Index> {
        self.rows.iter().map(|row| row.index).find(|index| *index >= self.cursor)
    }

    /// Send again from `index`.
    pub fn rewind(&mut self, index: Index) {
        self.cursor = index;
        self.unload();
    }

    /// From `first` on, items are numbered anew, starting with `number`; they are sent (again) from there.
    pub fn renumber(&mut self, first: Index, number: Seq) {
        self.begin_segment(first, first, number);
        self.rewind(first);
    }

    /// Nothing is left of the items from `from` up to `to`, which takes over the number of the first of them. A segment that
    /// starts among them holds nothing any more: however many are parked in a row, they are one step in the numbering.
    fn close(&mut self, from: Index, to: Index) {
        let number = self.number(from);
        self.begin_segment(from, to, number);
    }

    fn begin_segment(&mut self, kept_below: Index, first: Index, number: Seq) {
        self.segments.retain(|segment| segment.first < kept_below);
        self.segments.push(Segment { first, number });
        if self.segments.len() > SEGMENTS_MAX {
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

    /// The number of an item.
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
