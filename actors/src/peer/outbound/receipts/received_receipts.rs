//! Receipts of the peer for our items: they are mapped to indexes, and those that are news are reported.

use crate::change::{Change, CommitPriority};
use crate::model::{HeldReceiptRecord, Index, OutboundRecord, PeerReceipts, ReceiptItem, RejectedItem, Seq};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::outbound_queue::OutboundQueue;
use crate::peer::outbound::outbox_window::Outbox;
use crate::peer::outbound::receipts::held_receipts::{HeldReceipts, ReleasedReceipts};
use crate::peer::receipts::settled_items::SettledItems;

/// Maximum number of items among which a PDU is looked for.
const SEARCHED_MAX: u64 = 100_000;

/// The receipts that the peer has given.
#[derive(Debug, Clone)]
pub(in crate::peer::outbound) struct ReceivedReceipts {
    settled: SettledItems,
    /// Boxed and made with the first receipt that waits, because most peers have none, and a waiting peer takes little memory.
    held: Option<Box<HeldReceipts>>,
}

impl ReceivedReceipts {
    /// Returns what the store has kept.
    pub(in crate::peer::outbound) fn new(record: &OutboundRecord) -> Self {
        let held = HeldReceipts::new(&record.held, &record.segments);
        let held = (!held.is_empty()).then(|| Box::new(held));
        Self { settled: SettledItems::from_ranges(record.settled.clone()), held }
    }

    /// Returns the ranges of items whose fate is known.
    pub(in crate::peer::outbound) fn settled(&self) -> &[(u64, u64)] {
        self.settled.ranges()
    }

    /// Returns the last of the items from this one on whose fate is known; `None`: that of this one is not.
    pub(in crate::peer::outbound) fn settled_from(&self, first: Index) -> Option<Index> {
        self.settled.run_from(first.0).map(Index)
    }

    /// Returns the receipts that wait, as the store keeps them.
    pub(in crate::peer::outbound) fn held(&self) -> HeldReceiptRecord {
        self.held.as_ref().map(|held| held.record()).unwrap_or_default()
    }

    /// Takes receipts.
    pub(in crate::peer::outbound) fn take(
        &mut self,
        receipts: PeerReceipts,
        queue: &OutboundQueue,
        out: &mut EffectCollector,
    ) {
        let PeerReceipts { numbers, pdus, rejected } = receipts;
        let (numbered, named): (Vec<_>, Vec<_>) =
            rejected.into_iter().partition(|rejected| matches!(rejected.item, ReceiptItem::Number(_)));
        if queue.limits.dialect.numbers_items() {
            self.take_numbered(&numbers, numbered, queue, out);
        }
        let upto = queue.outbox.tail();
        let from = Index(self.settled.first_open().max(upto.0.saturating_sub(SEARCHED_MAX)));
        if (!pdus.is_empty() || !named.is_empty()) && from <= upto {
            let receipts = PeerReceipts { numbers: Vec::new(), pdus, rejected: named };
            out.effect(PeerEffect::FindItems { from, upto, receipts });
        }
    }

    /// Takes receipts that name items by their numbers.
    fn take_numbered(
        &mut self,
        numbers: &[(Seq, Seq)],
        rejected: Vec<RejectedItem>,
        queue: &OutboundQueue,
        out: &mut EffectCollector,
    ) {
        let upto = queue.outbox.acked_again();
        let mut spans = Vec::new();
        for (first, last) in numbers.iter().flat_map(|(first, last)| index_spans(&queue.outbox, *first, *last)) {
            if first <= upto.0 {
                spans.push((first, last.min(upto.0)));
            }
            if last > upto.0 {
                self.hold(queue).hold_delivered((first.max(upto.next().0), last));
                out.moved(CommitPriority::Deferred);
            }
        }
        self.hand_over(spans, queue, out);
        for RejectedItem { item, reason } in rejected {
            let ReceiptItem::Number(number) = item else { continue };
            if let Some((index, _)) = index_spans(&queue.outbox, number, number).first() {
                self.reject(Index(*index), reason, true, queue, out);
            }
        }
    }

    fn hold(&mut self, queue: &OutboundQueue) -> &mut HeldReceipts {
        let numbering = queue.outbox.segments();
        self.held.get_or_insert_with(|| Box::new(HeldReceipts::new(&HeldReceiptRecord::default(), numbering)))
    }

    /// Takes receipts whose PDUs were found at these indexes.
    pub(in crate::peer::outbound) fn found(
        &mut self,
        taken: &[Index],
        rejected: Vec<(Index, String)>,
        queue: &OutboundQueue,
        out: &mut EffectCollector,
    ) {
        self.hand_over(taken.iter().map(|index| (index.0, index.0)).collect(), queue, out);
        for (index, reason) in rejected {
            self.reject(index, reason, false, queue, out);
        }
    }

    fn hand_over(&mut self, spans: Vec<(u64, u64)>, queue: &OutboundQueue, out: &mut EffectCollector) {
        let spans: Vec<(u64, u64)> =
            spans.into_iter().flat_map(|(first, last)| self.settled.insert(first, last)).collect();
        if spans.is_empty() {
            return;
        }
        let count = spans.iter().map(|(first, last)| last - first + 1).sum();
        out.effect(PeerEffect::CountReceipts("delivered", count));
        out.change(Change::ItemsHandedOver { server: queue.server.clone(), spans });
        out.moved(CommitPriority::Deferred);
    }

    /// Dead-letters an item, once the peer has acknowledged it. It keeps its number, because the peer has it.
    fn reject(
        &mut self,
        index: Index,
        reason: String,
        is_numbered: bool,
        queue: &OutboundQueue,
        out: &mut EffectCollector,
    ) {
        if self.settled.has_all(index.0, index.0) {
            return;
        }
        if index > queue.outbox.acked_again() {
            self.hold(queue).hold_rejected(index, reason, is_numbered);
            return out.moved(CommitPriority::Deferred);
        }
        self.settled.insert(index.0, index.0);
        out.effect(PeerEffect::CountReceipts("rejected", 1));
        let (server, keep) = (queue.server.clone(), queue.limits.quarantine_items);
        out.change(Change::ItemRejected { server, index, reason, keep });
        out.moved(CommitPriority::Now);
    }

    /// Drops the receipts that wait for items with another number now, and takes those of items that the peer has acknowledged
    /// meanwhile.
    pub(in crate::peer::outbound) fn take_held(&mut self, queue: &OutboundQueue, out: &mut EffectCollector) {
        let Some(held) = &mut self.held else { return };
        if held.follow_numbering(queue.outbox.segments()) {
            out.moved(CommitPriority::Deferred);
        }
        let released = held.release(queue.outbox.acked_again());
        self.held.take_if(|held| held.is_empty());
        if let Some(ReleasedReceipts { delivered, rejected }) = released {
            out.moved(CommitPriority::Deferred);
            self.hand_over(delivered, queue, out);
            for (index, reason) in rejected {
                self.reject(index, reason, true, queue, out);
            }
        }
    }

    /// Settles the items that became dead letters in this step: no receipt will come for them.
    pub(in crate::peer::outbound) fn settle_dead_letters(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::OutboxDeadLettered { first, last, .. } = change {
                self.settled.insert(first.0, last.0);
            }
        }
    }
}

/// Returns the newest item that the receipts name by a number which no item had before. Numbers are taken in order, so the peer has
/// everything up to it.
pub(in crate::peer::outbound) fn newest_numbered(receipts: &PeerReceipts, outbox: &Outbox) -> Option<Index> {
    let rejected = receipts.rejected.iter().filter_map(|rejected| match rejected.item {
        ReceiptItem::Number(number) => Some((number, number)),
        ReceiptItem::Pdu(_) => None,
    });
    let ranges = receipts.numbers.iter().copied().chain(rejected);
    let newest =
        ranges.flat_map(|(first, last)| index_spans(outbox, first, last)).map(|(_, last)| Index(last)).max()?;
    let [first, later @ ..] = outbox.segments() else { return None };
    let is_original = first.first == Index(1) && later.iter().all(|segment| newest < segment.first);
    is_original.then_some(newest)
}

/// Returns the items that have these numbers now. Of two items with the same number the newer one counts, because the older one has
/// left the queue. Numbers that may mean something else to the peer are left out.
fn index_spans(outbox: &Outbox, first: Seq, last: Seq) -> Vec<(u64, u64)> {
    let first = first.max(outbox.told_from());
    let (mut spans, mut below, mut end) = (Vec::new(), u64::MAX, outbox.tail().0);
    for segment in outbox.segments().iter().rev() {
        let from = first.0.max(segment.number.0);
        let to = last.0.min(below.saturating_sub(1));
        if from <= to {
            let index = |number: u64| segment.first.0.saturating_add(number - segment.number.0);
            let span = (index(from), index(to).min(end));
            if span.0 <= span.1 {
                spans.push(span);
            }
        }
        below = below.min(segment.number.0);
        end = segment.first.0.saturating_sub(1);
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PeerLimits;
    use crate::model::NumberSegment;
    use crate::peer::outbound::outbox_window::WindowRoom;

    #[test]
    fn numbers_map_to_newest_items() {
        let segment = |first, number| NumberSegment { first: Index(first), number: Seq(number) };
        let segments = vec![segment(1, 1), segment(6, 4), segment(9, 20)];
        let outbox = Outbox::new(Index(0), Index(12), segments, WindowRoom::of(&PeerLimits::default()));
        let spans = |first, last| index_spans(&outbox, Seq(first), Seq(last));
        assert_eq!(spans(1, 3), [(1, 3)]);
        assert_eq!(spans(4, 6), [(6, 8)], "the renumbered items");
        assert_eq!(spans(2, 21), [(9, 10), (6, 8), (2, 3)]);
        assert_eq!(spans(7, 19), [], "these numbers were skipped");
        assert_eq!(spans(23, 99), [(12, 12)]);
        assert_eq!(spans(0, 0), []);
        assert_eq!(spans(u64::MAX, u64::MAX), []);
    }
}
