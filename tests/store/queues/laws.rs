//! The journal's laws, and the guarantees of groups.

use std::time::Duration;

use actors::model::{FeedItem, Index, Position};
use actors::ports::{CommitPriority, FeedBounds, FeedReader, Fence, Journal, JournalStopped, PeerReader};
use fernpost::store::BlockingExecutor;
use fixtures::disk::FaultyDisk;
use tokio::time::Instant;

use crate::fixtures::world::{World, green, moved, notice, red, submitted, update};

#[tokio::test(start_paused = true)]
async fn submit_order_is_commit_order() {
    let world = World::new();
    // There is no await in between: the order is that of the calls, whatever the priority.
    let tickets: Vec<_> =
        (1..=9).map(|n| if n % 3 == 0 { world.submit(vec![update(n)]) } else { world.ride(vec![update(n)]) }).collect();
    for ticket in tickets {
        ticket.committed().await.unwrap();
    }
    let feed = world.feed().await;
    let order: Vec<_> = feed.iter().map(|(position, item)| (*position, numbered(item))).collect();
    assert_eq!(order, (1..=9).map(|n| (n, n)).collect::<Vec<_>>());
}

fn numbered(item: &FeedItem) -> u64 {
    match item {
        FeedItem::Update { n, .. } => *n,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn barrier_resolves_without_own_commit() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    world.store.barrier().committed().await.unwrap();
    assert_eq!(world.store.counters().commits, 0);

    let hold = disk.hold();
    let batch = tokio::spawn(world.submit(vec![notice("slow")]).committed());
    hold.reached().await;
    // The queue is empty now, but its last group is not on disk.
    let barrier = tokio::spawn(world.store.barrier().committed());
    tokio::task::yield_now().await;
    assert!(!barrier.is_finished(), "answered before the sync");
    drop(hold);
    barrier.await.unwrap().unwrap();
    assert!(batch.is_finished());
    assert_eq!(world.store.counters().commits, 1);
}

#[tokio::test(start_paused = true)]
async fn load_after_barrier_sees_batches() {
    let world = World::new();
    drop(world.submit(vec![submitted("a", &[red()], 3)]));
    drop(world.ride(vec![moved(red(), 2, 9)]));
    world.store.barrier().committed().await.unwrap();
    let load = world.store.peer(&red()).await.unwrap();
    assert_eq!((load.tail, load.record.unwrap().outbound.acked), (Index(3), Index(2)));
}

#[tokio::test(start_paused = true)]
async fn deferred_batch_joins_next_commit() {
    let world = World::new();
    let started = Instant::now();
    let rider = world.ride(vec![notice("rides")]);
    world.commit(vec![notice("now")]).await;
    rider.committed().await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(world.store.counters().commits, 1);
}

#[tokio::test(start_paused = true)]
async fn lone_deferred_batch_commits_after_100ms() {
    let world = World::new();
    let started = Instant::now();
    let first = world.ride(vec![notice("1")]);
    tokio::time::sleep(Duration::from_millis(60)).await;
    let second = world.ride(vec![notice("2")]);
    first.committed().await.unwrap();
    second.committed().await.unwrap();
    let waited = started.elapsed().as_millis();
    assert!((100..=102).contains(&waited), "{waited} ms");
    assert_eq!(world.store.counters().commits, 1);
}

#[tokio::test(start_paused = true)]
async fn full_deferred_group_commits_immediately() {
    let world = World::with(|options| options.group_max = 4);
    let started = Instant::now();
    let tickets: Vec<_> = (1..=5).map(|n| world.ride(vec![update(n)])).collect();
    let mut tickets = tickets.into_iter();
    tickets.next().unwrap().committed().await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn close_commits_deferred_rejects_new() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let rider = world.ride(vec![notice("last")]);
    world.store.close().await;
    rider.committed().await.unwrap();
    assert_eq!(world.submit(vec![notice("late")]).committed().await, Err(JournalStopped));
    assert_eq!(world.feed().await.len(), 1);
}

/// A store with threads of its own commits on one that waits for the queue itself, in real time.
#[tokio::test]
async fn commit_thread_keeps_the_laws() {
    let world = World::with(|options| options.lane = BlockingExecutor::own().unwrap());
    world.ride(vec![notice("alone")]).committed().await.unwrap();
    let rider = world.ride(vec![notice("rides")]);
    world.commit(vec![notice("now")]).await;
    rider.committed().await.unwrap();
    let last = world.ride(vec![notice("last")]);
    world.store.close().await;
    last.committed().await.unwrap();
    assert_eq!(world.submit(vec![notice("late")]).committed().await, Err(JournalStopped));
    assert_eq!(world.feed().await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn batches_during_commit_form_one_group() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let hold = disk.hold();
    let first = world.submit(vec![notice("first")]);
    hold.reached().await;
    let rest: Vec<_> = (0..40).map(|n| world.submit(vec![submitted(&format!("s{n}"), &[red()], 2)])).collect();
    assert_eq!(world.store.pressure().rows, 40 * 5);
    drop(hold);
    first.committed().await.unwrap();
    for ticket in rest {
        ticket.committed().await.unwrap();
    }
    assert_eq!(world.store.counters().commits, 2);
    assert_eq!(world.store.pressure().rows, 0);
    assert_eq!(world.outbox(&red()).await.len(), 80);
}

#[tokio::test(start_paused = true)]
async fn commit_group_never_splits_batch() {
    let disk = FaultyDisk::new();
    let world = World::open(&disk, |options| {
        options.group_max = 3;
        options.group_rows = 10;
    });
    let world = world.unwrap();
    let hold = disk.hold();
    let first = world.submit(vec![notice("first")]);
    hold.reached().await;
    let large = world.submit((1..=25).map(update).collect());
    let small: Vec<_> = (0..6).map(|_| world.submit(vec![notice("small")])).collect();
    drop(hold);
    first.committed().await.unwrap();
    large.committed().await.unwrap();
    for ticket in small {
        ticket.committed().await.unwrap();
    }
    assert_eq!(world.store.counters().commits, 1 + 1 + 2);
}

#[tokio::test(start_paused = true)]
async fn stale_fence_rejects_only_its_batch() {
    let world = World::new();
    let stale = Fence { epoch: world.fence().epoch - 1, ..world.fence() };
    let before = world.submit(vec![notice("before")]);
    let refused = world.store.submit(stale, vec![notice("stale")], CommitPriority::Now);
    let after = world.submit(vec![notice("after")]);
    before.committed().await.unwrap();
    assert_eq!(refused.committed().await, Err(JournalStopped));
    after.committed().await.unwrap();
    assert_eq!(world.feed().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn feed_bounds_follow_each_commit() {
    use actors::change::Change::FeedAcked;
    let world = World::new();
    let mut bounds = world.store.feed_bounds();
    let bound = |tail, acked| FeedBounds { tail: Position(tail), acked: Position(acked), skipped: 0 };
    assert_eq!(*bounds.borrow_and_update(), bound(0, 0));
    world.commit(vec![notice("1"), notice("2")]).await;
    assert_eq!(*bounds.wait_for(|now| now.tail.0 == 2).await.unwrap(), bound(2, 0));
    world.commit(vec![FeedAcked { upto: Position(2) }]).await;
    assert_eq!(*bounds.wait_for(|now| now.acked.0 == 2).await.unwrap(), bound(2, 2));
    // The cursor moves neither back nor beyond the newest event.
    world.commit(vec![FeedAcked { upto: Position(1) }, FeedAcked { upto: Position(9) }, notice("3")]).await;
    assert_eq!(*bounds.wait_for(|now| now.tail.0 == 3).await.unwrap(), bound(3, 2));
}

#[tokio::test(start_paused = true)]
async fn commit_notifies_each_peer_once() {
    let world = World::new();
    world.commit(vec![submitted("a", &[red(), green()], 2), submitted("b", &[red()], 1)]).await;
    let woken = world.woken().await;
    let told: Vec<_> = woken.iter().map(|news| (news.server.clone(), news.tail.0, news.rows.len())).collect();
    assert_eq!(told, [(green(), 2, 2), (red(), 3, 3)]);
    assert_eq!(woken[0].rows[1].item.bytes().as_ptr(), woken[1].rows[1].item.bytes().as_ptr());
}

#[tokio::test(start_paused = true)]
async fn handoff_bytes_are_bounded() {
    // An update is 14 bytes long.
    let world = World::with(|options| options.recent = 30);
    world.commit(vec![submitted("a", &[red()], 2)]).await;
    let first = world.woken().await;
    assert_eq!(first[0].rows.len(), 2);
    world.commit(vec![submitted("b", &[red()], 1)]).await;
    let second = world.woken().await;
    assert_eq!((second[0].tail, second[0].rows.len(), second[0].held.is_some()), (Index(3), 0, false));
    drop(first);
    world.commit(vec![submitted("c", &[red()], 1)]).await;
    assert_eq!(world.woken().await[0].rows.len(), 1);
}
