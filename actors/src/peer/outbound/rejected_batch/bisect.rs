//! The bisection of a refused batch, which finds the item that the peer refuses.
//!
//! The batch is split in halves, then the half that is refused again, down to a single item. The parts that were split
//! off are sent next, before anything newer, so the order of items never changes.

use crate::model::Index;
use crate::peer::outbound::outbox_window::IndexSpan;

/// The progress of a bisection.
#[derive(Debug, Clone, Default)]
pub(super) struct Bisection {
    /// Index up to which items are sent one by one.
    single: Index,
    /// Boxed and made with the first refusal, because most peers refuse nothing, and a waiting peer takes little memory.
    search: Option<Box<RefusalSearch>>,
}

/// The knowledge about the refused item.
#[derive(Debug, Clone, Default)]
struct RefusalSearch {
    /// Last indexes of the parts that are still to be sent, the next one last. Halving keeps the list short.
    ends: Vec<Index>,
    /// Transaction that was answered with a server error (5xx), and the number of such answers in a row.
    trouble: Option<(u64, u32)>,
}

/// Number of server errors in a row for one transaction after which its content counts as the cause.
const TROUBLES: u32 = 3;

impl Bisection {
    /// Returns the maximum number of items to send from `cursor` on, and the index to stop at.
    pub(super) fn portion(&mut self, cursor: Index, items: u32) -> (u32, Option<Index>) {
        let end = self.search.as_mut().and_then(|search| {
            while search.ends.pop_if(|end| *end < cursor).is_some() {}
            search.ends.last().copied()
        });
        self.search.take_if(|search| search.ends.is_empty() && search.trouble.is_none());
        (if cursor <= self.single { 1 } else { items }, end)
    }

    /// Splits a refused batch in halves.
    pub(super) fn halve(&mut self, span: IndexSpan) {
        let ends = &mut self.search.get_or_insert_default().ends;
        if ends.last() != Some(&span.last) {
            ends.push(span.last);
        }
        ends.push(Index(span.first.0 + (span.count() / 2).max(1) - 1));
    }

    /// Splits a refused batch into single items.
    pub(super) fn one_by_one(&mut self, span: IndexSpan) {
        self.single = span.last;
    }

    /// Counts a server error for this transaction; returns whether its content counts as the cause now.
    pub(super) fn counts_as_content_error(&mut self, request: u64) -> bool {
        let trouble = &mut self.search.get_or_insert_default().trouble;
        let times = match *trouble {
            Some((same, times)) if same == request => times + 1,
            _ => 1,
        };
        *trouble = (times < TROUBLES).then_some((request, times));
        times >= TROUBLES
    }
}
