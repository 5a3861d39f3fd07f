//! Forwards in the store: queued once, remembered for a time, and held until their turn.

use actors::change::Change;
use actors::model::{
    ForwardMemory, ForwardRoute, HeldForward, Item, Millis, Seq, StoredForward, StrongBody, StrongUpdate,
};
use actors::ports::{Clock, PeerReader};
use bytes::Bytes;
use fernpost::store::verify_backend;
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::world::{World, body, digest, green, red, refused, server};

fn blue() -> actors::model::ServerName {
    server("blue.example")
}

/// A forward of red for green.
fn passed_on(id: &str, sent: u64, memory: ForwardMemory) -> Change {
    let route = ForwardRoute { origin: red(), destination: green() };
    Change::ForwardPassedOn { route, id: id.into(), sent: Millis(sent), text: body(id), memory }
}

fn memory(items: u64, before: u64) -> ForwardMemory {
    ForwardMemory { items, before: Millis(before) }
}

async fn known(world: &World, ids: &[&str]) -> Vec<bool> {
    let forwards = ids.iter().map(|id| (red(), Box::from(*id))).collect();
    world.store.are_known_forwards(forwards).await.unwrap()
}

/// A forward is queued once, wakes its destination, expires by the time at which it was written, and survives a restart.
#[tokio::test(start_paused = true)]
async fn forward_is_queued_once() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    world.clock.set(10_000);
    let now = world.clock.now().0;
    let taken = Change::ForwardTaken { origin: red(), id: "b".into(), memory: memory(9, 0) };
    world.commit(vec![passed_on("a", now - 500, memory(9, 0)), taken, passed_on("a", now, memory(9, 0))]).await;
    world.commit(vec![passed_on("b", now, memory(9, 0))]).await;
    let woken = world.woken().await;
    assert_eq!((woken.len(), &woken[0].server, woken[0].rows.len()), (1, &green(), 1));
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    let rows = world.store.outbox_from(&green(), actors::model::Index(0), 10, u64::MAX).await.unwrap();
    assert_eq!(rows.len(), 1);
    let route = ForwardRoute { origin: red(), destination: green() };
    assert_eq!((&rows[0].item, rows[0].queued), (&Item::Forward(route, body("a")), Millis(now - 500)));
    assert_eq!((rows[0].submission.as_str(), rows[0].submission.is_forward()), ("forward/a", true));
    assert_eq!(known(&world, &["a", "b", "c"]).await, [true, true, false]);
    assert!(verify_backend(FaultyDisk::with(disk.survivors(SurvivingBytes::Synced))).unwrap().findings.is_empty());
}

/// A forward that leaves a queue is no dead letter: its origin still has the update.
#[tokio::test(start_paused = true)]
async fn forward_becomes_no_dead_letter() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let route = ForwardRoute { origin: blue(), destination: green() };
    let forwards = vec![("a".into(), body("a")), ("b".into(), body("b"))];
    world.commit(vec![Change::ForwardsQueued { via: red(), route, forwards }]).await;
    world.commit(vec![refused(red(), 1, 9)]).await;
    assert_eq!(world.outbox(&red()).await, [(2, body("b"))]);
    let letters = world.store.dead_letters(&red(), actors::model::Index(1), actors::model::Index(2)).await.unwrap();
    assert_eq!(letters, []);
    world.store.close().await;
    assert!(verify_backend(FaultyDisk::with(disk.survivors(SurvivingBytes::Synced))).unwrap().findings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn remembered_forwards_are_bounded() {
    let world = World::on(&FaultyDisk::new());
    let now = world.clock.now().0;
    for id in ["a", "b", "c", "d"] {
        world.commit(vec![passed_on(id, now, memory(2, 0))]).await;
    }
    assert_eq!(known(&world, &["a", "b", "c", "d"]).await, [false, false, true, true]);
    world.clock.set(now + 1000);
    world.commit(vec![passed_on("e", now, memory(9, now + 1))]).await;
    assert_eq!(known(&world, &["c", "d", "e"]).await, [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn held_forwards_survive_until_dropped() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let held = |number: u64| HeldForward {
        number: Seq(number),
        update: StrongUpdate {
            bytes: Bytes::from(number.to_string()),
            digest: digest(number),
            body: StrongBody::Plain,
        },
    };
    world.commit(vec![Change::ForwardsHeld { from: red(), updates: vec![held(5), held(4), held(9)] }]).await;
    world.commit(vec![Change::HeldForwardsDropped { from: red(), below: Seq(5) }]).await;
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    let stored = |number: u64| StoredForward {
        number: Seq(number),
        digest: digest(number),
        is_pdu: false,
        bytes: Bytes::from(number.to_string()),
    };
    assert_eq!(world.store.peer(&red()).await.unwrap().forwards, [stored(5), stored(9)]);
}
