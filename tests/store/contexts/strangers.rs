//! Quarantined PDUs of non-participants, and heads beyond those of a context's row.

use actors::change::Change;
use actors::model::{ContextId, Head, ParkedCode, ParkedItem, ParkedWhat, PduRef, ServerName};
use actors::ports::{ContextReader, PeerReader};
use actors::testkit::at_once;
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::talk::{context_moved, room, text, theirs};
use crate::fixtures::world::{World, green, red};

fn parked(context: &ContextId, reference: &PduRef, from: ServerName, keep: u64) -> Change {
    let (origin, id) = (Some(reference.origin.to_string()), Some(reference.id.to_string()));
    let what = ParkedWhat::Pdu { origin, id, context: Some(context.clone()) };
    let (code, reason) = (ParkedCode::NotAParticipant, "a stranger".to_owned());
    Change::Quarantined {
        parked: ParkedItem { from, what, code, reason, verified: None, bytes: text(reference) },
        keep,
    }
}

async fn found(world: &World, context: &ContextId, participants: &[ServerName]) -> Vec<PduRef> {
    let (mut found, mut after) = (vec![], (0, 0));
    loop {
        let page = world.store.quarantined_pdus_of(context, participants.to_vec(), after, 2).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = last.place;
        assert!(page.iter().all(|one| one.bytes == text(&one.reference)));
        found.extend(page.into_iter().map(|one| one.reference));
    }
}

#[tokio::test(start_paused = true)]
async fn quarantine_lists_by_context_and_server() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let (c, d) = (room("c"), room("c d"));
    let under_way = world.submit(vec![parked(&c, &theirs("z"), red(), 9)]);
    assert!(world.store.is_quarantined(&c, &theirs("z"), &red()).await.unwrap(), "on its way");
    under_way.committed().await.unwrap();
    world.commit(vec![parked(&c, &theirs("a"), red(), 9), parked(&d, &theirs("d"), red(), 9)]).await;
    world.commit(vec![parked(&c, &theirs("m"), green(), 9)]).await;
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    world.commit(vec![parked(&c, &theirs("b"), red(), 9)]).await;
    let is_kept =
        |room: &ContextId, from: ServerName| at_once(world.store.is_quarantined(room, &theirs("z"), &from)).unwrap();
    assert_eq!((is_kept(&c, red()), is_kept(&d, red()), is_kept(&c, green())), (true, false, false));
    assert_eq!(found(&world, &c, &[red()]).await, ["z", "a", "b"].map(theirs));
    assert_eq!(found(&world, &c, &[red(), green()]).await, ["z", "a", "m", "b"].map(theirs));
    assert_eq!(found(&world, &c, &[green()]).await, [], "the origin does not participate");
    assert_eq!(found(&world, &d, &[red()]).await, [theirs("d")]);
}

#[tokio::test(start_paused = true)]
async fn removed_quarantine_entry_is_not_listed() {
    let world = World::new();
    let c = room("c");
    for id in ["1", "2", "3", "4"] {
        world.commit(vec![parked(&c, &theirs(id), red(), 3)]).await;
    }
    assert_eq!(found(&world, &c, &[red()]).await, ["2", "3", "4"].map(theirs), "the oldest was removed");
    assert!(!world.store.is_quarantined(&c, &theirs("1"), &red()).await.unwrap());
    world.commit(vec![Change::QuarantineRemoved { server: red(), number: 3 }]).await;
    assert_eq!(found(&world, &c, &[red()]).await, ["2", "4"].map(theirs));
    // The PDU arrives again and gets another number.
    world.commit(vec![parked(&c, &theirs("1"), green(), 3)]).await;
    assert_eq!(found(&world, &c, &[red(), green()]).await, ["2", "4", "1"].map(theirs));
}

#[tokio::test(start_paused = true)]
async fn each_senders_copy_has_a_row() {
    let world = World::new();
    let c = room("c");
    let origin = theirs("1").origin;
    for from in [green(), origin.clone()] {
        assert!(!world.store.is_quarantined(&c, &theirs("1"), &from).await.unwrap(), "{from}");
        world.commit(vec![parked(&c, &theirs("1"), from.clone(), 9)]).await;
        assert!(world.store.is_quarantined(&c, &theirs("1"), &from).await.unwrap(), "{from}");
    }
    let page = world.store.quarantined_pdus_of(&c, vec![green(), origin.clone()], (0, 0), 9).await.unwrap();
    let copies: Vec<_> = page.into_iter().map(|copy| (copy.from, copy.superseded)).collect();
    assert_eq!(copies, [(green(), true), (origin.clone(), false)]);
    world.commit(vec![Change::QuarantineRemoved { server: origin.clone(), number: 1 }]).await;
    let page = world.store.quarantined_pdus_of(&c, vec![green(), origin], (0, 0), 9).await.unwrap();
    assert!(matches!(&page[..], [copy] if copy.from == green() && !copy.superseded), "{page:?}");
}

#[tokio::test(start_paused = true)]
async fn overflow_heads_reload_in_order() {
    let world = World::new();
    let c = room("c");
    let head = |id: &str, depth| Head::of(theirs(id), depth, None);
    let moved = |added: Vec<Head>, gone: Vec<PduRef>| Change::OverflowHeadsChanged { context: c.clone(), added, gone };
    world.commit(vec![context_moved(&c, 1), moved(vec![head("b", 2), head("a", 9), head("c", 2)], vec![])]).await;
    world.commit(vec![moved(vec![head("d", 1)], vec![theirs("c")])]).await;
    let heads = world.store.context(&c).await.unwrap().unwrap().record.heads;
    assert_eq!(heads, [head("d", 1), head("b", 2), head("a", 9)]);
}
