//! The number of rows that are kept by the name of a server.

use actors::change::Change;
use actors::model::{Millis, ServerName, UsedNonce};

use crate::fixtures::world::{World, green, moved, parked, red, server, submitted, taken};

async fn rows_of(world: &World, counted: fn(&ServerName) -> bool, most: u64) -> u64 {
    world.store.rows_of_servers(counted, most).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn rows_are_counted_by_server() {
    let world = World::new();
    let nonce = |key: &str| Change::NonceUsed(UsedNonce { key: key.into(), nonce: "n".into(), until: Millis(9) });
    world.commit(vec![moved(red(), 0, 1), taken(1, 3, 0), nonce("red.example/1")]).await;
    world.commit(vec![Change::Quarantined { parked: parked(1), keep: 9 }]).await;
    world.commit(vec![submitted("s", &[red(), green()], 2), nonce("green.example/1")]).await;
    assert_eq!(
        rows_of(&world, |server| *server == red(), 100).await,
        6,
        "record, digests, nonce, quarantine, two items"
    );
    assert_eq!(rows_of(&world, |server| *server == green(), 100).await, 3);
    assert_eq!(rows_of(&world, |_| true, 100).await, 9);
    assert_eq!(rows_of(&world, |_| true, 4).await, 4, "no more is read than matters");
    assert_eq!(rows_of(&world, |name| *name == server("grey.example"), 100).await, 0);
}
