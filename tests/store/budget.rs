//! Rows written and read for a message: counted, so that no machine's noise moves the verdict.

use actors::change::Change;
use actors::model::{Index, Millis, Position};
use actors::ports::{Archive, FeedPage};
use fernpost::store::Counts;

use crate::disk::Disk;
use crate::world::{World, moved, red, submitted, taken, update};

const PUSHES: u64 = 20;

/// Rows for each message, and the commits in all.
fn per_message(world: &World, before: Counts, messages: u64) -> (f64, f64, u64) {
    let now = world.store.counters();
    let rate = |after: u64, before: u64| (after - before) as f64 / messages as f64;
    (rate(now.rows_written, before.rows_written), rate(now.rows_read, before.rows_read), now.commits - before.commits)
}

async fn send(batch: u64) -> (f64, f64, u64) {
    let world = World::new();
    let before = world.store.counters();
    for push in 0..PUSHES {
        // All but the last ride, so that the writer cannot take a part of them as a group of its own.
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
        world.commit(vec![moved(red(), acked, 1), trimmed]).await;
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
async fn a_sent_message_keeps_to_its_budget_of_rows() {
    let (written, read, commits) = send(50).await;
    println!("sender at 50: {written:.3} written, {read:.3} read, {commits} commits");
    assert!(written <= 4.2 && read <= 0.1, "{written} written, {read} read");
    // Fifty submissions that lie in the queue together are one group; the answer to the push is another.
    assert_eq!(commits, 2 * PUSHES);
    let (written, read, commits) = send(1).await;
    println!("sender at 1: {written:.3} written, {read:.3} read, {commits} commits");
    assert!(written <= 4.2 && read <= 0.1, "{written} written, {read} read");
}

#[tokio::test(start_paused = true)]
async fn a_received_message_keeps_to_its_budget_of_rows() {
    let (written, read, commits) = receive(50).await;
    println!("receiver at 50: {written:.3} written, {read:.3} read, {commits} commits");
    assert!(written <= 3.2 && read <= 1.1, "{written} written, {read} read");
    // Acknowledgements of the feed ride with the next push; the last one went at the end.
    assert_eq!(commits, PUSHES + 1);
    let (written, read, commits) = receive(1).await;
    println!("receiver at 1: {written:.3} written, {read:.3} read, {commits} commits");
}

#[tokio::test(start_paused = true)]
async fn a_group_waits_for_the_disk_once_and_with_quick_repair_twice() {
    for (quick_repair, syncs) in [(false, 1), (true, 2)] {
        let disk = Disk::new();
        let world = World::open(&disk, |options| options.quick_repair = quick_repair).unwrap();
        let (before, commits) = (disk.syncs(), world.store.counters().commits);
        for n in 0..10 {
            world.commit(vec![submitted(&format!("s{n}"), &[red()], 50)]).await;
        }
        assert_eq!(world.store.counters().commits - commits, 10);
        assert_eq!(disk.syncs() - before, 10 * syncs, "quick repair {quick_repair}");
    }
}
