//! Contexts in the store: each PDU is stored once, and all other rows refer to it.

use std::slice::from_ref;

use actors::change::Change;
use actors::model::{
    ContextId, FeedFlags, FeedItem, Index, Item, Millis, PduRef, PduState, PendingParents, Position, StateSlot,
};
use actors::ports::{ContextReader, FeedPage, FeedReader, PeerReader, ServedPdu, SubmissionReader};
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::fixtures::blocks::TIMELINE;
use crate::fixtures::talk::{
    at, came, context_moved, gap_closed, gap_opened, heard, ours, piece, record, room, said, seen, state_moved, stored,
    text, theirs, topic, transaction, waits,
};
use crate::fixtures::world::{World, green, id, moved, notice, red};

async fn reopened(disk: &FaultyDisk, world: World) -> (FaultyDisk, World) {
    world.store.close().await;
    let disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Synced));
    let world = World::on(&disk);
    (disk, world)
}

async fn held(world: &World, context: &ContextId) -> Vec<PduRef> {
    let load = world.store.context(context).await.unwrap().unwrap();
    load.held.into_iter().map(|pdu| pdu.reference).collect()
}

#[tokio::test(start_paused = true)]
async fn pdu_for_two_peers_stored_once() {
    let world = World::new();
    let before = world.store.counters();
    world.commit(said(&room("c"), &ours("m1"), &[red(), green()], 1)).await;
    // Rows written: the PDU, its timeline row, two outbox rows, the submission.
    assert_eq!(world.store.counters().rows_written - before.rows_written, 5);
    let woken = world.woken().await;
    assert_eq!(woken[0].rows[0].item, Item::Pdu(ours("m1"), text(&ours("m1"))));
    assert_eq!(woken[0].rows[0].item.bytes().as_ptr(), woken[1].rows[0].item.bytes().as_ptr());
    for server in [red(), green()] {
        let rows = world.store.outbox_from(&server, Index(1), 10, u64::MAX).await.unwrap();
        assert_eq!((rows.len(), rows[0].item.clone()), (1, Item::Pdu(ours("m1"), text(&ours("m1")))));
        assert_eq!((&rows[0].context, &woken[0].rows[0].context), (&Some(room("c")), &Some(room("c"))));
    }
    let remembered = world.store.submission(&id("m1")).await.unwrap().unwrap();
    assert_eq!((remembered.pdu, remembered.items), (Some(ours("m1")), 1));
    assert_eq!(remembered.queued, [(red(), Index(1)), (green(), Index(1))]);
    assert_eq!(world.store.submitted_updates(&id("m1")).await.unwrap(), None, "the submission was composed into a PDU");
    assert_eq!(world.feed().await, [(1, notice_item("after"))], "the messenger gets no event for its own message");
}

fn notice_item(text: &str) -> FeedItem {
    FeedItem::Notice { text: text.to_owned(), server: None }
}

#[tokio::test(start_paused = true)]
async fn acknowledged_pdu_leaves_only_outbox() {
    let world = World::new();
    world.commit(said(&room("c"), &ours("m1"), &[red()], 1)).await;
    world.commit(said(&room("c"), &ours("m2"), &[red()], 2)).await;
    let upto = Index(2);
    let trimmed = Change::OutboxTrimmed { server: red(), upto, keep_items: 0, queued_before: Millis(0), rows_max: 100 };
    world.commit(vec![moved(red(), 2, 1), trimmed]).await;
    assert_eq!(world.store.counters().rows_trimmed, 1);
    assert_eq!(world.outbox(&red()).await, [(2, text(&ours("m2")))]);
    let served = world.store.pdu(&ours("m1")).await.unwrap().unwrap();
    let delivered = ServedPdu { context: room("c"), depth: 101, delivered: true, to: None, bytes: text(&ours("m1")) };
    assert_eq!(served, delivered);
    assert_eq!(world.store.pdu(&ours("m3")).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn held_pdus_reload_in_arrival_order() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let (c, missing) = (room("c"), theirs("0"));
    for name in ["z", "b"] {
        world.commit(vec![waits(&c, &theirs(name), from_ref(&missing)), context_moved(&c, 1)]).await;
    }
    let (disk, world) = reopened(&disk, world).await;
    world.commit(vec![waits(&c, &theirs("y"), from_ref(&missing)), waits(&c, &theirs("a"), &[theirs("y")])]).await;
    assert_eq!(held(&world, &c).await, ["z", "b", "y", "a"].map(theirs));

    // The PDU now waits for another parent and keeps its order of arrival.
    let hold = PendingParents { missing: vec![theirs("1"), theirs("y")], edge: true, depth: 9, for_state: true };
    world.commit(vec![Change::PduHeld { reference: theirs("b"), context: c.clone(), hold: hold.clone() }]).await;
    world.commit(vec![came(&c, &theirs("z"), at(1, Some(FeedFlags::default())))]).await;
    let (_, world) = reopened(&disk, world).await;
    let load = world.store.context(&c).await.unwrap().unwrap();
    assert_eq!(load.held.iter().map(|pdu| pdu.reference.clone()).collect::<Vec<_>>(), ["b", "y", "a"].map(theirs));
    let b = &load.held[0];
    assert_eq!((&b.prev, &b.hold, b.received, &b.sender), (&vec![missing], &hold, Millis(77), &Some(red())));
    assert!(world.store.pdu(&theirs("z")).await.unwrap().unwrap().delivered);
    assert!(!world.store.pdu(&theirs("b")).await.unwrap().unwrap().delivered);
}

#[tokio::test(start_paused = true)]
async fn held_pdus_reload_with_state() {
    let world = World::new();
    let c = room("c");
    let change = |name: &str, slot: Option<&str>| match waits(&c, &theirs(name), &[theirs("0")]) {
        Change::PduStored(mut stored) => {
            let slot = slot.map(|key| StateSlot {
                key: key.to_owned(),
                power_level: 5,
                prev: Some(theirs("s")),
                member: None,
            });
            stored.pdu.state = slot;
            Change::PduStored(stored)
        }
        other => other,
    };
    let changes = vec![context_moved(&c, 1), change("a", None), change("b", Some("")), change("d", Some("key"))];
    world.commit(changes).await;
    // The PDU is held again and sets the same state.
    let hold = PendingParents { missing: vec![theirs("1")], edge: false, depth: 4, for_state: false };
    world.commit(vec![Change::PduHeld { reference: theirs("d"), context: c.clone(), hold }]).await;
    let load = world.store.context(&c).await.unwrap().unwrap();
    let states: Vec<_> = load.held.into_iter().map(|pdu| (pdu.hold.depth, pdu.state)).collect();
    let state =
        |name: &str, key: &str| Some((("message".into(), key.to_owned()), piece(&theirs(name), Some(&theirs("s")), 5)));
    assert_eq!(states, [(0, None), (0, state("b", "")), (4, state("d", "key"))]);
}

#[tokio::test(start_paused = true)]
async fn contexts_with_common_prefix_stay_separate() {
    let world = World::new();
    let rooms = ["a", "a b", "ab", "\u{e9}"].map(room);
    for (n, context) in (1..).zip(&rooms) {
        let reference = theirs(&format!("p{n}"));
        let changes = vec![
            waits(context, &reference, &[theirs("0")]),
            gap_opened(context, &theirs("0"), from_ref(&reference)),
            state_moved(context, "", &reference),
            context_moved(context, n),
        ];
        world.commit(changes).await;
    }
    assert_eq!(world.store.contexts_with_held_pdus().await.unwrap(), rooms);
    for (n, context) in (1..).zip(&rooms) {
        let load = world.store.context(context).await.unwrap().unwrap();
        let reference = theirs(&format!("p{n}"));
        assert_eq!(load.record, record(context, n));
        assert_eq!(load.held.iter().map(|pdu| pdu.reference.clone()).collect::<Vec<_>>(), from_ref(&reference));
        assert_eq!(load.gaps.iter().map(|gap| gap.children.clone()).collect::<Vec<_>>(), [[reference.clone()]]);
        assert_eq!(
            world.store.state_holder(context, &topic("")).await.unwrap().map(|holder| holder.reference),
            Some(reference)
        );
        assert_eq!(world.store.context_record(context).await.unwrap(), Some(load.record));
    }
    world.commit(vec![came(&rooms[1], &theirs("p2"), at(1, None))]).await;
    assert_eq!(world.store.contexts_with_held_pdus().await.unwrap().len(), 3);
    assert_eq!(world.store.context(&room("nowhere")).await.unwrap(), None);
    assert_eq!(world.store.context_record(&room("nowhere")).await.unwrap(), None);
    assert_eq!(world.store.state_holder(&rooms[0], &topic("k")).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn gap_keeps_children_until_closed() {
    let world = World::new();
    let c = room("c");
    world.commit(vec![context_moved(&c, 1), gap_opened(&c, &theirs("0"), &[theirs("a")])]).await;
    let children = ["a", "b", "c"].map(theirs);
    world.commit(vec![gap_opened(&c, &theirs("0"), &children[..2])]).await;
    world.commit(vec![gap_opened(&c, &theirs("0"), &children), gap_opened(&c, &theirs("1"), &[])]).await;
    let gaps = world.store.context(&c).await.unwrap().unwrap().gaps;
    assert_eq!(gaps[0].children, children);
    assert_eq!((gaps.len(), &gaps[1].missing), (2, &theirs("1")));
    world.commit(vec![gap_closed(&c, &theirs("0")), gap_closed(&c, &theirs("never"))]).await;
    let gaps = world.store.context(&c).await.unwrap().unwrap().gaps;
    assert_eq!(gaps.iter().map(|gap| gap.missing.clone()).collect::<Vec<_>>(), [theirs("1")]);
}

#[tokio::test(start_paused = true)]
async fn feed_pdu_carries_stored_fields() {
    let world = World::new();
    let c = room("c");
    let shown = FeedFlags { gap: vec![theirs("0"), ours("x")], late: true, history: true, ..FeedFlags::default() };
    world.commit(vec![heard(&c, &theirs("a"), &[], 1), waits(&c, &theirs("b"), &[theirs("0")]), notice("n")]).await;
    world.commit(vec![came(&c, &theirs("b"), at(2, Some(shown.clone())))]).await;
    let feed = world.feed().await;
    let pdu = |at: usize| match &feed[at] {
        (position, FeedItem::Pdu(pdu)) if *position == at as u64 + 1 => pdu,
        other => panic!("{other:?}"),
    };
    let (a, b) = (pdu(0), pdu(2));
    assert_eq!((&a.reference, &a.context, a.depth, &a.sender), (&theirs("a"), &c, 101, &Some(red())));
    assert_eq!((a.verified.as_str(), &a.shown, &a.bytes), ("network", &FeedFlags::default(), &text(&theirs("a"))));
    assert_eq!((&b.reference, b.depth, &b.shown, &b.bytes), (&theirs("b"), 102, &shown, &text(&theirs("b"))));
    assert_eq!(feed[1].1, notice_item("n"));
}

#[tokio::test(start_paused = true)]
async fn feed_page_counts_pdu_bytes() {
    let world = World::new();
    let names: Vec<_> = (1..=5).map(|n| theirs(&format!("p{n}"))).collect();
    world.commit((1..).zip(&names).map(|(n, name)| heard(&room("c"), name, &[], n)).collect()).await;
    let size = text(&names[0]).len() as u64;
    let page = async |bytes| match world.store.feed_after(Position(1), 10, bytes).await.unwrap() {
        FeedPage::Entries(entries) => entries.len(),
        gone @ FeedPage::Gone { .. } => panic!("{gone:?}"),
    };
    assert_eq!((page(1).await, page(2 * size).await, page(3 * size - 1).await), (1, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn newest_transactions_survive_restart() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    for n in 1..=5 {
        world.commit(vec![seen(n, 3)]).await;
    }
    assert_eq!(world.store.counters().rows_trimmed, 2);
    let (_, world) = reopened(&disk, world).await;
    let kept = async || world.store.peer(&red()).await.unwrap().seen;
    assert_eq!(kept().await, [3, 4, 5].map(transaction));
    assert_eq!(world.store.peer(&green()).await.unwrap().seen, []);
    world.commit(vec![seen(6, 3), seen(7, 3)]).await;
    assert_eq!(kept().await, [5, 6, 7].map(transaction));
    // The settings now keep fewer rows.
    world.commit(vec![seen(8, 1)]).await;
    assert_eq!(kept().await, [transaction(8)]);
}

#[tokio::test(start_paused = true)]
async fn contradicting_change_is_skipped() {
    let world = World::new();
    let (c, d) = (room("c"), room("d"));
    world.commit(vec![heard(&c, &theirs("a"), &[], 1), waits(&c, &theirs("b"), &[theirs("0")])]).await;
    let hold = PendingParents { missing: vec![], edge: false, depth: 0, for_state: false };
    world
        .commit(vec![
            notice("before"),
            heard(&d, &theirs("a"), &[], 1),
            stored(&d, &theirs("b"), &[], PduState::Held(hold.clone())),
            came(&d, &theirs("b"), at(1, Some(FeedFlags::default()))),
            came(&c, &theirs("a"), at(2, Some(FeedFlags::default()))),
            came(&c, &theirs("never"), at(3, Some(FeedFlags::default()))),
            Change::PduHeld { reference: theirs("a"), context: c.clone(), hold },
            context_moved(&c, 2),
            context_moved(&d, 1),
            notice("after"),
        ])
        .await;
    assert_eq!(world.store.pdu(&theirs("a")).await.unwrap().unwrap().context, c);
    assert_eq!(held(&world, &c).await, [theirs("b")]);
    assert_eq!(held(&world, &d).await, []);
    let feed = world.feed().await;
    assert_eq!(feed[1..], [(2, notice_item("before")), (3, notice_item("after"))]);
}

type HeldRow = (u64, u64, bool, u64, &'static [u8], &'static [u8]);

const HELD: TableDefinition<(&str, &str, &str), HeldRow> = TableDefinition::new("held");

#[tokio::test(start_paused = true)]
async fn timeline_orders_delivered_pdus() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let c = room("c");
    world.commit(vec![waits(&c, &theirs("b"), &[theirs("a")]), heard(&room("d"), &theirs("x"), &[], 1)]).await;
    world.commit(said(&c, &ours("m"), &[], 1)).await;
    world.commit(vec![heard(&c, &theirs("a"), &[], 2), came(&c, &theirs("b"), at(3, None))]).await;
    world.store.close().await;
    let database =
        Database::builder().create_with_backend(FaultyDisk::with(disk.survivors(SurvivingBytes::Synced))).unwrap();
    let table = database.begin_read().unwrap().open_table(TIMELINE).unwrap();
    let rows: Vec<_> = table.range(("c", 0)..("d", 0)).unwrap().map(|row| row.unwrap()).collect();
    let rows: Vec<_> = rows.iter().map(|(key, row)| (key.value().1, row.value().1)).collect();
    assert_eq!(rows, [(1, "m"), (2, "a"), (3, "b")]);
}

#[tokio::test(start_paused = true)]
async fn mismatched_rows_are_errors() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let (c, d) = (room("c"), room("d"));
    let changes = vec![waits(&c, &theirs("a"), &[theirs("0")]), context_moved(&c, 1), context_moved(&d, 1)];
    world.commit(changes).await;
    world.store.close().await;
    for (origin, name, complaint) in [
        ("red.example", "a", "does not wait in d"),
        ("red.example", "gone", "is missing"),
        ("..", "a", "cannot be understood"),
    ] {
        let disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Synced));
        let database = Database::builder().create_with_backend(disk.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(HELD).unwrap().insert(("d", origin, name), (1, 9, false, 0, &[][..], &[][..])).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Written)));
        let error = world.store.context(&d).await.unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
        assert!(world.store.context(&c).await.is_ok(), "another context is not affected");
    }
}
