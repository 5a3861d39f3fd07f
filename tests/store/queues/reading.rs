//! Typed reads: pages, bounds, and errors for missing rows.

use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::model::{Index, Millis, Position};
use actors::ports::{FeedPage, FeedReader, PeerReader, SubmissionReader};
use fernpost::store::BlockingExecutor;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fixtures::world::{World, body, digest, green, id, moved, notice, red, server, submitted, taken};

#[tokio::test(start_paused = true)]
async fn unknown_peer_loads_empty() {
    let load = World::new().store.peer(&red()).await.unwrap();
    assert_eq!((load.record, load.tail, load.digests.len()), (None, Index(0), 0));
}

/// Regression: a thousand peers that were due at once filled the thread pool on which commits run.
#[tokio::test(start_paused = true)]
async fn concurrent_range_reads_are_bounded() {
    let world = World::with(|options| options.lane = BlockingExecutor::Inline(Arc::new(|| Duration::from_secs(1))));
    let (mut reads, began) = (JoinSet::new(), Instant::now());
    for _ in 0..20 {
        reads.spawn(world.store.peer(&red()));
    }
    for read in reads.join_all().await {
        read.unwrap();
    }
    assert_eq!(began.elapsed().as_secs(), 3, "eight, eight and four");
}

#[tokio::test(start_paused = true)]
async fn outboxes_with_common_prefix_stay_separate() {
    let world = World::new();
    let (long, short) = (server("red.example:8448"), red());
    world.commit(vec![submitted("a", from_ref(&short), 1), submitted("b", from_ref(&long), 1)]).await;
    assert_eq!(world.outbox(&short).await, [(1, body("a.0"))]);
    assert_eq!(world.outbox(&long).await, [(1, body("b.0"))]);
}

#[tokio::test(start_paused = true)]
async fn outbox_page_is_bounded_but_nonempty() {
    let world = World::new();
    world.commit(vec![submitted("a", &[red()], 5)]).await;
    let page = async |from, items, bytes| {
        let rows = world.store.outbox_from(&red(), Index(from), items, bytes).await.unwrap();
        rows.iter().map(|row| row.index.0).collect::<Vec<_>>()
    };
    assert_eq!(page(2, 2, 1_000).await, [2, 3]);
    assert_eq!(page(1, 9, 28).await, [1, 2]);
    assert_eq!(page(4, 9, 1).await, [4]);
    assert_eq!(page(6, 9, 1_000).await, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn peers_with_backlog_are_listed() {
    let world = World::new();
    let all = [green(), red(), server("amber.example"), server("violet.example")];
    world.commit(vec![submitted("a", &all, 3), moved(green(), 3, 1), moved(red(), 2, 1)]).await;
    let behind = world.store.peers_with_backlog(vec![]).await.unwrap();
    assert_eq!(behind, [server("amber.example"), red(), server("violet.example")]);
}

#[tokio::test(start_paused = true)]
async fn submission_reads_back_completely() {
    let world = World::new();
    world.commit(vec![submitted("first", &[red()], 1)]).await;
    world.commit(vec![submitted("a", &[red(), green()], 2)]).await;
    let record = world.store.submission(&id("a")).await.unwrap().unwrap();
    assert_eq!(record.queued, [(red(), Index(2)), (green(), Index(1))]);
    assert_eq!(record.items, 2);
    let updates = world.store.submitted_updates(&id("a")).await.unwrap().unwrap();
    assert_eq!(updates, [body("a.0"), body("a.1")]);
    assert_eq!(world.store.submission(&id("b")).await.unwrap(), None);
    assert_eq!(world.store.submitted_updates(&id("b")).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn feed_page_is_bounded_and_contiguous() {
    let world = World::new();
    world.commit((0..6).map(|n| notice(&n.to_string())).collect()).await;
    let page = world.store.feed_after(Position(2), 3, u64::MAX).await.unwrap();
    let FeedPage::Entries(entries) = page else { panic!("{page:?}") };
    assert_eq!(entries.iter().map(|entry| entry.position.0).collect::<Vec<_>>(), [3, 4, 5]);
    for after in [6, 600] {
        let end = world.store.feed_after(Position(after), 3, u64::MAX).await.unwrap();
        assert_eq!(end, FeedPage::Entries(Vec::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn digests_end_below_expected_seq() {
    let world = World::new();
    world.commit(vec![taken(1, 4, 0), taken(4, 5, 0), taken(5, 8, 0), moved(red(), 0, 8)]).await;
    let load = world.store.peer(&red()).await.unwrap();
    assert_eq!(load.digests, (1..8).map(digest).collect::<Vec<_>>());

    let many = (0..30).map(|push| taken(8 + push * 50, 58 + push * 50, 0));
    world.commit(many.chain([moved(red(), 0, 1_508)]).collect()).await;
    let load = world.store.peer(&red()).await.unwrap();
    assert_eq!(load.digests, (484..1_508).map(digest).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn rewound_digests_replace_old_ones() {
    let world = World::new();
    world.commit(vec![taken(1, 51, 0), taken(51, 61, 0), taken(61, 71, 0), moved(red(), 0, 71)]).await;
    // An operator set the number back to 55: the same numbers are used again for other updates.
    let again = |first: u64, end: u64| {
        let digests = (first..end).map(|n| digest(n + 1_000)).collect();
        Change::InboundDigestsStored {
            from: red(),
            first: actors::model::Seq(first),
            digests,
            forget_below: Default::default(),
        }
    };
    world.commit(vec![again(55, 58), again(58, 68), moved(red(), 0, 68)]).await;
    let load = world.store.peer(&red()).await.unwrap();
    let expected: Vec<_> = (1..55).map(digest).chain((1_055..1_068).map(digest)).collect();
    assert_eq!(load.digests, expected);

    // The number is set forward: digests before the gap do not adjoin the next update.
    world.commit(vec![taken(100, 103, 0), moved(red(), 0, 103)]).await;
    let load = world.store.peer(&red()).await.unwrap();
    assert_eq!(load.digests, (100..103).map(digest).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn old_submissions_are_paged() {
    let world = World::new();
    let all: Vec<_> = (0..1_500).map(|n| submitted(&format!("s{n:04}"), &[], 0)).collect();
    world.commit(all).await;
    let first = world.store.submissions_before(Millis(1), None).await.unwrap();
    assert_eq!((first.old.len(), first.next.clone()), (1_000, Some(id("s0999"))));
    let rest = world.store.submissions_before(Millis(1), first.next).await.unwrap();
    assert_eq!((rest.old.len(), rest.old[0].clone(), rest.next), (500, id("s1000"), None));
    let none = world.store.submissions_before(Millis(0), None).await.unwrap();
    assert_eq!((none.old.len(), none.next), (0, None));
}
