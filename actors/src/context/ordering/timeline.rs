//! The timeline of a context: the positions of delivered PDUs, the PDUs that were delivered most recently, and the heads.
//!
//! News takes the positions from 1 upwards, history those from 0 downwards.

use std::ops::Range;

use crate::context::ordering::heads::ContextHeads;
use crate::context::ordering::recent_pdus::{RecentPdus, keep_more, recent_pdus};
use crate::context::step::ContextStep;
use crate::model::{ContextRecord, Head, PduRef};

/// The delivered part of a context's graph.
pub(crate) struct ContextTimeline {
    /// Position of the next PDU that is news.
    next: u64,
    /// Greatest depth of a delivered PDU.
    depth: u64,
    /// Number of PDUs that were delivered as history.
    history_count: u64,
    /// Positions of the history PDUs that are being delivered.
    places: Range<i64>,
    /// Recently delivered PDUs.
    pub(crate) recent: RecentPdus,
    pub(crate) heads: ContextHeads,
}

impl ContextTimeline {
    /// Returns the timeline that was loaded from the store. The heads are taken out of the record.
    pub(crate) fn load(record: &mut ContextRecord, heads_max: u32) -> Self {
        let mut recent = recent_pdus();
        for head in &record.heads {
            recent.put(head.reference.clone(), (head.depth, false));
        }
        let heads = ContextHeads::load(std::mem::take(&mut record.heads), heads_max);
        let &mut ContextRecord { next, depth, history_count, .. } = record;
        Self { next, depth, history_count, places: 0..0, recent, heads }
    }

    /// Remembers this number of delivered PDUs more than usual, until the next call.
    pub(crate) fn keep_more(&mut self, more: usize) {
        keep_more(&mut self.recent, more);
    }

    /// Returns whether a PDU was delivered as news.
    pub(crate) const fn has_news(&self) -> bool {
        self.next > 1
    }

    /// Returns the position of the next PDU, the greatest depth, and the number of history PDUs, as the record holds them.
    pub(crate) const fn counters(&self) -> (u64, u64, u64) {
        (self.next, self.depth, self.history_count)
    }

    /// Returns the position of a PDU of this depth that is delivered as news.
    pub(crate) fn next_position(&mut self, step: &mut ContextStep<'_>, depth: u64) -> i64 {
        let position = i64::try_from(self.next).unwrap_or(i64::MAX);
        self.next += 1;
        self.depth = self.depth.max(depth);
        step.record_dirty = true;
        position
    }

    /// Returns the position of the next PDU that is delivered as history.
    pub(crate) fn past_position(&mut self, step: &mut ContextStep<'_>) -> i64 {
        step.record_dirty = true;
        self.places.next().unwrap_or_else(|| {
            self.history_count += 1;
            1 - i64::try_from(self.history_count).unwrap_or(i64::MAX)
        })
    }

    /// Reserves the positions of a batch of history: it keeps its order and precedes everything that came earlier.
    pub(crate) fn reserve_past(&mut self, count: usize) {
        let places = i64::try_from(count).unwrap_or(0);
        let lowest = 1 - i64::try_from(self.history_count).unwrap_or(i64::MAX) - places;
        self.places = lowest..lowest + places;
        self.history_count += count as u64;
    }

    /// Sets the first heads of a context in which no news was delivered: the newest fetched PDUs. The order of state PDUs
    /// among the messages is not known; their stated depth decides, which affects no delivery order.
    pub(crate) fn begin_heads(&mut self, step: &mut ContextStep<'_>, came: Vec<(PduRef, Option<u64>)>) {
        if self.has_news() && !self.heads.list().is_empty() {
            return;
        }
        let head = |(reference, stated): (PduRef, Option<u64>)| {
            let depth = self.recent.peek(&reference).map_or(0, |(depth, _)| *depth);
            Head::of(reference, depth, stated)
        };
        let newest = came.into_iter().map(head).max_by_key(|head| (head.emitted, head.depth));
        if let Some(newest) = newest {
            step.record_dirty |= self.heads.begin_at(newest);
        }
    }
}
