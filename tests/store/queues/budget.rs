//! Rows written and read per message: they are counted, so the result does not depend on the load of the machine.

use actors::change::Change;
use actors::model::{Attempt, DELIVERED_SPANS_IN_ROW, DeliveredSpan, Index, Millis, Position};
use actors::ports::{ContextReader, FeedPage, FeedReader};
use fernpost::store::RowCounts;
use fixtures::disk::FaultyDisk;

use crate::fixtures::talk::{context_moved, heard, ours, room, said, seen, theirs};
use crate::fixtures::world::{World, moved, red, submitted, taken, update};

const PUSHES: u64 = 32;

/// Returns the row of deliveries that a peer's actor writes after this push, if one is due: one row holds many pushes.
fn delivered(push: u64, batch: u64) -> Option<Change> {
    let in_row = DELIVERED_SPANS_IN_ROW as u64;
    let span = |push: u64| {
        let (first, last) = (Index(push * batch + 1), Index((push + 1) * batch));
        DeliveredSpan { time: Millis(push), first, last, blind: false }
    };
    let spans = (push + 1).is_multiple_of(in_row).then(|| (push + 1 - in_row..=push).map(span).collect());
    spans.map(|spans| Change::Delivered { server: red(), spans })
}

/// Returns the rows per message, and the number of commits in total.
fn per_message(world: &World, before: RowCounts, messages: u64) -> (f64, f64, u64) {
    let now = world.store.counters();
    let rate = |after: u64, before: u64| (after - before) as f64 / messages as f64;
    (rate(now.rows_written, before.rows_written), rate(now.rows_read, before.rows_read), now.commits - before.commits)
}

async fn send(batch: u64) -> (f64, f64, u64) {
    let world = World::new();
    let before = world.store.counters();
    for push in 0..PUSHES {
        // All but the last are deferred, so that the writer does not commit a part of them as a group of its own.
        for n in 1..batch {
            drop(world.ride(vec![submitted(&format!("m{push}-{n}"), &[red()], 1)]));
        }
        world.commit(vec![submitted(&format!("m{push}-0"), &[red()], 1)]).await;
        let acked = (push + 1) * batch;
        let trimmed = Change::OutboxTrimmed {
            server: red(),
            upto: Index(acked),
            keep_items: 10,
            queued_before: Millis(0),
            rows_max: 1_000,
        };
        world.commit([moved(red(), acked, 1), trimmed].into_iter().chain(delivered(push, batch)).collect()).await;
    }
    assert!(world.store.counters().rows_trimmed > 0);
    per_message(&world, before, PUSHES * batch)
}

async fn receive(batch: u64) -> (f64, f64, u64) {
    let world = World::new();
    let before = world.store.counters();
    for push in 0..PUSHES {
        let first = push * batch + 1;
        let end = first + batch;
        let mut changes: Vec<_> = (first..end).map(update).collect();
        changes.push(taken(first, end, end.saturating_sub(1_024)));
        changes.push(moved(red(), 0, end));
        world.commit(changes).await;
        let page = world.store.feed_after(Position(first - 1), 1_000, u64::MAX).await.unwrap();
        assert!(matches!(page, FeedPage::Entries(entries) if entries.len() as u64 == batch));
        drop(world.ride(vec![Change::FeedAcked { upto: Position(end - 1) }]));
    }
    world.store.close().await;
    per_message(&world, before, PUSHES * batch)
}

#[tokio::test(start_paused = true)]
async fn sent_update_stays_within_row_budget() {
    let (written, read, commits) = send(50).await;
    println!("sender at 50: {written:.3} written, {read:.3} read, {commits} commits");
    assert!(written <= 4.2 && read <= 0.1, "{written} written, {read} read");
    // Fifty submissions that are queued together are one group; the response to the push is another.
    assert_eq!(commits, 2 * PUSHES);
    let (written, read, commits) = send(1).await;
    println!("sender at 1: {written:.3} written, {read:.3} read, {commits} commits");
    assert!(written <= 4.2 && read <= 0.1, "{written} written, {read} read");
}

/// Beside the peer's record, which a failure rewrites, an attempt writes one row and at the limit removes one.
#[tokio::test(start_paused = true)]
async fn a_failed_attempt_costs_one_row() {
    let world = World::new();
    let failed = |n: u64| {
        let attempt =
            Attempt { time: Millis(n), first: Index(1), last: Index(50), result: "no route".to_owned(), code: None };
        vec![moved(red(), 0, 1), Change::AttemptFailed { server: red(), attempt, keep: 20 }]
    };
    world.commit(failed(0)).await;
    let before = world.store.counters();
    for n in 1..=100 {
        world.commit(failed(n)).await;
    }
    let (written, read, commits) = per_message(&world, before, 100);
    let gone = world.store.counters().rows_trimmed - before.rows_trimmed;
    assert_eq!((written, read, commits, gone), (2.0, 0.0, 100, 81));
}

#[tokio::test(start_paused = true)]
async fn received_update_stays_within_row_budget() {
    let (written, read, commits) = receive(50).await;
    println!("receiver at 50: {written:.3} written, {read:.3} read, {commits} commits");
    assert!(written <= 3.2 && read <= 1.1, "{written} written, {read} read");
    // Acknowledgements of the feed are deferred until the next push; the last one was committed at the end.
    assert_eq!(commits, PUSHES + 1);
    let (written, read, commits) = receive(1).await;
    println!("receiver at 1: {written:.3} written, {read:.3} read, {commits} commits");
}

/// Messages of ours to one peer: as [`send`], but PDUs.
async fn say(batch: u64) -> (f64, f64, u64) {
    let world = World::new();
    let before = world.store.counters();
    for push in 0..PUSHES {
        let compose = |n: u64| {
            let position = push * batch + n;
            let mut changes = said(&room("c"), &ours(&format!("m{position:05}")), &[red()], position);
            changes.push(context_moved(&room("c"), position + 1));
            changes
        };
        for n in 1..batch {
            drop(world.ride(compose(n)));
        }
        world.commit(compose(batch)).await;
        let acked = (push + 1) * batch;
        let trimmed = Change::OutboxTrimmed {
            server: red(),
            upto: Index(acked),
            keep_items: 10,
            queued_before: Millis(0),
            rows_max: 1_000,
        };
        world.commit([moved(red(), acked, 1), trimmed].into_iter().chain(delivered(push, batch)).collect()).await;
    }
    assert!(world.store.counters().rows_trimmed > 0);
    per_message(&world, before, PUSHES * batch)
}

/// PDUs of a peer, accepted and delivered at once. Each names a parent that is only on disk, which is the most expensive
/// case.
async fn hear(batch: u64) -> (f64, f64, u64) {
    let world = World::new();
    let name = |position: u64| theirs(&format!("m{position:05}"));
    let first_parents: Vec<_> = (1..=batch).map(|n| heard(&room("c"), &name(n), &[], n)).collect();
    world.commit(first_parents).await;
    let before = world.store.counters();
    for push in 1..=PUSHES {
        let positions = push * batch + 1..(push + 1) * batch + 1;
        let arriving: Vec<_> = positions.clone().map(name).collect();
        let parents: Vec<_> = positions.clone().map(|position| name(position - batch)).collect();
        let known = world.store.look_up(&room("c"), arriving.clone(), parents.clone()).await.unwrap();
        assert_eq!(known.len() as u64, batch);
        let pdus = arriving.iter().zip(&parents).zip(positions.clone());
        let pdus =
            pdus.map(|((name, parent), position)| heard(&room("c"), name, std::slice::from_ref(parent), position));
        // The context submits its changes first, the peer's actor commits after it.
        drop(world.ride(pdus.chain([context_moved(&room("c"), positions.end)]).collect()));
        drop(world.ride(vec![Change::FeedAcked { upto: Position(positions.start - 1) }]));
        world.commit(vec![seen(push, 5), moved(red(), 0, 1)]).await;
    }
    per_message(&world, before, PUSHES * batch)
}

#[tokio::test(start_paused = true)]
async fn sent_message_stays_within_row_budget() {
    let (written, read, commits) = say(50).await;
    println!("sender of messages at 50: {written:.3} written, {read:.3} read, {commits} commits");
    assert!(written <= 4.2 && read <= 0.1, "{written} written, {read} read");
    assert_eq!(commits, 2 * PUSHES);
    let (written, read, commits) = say(1).await;
    println!("sender of messages at 1: {written:.3} written, {read:.3} read, {commits} commits");
    // Per message: the PDU, its timeline row, the outbox, the submission. Per group: the record of the context, and later
    // that of the peer; for the trace one row per sixteen pushes.
    assert_eq!((written, read), (6.0 + 1.0 / 16.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn received_message_stays_within_row_budget() {
    let (written, read, commits) = hear(50).await;
    println!("receiver of messages at 50: {written:.3} written, {read:.3} read, {commits} commits");
    assert!(written <= 3.2 && read <= 1.1, "{written} written, {read} read");
    assert_eq!(commits, PUSHES);
    let (written, read, commits) = hear(1).await;
    println!("receiver of messages at 1: {written:.3} written, {read:.3} read, {commits} commits");
    // Per message: the PDU, its timeline row, the feed. Per group: context, transaction, peer, the feed's cursor.
    assert_eq!((written, read), (7.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn feed_page_reads_expected_rows() {
    let world = World::new();
    world.commit((1..=50).map(|n| heard(&room("c"), &theirs(&n.to_string()), &[], n)).collect()).await;
    world.commit((1..=50).map(update).collect()).await;
    for (after, rows) in [(0, 100), (50, 50)] {
        let before = world.store.counters();
        let page = world.store.feed_after(Position(after), 50, u64::MAX).await.unwrap();
        assert!(matches!(page, FeedPage::Entries(entries) if entries.len() == 50));
        assert_eq!(world.store.counters().rows_read - before.rows_read, rows);
    }
}

#[tokio::test(start_paused = true)]
async fn each_group_syncs_log_once() {
    for quick_repair in [false, true] {
        let disk = FaultyDisk::new();
        let world = World::open(&disk, |options| options.quick_repair = quick_repair).unwrap();
        let (before, commits) = (disk.syncs(), world.store.counters().commits);
        for n in 0..10 {
            world.commit(vec![submitted(&format!("s{n}"), &[red()], 50)]).await;
        }
        assert_eq!(world.store.counters().commits - commits, 10);
        assert_eq!(disk.syncs() - before, 10, "quick repair {quick_repair}");
    }
}
