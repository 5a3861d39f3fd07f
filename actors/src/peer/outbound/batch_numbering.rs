//! The numbering of batches to a peer: sequence numbers of their updates, or transaction ids.
//!
//! A transaction id is `max(last + 1, now in ms)`, so ids rise, can be compared by the peer, and are never used twice,
//! even by a server restored from a backup. They are reserved ahead on disk; after a crash they continue from the
//! reserve. A retry in the same run keeps its id and its span.

use std::time::Duration;

use crate::limits::PeerLimits;
use crate::model::{BatchId, Index, Millis, NumberingScheme, OutboundRecord, Seq};
use crate::peer::outbound::outbox_window::IndexSpan;

/// Time by which ids are reserved ahead of the clock. The reserve is part of other commits of the peer; it needs a
/// commit of its own only if there was none for so long.
const RESERVE_AHEAD: Duration = Duration::from_secs(10);

/// The batch numbering of one peer.
#[derive(Debug, Clone)]
pub struct BatchNumbering {
    scheme: NumberingScheme,
    /// Number of strong updates that the peer accepts per push; `None`: it never stated it.
    window: Option<u32>,
    /// Number of PDUs that the peer accepts per transaction, as its last answer states. It is not stored: a peer that accepts fewer than
    /// it is sent refuses the transaction for its size, and tells again.
    transaction_window: Option<u32>,
    reserved: u64,
    newest: u64,
    last_acked: Option<u64>,
    /// Transaction that is in flight or will be resent.
    open: Option<OpenTransaction>,
}

#[derive(Debug, Clone, Copy)]
struct OpenTransaction {
    id: u64,
    ts: Millis,
    span: Option<IndexSpan>,
}

/// The capacity of the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchCapacity {
    /// Maximum number of items.
    pub items: u32,
    /// Maximum size of the items in bytes; a single larger item is still sent, alone.
    pub bytes: u64,
}

impl BatchNumbering {
    /// Returns the numbering in the state that was loaded. The peer may have seen a transaction that was in flight when
    /// the process ended, so the next id is above the reserve.
    pub fn new(scheme: NumberingScheme, record: &OutboundRecord) -> Self {
        Self {
            scheme,
            window: record.window,
            transaction_window: None,
            reserved: record.transaction_reserved,
            newest: record.transaction_reserved,
            last_acked: record.transaction_last,
            open: None,
        }
    }

    /// Changes the scheme, while nothing is in flight. Returns whether it is another one.
    pub fn change_scheme(&mut self, scheme: NumberingScheme) -> bool {
        let is_other = self.scheme != scheme;
        if is_other {
            self.scheme = scheme;
            self.open = None;
        }
        is_other
    }

    /// Writes the durable part into the record.
    pub fn keep(&self, record: &mut OutboundRecord) {
        record.window = self.window;
        record.transaction_reserved = self.reserved;
        record.transaction_last = self.last_acked;
    }

    /// Learns the window that the peer stated; returns whether the stored one changed.
    pub fn learn_window(&mut self, window: Option<u32>) -> bool {
        if self.scheme == NumberingScheme::TransactionIds {
            self.transaction_window = window.or(self.transaction_window);
            return false;
        }
        let news = window.is_some() && window != self.window;
        if news {
            self.window = window;
        }
        news
    }

    /// Returns the capacity of the next batch; `cap` is the adaptive batch size of the peer.
    pub fn room(&self, cap: u32, limits: &PeerLimits) -> BatchCapacity {
        match (self.scheme, self.open.and_then(|open| open.span)) {
            // A peer that never stated a window gets one update per push: only then do all readings of `seq` agree.
            (NumberingScheme::Sequence, _) => BatchCapacity {
                items: self.window.map_or(1, |window| window.min(cap)).max(1),
                bytes: limits.batch_bytes,
            },
            (NumberingScheme::TransactionIds, Some(span)) => {
                BatchCapacity { items: u32::try_from(span.count()).unwrap_or(u32::MAX), bytes: u64::MAX }
            }
            (NumberingScheme::TransactionIds, None) => BatchCapacity {
                items: self.transaction_window.map_or(cap, |window| window.min(cap)).max(1),
                bytes: limits.batch_bytes,
            },
        }
    }

    /// Returns the id of a batch with these items or without any, and whether it must wait for a commit because it is
    /// above the reserve on disk.
    /// `is_gateway`: the configuration says that the peer is a gateway like us. It is told the first number from the first push on,
    /// because it compares items with what it holds only then, and a receipt by number is exact only if it has compared.
    pub fn label(&mut self, now: Millis, span: Option<IndexSpan>, tail: Seq, is_gateway: bool) -> (BatchId, bool) {
        if self.scheme == NumberingScheme::Sequence {
            let first =
                (is_gateway || self.window.is_some()).then(|| span.map_or(tail.next(), |span| span.first_number));
            return (BatchId::SeqRange { first, last: span.map_or(tail, |span| span.last_number) }, false);
        }
        let again = self.open.filter(|open| open.span.is_some() && open.span == span);
        let open = again.unwrap_or_else(|| {
            self.newest = (self.newest + 1).max(now.0);
            OpenTransaction { id: self.newest, ts: now, span }
        });
        self.open = Some(open);
        let beyond = open.id > self.reserved;
        if beyond {
            self.reserve(now);
        }
        (BatchId::Transaction { id: open.id, prev: self.last_acked, ts: open.ts }, beyond)
    }

    /// Extends the reserve of transaction ids; it is called when a commit of this peer is made anyway.
    pub fn reserve(&mut self, now: Millis) {
        if self.scheme == NumberingScheme::TransactionIds {
            self.reserved = self.reserved.max(self.newest).max(now.after(RESERVE_AHEAD).0);
        }
    }

    /// Returns the transaction that is in flight or will be resent unchanged, if it has items.
    pub fn open(&self) -> Option<(u64, Index, Index)> {
        let open = self.open?;
        open.span.map(|span| (open.id, span.first, span.last))
    }

    /// Records that the open transaction was acknowledged.
    pub fn on_transaction_acked(&mut self) {
        if let Some(open) = self.open.take() {
            self.last_acked = Some(open.id);
        }
    }

    /// Discards the open transaction; its items are sent under new ids.
    pub fn discard_open_transaction(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64) -> Option<IndexSpan> {
        Some(IndexSpan { first: Index(first), last: Index(last), first_number: Seq(first), last_number: Seq(last) })
    }

    fn labels() -> BatchNumbering {
        BatchNumbering::new(NumberingScheme::TransactionIds, &OutboundRecord::default())
    }

    fn id(labels: &mut BatchNumbering, now: u64, span: Option<IndexSpan>) -> (u64, Option<u64>, bool) {
        match labels.label(Millis(now), span, Seq(0), false) {
            (BatchId::Transaction { id, prev, .. }, settle) => (id, prev, settle),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn transaction_ids_rise_without_clock() {
        let mut labels = labels();
        assert_eq!(id(&mut labels, 1000, span(1, 2)), (1000, None, true));
        assert_eq!(id(&mut labels, 2000, span(1, 2)), (1000, None, false), "a retry keeps its id");
        labels.on_transaction_acked();
        assert_eq!(id(&mut labels, 1000, span(3, 3)), (1001, Some(1000), false), "the clock stands still");
        labels.discard_open_transaction();
        assert_eq!(id(&mut labels, 500, span(3, 3)), (1002, Some(1000), false), "an abandoned id is not used again");
    }

    #[test]
    fn another_span_gets_another_id() {
        let mut labels = labels();
        assert_eq!(id(&mut labels, 1000, span(1, 3)).0, 1000);
        for (later, other) in [(1001, span(1, 2)), (1002, span(2, 3)), (1003, span(1, 4)), (1004, None), (1005, None)] {
            assert_eq!(id(&mut labels, 1000, other).0, later, "{other:?}");
        }
        assert_eq!(id(&mut labels, 1000, span(1, 3)).0, 1006, "an id that was left is not taken up again");
    }

    #[test]
    fn stated_limit_bounds_transactions() {
        let mut labels = labels();
        let items = |labels: &BatchNumbering| labels.room(100, &PeerLimits::default()).items;
        assert_eq!((labels.learn_window(None), items(&labels)), (false, 100));
        assert_eq!((labels.learn_window(Some(20)), items(&labels)), (false, 20));
        assert_eq!((labels.learn_window(None), items(&labels)), (false, 20), "an answer may not state it");
        assert_eq!((labels.learn_window(Some(0)), items(&labels)), (false, 1));
        labels.change_scheme(NumberingScheme::Sequence);
        assert_eq!(items(&labels), 1, "it is no window for updates");
    }

    #[test]
    fn crash_never_reuses_transaction_id() {
        let mut labels = labels();
        let (first, ..) = id(&mut labels, 1000, span(1, 1));
        let mut record = OutboundRecord::default();
        labels.keep(&mut record);
        let mut restarted = BatchNumbering::new(NumberingScheme::TransactionIds, &record);
        let (second, ..) = id(&mut restarted, 1000, span(1, 1));
        assert!(second > first && second > record.transaction_reserved, "{second} after {first}");
    }

    #[test]
    fn id_reserve_commits_only_when_stale() {
        let mut labels = labels();
        assert!(id(&mut labels, 1000, span(1, 1)).2);
        labels.on_transaction_acked();
        assert!(!id(&mut labels, 10_999, span(2, 2)).2);
        labels.on_transaction_acked();
        assert!(id(&mut labels, 11_001, span(3, 3)).2);
    }
}
