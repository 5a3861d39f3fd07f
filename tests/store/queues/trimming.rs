//! Trimming removes the rows that may be removed and keeps all others; no number is ever assigned twice.

use actors::change::Change;
use actors::model::{FeedItem, Index, Millis, Position, ServerName};
use actors::ports::{FeedPage, FeedReader, PeerReader, SubmissionReader};
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::world::{
    World, body, digest, green, id, letter, moved, notice, parked, red, refused, submitted, taken,
};

fn trimmed(server: ServerName, upto: u64, keep_items: u64, queued_before: u64, rows_max: u32) -> Change {
    Change::OutboxTrimmed { server, upto: Index(upto), keep_items, queued_before: Millis(queued_before), rows_max }
}

async fn indexes(world: &World, server: &ServerName) -> Vec<u64> {
    world.outbox(server).await.into_iter().map(|(index, _)| index).collect()
}

#[tokio::test(start_paused = true)]
async fn acknowledged_rows_trim_by_retention() {
    let world = World::new();
    world.clock.set(1_000);
    world.commit(vec![submitted("a", &[red()], 6)]).await;
    world.clock.set(2_000);
    world.commit(vec![submitted("b", &[red()], 6)]).await;
    world.commit(vec![trimmed(red(), 10, 6, 0, 2)]).await;
    assert_eq!(indexes(&world, &red()).await, (3..=12).collect::<Vec<_>>());
    world.commit(vec![trimmed(red(), 10, 6, 0, 100)]).await;
    assert_eq!(indexes(&world, &red()).await, (4..=12).collect::<Vec<_>>());
    world.commit(vec![trimmed(red(), 10, 6, 1_500, 100)]).await;
    assert_eq!(indexes(&world, &red()).await, (7..=12).collect::<Vec<_>>());
    world.commit(vec![trimmed(red(), 10, 0, 9_000, 100)]).await;
    assert_eq!(indexes(&world, &red()).await, [10, 11, 12]);
}

#[tokio::test(start_paused = true)]
async fn shared_item_stays_until_unreferenced() {
    let world = World::new();
    world.commit(vec![submitted("a", &[red(), green()], 3)]).await;
    world.commit(vec![trimmed(red(), 3, 0, 0, 100)]).await;
    assert_eq!(indexes(&world, &green()).await, [1, 2, 3]);
    assert!(world.store.submitted_updates(&id("a")).await.unwrap().is_some(), "green still has all rows");
    let before = world.store.counters();
    world.commit(vec![trimmed(green(), 3, 0, 0, 100)]).await;
    // Two outbox rows and their two items were removed.
    assert_eq!(world.store.counters().rows_trimmed - before.rows_trimmed, 4);
    assert_eq!(world.store.submitted_updates(&id("a")).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn numbering_survives_trim_and_restart() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    world.commit(vec![submitted("a", &[red()], 3), notice("1"), notice("2"), moved(red(), 3, 1)]).await;
    let acked = Change::FeedAcked { upto: Position(2) };
    let feed = Change::FeedTrimmed { before: Millis(u64::MAX), rows_max: 100 };
    // The limit is beyond the newest row: not even that one stays, and only the record still has its number.
    world.commit(vec![trimmed(red(), 4, 0, u64::MAX, 100), acked, feed]).await;
    assert_eq!(indexes(&world, &red()).await, [0; 0]);
    world.store.close().await;

    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    assert_eq!(world.store.peer(&red()).await.unwrap().tail, Index(3));
    world.commit(vec![submitted("b", &[red()], 1), notice("3")]).await;
    assert_eq!(indexes(&world, &red()).await.last(), Some(&4));
    assert_eq!(world.feed().await.first().map(|(position, _)| *position), Some(3));
}

#[tokio::test(start_paused = true)]
async fn reader_behind_feed_learns_oldest() {
    let world = World::new();
    world.commit(vec![notice("1"), notice("2"), notice("3"), notice("4")]).await;
    world.clock.set(10);
    world.commit(vec![Change::FeedAcked { upto: Position(2) }]).await;
    // Unacknowledged rows stay, however old they are.
    world.commit(vec![Change::FeedTrimmed { before: Millis(5), rows_max: 100 }]).await;
    let page = async |after| world.store.feed_after(Position(after), 10, u64::MAX).await.unwrap();
    assert_eq!(page(0).await, FeedPage::Gone { oldest: Position(3) });
    assert_eq!(page(1).await, FeedPage::Gone { oldest: Position(3) });
    assert!(matches!(page(2).await, FeedPage::Entries(entries) if entries.len() == 2));

    world.commit(vec![Change::FeedAcked { upto: Position(4) }]).await;
    world.commit(vec![Change::FeedTrimmed { before: Millis(0), rows_max: 100 }]).await;
    assert!(matches!(page(2).await, FeedPage::Entries(entries) if entries.len() == 2), "young rows stay");
    world.commit(vec![Change::FeedTrimmed { before: Millis(5), rows_max: 1 }]).await;
    assert_eq!(page(2).await, FeedPage::Gone { oldest: Position(4) });
    world.commit(vec![Change::FeedTrimmed { before: Millis(5), rows_max: 1 }]).await;
    assert_eq!(page(3).await, FeedPage::Gone { oldest: Position(5) });
    assert_eq!(page(4).await, FeedPage::Entries(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn digests_trim_by_whole_rows() {
    let world = World::new();
    world.commit(vec![taken(1, 11, 0), taken(11, 21, 0), moved(red(), 0, 21)]).await;
    let kept = async |world: &World| world.store.peer(&red()).await.unwrap().digests;
    world.commit(vec![taken(21, 22, 10), moved(red(), 0, 22)]).await;
    assert_eq!(kept(&world).await, (1..22).map(digest).collect::<Vec<_>>());
    world.commit(vec![taken(22, 23, 11), moved(red(), 0, 23)]).await;
    assert_eq!(kept(&world).await, (11..23).map(digest).collect::<Vec<_>>());
    world.commit(vec![taken(23, 24, 24), moved(red(), 0, 24)]).await;
    assert_eq!(kept(&world).await, []);
}

#[tokio::test(start_paused = true)]
async fn quarantine_keeps_newest_and_notifies() {
    let world = World::new();
    for seq in 1..=5 {
        world.commit(vec![Change::Quarantined { parked: parked(seq), keep: 2 }]).await;
    }
    let feed = world.feed().await;
    assert_eq!(feed.len(), 5);
    assert_eq!(feed[4], (5, FeedItem::Parked(parked(5))));
    assert_eq!(world.store.counters().rows_trimmed, 3);
}

#[tokio::test(start_paused = true)]
async fn dead_letter_keeps_its_item_bytes() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    world.commit(vec![submitted("a", &[red(), green()], 3)]).await;
    world.commit(vec![refused(red(), 2, 2), moved(red(), 2, 1)]).await;
    assert_eq!(indexes(&world, &red()).await, [1, 3]);
    let reasons =
        async |world: &World, first, last| world.store.dead_letters(&red(), Index(first), Index(last)).await.unwrap();
    let two = letter(2);
    assert_eq!(reasons(&world, 1, 3).await, std::slice::from_ref(&two));
    assert_eq!((reasons(&world, 3, 9).await, reasons(&world, 3, 2).await), (vec![], vec![]));
    assert_eq!(world.store.dead_letters(&green(), Index(1), Index(3)).await.unwrap(), []);

    world.commit(vec![trimmed(green(), 4, 0, 0, 100)]).await;
    let kept = world.store.submitted_updates(&id("a")).await.unwrap();
    assert_eq!(
        kept,
        Some(["a.0", "a.1", "a.2"].map(body).into()),
        "a repeat is still recognized by its verdict `parked`"
    );
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    assert_eq!(reasons(&world, 1, 3).await, [two]);
    let before = world.store.counters();
    world.commit(vec![refused(red(), 3, 2), refused(red(), 1, 2), moved(red(), 3, 1)]).await;
    assert_eq!(reasons(&world, 1, 3).await, [2, 3].map(letter));
    // The dead letter was removed, and with it the item to which no other row refers.
    assert_eq!(world.store.counters().rows_trimmed - before.rows_trimmed, 2);
    assert_eq!(world.store.submitted_updates(&id("a")).await.unwrap(), None);
    // The last row was removed, and its index is not assigned again.
    world.commit(vec![submitted("b", &[red()], 1)]).await;
    assert_eq!(indexes(&world, &red()).await, [4]);
}

#[tokio::test(start_paused = true)]
async fn dead_lettering_missing_row_is_skipped() {
    let world = World::new();
    world.commit(vec![submitted("a", &[red()], 1), refused(red(), 7, 2), notice("after")]).await;
    assert_eq!(world.store.dead_letters(&red(), Index(1), Index(9)).await.unwrap(), []);
    assert_eq!((indexes(&world, &red()).await, world.feed().await.len()), (vec![1], 1));
}

#[tokio::test(start_paused = true)]
async fn pruned_submissions_are_gone() {
    let world = World::new();
    world.commit(vec![submitted("a", &[red()], 1), submitted("b", &[red()], 1)]).await;
    world.commit(vec![Change::SubmissionsPruned(vec![id("a"), id("never")])]).await;
    assert_eq!(world.store.submission(&id("a")).await.unwrap(), None);
    assert!(world.store.submission(&id("b")).await.unwrap().is_some());
    assert_eq!(indexes(&world, &red()).await, [1, 2], "the queued item is still sent");
}
