//! Consequences of a refusal for content: smaller batches, until the refused item is found.

use std::time::Duration;

use crate::limits::PeerLimits;
use crate::model::Index;
use crate::peer::outbound::outbox_window::IndexSpan;
use crate::peer::outbound::progress::state::SendMode;
use crate::peer::outbound::rejected_batch::bisect::Bisection;

/// Number of items rejected in a row after which the peer counts as one that refuses us and not the items.
const REJECTED_IN_A_ROW_MAX: u32 = 100;

/// Number of steps in which a reduced batch size grows back.
const GROWTH_STEPS: u32 = 20;

/// The search for a refused item, and the batch size that the peer can accept.
#[derive(Debug, Clone)]
pub(super) struct RejectedBatch {
    /// Adaptive batch size: maximum number of items per request. It shrinks when the peer could not take a batch, and
    /// grows back slowly.
    batch_cap: u32,
    /// Batch size of the configuration.
    batch_max: u32,
    bisection: Bisection,
    /// Number of items rejected since the peer last accepted something.
    rejected_in_a_row: u32,
    /// True if the next request must not carry ephemeral items, to find out whether an item is refused for its own
    /// content.
    without_ephemeral: bool,
}

/// The reaction to a request that was refused for its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentRefusal {
    /// Send less.
    SendLess,
    /// Remove this item: it is refused for its own content.
    RejectItem(IndexSpan),
}

impl RejectedBatch {
    /// Returns the state in which nothing was refused.
    pub(super) fn new(limits: &PeerLimits) -> Self {
        let (batch_cap, batch_max) = (limits.batch_items, limits.batch_items);
        Self { batch_cap, batch_max, bisection: Bisection::default(), rejected_in_a_row: 0, without_ephemeral: false }
    }

    /// Changes the batch size of the configuration. A size that was reduced for the peer stays, and grows to the new one.
    pub(super) const fn change_batch_max(&mut self, batch_max: u32) {
        let is_whole = self.batch_cap == self.batch_max;
        self.batch_max = batch_max;
        if is_whole || self.batch_cap > batch_max {
            self.batch_cap = batch_max;
        }
    }

    /// Returns the maximum number of items that the peer can accept at once.
    pub(super) const fn batch_cap(&self) -> u32 {
        self.batch_cap
    }

    /// Returns the maximum number of items to send from `cursor` on, and the index to stop at.
    pub(super) fn portion(&mut self, cursor: Index, items: u32) -> (u32, Option<Index>) {
        self.bisection.portion(cursor, items)
    }

    /// Returns whether the next request, which carries items or none, goes without ephemeral ones.
    pub(super) const fn take_without_ephemeral(&mut self, has_items: bool) -> bool {
        std::mem::replace(&mut self.without_ephemeral, false) && has_items
    }

    /// Halves the batch size, because the peer could not accept a batch in time.
    pub(super) fn timed_out(&mut self, span: Option<IndexSpan>) {
        let count = span.map_or(1, |span| u32::try_from(span.count()).unwrap_or(u32::MAX));
        self.limit_to_half(count);
    }

    /// Returns whether this many items were rejected in a row that most likely a proxy in between refuses us.
    pub(super) const fn refuses_everything(&self) -> bool {
        self.rejected_in_a_row >= REJECTED_IN_A_ROW_MAX
    }

    /// Handles a request that was refused for its content. `too_large`: for its size; `halves`: the batch is to be split
    /// in halves and not into single items.
    pub(super) fn refused(&mut self, mode: SendMode, too_large: bool, halves: bool) -> ContentRefusal {
        self.without_ephemeral = true;
        match mode {
            SendMode::WithoutEphemeral(span) if span.count() == 1 => return ContentRefusal::RejectItem(span),
            SendMode::Normal(span) | SendMode::WithoutEphemeral(span) if span.count() > 1 => {
                if too_large {
                    self.limit_to_half(u32::try_from(span.count()).unwrap_or(u32::MAX));
                }
                match too_large || halves {
                    true => self.bisection.halve(span),
                    false => self.bisection.one_by_one(span),
                }
            }
            // The ephemeral items were the whole request, or may have been the reason; they are dropped.
            SendMode::Normal(_) | SendMode::WithoutEphemeral(_) | SendMode::WithoutItems | SendMode::Confirm => {}
        }
        ContentRefusal::SendLess
    }

    /// Counts a server error for this transaction; returns whether its content counts as the cause now.
    pub(super) fn counts_as_content_error(&mut self, request: u64) -> bool {
        self.bisection.counts_as_content_error(request)
    }

    /// Counts an item that was removed because the peer refuses it.
    pub(super) const fn rejected(&mut self) {
        self.rejected_in_a_row += 1;
    }

    /// Resets the count of rejected items, because the peer accepted something or an operator says so.
    pub(super) const fn forget_rejected(&mut self) {
        self.rejected_in_a_row = 0;
    }

    /// Records that the peer accepted these items, and how long its answer took of the time that a request has. The batch size grows by
    /// one step, and only if it limited this batch, so that a size which the peer could not accept is not tried again and again. It is
    /// halved if the answer came late, because the answer to a larger batch would come too late; a whole batch is refused for that.
    pub(super) fn accepted(&mut self, span: IndexSpan, took: Duration, allowed: Duration) {
        if took > allowed / 2 {
            self.limit_to_half(u32::try_from(span.count()).unwrap_or(u32::MAX));
        } else if span.count() >= u64::from(self.batch_cap) && took <= allowed / 4 {
            self.batch_cap = (self.batch_cap + (self.batch_max / GROWTH_STEPS).max(1)).min(self.batch_max);
        }
    }

    fn limit_to_half(&mut self, count: u32) {
        self.batch_cap = self.batch_cap.min((count / 2).max(1));
    }
}

mod bisect;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seq;

    fn span(first: u64, last: u64) -> IndexSpan {
        IndexSpan { first: Index(first), last: Index(last), first_number: Seq(first), last_number: Seq(last) }
    }

    const ALLOWED: Duration = Duration::from_secs(60);
    const SOON: Duration = Duration::from_secs(1);

    fn batches_of(batch_items: u32) -> RejectedBatch {
        RejectedBatch::new(&PeerLimits { batch_items, ..PeerLimits::default() })
    }

    #[test]
    fn only_bare_single_item_is_rejected() {
        let mut rejected = batches_of(10);
        for mode in [SendMode::Normal(span(1, 1)), SendMode::WithoutEphemeral(span(1, 2)), SendMode::WithoutItems] {
            assert_eq!(rejected.refused(mode, false, false), ContentRefusal::SendLess, "{mode:?}");
        }
        let alone = SendMode::WithoutEphemeral(span(1, 1));
        assert_eq!(rejected.refused(alone, false, false), ContentRefusal::RejectItem(span(1, 1)));
    }

    #[test]
    fn refusal_sends_next_items_bare() {
        let mut rejected = batches_of(10);
        assert!(!rejected.take_without_ephemeral(true));
        rejected.refused(SendMode::Normal(span(1, 1)), false, false);
        assert!(rejected.take_without_ephemeral(true) && !rejected.take_without_ephemeral(true));
        rejected.refused(SendMode::WithoutItems, false, false);
        assert!(!rejected.take_without_ephemeral(false), "a request without items needs no such proof");
    }

    #[test]
    fn refused_batch_is_split_by_cause() {
        for (too_large, halves, portion) in
            [(true, false, (10, Some(Index(2)))), (false, true, (10, Some(Index(2)))), (false, false, (1, None))]
        {
            let mut rejected = batches_of(10);
            rejected.refused(SendMode::Normal(span(1, 4)), too_large, halves);
            assert_eq!(rejected.portion(Index(1), 10), portion, "{too_large} {halves}");
            assert_eq!(rejected.batch_cap(), if too_large { 2 } else { 10 });
        }
    }

    #[test]
    fn reduced_batch_size_grows_back() {
        let mut rejected = batches_of(40);
        rejected.timed_out(Some(span(1, 8)));
        let mut caps = vec![rejected.batch_cap()];
        for count in [3, 4, 6, 40] {
            rejected.accepted(span(1, count), SOON, ALLOWED);
            caps.push(rejected.batch_cap());
        }
        assert_eq!(caps, [4, 4, 6, 8, 10], "a batch below the size proves nothing");
        (0..99).for_each(|_| rejected.accepted(span(1, 40), SOON, ALLOWED));
        assert_eq!(rejected.batch_cap(), 40);
        rejected.timed_out(None);
        assert_eq!(rejected.batch_cap(), 1);
    }

    #[test]
    fn late_answer_reduces_batch_size() {
        let mut rejected = batches_of(40);
        let mut cap_after = |seconds, count| {
            rejected.accepted(span(1, count), Duration::from_secs(seconds), ALLOWED);
            rejected.batch_cap()
        };
        assert_eq!(cap_after(30, 40), 40, "half of the time is soon enough");
        assert_eq!(cap_after(31, 40), 20);
        assert_eq!((cap_after(16, 20), cap_after(15, 20)), (20, 22), "it grows only if the answer comes early");
        assert_eq!((cap_after(59, 1), cap_after(59, 1)), (1, 1));
    }

    #[test]
    fn hundred_rejections_blame_the_peer() {
        let mut rejected = batches_of(10);
        (0..99).for_each(|_| rejected.rejected());
        assert!(!rejected.refuses_everything());
        rejected.rejected();
        assert!(rejected.refuses_everything());
        rejected.forget_rejected();
        assert!(!rejected.refuses_everything());
    }
}
