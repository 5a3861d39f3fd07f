//! The window and the numbering, step by step.

use bytes::Bytes;

use super::*;
use crate::model::{Item, Millis};

fn rows(range: std::ops::RangeInclusive<u64>) -> Vec<OutboxRow> {
    let row = |n: u64| OutboxRow {
        index: Index(n),
        queued: Millis(n),
        item: Item::Update(Bytes::from(format!("{{\"n\":{n}}}"))),
        context: None,
        submission: "m".parse().expect("valid"),
        queued_bytes: n,
        again: false,
    };
    range.map(row).collect()
}

fn outbox(acked: u64, tail: u64) -> Outbox {
    Outbox::new(
        Index(acked),
        Index(tail),
        vec![NumberSegment { first: Index(1), number: Seq(1) }],
        WindowRoom { rows: 100, bytes: 1 << 20 },
    )
}

fn span(next: NextSpan) -> (u64, u64, u64, u64) {
    match next {
        NextSpan::Send(span, rows) => {
            assert_eq!(rows.len() as u64, span.count());
            (span.first.0, span.last.0, span.first_number.0, span.last_number.0)
        }
        other => panic!("nothing to send: {other:?}"),
    }
}

#[test]
fn current_peer_is_served_from_memory() {
    let mut outbox = outbox(0, 0);
    assert_eq!(outbox.next(10, None, 1000), NextSpan::Nothing);
    outbox.grew(Index(2), 0, rows(1..=2));
    assert_eq!(span(outbox.next(10, None, 1000)), (1, 2, 1, 2));
    assert_eq!(outbox.ack(Index(2)), 2);
    assert_eq!(outbox.next(10, None, 1000), NextSpan::Nothing);
}

#[test]
fn lost_growth_hint_is_reloaded() {
    let mut outbox = outbox(0, 0);
    outbox.grew(Index(5), 0, rows(4..=5)); // the hint about 1 to 3 was lost
    assert_eq!(outbox.next(10, None, 1000), NextSpan::Load(Index(1)));
    assert!(!outbox.loaded(Index(1), rows(1..=5)));
    assert_eq!(span(outbox.next(10, None, 1000)), (1, 5, 1, 5));
}

#[test]
fn batch_is_bounded_but_never_empty() {
    let mut outbox = outbox(0, 0);
    outbox.grew(Index(9), 0, rows(1..=9));
    assert_eq!(span(outbox.next(3, None, 1000)), (1, 3, 1, 3));
    assert_eq!(span(outbox.next(9, None, 14)), (1, 2, 1, 2));
    assert_eq!(span(outbox.next(9, None, 1)), (1, 1, 1, 1));
}

#[test]
fn run_ends_before_second_of_context() {
    let mut outbox = outbox(0, 0).spreading(true);
    let mut queued = rows(1..=7);
    for (row, context) in queued.iter_mut().zip(["a", "b", "", "", "a", "c", "b"]) {
        row.context = (!context.is_empty()).then(|| context.parse().expect("valid"));
    }
    outbox.grew(Index(7), 0, queued);
    for run in [(1, 4, 1, 4), (5, 7, 5, 7)] {
        assert_eq!(span(outbox.next(10, None, 1000)), run);
        assert_eq!(span(outbox.next(10, None, 1000)), run, "the same again");
        outbox.ack(Index(run.1));
    }
}

#[test]
fn memory_holds_only_outbox_window() {
    let mut outbox = outbox(0, 0);
    outbox.grew(Index(100), 0, rows(1..=100));
    outbox.grew(Index(150), 0, rows(101..=150)); // beyond the window: left on disk
    outbox.ack(Index(100));
    assert_eq!(outbox.next(100, None, 1 << 20), NextSpan::Load(Index(101)));
    outbox.unload();
    assert_eq!(outbox.next(100, None, 1 << 20), NextSpan::Load(Index(101)));
}

#[test]
fn rewind_keeps_numbers() {
    let mut outbox = outbox(40, 42);
    assert_eq!(outbox.locate(Seq(38)), HoleAt::Kept(Index(38)));
    outbox.rewind(Index(38));
    assert_eq!(outbox.next(10, None, 1000), NextSpan::Load(Index(38)));
    outbox.loaded(Index(38), rows(38..=42));
    assert_eq!(span(outbox.next(10, None, 1000)), (38, 42, 38, 42));
    assert_eq!(outbox.acked(), Index(40), "an acknowledgement is never taken back");
}

#[test]
fn rewind_discards_stale_page() {
    let mut outbox = outbox(40, 42);
    assert_eq!(outbox.next(10, None, 1000), NextSpan::Load(Index(41)));
    outbox.rewind(Index(38));
    outbox.loaded(Index(41), rows(41..=42));
    assert_eq!(outbox.next(10, None, 1000), NextSpan::Load(Index(38)));
}

#[test]
fn renumbering_keeps_older_segments() {
    let mut outbox = outbox(10, 15);
    outbox.renumber(Index(11), Seq(100));
    outbox.loaded(Index(11), rows(11..=15));
    assert_eq!(span(outbox.next(10, None, 1000)), (11, 15, 100, 104));
    assert_eq!(outbox.locate(Seq(102)), HoleAt::Kept(Index(13)));
    assert_eq!(outbox.locate(Seq(105)), HoleAt::Above);
    assert_eq!(outbox.locate(Seq(5)), HoleAt::Kept(Index(5)));
    assert_eq!(outbox.locate(Seq(50)), HoleAt::Between(Index(11)), "never given: go on with what follows");
}

#[test]
fn batch_never_spans_numberings() {
    let mut outbox = outbox(10, 15);
    outbox.renumber(Index(13), Seq(50));
    outbox.rewind(Index(11));
    outbox.loaded(Index(11), rows(11..=15));
    assert_eq!(span(outbox.next(10, None, 1000)), (11, 12, 11, 12));
    outbox.ack(Index(12));
    assert_eq!(span(outbox.next(10, None, 1000)), (13, 15, 50, 52));
}

#[test]
fn pruned_rows_detected_on_load() {
    let mut outbox = outbox(40, 42);
    outbox.rewind(Index(3));
    assert_eq!(outbox.next(10, None, 1000), NextSpan::Load(Index(3)));
    assert!(outbox.loaded(Index(3), rows(30..=42)), "3 to 29 are gone");
}

/// Answers a load with all rows except those in `gone`.
fn load(outbox: &mut Outbox, gone: &[u64]) {
    if let NextSpan::Load(from) = outbox.next(100, None, 1 << 20) {
        let kept = rows(from.0..=outbox.tail.0).into_iter().filter(|row| !gone.contains(&row.index.0));
        outbox.loaded(from, kept.collect());
    }
}

/// Returns what is sent from the cursor on, `items` at a time: (number, index), and `!` before items that wait for a
/// commit.
fn sent(outbox: &mut Outbox, items: u32, gone: &[u64]) -> String {
    let mut log = vec![];
    loop {
        load(outbox, gone);
        let anew = if outbox.mend() { "!" } else { "" };
        match outbox.next(items, None, 1 << 20) {
            NextSpan::Send(span, rows) => {
                let numbers = span.first_number.0..=span.last_number.0;
                let pairs = numbers.zip(&rows).map(|(number, row)| format!("{number}:{}", row.index));
                log.push(format!("{anew}{}", pairs.collect::<Vec<_>>().join(" ")));
                outbox.ack(span.last);
            }
            NextSpan::Load(_) => log.extend((!anew.is_empty()).then(|| anew.to_owned())),
            NextSpan::Nothing => return log.join(", "),
        }
    }
}

fn skip(outbox: &mut Outbox, index: u64, gone: &[u64]) {
    load(outbox, gone);
    outbox.mend();
    outbox.next(1, None, 1);
    assert_eq!(outbox.skip(Index(index)).map(|row| row.index), Some(Index(index)));
}

#[test]
fn dead_letter_frees_its_number() {
    let mut outbox = outbox(3, 8);
    skip(&mut outbox, 4, &[]);
    assert_eq!((outbox.acked(), outbox.backlog(), outbox.tail_number()), (Index(4), 4, Seq(7)));
    assert_eq!(sent(&mut outbox, 2, &[4]), "4:5 5:6, 6:7 7:8");
    for (number, index) in [(1, 1), (3, 3), (4, 5), (7, 8)] {
        assert_eq!(outbox.locate(Seq(number)), HoleAt::Kept(Index(index)));
    }
    outbox.rewind(Index(2));
    assert_eq!(sent(&mut outbox, 10, &[4]), "2:2 3:3, 4:5 5:6 6:7 7:8", "a push never spans what is gone");
}

#[test]
fn many_dead_letters_keep_older_numbers() {
    let mut outbox = outbox(3, 100);
    for index in 4..=99 {
        skip(&mut outbox, index, &[]);
    }
    assert_eq!(outbox.segments().len(), 2);
    let gone: Vec<u64> = (4..=99).collect();
    outbox.rewind(Index(1));
    assert_eq!(sent(&mut outbox, 10, &gone), "1:1 2:2 3:3, 4:100");
}

#[test]
fn edge_dead_letters_keep_numbering() {
    let mut outbox = outbox(0, 2);
    skip(&mut outbox, 1, &[]);
    skip(&mut outbox, 2, &[]);
    assert_eq!((outbox.acked(), outbox.tail_number(), outbox.next(1, None, 1)), (Index(2), Seq(0), NextSpan::Nothing));
    outbox.grew(Index(3), 0, rows(3..=3));
    assert_eq!((sent(&mut outbox, 1, &[]), outbox.tail_number()), ("1:3".to_owned(), Seq(1)));
}

#[test]
fn renumbering_from_below_rebuilds_segments() {
    let mut outbox = outbox(3, 9);
    skip(&mut outbox, 4, &[]);
    outbox.ack(Index(5));
    skip(&mut outbox, 6, &[]);
    skip(&mut outbox, 7, &[]);
    outbox.ack(Index(8));
    let gone = [1, 4, 6, 7];
    assert_eq!(sent(&mut outbox, 10, &gone), "6:9");
    // The peer has lost everything, and our first item is no longer kept: item 2 is sent as number 1, and all following
    // items are renumbered, without a hole where an item was parked.
    outbox.renumber(Index(2), Seq(1));
    assert_eq!(sent(&mut outbox, 10, &gone), "1:2 2:3, !3:5, !4:8 5:9");
    outbox.rewind(Index(2));
    assert_eq!(sent(&mut outbox, 10, &gone), "1:2 2:3, 3:5, 4:8 5:9", "and it is remembered");
}

#[test]
fn refused_resend_closes_numbering() {
    let mut outbox = outbox(3, 9);
    skip(&mut outbox, 4, &[]);
    outbox.ack(Index(9));
    outbox.rewind(Index(3));
    skip(&mut outbox, 3, &[4]);
    assert_eq!((outbox.acked(), outbox.tail_number()), (Index(9), Seq(8)), "4 is gone, too, and not stepped over yet");
    assert_eq!(sent(&mut outbox, 10, &[3, 4]), "!3:5 4:6 5:7 6:8 7:9");
    assert_eq!((outbox.segments().len(), outbox.tail_number()), (2, Seq(7)));
}

#[test]
fn emptied_rewind_reserves_requested_number() {
    let mut outbox = outbox(3, 4);
    skip(&mut outbox, 4, &[]);
    outbox.renumber(Index(3), Seq(1));
    assert_eq!(sent(&mut outbox, 10, &[4]), "1:3", "nothing follows");
    assert_eq!(outbox.tail_number(), Seq(1));
    outbox.grew(Index(5), 0, rows(5..=5));
    assert_eq!(sent(&mut outbox, 10, &[4]), "2:5");
}

#[test]
fn page_ignores_rows_queued_later() {
    let mut outbox = outbox(3, 4);
    skip(&mut outbox, 4, &[]);
    outbox.rewind(Index(4));
    assert_eq!(outbox.next(10, None, 1000), NextSpan::Load(Index(4)));
    outbox.grew(Index(5), 0, rows(5..=5));
    outbox.loaded(Index(4), vec![]);
    assert!(!outbox.mend());
    assert_eq!(outbox.next(10, None, 1000), NextSpan::Load(Index(5)));
    outbox.loaded(Index(5), rows(5..=5));
    assert!(!outbox.mend());
    assert_eq!(span(outbox.next(10, None, 1000)), (5, 5, 4, 4));
}

#[test]
fn removed_rows_ahead_stay_removed() {
    let mut outbox = outbox(0, 8);
    assert_eq!(outbox.next(1, None, 1000), NextSpan::Load(Index(1)));
    outbox.loaded(Index(1), rows(1..=4));
    outbox.forget(Index(1), Index(1));
    outbox.forget(Index(6), Index(6));
    assert!(outbox.mend(), "item 2 takes over the number of item 1");
    assert_eq!((outbox.has_left(Index(1)), outbox.has_left(Index(6))), (false, true));
    outbox.ack(Index(4));
    assert_eq!(outbox.next(10, None, 1000), NextSpan::Load(Index(5)));
    outbox.loaded(Index(5), rows(5..=8));
    assert_eq!(span(outbox.next(10, None, 1000)).1, 5, "item 6 is not sent");
}

/// The numbering of the items that a rewind resends is still needed when a removal adds one segment too many.
#[test]
fn removal_amid_rewind_keeps_its_numbers() {
    let segments = (0..16).map(|n| NumberSegment { first: Index(1 + 2 * n), number: Seq(101 + n) }).collect();
    let mut outbox = Outbox::new(Index(40), Index(42), segments, WindowRoom { rows: 100, bytes: 1 << 20 });
    outbox.rewind(Index(2));
    outbox.leave(Index(41));
    assert_eq!((outbox.cursor(), outbox.number(Index(2))), (Index(2), Seq(102)));
    outbox.rewind(Index(42));
    outbox.leave(Index(42));
    assert_eq!(outbox.segments().len(), 16, "the rewind has passed the oldest");
}
