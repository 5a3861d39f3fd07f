//! What is played while the disk fails: batches that each leave marks in many tables, and what must be found of them.

use actors::change::Change;
use actors::model::{FeedFlags, FeedItem, Index, Item, Millis, PduRef, PduState, Position};
use actors::ports::{PduStatus, StoreReader};

use crate::talk::{
    at, came, context_moved, gap_closed, gap_opened, ours, piece, record, room, said, seen, state_kept, state_moved,
    stored, text, theirs, topic, transaction, waits,
};
use crate::world::{World, digest, green, id, letter, moved, notice, red, refused, server, submitted, taken};
use crate::{forgetting, passing};

pub(crate) const BATCHES: u64 = 12;

/// What is played.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scenario {
    /// Updates to three peers, one of which refuses all, and from one.
    Updates,
    /// Two conversations with red, in which something is always missing.
    Talk,
    /// Transactions of red's, of which something always goes to quarantine.
    Inbound,
    /// Updates to two peers, one of which refuses half of them, while the other keeps nothing.
    Leaving,
    /// A feed that is acknowledged and trimmed, and submissions that are forgotten.
    Feed,
    /// A conversation of which all but the last is forgotten.
    Past,
}

impl Scenario {
    pub(crate) const ALL: [Self; 6] = [Self::Updates, Self::Talk, Self::Inbound, Self::Leaving, Self::Feed, Self::Past];

    /// Batch `n`, from 1.
    pub(crate) fn batch(self, n: u64) -> Vec<Change> {
        match self {
            Self::Updates => updates(n),
            Self::Talk => talk(n),
            Self::Inbound => passing::inbound(n),
            Self::Leaving => passing::leaving(n),
            Self::Feed => passing::feed(n),
            Self::Past => forgetting::batch(n),
        }
    }

    /// Open what is left: exactly the first batches are there, each whole; how many?
    pub(crate) async fn surviving_batches(self, world: &World, context: &str) -> u64 {
        match self {
            Self::Updates => surviving_updates(world, context).await,
            Self::Talk => surviving_talk(world, context).await,
            Self::Inbound => passing::surviving_inbound(world, context).await,
            Self::Leaving => passing::surviving_leaving(world, context).await,
            Self::Feed => passing::surviving_feed(world, context).await,
            Self::Past => forgetting::surviving(world, context).await,
        }
    }
}

/// Dead letters kept.
const KEPT: u64 = 3;

/// Each leaves a mark in five tables and in the feed, so that a part of one would show,
/// and trims what earlier ones left.
fn updates(n: u64) -> Vec<Change> {
    let trimmed = Change::OutboxTrimmed {
        server: green(),
        upto: Index(n.saturating_sub(2)),
        keep_items: 1,
        queued_before: Millis(0),
        rows_max: 2,
    };
    vec![
        notice(&format!("begin {n}")),
        submitted(&format!("s{n}"), &[red(), green(), server("grey")], 1),
        refused(server("grey"), n, KEPT),
        moved(server("grey"), n, 1),
        taken(n, n + 1, n.saturating_sub(3)),
        moved(red(), n - 1, n + 1),
        trimmed,
        Change::FeedAcked { upto: Position(n) },
        Change::FeedTrimmed { before: Millis(u64::MAX), rows_max: 1 },
        notice(&format!("end {n}")),
    ]
}

async fn surviving_updates(world: &World, context: &str) -> u64 {
    let load = world.store.peer(&red()).await.unwrap();
    let count = load.tail.0;
    let expected = load.record.as_ref().map_or(1, |record| record.inbound.expected.0);
    assert_eq!(expected, count + 1, "{context}: the record stands for other batches than the outbox");
    for n in 1..=BATCHES {
        let there = world.store.submission(&id(&format!("s{n}"))).await.unwrap().is_some();
        assert_eq!(there, n <= count, "{context}: submission {n} of {count}");
    }
    assert_eq!(world.outbox(&red()).await.len() as u64, count, "{context}");
    assert_eq!(world.outbox(&green()).await.last().map_or(0, |(index, _)| *index), count, "{context}");
    let grey = server("grey");
    let parked = world.store.dead_letters(&grey, Index(1), Index(u64::MAX)).await.unwrap();
    let wanted = count.saturating_sub(KEPT) + 1..=count;
    assert_eq!(parked, wanted.map(letter).collect::<Vec<_>>(), "{context}");
    let grey = (world.outbox(&grey).await.len(), world.store.peer(&grey).await.unwrap().tail);
    assert_eq!(grey, (0, Index(count)), "{context}");
    // A batch takes one number, and its predecessor said that nothing more than three below it is wanted.
    let wanted: Vec<_> = (1..=count).skip(usize::try_from(count.saturating_sub(4)).unwrap()).map(digest).collect();
    assert_eq!(load.digests, wanted, "{context}");
    let bounds = *world.store.feed_bounds().borrow();
    assert_eq!((bounds.tail.0, bounds.acked.0), (2 * count, count), "{context}");
    let feed = world.feed().await;
    let first = feed.first().map_or(1, |(position, _)| *position);
    assert!(feed.iter().map(|(position, _)| *position).eq(first..=2 * count), "{context}: the feed has a gap");
    for (position, item) in feed {
        let text =
            if position % 2 == 1 { format!("begin {}", position.div_ceil(2)) } else { format!("end {}", position / 2) };
        assert_eq!(item, FeedItem::Notice { text, server: None }, "{context}");
    }
    count
}

fn name(kind: &str, n: u64) -> String {
    format!("{kind}{n:02}")
}

/// Batch `n` says something to two peers and hears something whose parent is missing. The batch after it gives that parent up,
/// the one after that is the one in which it comes.
fn talk(n: u64) -> Vec<Change> {
    let (here, there) = (room(&name("c", n % 2)), room(&name("c", (n + 1) % 2)));
    let parent = |n| theirs(&name("parent", n));
    let child = |n| theirs(&name("child", n));
    let mut changes = said(&here, &ours(&name("m", n)), &[red(), green()], 3 * n);
    changes.push(waits(&here, &child(n), &[parent(n)]));
    if n > 1 {
        let shown = FeedFlags { gap: vec![parent(n - 1)], ..FeedFlags::default() };
        changes.push(came(&there, &child(n - 1), at(3 * n, Some(shown))));
        changes.push(gap_opened(&there, &parent(n - 1), &[child(n - 1)]));
        changes.push(context_moved(&there, 3 * n + 1));
    }
    if n > 2 {
        let late = at(3 * n + 1, Some(FeedFlags { late: true, ..FeedFlags::default() }));
        changes.push(stored(&here, &parent(n - 2), &[], PduState::Delivered(late)));
        changes.push(gap_closed(&here, &parent(n - 2)));
    }
    let trimmed = Change::OutboxTrimmed {
        server: green(),
        upto: Index(n.saturating_sub(2)),
        keep_items: 1,
        queued_before: Millis(0),
        rows_max: 2,
    };
    changes.extend([
        context_moved(&here, 3 * n + 2),
        state_kept(&here, "", &piece(&ours(&name("m", n)), None, 0)),
        state_moved(&here, "", &ours(&name("m", n))),
        seen(n, 3),
        moved(red(), n - 1, n + 1),
        trimmed,
    ]);
    changes
}

async fn surviving_talk(world: &World, context: &str) -> u64 {
    let store = &world.store;
    let load = store.peer(&red()).await.unwrap();
    let count = load.tail.0;
    let expected = load.record.as_ref().map_or(1, |record| record.inbound.expected.0);
    assert_eq!(expected, count + 1, "{context}: the record stands for other batches than the outbox");
    let transactions: Vec<_> = (count.saturating_sub(3) + 1..=count).map(transaction).collect();
    assert_eq!(load.seen, transactions, "{context}");

    for n in 1..=BATCHES + 1 {
        let there = store.submission(&id(&name("m", n))).await.unwrap();
        assert_eq!(there.is_some(), n <= count, "{context}: submission {n} of {count}");
        // The first batch in which each is there, and in which it is delivered.
        let born = [("m", n, n), ("child", n, n + 1), ("parent", n + 2, n + 2)];
        for (kind, stored, delivered) in born {
            let reference = if kind == "m" { ours(&name(kind, n)) } else { theirs(&name(kind, n)) };
            let standing = store.pdu(&reference).unwrap().map(|pdu| pdu.delivered);
            let wanted = (stored <= count).then_some(delivered <= count);
            assert_eq!(standing, wanted, "{context}: {reference} after {count}");
        }
    }
    let rows = store.outbox_from(&red(), Index(1), 100, u64::MAX).await.unwrap();
    let items: Vec<_> = rows.into_iter().map(|row| row.item).collect();
    let message = |n| Item::Pdu(ours(&name("m", n)), text(&ours(&name("m", n))));
    assert_eq!(items, (1..=count).map(message).collect::<Vec<_>>(), "{context}");
    assert_eq!(world.outbox(&green()).await.last().map_or(0, |(index, _)| *index), count, "{context}");
    if count > 0 {
        surviving_rooms(world, count, context).await;
    }
    let fed: Vec<_> = world.feed().await.into_iter().map(|(position, item)| (position, shown(item))).collect();
    let wanted = (1..=count).flat_map(|n| {
        let child = (n > 1).then(|| (theirs(&name("child", n - 1)), vec![theirs(&name("parent", n - 1))], false));
        let parent = (n > 2).then(|| (theirs(&name("parent", n - 2)), vec![], true));
        child.into_iter().chain(parent)
    });
    assert_eq!(fed, (1..).zip(wanted).collect::<Vec<_>>(), "{context}");
    // What was lost is unknown, and free for any conversation.
    let next = theirs(&name("child", count + 1));
    let newest = theirs(&name("child", count));
    let known = store.look_up(&room("c00"), &[next], &[newest]).unwrap();
    let newest = (count > 0).then(|| PduStatus::Held { context: room(&name("c", count % 2)) });
    assert_eq!(known.into_values().collect::<Vec<_>>(), Vec::from_iter(newest), "{context}");
    store.release_all(&room("c00"));
    count
}

/// The newest batch has left a held PDU in its room, and an open gap in the other one.
async fn surviving_rooms(world: &World, count: u64, context: &str) {
    let (here, there) = (room(&name("c", count % 2)), room(&name("c", (count + 1) % 2)));
    assert_eq!(world.store.contexts_with_held_pdus().await.unwrap(), std::slice::from_ref(&here), "{context}");
    let load = world.store.context(&here).await.unwrap().unwrap();
    assert_eq!(load.record, record(&here, 3 * count + 2), "{context}");
    let held: Vec<_> = load.held.into_iter().map(|pdu| (pdu.reference, pdu.hold.missing)).collect();
    assert_eq!(held, [(theirs(&name("child", count)), vec![theirs(&name("parent", count))])], "{context}");
    assert_eq!(load.gaps, [], "{context}");
    let holder = world.store.state_holder(&here, &topic("")).unwrap().map(|holder| holder.reference);
    assert_eq!(holder, Some(ours(&name("m", count))), "{context}");
    let set = world.store.state_set(&here, &topic("")).unwrap();
    assert_eq!(set.len() as u64, count.div_ceil(2), "{context}");
    let load = world.store.context(&there).await.unwrap();
    assert_eq!(load.is_some(), count > 1, "{context}");
    let Some(load) = load else { return };
    assert_eq!((load.record, load.held.len()), (record(&there, 3 * count + 1), 0), "{context}");
    let gaps: Vec<_> = load.gaps.into_iter().map(|gap| (gap.missing, gap.children)).collect();
    let open = (theirs(&name("parent", count - 1)), vec![theirs(&name("child", count - 1))]);
    assert_eq!(gaps, [open], "{context}");
}

fn shown(item: FeedItem) -> (PduRef, Vec<PduRef>, bool) {
    match item {
        FeedItem::Pdu(pdu) => {
            assert_eq!(pdu.bytes, text(&pdu.reference));
            (pdu.reference, pdu.shown.gap, pdu.shown.late)
        }
        other => panic!("{other:?}"),
    }
}
