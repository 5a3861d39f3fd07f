//! Three more things to play while the disk fails: transactions and what goes to quarantine, what leaves outboxes by each way,
//! and a feed whose events and submissions go once they are done with.

use actors::change::Change;
use actors::model::{FeedItem, Index, Millis, Position};
use actors::ports::StoreReader;

use crate::scenario::BATCHES;
use crate::talk::{context_moved, heard, room, seen, theirs, transaction};
use crate::world::{World, green, id, letter, moved, notice, parked, red, refused, submitted, update};

/// Rows kept of what is bounded by number.
const KEPT: u64 = 3;

fn name(n: u64) -> String {
    format!("t{n:02}")
}

fn newest(count: u64, kept: u64) -> impl Iterator<Item = u64> {
    count.saturating_sub(kept) + 1..=count
}

async fn rows(world: &World, table: &str) -> u64 {
    let stats = world.store.stats().await.unwrap();
    stats.tables.iter().find(|one| one.name == table).map(|one| one.rows).unwrap()
}

/// A transaction with a PDU that is delivered, and an item that goes to quarantine; every second one is taken back from there.
pub(crate) fn inbound(n: u64) -> Vec<Change> {
    let here = room(&format!("r{}", n % 2));
    let back = n.is_multiple_of(2).then(|| Change::QuarantineRemoved { server: red(), number: n - 1 });
    let mut changes = vec![
        heard(&here, &theirs(&name(n)), &[], n),
        context_moved(&here, n + 1),
        Change::Quarantined { parked: parked(n), keep: KEPT },
        seen(n, 3),
        moved(red(), 0, n + 1),
    ];
    changes.extend(back);
    changes
}

pub(crate) async fn surviving_inbound(world: &World, context: &str) -> u64 {
    let load = world.store.peer(&red()).await.unwrap();
    let count = load.record.as_ref().map_or(0, |record| record.inbound.taken);
    assert_eq!(load.seen, newest(count, 3).map(transaction).collect::<Vec<_>>(), "{context}");
    for n in 1..=BATCHES + 1 {
        let there = world.store.pdu(&theirs(&name(n))).unwrap().is_some_and(|pdu| pdu.delivered);
        assert_eq!(there, n <= count, "{context}: the PDU of {n} after {count}");
    }
    // Of the three newest, the odd ones before the last even one have left.
    let left = [0, 1, 1].get(usize::try_from(count).unwrap()).copied().unwrap_or(2);
    assert_eq!(rows(world, "quarantine").await, left, "{context}");
    let feed = world.feed().await;
    assert!(feed.iter().map(|(position, _)| *position).eq(1..=2 * count), "{context}: the feed has a gap");
    for (position, item) in feed {
        let n = position.div_ceil(2);
        match item {
            FeedItem::Pdu(pdu) => assert_eq!((pdu.reference, position % 2), (theirs(&name(n)), 1), "{context}"),
            item => assert_eq!((item, position % 2), (FeedItem::Parked(parked(n)), 0), "{context}"),
        }
    }
    count
}

/// Where the first update of a batch stands in red's outbox: from the second batch on, a third row goes there as well.
fn first(n: u64) -> u64 {
    if n == 1 { 1 } else { 3 * n - 3 }
}

/// Two updates for two peers. Of the first, red refuses every one for good, and an operator sends it again a batch later; green
/// acknowledges all, and keeps nothing.
pub(crate) fn leaving(n: u64) -> Vec<Change> {
    let last = 2 * n;
    let trimmed = Change::OutboxTrimmed {
        server: green(),
        upto: Index(last),
        keep_items: 0,
        queued_before: Millis(u64::MAX),
        rows_max: 3,
    };
    let mut changes = vec![
        submitted(&name(n), &[red(), green()], 2),
        refused(red(), first(n), KEPT),
        moved(green(), last, 1),
        trimmed,
    ];
    changes.extend((n > 1).then(|| Change::DeadLetterRequeued { server: red(), index: Index(first(n - 1)) }));
    changes.push(notice(&name(n)));
    changes
}

pub(crate) async fn surviving_leaving(world: &World, context: &str) -> u64 {
    let count = world.store.peer(&green()).await.unwrap().tail.0 / 2;
    let indexes = |rows: Vec<(u64, bytes::Bytes)>| rows.into_iter().map(|(index, _)| index).collect::<Vec<_>>();
    let queued = (1..=count).flat_map(|n| [Some(first(n) + 1), (n > 1).then_some(first(n) + 2)]);
    assert_eq!(indexes(world.outbox(&red()).await), queued.flatten().collect::<Vec<_>>(), "{context}");
    // All of green's rows but the newest are gone.
    let left: Vec<u64> = if count == 0 { vec![] } else { vec![2 * count] };
    assert_eq!(indexes(world.outbox(&green()).await), left, "{context}");
    let letters = world.store.dead_letters(&red(), Index(1), Index(u64::MAX)).await.unwrap();
    let wanted = newest(count, 1).map(|n| letter(first(n)));
    assert_eq!(letters, wanted.collect::<Vec<_>>(), "{context}");
    // The bytes of an item go with the last row that names it: red still has every one of them, queued or as a dead letter.
    assert_eq!(rows(world, "items").await, 2 * count, "{context}");
    for n in 1..=BATCHES + 1 {
        let there = world.store.submission(&id(&name(n))).await.unwrap().is_some();
        assert_eq!(there, n <= count, "{context}: submission {n} of {count}");
    }
    assert_eq!(world.feed().await.len() as u64, count, "{context}");
    count
}

/// Three events, all but the newest acknowledged, the two oldest removed; and a submission remembered for two batches.
pub(crate) fn feed(n: u64) -> Vec<Change> {
    let old = n.checked_sub(2).filter(|n| *n > 0).map(|n| id(&name(n)));
    vec![
        notice(&format!("{n}")),
        update(n),
        submitted(&name(n), &[red()], 1),
        notice(&format!("{n}")),
        Change::FeedAcked { upto: Position(3 * n - 1) },
        Change::FeedTrimmed { before: Millis(u64::MAX), rows_max: 2 },
        Change::SubmissionsPruned(old.into_iter().collect()),
    ]
}

pub(crate) async fn surviving_feed(world: &World, context: &str) -> u64 {
    let bounds = *world.store.feed_bounds().borrow();
    let count = bounds.tail.0 / 3;
    assert_eq!((bounds.tail.0, bounds.acked.0), (3 * count, (3 * count).saturating_sub(1)), "{context}");
    let kept = world.feed().await;
    assert!(kept.iter().map(|(position, _)| *position).eq(2 * count + 1..=3 * count), "{context}: {kept:?}");
    for (position, item) in kept {
        let n = position.div_ceil(3);
        let wanted = if position % 3 == 2 { update(n) } else { notice(&format!("{n}")) };
        let Change::FeedAppended(wanted) = wanted else { panic!("an event") };
        assert_eq!(item, wanted, "{context}");
    }
    for n in 1..=BATCHES + 1 {
        let there = world.store.submission(&id(&name(n))).await.unwrap().is_some();
        assert_eq!(there, n <= count && n + 2 > count, "{context}: submission {n} of {count}");
    }
    assert_eq!(world.store.peer(&red()).await.unwrap().tail.0, count, "{context}");
    count
}
