//! Pruning: an old PDU's text is removed when no row needs it any more, its identity stays, and no clock change prunes it
//! early.

use actors::change::Change;
use actors::model::{ContextId, Head, Index, Millis, PduRef, Position};
use actors::ports::{
    ContextReader, FeedReader, OldPage, PduStatus, PeerReader, RetentionCursor, RetentionScan, RetentionStep,
};
use actors::testkit::at_once;
use fernpost::store;
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::scenario::BATCHES;
use crate::fixtures::talk::{context_moved, heard, ours, record, room, said, theirs, waits};
use crate::fixtures::world::{World, green, id, moved, notice, red, refused, submitted};

fn forgotten(context: &ContextId, pdus: &[(i64, PduRef)], before: u64) -> Change {
    Change::PduContentPruned { context: context.clone(), pdus: pdus.to_vec(), before: Millis(before) }
}

fn trimmed(upto: u64) -> Change {
    let (server, upto) = (red(), Index(upto));
    Change::OutboxTrimmed { server, upto, keep_items: 0, queued_before: Millis(u64::MAX), rows_max: 9 }
}

/// The messenger acknowledges this many events, and they are trimmed.
fn read(upto: u64) -> [Change; 2] {
    [
        Change::FeedAcked { upto: Position(upto) },
        Change::FeedTrimmed { before: Millis(u64::MAX), rows_max: u32::try_from(upto).unwrap() },
    ]
}

fn known(world: &World, reference: &PduRef) -> Option<PduStatus> {
    at_once(world.store.look_up(&room("c"), vec![], vec![reference.clone()])).unwrap().remove(reference)
}

/// Returns the PDUs that a walk finds, page by page.
async fn old(world: &World, before: u64, limit: u32) -> Vec<(i64, String)> {
    let (mut found, mut at) = (Vec::new(), None);
    loop {
        let OldPage { pdus, next } = world.store.old(Millis(before), at, limit, u64::MAX).await.unwrap();
        assert!(pdus.len() <= limit as usize);
        found.extend(pdus.into_iter().map(|pdu| (pdu.position, pdu.reference.id.to_string())));
        let Some(next) = next else { return found };
        at = Some(next);
    }
}

fn sound(disk: &FaultyDisk) {
    let verified = store::verify_backend(FaultyDisk::with(disk.survivors(SurvivingBytes::Written))).unwrap();
    assert_eq!(verified.findings, []);
}

#[tokio::test(start_paused = true)]
async fn pruned_pdu_keeps_name_and_depth() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let c = room("c");
    let [a, b, d] = ["a", "b", "d"].map(theirs);
    world.commit(vec![heard(&c, &a, &[], 1), heard(&c, &b, std::slice::from_ref(&a), 2)]).await;
    world.commit(vec![heard(&c, &d, std::slice::from_ref(&b), 3), context_moved(&c, 4)]).await;
    world.commit(read(3).into()).await;
    let before = world.store.counters();
    world.commit(vec![forgotten(&c, &[(1, a.clone()), (2, b.clone())], 1)]).await;
    assert_eq!(world.store.counters().rows_trimmed - before.rows_trimmed, 4, "two texts and two timeline rows");

    let check = async |world: &World| {
        assert_eq!(known(world, &b), Some(PduStatus::Delivered { context: c.clone(), depth: 102, history: false }));
        assert_eq!((world.store.pdu(&a).await.unwrap(), world.store.pdu(&b).await.unwrap()), (None, None));
        let found = world.store.backfill(&c, &red(), vec![b.clone(), d.clone()], 9, u64::MAX).await.unwrap();
        assert_eq!(found.len(), 1, "a pruned PDU is not returned, and the walk ends there");
        let page = world.store.timeline(&c, None, 9, u64::MAX).await.unwrap();
        let page: Vec<_> = page.into_iter().map(|(at, pdu)| (at, pdu.reference, pdu.shown.gap)).collect();
        assert_eq!(page, [(3, d.clone(), vec![b.clone()])], "the reader learns where history ends");
        assert_eq!(world.store.stats().await.unwrap().forgotten(), 2);
    };
    check(&world).await;
    // No part of it is stored a second time, and it is pruned once.
    let before = world.store.counters();
    world.commit(vec![heard(&c, &b, &[], 4), forgotten(&c, &[(1, a.clone()), (2, b.clone())], 1)]).await;
    assert_eq!(world.store.counters().rows_trimmed, before.rows_trimmed);
    check(&world).await;
    let copy = FaultyDisk::new();
    world.store.backup_into(copy.clone(), |_| {}).await.unwrap();
    world.store.close().await;
    for disk in [disk, copy] {
        sound(&disk);
        check(&World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Written)))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn mismatched_prune_change_is_skipped() {
    let world = World::new();
    let (c, e) = (room("c"), room("e"));
    world.clock.set(5);
    world.commit(vec![heard(&c, &theirs("a"), &[], 1), waits(&c, &theirs("w"), &[theirs("x")])]).await;
    let a = |position| [(position, theirs("a"))];
    let changes = vec![
        forgotten(&c, &a(2), 9),
        forgotten(&e, &a(1), 9),
        forgotten(&c, &a(1), 5),
        forgotten(&c, &[(1, theirs("w")), (2, theirs("w")), (3, theirs("never"))], 9),
    ];
    world.commit(changes).await;
    assert!(
        world.store.pdu(&theirs("a")).await.unwrap().is_some()
            && world.store.pdu(&theirs("w")).await.unwrap().is_some()
    );
    assert_eq!(world.store.counters().rows_trimmed, 0);
    world.commit(vec![forgotten(&c, &a(1), 6), context_moved(&c, 2)]).await;
    assert!(world.store.pdu(&theirs("a")).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn retention_scan_skips_heads() {
    let world = World::new();
    let (c, e) = (room("c"), room("e"));
    world.clock.set(10);
    let news = (1..=3).map(|n| heard(&c, &theirs(&format!("n{n}")), &[], n));
    world.commit(news.chain([heard(&e, &theirs("e"), &[], 1), context_moved(&e, 2)]).collect()).await;
    world.clock.set(20);
    // Two batches of history; the second one holds earlier PDUs.
    let batch = |names: [(&str, i64); 2]| names.map(|(name, position)| heard(&c, &theirs(name), &[], position));
    world.commit(batch([("h1", -1), ("h2", 0)]).into()).await;
    world.clock.set(30);
    world.commit(batch([("g1", -3), ("g2", -2)]).into()).await;
    world.clock.set(40);
    let mut with_ends = record(&c, 5);
    with_ends.heads.push(Head::of(theirs("n2"), 0, None));
    let further =
        Change::OverflowHeadsChanged { context: c.clone(), added: vec![Head::of(theirs("h1"), 0, None)], gone: vec![] };
    world
        .commit(vec![heard(&c, &theirs("n4"), &[], 4), Change::ContextRecordUpdated(Box::new(with_ends)), further])
        .await;

    let named = |pdus: &[(i64, &str)]| pdus.iter().map(|(at, id)| (*at, (*id).to_owned())).collect::<Vec<_>>();
    for limit in [1, 2, 100] {
        assert_eq!(old(&world, 10, limit).await, named(&[]));
        assert_eq!(old(&world, 11, limit).await, named(&[(1, "n1"), (3, "n3"), (1, "e")]), "{limit}");
        assert_eq!(old(&world, 21, limit).await, named(&[(1, "n1"), (3, "n3"), (0, "h2"), (1, "e")]), "{limit}");
        let all = named(&[(1, "n1"), (3, "n3"), (4, "n4"), (0, "h2"), (-2, "g2"), (-3, "g1"), (1, "e")]);
        assert_eq!(old(&world, 99, limit).await, all, "{limit}");
    }
    let page = world.store.old(Millis(99), None, 100, 1).await.unwrap();
    assert_eq!((page.pdus.len(), page.next), (1, Some(RetentionCursor { context: c, walked: RetentionStep::News(1) })));
}

#[tokio::test(start_paused = true)]
async fn feed_and_queues_pin_pdus() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let c = room("c");
    let pinned = async |world: &World, before| world.store.pinned(Millis(before)).await.unwrap();
    let names = |named: std::collections::HashSet<PduRef>| {
        let mut names: Vec<_> = named.into_iter().map(|reference| reference.id.to_string()).collect();
        names.sort();
        names
    };
    world.clock.set(10);
    world.commit(said(&c, &ours("m1"), &[red(), green()], 1)).await;
    world.clock.set(20);
    world.commit(said(&c, &ours("m2"), &[red()], 2)).await;
    world.commit(vec![heard(&c, &theirs("a"), &[], 3)]).await;
    world.clock.set(30);
    world.commit(said(&c, &ours("m3"), &[red()], 4)).await;
    world.commit(vec![heard(&c, &theirs("b"), &[], 5), context_moved(&c, 6)]).await;

    let all = pinned(&world, 99).await;
    assert_eq!((all.before, all.ours_before), (Millis(20), Millis(20)), "the oldest row of the feed sets the limit");
    assert_eq!(names(all.named), ["m1"], "younger rows are not examined");
    world.commit(read(1).into()).await;
    let all = pinned(&world, 99).await;
    assert_eq!((all.before, names(all.named)), (Millis(30), vec!["m1".to_owned(), "m2".to_owned()]));
    world.commit(read(2).into()).await;
    assert_eq!(pinned(&world, 99).await.before, Millis(99), "an empty feed pins nothing");
    // Red has acknowledged all and refuses the second for good; green has not acknowledged the first.
    world.commit(vec![refused(red(), 2, 9), moved(red(), 3, 1), trimmed(4)]).await;
    assert_eq!(names(pinned(&world, 99).await.named), ["m1", "m2"]);

    // The requeued item is at the end of its queue, and the PDU counts as delivered now.
    world.clock.set(40);
    world.commit(vec![Change::DeadLetterRequeued { server: red(), index: Index(2) }]).await;
    let all = pinned(&world, 35).await;
    assert_eq!(names(all.named), ["m1"], "the second PDU counts as delivered at the time of its new row");
    let old: Vec<_> = old(&world, 35, 9).await.into_iter().map(|(_, id)| id).collect();
    assert_eq!(old, ["m1"], "a walk ends at the requeued PDU until that is old itself");
    world.commit(vec![forgotten(&c, &[(2, ours("m2"))], 35)]).await;
    assert_eq!(world.outbox(&red()).await.len(), 1);
    world.store.close().await;
    sound(&disk);
}

#[tokio::test(start_paused = true)]
async fn pruned_pdu_is_not_requeued() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let c = room("c");
    let mut changes = said(&c, &ours("m1"), &[], 1);
    if let Some(Change::Submitted(submission)) = changes.last_mut() {
        submission.left_out = vec![red()];
    }
    world.commit(changes).await;
    world.clock.set(10);
    world.commit(said(&c, &ours("m2"), &[], 2)).await;
    world.commit(vec![context_moved(&c, 3), forgotten(&c, &[(1, ours("m1"))], 10)]).await;
    assert!(world.store.pdu(&ours("m1")).await.unwrap().is_none());
    world.commit(vec![Change::SkippedRecipientQueued { server: red(), submission: id("m1") }]).await;
    assert_eq!(world.outbox(&red()).await, []);
    world.store.close().await;
    sound(&disk);
}

#[tokio::test(start_paused = true)]
async fn clock_rewind_never_ages_rows() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let c = room("c");
    world.clock.set(1_000_000);
    world.commit(said(&c, &ours("m1"), &[red()], 1)).await;
    world.commit(vec![heard(&c, &theirs("a"), &[], 2)]).await;
    world.clock.set(5);
    world.commit(said(&c, &ours("m2"), &[red()], 3)).await;
    world.commit(vec![heard(&c, &theirs("b"), &[], 4), context_moved(&c, 5)]).await;
    assert_eq!(old(&world, 1_000_000, 9).await, [], "the delivery time never goes back");
    world.store.close().await;
    drop(world);

    // The same if the clock is set back while the store is closed; the next delivery time is ahead of all earlier ones.
    let world = World::later(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)), 1);
    world.commit(said(&c, &ours("m3"), &[red()], 5)).await;
    world.commit(vec![heard(&c, &theirs("d"), &[], 6), context_moved(&c, 7)]).await;
    for before in [1_000_000, 1_000_001] {
        let pinned = world.store.pinned(Millis(before)).await.unwrap();
        let goes = old(&world, pinned.before.0, 9).await;
        assert!(goes.is_empty(), "the feed still names all of them: {goes:?}");
    }
    world.commit(read(3).into()).await;
    let pinned = world.store.pinned(Millis(1_000_001)).await.unwrap();
    let goes: Vec<_> = old(&world, 1_000_001, 9).await.into_iter().map(|(_, id)| id).collect();
    assert_eq!(goes, ["m1", "a", "m2", "b"]);
    assert!([ours("m1"), ours("m2"), ours("m3")].iter().all(|m| pinned.named.contains(m)), "{pinned:?}");
}

/// The time of a row that names no PDU is the clock's, which may be ahead of the rows after it in the feed or a queue.
#[tokio::test(start_paused = true)]
async fn future_timestamps_never_unpin_pdus() {
    let world = World::new();
    let c = room("c");
    world.clock.set(1_000_000);
    world.commit(vec![notice("first"), submitted("first", &[red()], 1)]).await;
    world.clock.set(5);
    world.commit(said(&c, &ours("m"), &[red()], 1)).await;
    world.commit(vec![heard(&c, &theirs("a"), &[], 2), context_moved(&c, 3)]).await;
    for before in [6, 1_000_000, 1_000_001] {
        let pinned = world.store.pinned(Millis(before)).await.unwrap();
        let goes = old(&world, pinned.before.0, 9).await;
        let goes: Vec<_> = goes.into_iter().filter(|(_, id)| !pinned.named.contains(&ours(id))).collect();
        assert_eq!(goes, [], "{before}");
    }
    world.commit(read(2).into()).await;
    let pinned = world.store.pinned(Millis(1_000_001)).await.unwrap();
    assert_eq!((pinned.before, pinned.named.len()), (Millis(1_000_001), 1), "the queue pins one PDU");
    assert_eq!(old(&world, 1_000_001, 9).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn unscanned_queue_pins_younger_pdus() {
    let world = World::new();
    let c = room("c");
    for n in 0..11 {
        world.clock.set(n + 1);
        let many = (0..1_000).flat_map(|m| said(&c, &ours(&format!("{n}.{m}")), &[red()], 1_000 * n + m + 1));
        world.commit(many.collect()).await;
    }
    let pinned = world.store.pinned(Millis(99)).await.unwrap();
    assert_eq!((pinned.before, pinned.ours_before), (Millis(99), Millis(11)));
    assert_eq!(pinned.named.len(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn verify_finds_references_to_pruned() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let c = room("c");
    let mut changes = said(&c, &ours("m"), &[red()], 1);
    let mut with_end = record(&c, 3);
    with_end.heads.push(Head::of(theirs("a"), 0, None));
    changes.extend([heard(&c, &theirs("a"), &[], 2), Change::ContextRecordUpdated(Box::new(with_end))]);
    world.commit(changes).await;
    sound(&disk);
    // The retention job would never select these PDUs.
    world.commit(vec![forgotten(&c, &[(1, ours("m")), (2, theirs("a"))], 1)]).await;
    world.store.close().await;
    let verified = store::verify_backend(FaultyDisk::with(disk.survivors(SurvivingBytes::Written))).unwrap();
    let told: Vec<_> = verified.findings.iter().map(|finding| (finding.table, finding.what.as_str())).collect();
    let amiss = [
        ("outbox", "row 1 of red.example names blue.example/m, which is pruned"),
        ("feed", "the event at 1 shows red.example/a, which is pruned"),
        ("contexts", "red.example/a, a head of c, is pruned"),
    ];
    assert_eq!(told, amiss);
}

fn name(n: u64) -> String {
    format!("p{n:02}")
}

/// Red sends a PDU and we compose one; those of two batches before are pruned once the feed and the queue no longer name
/// them.
pub(crate) fn batch(n: u64) -> Vec<Change> {
    let here = room("here");
    let prev: Vec<_> = (n > 1).then(|| theirs(&name(n - 1))).into_iter().collect();
    let mut changes = vec![heard(&here, &theirs(&name(n)), &prev, 2 * n - 1)];
    changes.extend(said(&here, &ours(&name(n)), &[red()], 2 * n));
    changes.extend([context_moved(&here, 2 * n + 1), moved(red(), n - 1, n + 1), trimmed(n - 1)]);
    changes.extend(read(n - 1));
    if let Some(old) = n.checked_sub(2).filter(|old| *old > 0) {
        let place = |at: u64| i64::try_from(at).unwrap();
        let pdus = [(place(2 * old - 1), theirs(&name(old))), (place(2 * old), ours(&name(old)))];
        changes.push(forgotten(&here, &pdus, u64::MAX));
    }
    changes
}

pub(crate) async fn surviving(world: &World, context: &str) -> u64 {
    let count = world.store.feed_bounds().borrow().tail.0;
    let load = world.store.peer(&red()).await.unwrap();
    assert_eq!(load.tail.0, count, "{context}");
    let here = room("here");
    for n in 1..=BATCHES + 1 {
        for (reference, position) in [(theirs(&name(n)), 2 * n - 1), (ours(&name(n)), 2 * n)] {
            let is_known = known(world, &reference);
            let wanted = PduStatus::Delivered { context: here.clone(), depth: 100 + position, history: false };
            assert_eq!(is_known, (n <= count).then_some(wanted), "{context}: {reference} after {count}");
            let has_text = world.store.pdu(&reference).await.unwrap().is_some();
            assert_eq!(has_text, n <= count && n + 2 > count, "{context}: {reference} after {count}");
        }
    }
    let timeline = world.store.timeline(&here, None, 100, u64::MAX).await.unwrap();
    let first = 2 * count.saturating_sub(2) + 1;
    let places = timeline.iter().rev().map(|(position, _)| u64::try_from(*position).unwrap());
    assert!(places.eq(first..=2 * count), "{context}: {timeline:?}");
    assert_eq!(world.store.stats().await.unwrap().forgotten(), 2 * count.saturating_sub(2), "{context}");
    // The newest acknowledged row is not trimmed.
    assert_eq!(world.outbox(&red()).await.len() as u64, count.min(2), "{context}");
    assert_eq!(world.feed().await.len() as u64, count.min(1), "{context}");
    count
}
