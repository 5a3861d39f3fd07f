//! Nonces of accepted signatures in the store: found by the next process, and removed when their signatures are too old.

use actors::change::Change;
use actors::model::{Millis, UsedNonce};
use actors::ports::Clock;
use fernpost::store::verify_backend;
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::world::World;

fn used(nonce: &str, until: u64) -> UsedNonce {
    UsedNonce { key: "blue/1".into(), nonce: nonce.into(), until: Millis(until) }
}

/// Time in milliseconds for which a nonce is kept longer than its signature can be accepted.
const SLACK: u64 = 3_600_000;

/// Returns the nonces that are remembered at this time.
async fn at(world: &World, now: u64) -> Vec<String> {
    let nonces = world.store.used_nonces(Millis(now)).await.unwrap();
    nonces.into_iter().map(|used| format!("{} {} until {}", used.key, used.nonce, used.until)).collect()
}

#[tokio::test(start_paused = true)]
async fn nonces_survive_restart_until_they_end() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let now = world.clock.now().0;
    for (nonce, life) in [("a", 100), ("b", 50), ("a", 100)] {
        world.commit(vec![Change::NonceUsed(used(nonce, now + life))]).await;
    }
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    let [a, b] = [format!("blue/1 a until {}", now + 100), format!("blue/1 b until {}", now + 50)];
    assert_eq!(at(&world, now).await, [b.clone(), a.clone()]);
    assert_eq!(at(&world, now + 50 + SLACK).await, [b, a.clone()], "an hour longer, because a clock may jump");
    assert_eq!(at(&world, now + 51 + SLACK).await, [a]);
    assert!(verify_backend(FaultyDisk::with(disk.survivors(SurvivingBytes::Synced))).unwrap().findings.is_empty());
}

/// Each new nonce removes two that have ended, so the table does not grow.
#[tokio::test(start_paused = true)]
async fn ended_nonces_are_removed() {
    let world = World::on(&FaultyDisk::new());
    let now = world.clock.now().0;
    let many = (0..10).map(|n| Change::NonceUsed(used(&format!("old{n}"), now + n))).collect();
    world.commit(many).await;
    world.clock.set(now + 1000 + SLACK);
    for n in 0..5 {
        assert_eq!(at(&world, 0).await.len(), 10 - n);
        world.commit(vec![Change::NonceUsed(used(&format!("new{n}"), now + 2000 + SLACK))]).await;
    }
    assert_eq!(at(&world, 0).await.len(), 5);
}
