//! Runs one hot path so often that callgrind can count its instructions: `instructions update|push|message`.
//!
//! One thread, a store in memory and a clock that moves only when nothing else can run: two runs do the same work.
//! `scripts/instructions.sh` counts what `counted_path` and everything below it executes.

#![expect(clippy::expect_used, clippy::print_stderr, reason = "a measurement ends where its world does")]

use std::hint::black_box;
use std::process::ExitCode;

use costs::CoreWorld;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// Requests before the counted ones: they open tables, start actors and fill caches.
const WARM_UP: u64 = 10;

/// Requests that are counted, of each kind.
const PATHS: [(&str, u64); 3] = [("update", 100), ("push", 40), ("message", 20)];

/// Items of a request that has several.
const ITEMS: u64 = 50;

/// A request of the messenger or of a peer, with all its consequences.
async fn request(path: &str, world: &mut CoreWorld) {
    match path {
        // Submitted, committed, written to the peer, acknowledged.
        "update" => world.submit(1).await,
        // Read, accepted, committed to the feed.
        "push" => world.take_push(ITEMS).await,
        // Composed in a context, committed, written to two peers.
        _ => world.compose(ITEMS).await,
    }
    world.at_rest().await;
}

/// The counted part. Its name is in the script, so it is never inlined.
#[inline(never)]
fn counted_path(runtime: &Runtime, local: &LocalSet, (path, count): (&str, u64), world: &mut CoreWorld) {
    local.block_on(runtime, async {
        for _ in 0..count {
            request(path, black_box(world)).await;
        }
    });
}

fn main() -> ExitCode {
    let path = std::env::args().nth(1).unwrap_or_default();
    let Some(counted) = PATHS.into_iter().find(|(name, _)| *name == path) else {
        eprintln!("instructions: name one of update, push and message");
        return ExitCode::from(2);
    };
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let local = LocalSet::new();
    let mut world = local.block_on(&runtime, async {
        let mut world = CoreWorld::in_memory();
        world.create_context().await;
        for _ in 0..WARM_UP {
            request(&path, &mut world).await;
        }
        world
    });
    counted_path(&runtime, &local, counted, &mut world);
    ExitCode::SUCCESS
}
