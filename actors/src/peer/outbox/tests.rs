//! The window and the numbering, step by step.

use bytes::Bytes;

use super::*;
use crate::model::{Item, Millis};

fn rows(range: std::ops::RangeInclusive<u64>) -> Vec<OutboxRow> {
    let row = |n: u64| OutboxRow {
        index: Index(n),
        queued: Millis(n),
        item: Item::Update(Bytes::from(format!("{{\"n\":{n}}}"))),
    };
    range.map(row).collect()
}

fn outbox(acked: u64, tail: u64) -> Outbox {
    Outbox::new(
        Index(acked),
        Index(tail),
        vec![Segment { first: Index(1), number: Seq(1) }],
        Room { rows: 100, bytes: 1 << 20 },
    )
}

fn span(next: Next) -> (u64, u64, u64, u64) {
    match next {
        Next::Send(span, rows) => {
            assert_eq!(rows.len() as u64, span.count());
            (span.first.0, span.last.0, span.first_number.0, span.last_number.0)
        }
        other => panic!("nothing to send: {other:?}"),
    }
}

#[test]
fn a_peer_that_is_not_behind_is_served_from_memory() {
    let mut outbox = outbox(0, 0);
    assert_eq!(outbox.next(10, 1000), Next::Nothing);
    outbox.grew(Index(2), rows(1..=2));
    assert_eq!(span(outbox.next(10, 1000)), (1, 2, 1, 2));
    assert_eq!(outbox.ack(Index(2)), 2);
    assert_eq!(outbox.next(10, 1000), Next::Nothing);
}

#[test]
fn a_lost_hint_is_made_good_by_the_next_read() {
    let mut outbox = outbox(0, 0);
    outbox.grew(Index(5), rows(4..=5)); // the hint about 1 to 3 was lost
    assert_eq!(outbox.next(10, 1000), Next::Load(Index(1)));
    assert!(!outbox.loaded(Index(1), rows(1..=5)));
    assert_eq!(span(outbox.next(10, 1000)), (1, 5, 1, 5));
}

#[test]
fn a_push_is_bounded_in_items_and_bytes_but_one_item_always_goes() {
    let mut outbox = outbox(0, 0);
    outbox.grew(Index(9), rows(1..=9));
    assert_eq!(span(outbox.next(3, 1000)), (1, 3, 1, 3));
    assert_eq!(span(outbox.next(9, 14)), (1, 2, 1, 2));
    assert_eq!(span(outbox.next(9, 1)), (1, 1, 1, 1));
}

#[test]
fn memory_holds_a_window_and_disk_holds_the_queue() {
    let mut outbox = outbox(0, 0);
    outbox.grew(Index(100), rows(1..=100));
    outbox.grew(Index(150), rows(101..=150)); // beyond the window: left on disk
    outbox.ack(Index(100));
    assert_eq!(outbox.next(100, 1 << 20), Next::Load(Index(101)));
    outbox.unload();
    assert_eq!(outbox.next(100, 1 << 20), Next::Load(Index(101)));
}

#[test]
fn a_rewind_keeps_the_numbers() {
    let mut outbox = outbox(40, 42);
    assert_eq!(outbox.locate(Seq(38)), HoleAt::Kept(Index(38)));
    outbox.rewind(Index(38));
    assert_eq!(outbox.next(10, 1000), Next::Load(Index(38)));
    outbox.loaded(Index(38), rows(38..=42));
    assert_eq!(span(outbox.next(10, 1000)), (38, 42, 38, 42));
    assert_eq!(outbox.acked(), Index(40), "an acknowledgement is never taken back");
}

#[test]
fn a_read_overtaken_by_a_rewind_is_thrown_away() {
    let mut outbox = outbox(40, 42);
    assert_eq!(outbox.next(10, 1000), Next::Load(Index(41)));
    outbox.rewind(Index(38));
    outbox.loaded(Index(41), rows(41..=42));
    assert_eq!(outbox.next(10, 1000), Next::Load(Index(38)));
}

#[test]
fn renumbering_starts_a_segment_and_older_numbers_still_serve_rewinds() {
    let mut outbox = outbox(10, 15);
    outbox.renumber(Index(11), Seq(100));
    outbox.loaded(Index(11), rows(11..=15));
    assert_eq!(span(outbox.next(10, 1000)), (11, 15, 100, 104));
    assert_eq!(outbox.locate(Seq(102)), HoleAt::Kept(Index(13)));
    assert_eq!(outbox.locate(Seq(105)), HoleAt::Above(1));
    assert_eq!(outbox.locate(Seq(5)), HoleAt::Kept(Index(5)));
    assert_eq!(outbox.locate(Seq(50)), HoleAt::Below(Index(11)), "never given: go on with what follows");
}

#[test]
fn a_push_never_spans_two_numberings() {
    let mut outbox = outbox(10, 15);
    outbox.renumber(Index(13), Seq(50));
    outbox.rewind(Index(11));
    outbox.loaded(Index(11), rows(11..=15));
    assert_eq!(span(outbox.next(10, 1000)), (11, 12, 11, 12));
    outbox.ack(Index(12));
    assert_eq!(span(outbox.next(10, 1000)), (13, 15, 50, 52));
}

#[test]
fn what_is_no_longer_kept_is_seen_at_the_read() {
    let mut outbox = outbox(40, 42);
    outbox.rewind(Index(3));
    assert_eq!(outbox.next(10, 1000), Next::Load(Index(3)));
    assert!(outbox.loaded(Index(3), rows(30..=42)), "3 to 29 are gone");
}
