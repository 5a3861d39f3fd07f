//! The stage of a context: what waits there, in which order, and when it has left.

use actors::change::Change;
use actors::model::{ContextId, PduRef, ServerName};
use actors::ports::Archive;
use fernpost::store::verify_backend;

use crate::disk::{Disk, Survives};
use crate::talk::{room, text, theirs};
use crate::world::{World, green, red};

fn staged(context: &ContextId, from: ServerName, ids: &[&str]) -> Change {
    let pdus = ids.iter().map(|id| (theirs(id), text(&theirs(id)))).collect();
    Change::Staged { context: context.clone(), from, verified: "mtls", pdus }
}

fn left(context: &ContextId, from: ServerName, number: u64, id: &str) -> Change {
    Change::StageLeft { context: context.clone(), from, number, reference: theirs(id) }
}

async fn found(world: &World, context: &ContextId) -> Vec<(ServerName, u64, PduRef)> {
    let page = world.store.staged(context, 10, u64::MAX).await.unwrap();
    assert!(page.iter().all(|one| one.verified == "mtls" && one.bytes == text(&one.reference)));
    page.into_iter().map(|one| (one.from, one.number, one.reference)).collect()
}

#[tokio::test(start_paused = true)]
async fn staged_pdus_stand_in_order() {
    let disk = Disk::new();
    let world = World::on(&disk);
    let (c, d) = (room("c"), room("c d"));
    world.commit(vec![staged(&c, red(), &["z", "a"]), staged(&d, red(), &["z"])]).await;
    world.commit(vec![staged(&c, green(), &["m"])]).await;
    world.store.close().await;
    let disk = Disk::with(disk.survivors(Survives::Synced));
    let world = World::on(&disk);
    // One that comes again is there already.
    world.commit(vec![staged(&c, red(), &["a", "b"])]).await;
    let expected = [(green(), 1, "m"), (red(), 1, "z"), (red(), 2, "a"), (red(), 3, "b")];
    assert_eq!(found(&world, &c).await, expected.map(|(from, number, id)| (from, number, theirs(id))));
    assert_eq!(world.store.staged(&c, 2, u64::MAX).await.unwrap().len(), 2, "a page");
    assert_eq!(world.store.staged(&c, 9, 1).await.unwrap().len(), 1, "one always fits");
    let of_red = world.store.stage(&c, &red(), vec![theirs("m"), theirs("b")]).await.unwrap();
    assert_eq!(of_red, (3, vec![theirs("b")]));
    assert_eq!(world.store.contexts_holding().await.unwrap(), [c, d]);
    world.store.close().await;
    let verified = verify_backend(Disk::with(disk.survivors(Survives::Written))).unwrap();
    assert!(verified.is_sound(), "{:?}", verified.findings);
}

#[tokio::test(start_paused = true)]
async fn a_number_given_again_leaves_once() {
    let world = World::new();
    let c = room("c");
    world.commit(vec![staged(&c, red(), &["a", "b"])]).await;
    world.commit(vec![left(&c, red(), 1, "a"), left(&c, red(), 2, "b")]).await;
    assert_eq!(world.store.contexts_holding().await.unwrap(), []);
    world.commit(vec![staged(&c, red(), &["c"])]).await;
    world.commit(vec![left(&c, red(), 1, "a")]).await;
    assert_eq!(found(&world, &c).await, [(red(), 1, theirs("c"))], "what left before does not take it along");
    world.commit(vec![left(&c, red(), 1, "c")]).await;
    assert_eq!(world.store.stage(&c, &red(), vec![theirs("c")]).await.unwrap(), (0, vec![]));
}
