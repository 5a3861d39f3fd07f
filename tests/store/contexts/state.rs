//! State in the store: all candidates of a key, the current state, and missing links.

use actors::change::Change;
use actors::model::{ContextId, FeedFlags, MissingPrevState, PduRef, PduState, PrevStateLink, StateEntry};
use actors::ports::ContextReader;
use actors::testkit::at_once;
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::talk::{at, context_moved, piece, room, state_kept, state_moved, stored, theirs, topic};
use crate::fixtures::world::World;

fn set(world: &World, context: &ContextId, key: &str) -> Vec<StateEntry> {
    at_once(world.store.state_set(context, &topic(key))).unwrap()
}

fn holder(world: &World, key: &str) -> Option<PduRef> {
    at_once(world.store.state_holder(&room("c"), &topic(key))).unwrap().map(|holder| holder.reference)
}

#[tokio::test(start_paused = true)]
async fn state_read_includes_uncommitted() {
    let world = World::new();
    let c = room("c");
    let pieces: Vec<StateEntry> = ["1", "2", "3"].map(|id| piece(&theirs(id), Some(&theirs("0")), 5)).into();
    world.commit(vec![state_kept(&c, "k", &pieces[0]), state_moved(&c, "k", &theirs("1"))]).await;
    let one = world.ride(vec![state_kept(&c, "k", &pieces[1]), state_moved(&c, "k", &theirs("2"))]);
    let given_up = StateEntry { bond: PrevStateLink::GivenUp, ..pieces[0].clone() };
    let two = world.submit(vec![
        state_kept(&c, "k", &pieces[2]),
        state_kept(&c, "k", &given_up),
        state_moved(&c, "k", &theirs("3")),
    ]);
    let expected = [given_up, pieces[1].clone(), pieces[2].clone()];
    assert_eq!((set(&world, &c, "k"), holder(&world, "k")), (expected.to_vec(), Some(theirs("3"))));
    one.committed().await.unwrap();
    two.committed().await.unwrap();
    assert_eq!((set(&world, &c, "k"), holder(&world, "k")), (expected.to_vec(), Some(theirs("3"))));
    let nobody = Change::CurrentStateChanged { context: c.clone(), key: topic("k"), current: None };
    let gone = world.submit(vec![nobody]);
    assert_eq!(holder(&world, "k"), None);
    gone.committed().await.unwrap();
    assert_eq!((holder(&world, "k"), set(&world, &c, "k").len()), (None, 3));
}

#[tokio::test(start_paused = true)]
async fn state_keys_with_prefix_stay_separate() {
    let world = World::new();
    let places = [("a", ""), ("a", "\0"), ("a", "k"), ("a", "k\0"), ("ab", "k"), ("a b", "k")];
    for (n, (context, key)) in places.iter().enumerate() {
        let one = piece(&theirs(&n.to_string()), None, 0);
        world.commit(vec![state_kept(&room(context), key, &one)]).await;
    }
    for (n, (context, key)) in places.iter().enumerate() {
        assert_eq!(set(&world, &room(context), key), [piece(&theirs(&n.to_string()), None, 0)], "{context} {key:?}");
    }
    assert_eq!(set(&world, &room("c"), "k"), []);
}

#[tokio::test(start_paused = true)]
async fn missing_prev_state_reloads_its_context() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let link =
        |id: &str, given_up| MissingPrevState { missing: theirs(id), keys: vec![topic("k"), topic("")], given_up };
    let opened = |context: &str, link| Change::MissingPrevStateAdded { context: room(context), link };
    let changes = vec![
        context_moved(&room("a"), 1),
        context_moved(&room("b"), 1),
        opened("a", link("1", false)),
        opened("b", link("2", false)),
    ];
    world.commit(changes).await;
    assert_eq!(world.store.contexts_with_held_pdus().await.unwrap(), [room("a"), room("b")]);
    world.commit(vec![opened("a", link("1", true)), opened("b", link("3", true))]).await;
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    assert_eq!(world.store.contexts_with_held_pdus().await.unwrap(), [room("b")]);
    assert_eq!(world.store.context(&room("a")).await.unwrap().unwrap().links, [link("1", true)]);
    assert_eq!(world.store.context(&room("b")).await.unwrap().unwrap().links, [link("2", false), link("3", true)]);
    let closed = |id: &str| Change::MissingPrevStateResolved { context: room("b"), missing: theirs(id) };
    world.commit(vec![closed("2"), closed("3"), closed("4")]).await;
    assert_eq!(world.store.context(&room("b")).await.unwrap().unwrap().links, []);
}

#[tokio::test(start_paused = true)]
async fn current_state_pages_are_bounded() {
    let world = World::new();
    let c = room("c");
    for (n, key) in (1..).zip(["", "a", "b", "b\0"]) {
        let reference = theirs(&format!("p{n}"));
        let delivery = at(n, Some(FeedFlags::default()));
        world
            .commit(vec![stored(&c, &reference, &[], PduState::Delivered(delivery)), state_moved(&c, key, &reference)])
            .await;
    }
    let elsewhere = stored(&room("c c"), &theirs("q"), &[], PduState::Delivered(at(1, None)));
    world.commit(vec![elsewhere, state_moved(&room("c c"), "a", &theirs("q"))]).await;
    for (limit, bytes) in [(1, u64::MAX), (3, u64::MAX), (100, 1), (100, u64::MAX)] {
        let (mut seen, mut after) = (vec![], None);
        loop {
            let page = world.store.current_state(&c, after, limit, bytes).await.unwrap();
            assert!(page.state.len() <= limit as usize && !page.state.is_empty());
            after = page.state.last().map(|last| last.key.clone());
            seen.extend(page.state.into_iter().map(|one| one.reference));
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, ["p1", "p2", "p3", "p4"].map(theirs), "{limit} {bytes}");
    }
    assert_eq!(world.store.current_state(&room("d"), None, 9, 9).await.unwrap().state, []);
}
