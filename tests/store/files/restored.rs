//! The feed of a store that was restored from a backup: no position is assigned twice, and a reader with its own cursor
//! misses nothing.

use actors::change::Change;
use actors::model::{FeedItem, Millis, Position};
use actors::ports::{FeedPage, FeedReader};
use fernpost::store::{self, StoreLocation};
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::world::{World, notice};

/// Minimum number of positions that a restore skips.
const SPAN: u64 = 1 << 32;

/// More positions than a gateway assigns in a minute.
const A_MINUTE: u64 = 1 << 23;

/// Creates a store with some events, some of them acknowledged, and a copy of it.
async fn copied(events: u64, acked: u64) -> (World, FaultyDisk) {
    let world = World::new();
    world.commit((1..=events).map(|n| notice(&n.to_string())).collect()).await;
    world.commit(vec![Change::FeedAcked { upto: Position(acked) }]).await;
    let copy = FaultyDisk::new();
    world.store.backup_into(copy.clone(), |_| {}).await.unwrap();
    (world, copy)
}

/// Opens a copy, this many minutes after it was made.
fn begin(copy: &FaultyDisk, minutes: u64) -> (World, FaultyDisk) {
    let disk = FaultyDisk::with(copy.survivors(SurvivingBytes::Written));
    (World::later(&disk, minutes), disk)
}

async fn positions(world: &World, after: u64) -> Result<Vec<u64>, u64> {
    match world.store.feed_after(Position(after), 100, u64::MAX).await.unwrap() {
        FeedPage::Entries(entries) => Ok(entries.into_iter().map(|entry| entry.position.0).collect()),
        FeedPage::Gone { oldest } => Err(oldest.0),
    }
}

#[tokio::test(start_paused = true)]
async fn restored_feed_continues_behind_span() {
    let (_lost, copy) = copied(3, 1).await;
    let (world, disk) = begin(&copy, 0);
    let first = 3 + SPAN;
    world.commit(vec![notice("new")]).await;
    for (after, read) in [
        (0, &[1, 2, 3, first, first + 1][..]),
        (3, &[first, first + 1]),
        // The lost store may have assigned these positions.
        (4, &[first, first + 1]),
        (first - 1, &[first, first + 1]),
        (first, &[first + 1]),
        (first + 1, &[]),
    ] {
        assert_eq!(positions(&world, after).await.as_deref(), Ok(read), "after {after}");
    }
    let feed = world.feed().await;
    assert!(matches!(&feed[3], (_, FeedItem::Notice { text, .. }) if text.contains("was restored at")), "{feed:?}");
    let bounds = *world.store.feed_bounds().borrow();
    assert_eq!(
        (bounds.tail.0, bounds.acked.0, bounds.unread()),
        (first + 1, 1, 4),
        "skipped positions do not count as unread"
    );
    world.store.close().await;
    drop(world);
    let verified = store::verify_backend(FaultyDisk::with(disk.survivors(SurvivingBytes::Written))).unwrap();
    assert_eq!(verified.findings, [], "skipped positions are not reported as damage");
    // The next opening reads the same span.
    let world = World::on(&disk);
    assert_eq!(positions(&world, 70).await, Ok(vec![first, first + 1]));
    assert_eq!(world.store.feed_bounds().borrow().unread(), 4);
}

#[tokio::test(start_paused = true)]
async fn cursor_inside_span_acknowledges_backup() {
    let (_lost, copy) = copied(3, 1).await;
    let (world, _) = begin(&copy, 0);
    let first = 3 + SPAN;
    // The messenger has read up to 50 from the lost store and acknowledges it.
    world.commit(vec![Change::FeedAcked { upto: Position(50) }]).await;
    let bounds = *world.store.feed_bounds().borrow();
    assert_eq!((bounds.acked.0, bounds.unread()), (50, 1));
    world.clock.set(10);
    world.commit(vec![Change::FeedTrimmed { before: Millis(5), rows_max: 100 }]).await;
    assert_eq!(positions(&world, 0).await, Err(first), "rows were trimmed");
    assert_eq!(positions(&world, 2).await, Err(first), "rows were trimmed");
    assert_eq!(positions(&world, 3).await, Ok(vec![first]));
    assert_eq!(positions(&world, 50).await, Ok(vec![first]));
}

#[tokio::test(start_paused = true)]
async fn later_restores_skip_further() {
    let (_lost, copy) = copied(3, 0).await;
    let start = async |minutes| {
        let (world, disk) = begin(&copy, minutes);
        let feed = world.feed().await;
        (feed.last().expect("a notice").0, world, disk)
    };
    assert_eq!(start(0).await.0, 3 + SPAN);
    assert_eq!(
        start(1).await.0,
        3 + SPAN + A_MINUTE,
        "the second restore skips the positions that the first may assign in a minute"
    );
    // A backup of a restored store is restored: readers inside either span miss nothing.
    let (first, world, _) = start(1).await;
    world.commit(vec![notice("new")]).await;
    let again = FaultyDisk::new();
    world.store.backup_into(again.clone(), |_| {}).await.unwrap();
    let (world, _) = begin(&again, 1);
    let second = first + 1 + SPAN;
    assert_eq!(positions(&world, 7).await, Ok(vec![first, first + 1, second]));
    assert_eq!(positions(&world, first + 7).await, Ok(vec![second]));
    assert_eq!(world.store.feed_bounds().borrow().unread(), 6);
}

#[tokio::test]
async fn restores_into_one_folder_skip_further() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, data) = (folder.path().join("blue.backup"), folder.path().join("data"));
    let world = World::new();
    world.commit(vec![notice("1")]).await;
    world.store.backup(&backup, |_| {}).await.unwrap();
    for earlier in 0..3 {
        let restored = store::restore(&backup, &data).unwrap();
        let place = StoreLocation::file(&restored.path);
        let world = World::open(&FaultyDisk::new(), |options| options.place = place).unwrap();
        let feed = world.feed().await;
        assert_eq!(feed.last().expect("a notice").0, 1 + SPAN + earlier * A_MINUTE, "after {earlier} others");
        world.store.close().await;
        drop(world);
        std::fs::remove_file(&restored.path).unwrap();
    }
}
