//! The search for the item that a peer refuses, in a batch that it refused.
//!
//! The batch is split in halves, and the half that is refused again, down to a single item. What was split off goes next, before
//! anything newer: the order of items is never touched.

use crate::model::Index;
use crate::peer::outbox::Span;

/// Where the culprit is looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Search {
    /// The ends of the parts that are still to go, the next one last. Halving keeps them few.
    ends: Vec<Index>,
    /// Up to here items go one by one.
    single: Index,
    /// The request that is answered with trouble, and how often in a row it was.
    trouble: Option<(u64, u32)>,
}

/// Answers of trouble to one request that a peer gives for what is in it.
const TROUBLES: u32 = 3;

impl Search {
    /// How many items may go from `cursor` on, and up to where.
    pub(super) fn portion(&mut self, cursor: Index, items: u32) -> (u32, Option<Index>) {
        while self.ends.last().is_some_and(|end| *end < cursor) {
            self.ends.pop();
        }
        (if cursor <= self.single { 1 } else { items }, self.ends.last().copied())
    }

    /// The batch was refused: halves of it go.
    pub(super) fn halve(&mut self, span: Span) {
        if self.ends.last() != Some(&span.last) {
            self.ends.push(span.last);
        }
        self.ends.push(Index(span.first.0 + (span.count() / 2).max(1) - 1));
    }

    /// The batch was refused: its items go one by one.
    pub(super) fn one_by_one(&mut self, span: Span) {
        self.single = span.last;
    }

    /// One more answer of trouble to this request; tells whether it is enough to blame what is in it.
    pub(super) fn blames(&mut self, request: u64) -> bool {
        let times = match self.trouble {
            Some((same, times)) if same == request => times + 1,
            _ => 1,
        };
        self.trouble = (times < TROUBLES).then_some((request, times));
        times >= TROUBLES
    }
}
