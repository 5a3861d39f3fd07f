//! Events that the messenger refused: kept up to a bound, and pushed again in the order of their releases.

use actors::change::Change;
use actors::model::{Millis, Position, RefusedEvent};
use actors::ports::{FeedReader, RefusedRow, StoreInspector};
use bytes::Bytes;
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::world::{World, notice};

fn refused(position: u64, keep: u64) -> Change {
    let bytes = Bytes::from(format!("{{\"position\":{position}}}"));
    let event = RefusedEvent { position: Position(position), reason: format!("no {position}"), bytes };
    Change::EventRefused { event, keep }
}

async fn kept(world: &World) -> Vec<u64> {
    let page = world.store.refused_events(Position(0), 100, u64::MAX).await.unwrap();
    page.rows.iter().map(|row| row.event.position.0).collect()
}

/// Number, position and time of each released event.
async fn released(world: &World) -> Vec<(u64, u64, u64)> {
    let released = world.store.released_events(100, u64::MAX).await.unwrap();
    released.iter().map(|event| (event.number, event.position.0, event.after.0)).collect()
}

#[tokio::test(start_paused = true)]
async fn oldest_refused_event_leaves_first() {
    let world = World::new();
    world.clock.set(7_000);
    world.commit(vec![refused(5, 3), refused(2, 3), refused(9, 3), refused(7, 3)]).await;
    assert_eq!(kept(&world).await, [5, 7, 9]);
    world.commit(vec![refused(11, 1)]).await;
    assert_eq!(kept(&world).await, [11], "under a lower limit");
    let RefusedRow { event, time } = world.store.refused_events(Position(10), 1, 0).await.unwrap().rows.remove(0);
    assert_eq!((event.reason.as_str(), &*event.bytes, time), ("no 11", &b"{\"position\":11}"[..], Millis(7_000)));
}

#[tokio::test(start_paused = true)]
async fn refused_pages_are_bounded() {
    let world = World::new();
    world.commit((1..=5).map(|position| refused(position, 9)).collect()).await;
    let page = world.store.refused_events(Position(1), 2, u64::MAX).await.unwrap();
    assert_eq!((page.rows.len(), page.next), (2, Some(Position(3))));
    let page = world.store.refused_events(Position(3), 2, u64::MAX).await.unwrap();
    assert_eq!((page.rows.len(), page.next), (2, None));
    let page = world.store.refused_events(Position(0), 9, 30).await.unwrap();
    assert_eq!((page.rows.len(), page.next), (2, Some(Position(2))), "by bytes");
}

#[tokio::test(start_paused = true)]
async fn released_events_survive_until_pushed() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let changes = vec![notice("1"), notice("2"), refused(2, 9), refused(1, 9)];
    world.commit(changes).await;
    let release = |position| Change::RefusedEventReleased { position: Position(position) };
    // An event of the same group is pushed before.
    world.commit(vec![release(2), notice("3"), release(1), release(1), release(8)]).await;
    assert_eq!(released(&world).await, [(1, 2, 2), (2, 1, 3)], "each once, in the order of the releases");
    assert_eq!(kept(&world).await, [0_u64; 0]);
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    world.commit(vec![Change::ReleasedEventsPushed { upto: 1 }]).await;
    assert_eq!(released(&world).await, [(2, 1, 3)]);
    world.commit(vec![Change::ReleasedEventsPushed { upto: 2 }, refused(1, 9)]).await;
    assert_eq!(released(&world).await, []);
    world.commit(vec![Change::RefusedEventDropped { position: Position(1) }]).await;
    assert_eq!(kept(&world).await, [0_u64; 0]);
}

#[tokio::test(start_paused = true)]
async fn reserved_push_ids_survive() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    assert_eq!(world.store.push_ids_reserved().await, Ok(0));
    world.commit(vec![Change::PushIdsReserved { upto: 77 }]).await;
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    assert_eq!(world.store.push_ids_reserved().await, Ok(77));
}
