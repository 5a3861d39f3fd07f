//! How requests to a peer are numbered: by the numbers of their updates, or by transaction ids.
//!
//! A transaction id is `max(last + 1, now in ms)`, so ids rise, can be compared by the peer, and are never used twice, even by a
//! server restored from a backup. They are reserved ahead on disk; after a crash they go on from the reserve. A retry in the
//! same run keeps its id and its span.

use std::time::Duration;

use crate::limits::{PeerLimits, Speech};
use crate::model::{Index, Label, Millis, OutboundRecord, Seq};
use crate::peer::outbox::Span;

/// Ids are reserved this far ahead of the clock. The reserve rides on other commits of the peer; one of its own comes only
/// where there was none for so long.
const RESERVE_AHEAD: Duration = Duration::from_secs(10);

/// The numbering of requests to one peer.
#[derive(Debug, Clone)]
pub struct Labels {
    speech: Speech,
    /// Strong updates the peer takes in a push; `None`: it never said.
    window: Option<u32>,
    reserved: u64,
    newest: u64,
    last_acked: Option<u64>,
    /// The transaction on its way, or to be sent again.
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    id: u64,
    ts: Millis,
    span: Option<Span>,
}

/// How much the next request may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Items.
    pub items: u32,
    /// Bytes of them; one larger item still goes, alone.
    pub bytes: u64,
}

impl Labels {
    /// As the store left them. An id on its way when the process ended may be known to the peer: the next one is above the
    /// reserve.
    pub fn new(speech: Speech, record: &OutboundRecord) -> Self {
        Self {
            speech,
            window: record.window,
            reserved: record.transaction_reserved,
            newest: record.transaction_reserved,
            last_acked: record.transaction_last,
            open: None,
        }
    }

    /// What is kept of them.
    pub fn keep(&self, record: &mut OutboundRecord) {
        record.window = self.window;
        record.transaction_reserved = self.reserved;
        record.transaction_last = self.last_acked;
    }

    /// The peer said how many strong updates it takes; tells whether that is new.
    pub fn showed(&mut self, window: Option<u32>) -> bool {
        let news = window.is_some() && window != self.window;
        if news {
            self.window = window;
        }
        news
    }

    /// How much the next request may carry, where `cap` is what the peer could take of late.
    pub fn room(&self, cap: u32, limits: &PeerLimits) -> Room {
        match (self.speech, self.open.and_then(|open| open.span)) {
            // A peer that never said how much it takes reads a number as every text does only when it stands for one update.
            (Speech::Updates, _) => {
                Room { items: self.window.map_or(1, |window| window.min(cap)).max(1), bytes: limits.batch_bytes }
            }
            (Speech::Transactions, Some(span)) => {
                Room { items: u32::try_from(span.count()).unwrap_or(u32::MAX), bytes: u64::MAX }
            }
            (Speech::Transactions, None) => Room { items: cap.max(1), bytes: limits.batch_bytes },
        }
    }

    /// The label of a request with these items, or without any; and whether it rests on a commit, because it is beyond what
    /// the disk has reserved.
    pub fn label(&mut self, now: Millis, span: Option<Span>, tail: Seq) -> (Label, bool) {
        if self.speech == Speech::Updates {
            let first = self.window.map(|_| span.map_or(tail.next(), |span| span.first_number));
            return (Label::Numbers { first, last: span.map_or(tail, |span| span.last_number) }, false);
        }
        let again = self.open.filter(|open| open.span.is_some() && open.span == span);
        let open = again.unwrap_or_else(|| {
            self.newest = (self.newest + 1).max(now.0);
            Open { id: self.newest, ts: now, span }
        });
        self.open = Some(open);
        let beyond = open.id > self.reserved;
        if beyond {
            self.reserve(now);
        }
        (Label::Transaction { id: open.id, prev: self.last_acked, ts: open.ts }, beyond)
    }

    /// A commit of this peer is being made anyway: let the reserve ride on it.
    pub fn reserve(&mut self, now: Millis) {
        if self.speech == Speech::Transactions {
            self.reserved = self.reserved.max(self.newest).max(now.after(RESERVE_AHEAD).0);
        }
    }

    /// The transaction on its way, or to be sent again as it is, where it carries anything.
    pub fn open(&self) -> Option<(u64, Index, Index)> {
        let open = self.open?;
        open.span.map(|span| (open.id, span.first, span.last))
    }

    /// The request on its way was taken.
    pub fn taken(&mut self) {
        if let Some(open) = self.open.take() {
            self.last_acked = Some(open.id);
        }
    }

    /// The request on its way is not sent again as it is: its items go under new labels.
    pub fn abandon(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64) -> Option<Span> {
        Some(Span { first: Index(first), last: Index(last), first_number: Seq(first), last_number: Seq(last) })
    }

    fn labels() -> Labels {
        Labels::new(Speech::Transactions, &OutboundRecord::default())
    }

    fn id(labels: &mut Labels, now: u64, span: Option<Span>) -> (u64, Option<u64>, bool) {
        match labels.label(Millis(now), span, Seq(0)) {
            (Label::Transaction { id, prev, .. }, settle) => (id, prev, settle),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn ids_rise_with_the_clock_and_without_it() {
        let mut labels = labels();
        assert_eq!(id(&mut labels, 1000, span(1, 2)), (1000, None, true));
        assert_eq!(id(&mut labels, 2000, span(1, 2)), (1000, None, false), "a retry keeps its id");
        labels.taken();
        assert_eq!(id(&mut labels, 1000, span(3, 3)), (1001, Some(1000), false), "the clock stands still");
        labels.abandon();
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
    fn an_id_is_never_used_twice_across_a_crash() {
        let mut labels = labels();
        let (first, ..) = id(&mut labels, 1000, span(1, 1));
        let mut record = OutboundRecord::default();
        labels.keep(&mut record);
        let mut restarted = Labels::new(Speech::Transactions, &record);
        let (second, ..) = id(&mut restarted, 1000, span(1, 1));
        assert!(second > first && second > record.transaction_reserved, "{second} after {first}");
    }

    #[test]
    fn the_reserve_costs_a_commit_only_where_none_came_for_long() {
        let mut labels = labels();
        assert!(id(&mut labels, 1000, span(1, 1)).2);
        labels.taken();
        assert!(!id(&mut labels, 10_999, span(2, 2)).2);
        labels.taken();
        assert!(id(&mut labels, 11_001, span(3, 3)).2);
    }
}
