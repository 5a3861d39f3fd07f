//! The stage of a context: which PDUs wait, in which order, and when they are removed.

use actors::change::Change;
use actors::model::{ContextId, PduRef, ServerName};
use actors::ports::ContextReader;
use fernpost::store::verify_backend;
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use redb::TableDefinition;

use crate::files::whole::tampered;
use crate::fixtures::talk::{room, text, theirs};
use crate::fixtures::world::{World, green, red};

fn staged(context: &ContextId, from: ServerName, ids: &[&str]) -> Change {
    let pdus = ids.iter().map(|id| (theirs(id), text(&theirs(id)))).collect();
    Change::Staged { context: context.clone(), from, verified: "mtls", pdus }
}

fn left(context: &ContextId, from: ServerName, number: u64, id: &str) -> Change {
    Change::StageLeft { context: context.clone(), from, number, reference: theirs(id) }
}

async fn found(world: &World, context: &ContextId) -> Vec<(ServerName, u64, PduRef)> {
    let page = world.store.staged(context, None, 10, u64::MAX).await.unwrap();
    assert!(page.iter().all(|one| one.verified == "mtls" && one.bytes == text(&one.reference)));
    page.into_iter().map(|one| (one.from, one.number, one.reference)).collect()
}

#[tokio::test(start_paused = true)]
async fn staged_pdus_stand_in_order() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let (c, d) = (room("c"), room("c d"));
    world.commit(vec![staged(&c, red(), &["z", "a"]), staged(&d, red(), &["z"])]).await;
    world.commit(vec![staged(&c, green(), &["m"])]).await;
    world.store.close().await;
    let disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Synced));
    let world = World::on(&disk);
    // A repeated PDU is staged already.
    world.commit(vec![staged(&c, red(), &["a", "b"])]).await;
    let expected = [(green(), 1, "m"), (red(), 1, "z"), (red(), 2, "a"), (red(), 3, "b")];
    assert_eq!(found(&world, &c).await, expected.map(|(from, number, id)| (from, number, theirs(id))));
    assert_eq!(world.store.staged(&c, None, 2, u64::MAX).await.unwrap().len(), 2, "a page");
    assert_eq!(world.store.staged(&c, None, 9, 1).await.unwrap().len(), 1, "a page holds at least one PDU");
    let of_red = world.store.stage(&c, &red(), vec![theirs("m"), theirs("b")]).await.unwrap();
    assert_eq!(of_red, (3, vec![theirs("b")]));
    assert_eq!(world.store.contexts_with_held_pdus().await.unwrap(), [c, d]);
    world.store.close().await;
    let verified = verify_backend(FaultyDisk::with(disk.survivors(SurvivingBytes::Written))).unwrap();
    assert!(verified.is_sound(), "{:?}", verified.findings);
}

#[tokio::test(start_paused = true)]
async fn pages_give_each_server_its_turn() {
    let world = World::new();
    let c = room("c");
    world.commit(vec![staged(&c, red(), &["a", "b"]), staged(&c, green(), &["m"])]).await;
    let page = async |last: Option<ServerName>| {
        let page = world.store.staged(&c, last.as_ref(), 2, u64::MAX).await.unwrap();
        page.into_iter().map(|one| (one.from, one.number)).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, [(green(), 1), (red(), 1)]);
    assert_eq!(page(Some(green())).await, [(red(), 1), (red(), 2)]);
    assert_eq!(page(Some(red())).await, [(green(), 1), (red(), 1)], "the turns start again with the first server");
}

#[tokio::test(start_paused = true)]
async fn a_number_given_again_leaves_once() {
    let world = World::new();
    let c = room("c");
    world.commit(vec![staged(&c, red(), &["a", "b"])]).await;
    world.commit(vec![left(&c, red(), 1, "a"), left(&c, red(), 2, "b")]).await;
    assert_eq!(world.store.contexts_with_held_pdus().await.unwrap(), []);
    world.commit(vec![staged(&c, red(), &["c"])]).await;
    world.commit(vec![left(&c, red(), 1, "a")]).await;
    assert_eq!(
        found(&world, &c).await,
        [(red(), 1, theirs("c"))],
        "the removal of an earlier PDU does not remove a later one with the same number"
    );
    world.commit(vec![left(&c, red(), 1, "c")]).await;
    assert_eq!(world.store.stage(&c, &red(), vec![theirs("c")]).await.unwrap(), (0, vec![]));
}

/// Regression: one damaged name stopped the start of every context with work, and `store verify` did not report it.
#[tokio::test(start_paused = true)]
async fn damaged_names_stop_no_context() {
    type Row = (&'static str, &'static str, &'static str, u64, &'static [u8]);
    const STAGE: TableDefinition<(&str, &str, u64), Row> = TableDefinition::new("stage");
    const WORK: TableDefinition<&str, ()> = TableDefinition::new("context_work");
    let disk = FaultyDisk::new();
    let (world, c) = (World::on(&disk), room("c"));
    world.commit(vec![staged(&c, red(), &["a"])]).await;
    world.store.close().await;
    let damaged = tampered(&disk, |transaction| {
        transaction.open_table(STAGE).unwrap().insert(("b\n", "", 1), ("red", "x", "mtls", 0, &b""[..])).unwrap();
        transaction.open_table(WORK).unwrap().insert("d\n", ()).unwrap();
    });
    let verified = verify_backend(FaultyDisk::with(damaged.survivors(SurvivingBytes::Written))).unwrap();
    let tables: Vec<_> = verified.findings.iter().map(|finding| finding.table).collect();
    assert_eq!(tables, ["stage", "stage", "stage_ids", "context_work"], "{:?}", verified.findings);
    assert_eq!(World::on(&damaged).store.contexts_with_held_pdus().await.unwrap(), [c]);
}
