//! Walks backwards through a context, as peers request them.

use actors::model::PduRef;
use actors::ports::ContextReader;

use crate::fixtures::talk::{heard, ours, room, theirs, waits};
use crate::fixtures::world::{World, red};

/// Returns the ids that a walk finds.
async fn walk(world: &World, from: &[PduRef], limit: u32, bytes: u64) -> Vec<String> {
    let given = world.store.backfill(&room("c"), &red(), from.to_vec(), limit, bytes).await.unwrap();
    given.iter().map(|pdu| String::from_utf8(pdu.bytes.to_vec()).unwrap()).map(|text| named(&text)).collect()
}

fn named(text: &str) -> String {
    text.trim_end_matches("\"}").rsplit('/').next().unwrap().to_owned()
}

/// `a` is before `b` and `c`, both before `d`, and `e` after `d` and `a`.
async fn diamond() -> World {
    let world = World::new();
    let r = theirs;
    let changes = vec![
        heard(&room("c"), &r("a"), &[], 1),
        heard(&room("c"), &r("b"), &[r("a")], 2),
        heard(&room("c"), &r("c"), &[r("a")], 3),
        heard(&room("c"), &r("d"), &[r("c"), r("b")], 4),
        heard(&room("c"), &r("e"), &[r("d"), r("a")], 5),
        heard(&room("elsewhere"), &r("x"), &[], 1),
        waits(&room("c"), &r("held"), &[r("missing")]),
    ];
    world.commit(changes).await;
    world
}

#[tokio::test(start_paused = true)]
async fn backfill_walks_levels_once() {
    let world = diamond().await;
    assert_eq!(walk(&world, &[theirs("d")], 10, u64::MAX).await, ["d", "c", "b", "a"]);
    assert_eq!(walk(&world, &[theirs("e")], 10, u64::MAX).await, ["e", "d", "a", "c", "b"]);
    assert_eq!(walk(&world, &[theirs("b"), theirs("c")], 10, u64::MAX).await, ["b", "c", "a"]);
}

#[tokio::test(start_paused = true)]
async fn backfill_is_bounded_but_nonempty() {
    let world = diamond().await;
    for limit in 0..5 {
        assert_eq!(walk(&world, &[theirs("d")], limit, u64::MAX).await.len(), limit.min(4) as usize);
    }
    assert_eq!(walk(&world, &[theirs("d")], 10, 1).await, ["d"]);
}

#[tokio::test(start_paused = true)]
async fn backfill_gives_only_delivered_context_pdus() {
    let world = diamond().await;
    let from = [theirs("x"), theirs("held"), ours("never"), theirs("a")];
    assert_eq!(walk(&world, &from, 10, u64::MAX).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn backfill_cost_ignores_context_length() {
    let world = World::new();
    let id = |n: u64| theirs(&format!("{n:05}"));
    for hundred in 0..20 {
        let numbers = hundred * 100 + 1..=hundred * 100 + 100;
        world.commit(numbers.map(|n| heard(&room("c"), &id(n), &[id(n - 1)], n)).collect()).await;
    }
    for from in [150, 2000] {
        let before = world.store.counters();
        assert_eq!(walk(&world, &[id(from)], 100, u64::MAX).await.len(), 100);
        assert_eq!(world.store.counters().rows_read - before.rows_read, 100);
    }
}

#[tokio::test(start_paused = true)]
async fn timeline_reads_backwards_with_gaps() {
    let world = World::new();
    let r = theirs;
    let changes = vec![
        heard(&room("c"), &r("a"), &[], -1),
        heard(&room("c"), &r("b"), &[r("a"), r("never")], 0),
        heard(&room("c"), &r("c"), &[r("b")], 1),
        heard(&room("c"), &r("d"), &[r("held")], 2),
        waits(&room("c"), &r("held"), &[r("missing")]),
        heard(&room("d"), &r("x"), &[], 1),
    ];
    world.commit(changes).await;
    let page = |before, limit, bytes| {
        let store = world.store.clone();
        async move {
            let page = store.timeline(&room("c"), before, limit, bytes).await.unwrap();
            let shown = |(at, pdu): &(i64, actors::model::FeedPdu)| {
                let gap: Vec<&str> = pdu.shown.gap.iter().map(|gap| gap.id.as_str()).collect();
                let history = if pdu.shown.history { " history" } else { "" };
                format!("{at} {} without {gap:?}{history}", pdu.reference.id)
            };
            page.iter().map(shown).collect::<Vec<_>>()
        }
    };
    let all =
        [r#"2 d without ["held"]"#, "1 c without []", r#"0 b without ["never"] history"#, "-1 a without [] history"];
    assert_eq!(page(None, 10, u64::MAX).await, all);
    assert_eq!(page(Some(1), 1, u64::MAX).await, all[2..3]);
    assert_eq!(page(Some(0), 10, 1).await, all[3..]);
    assert!(page(Some(-1), 10, 1).await.is_empty());
}
