//! Stores whose bytes change on disk while they are open: a read on which the engine panics becomes an error.

use actors::model::{Index, Millis};
use actors::ports::{FeedReader, PeerReader, SubmissionReader};
use fastrand::Rng;
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::scenario::{BATCHES, Scenario};
use crate::fixtures::world::{World, green, red};

/// Number of bytes that a disk writes at once.
const BLOCK: usize = 4096;

/// Number of damaged copies that are read.
const COPIES: u64 = 300;

#[tokio::test(start_paused = true)]
async fn damaged_pages_are_read_in_words() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    for n in 1..=BATCHES {
        world.commit(Scenario::Updates.batch(n)).await;
    }
    world.store.close().await;
    drop(world);
    let whole = disk.survivors(SurvivingBytes::Synced).file;
    let is_used = |at: &usize| whole[*at..*at + BLOCK].iter().any(|byte| *byte != 0);
    let used: Vec<usize> = (0..whole.len()).step_by(BLOCK).filter(is_used).collect();
    let (mut panics, mut errors) = (0, 0);
    for seed in 0..COPIES {
        let mut chance = Rng::with_seed(seed);
        let disk = FaultyDisk::with(whole.clone());
        let world = World::open(&disk, |options| options.cache = 0).unwrap();
        // Rows that do not fit into memory are read from the disk, which has been damaged meanwhile. A write or a close
        // might make the engine abort the process, so the store is never dropped.
        std::mem::forget(world.store.clone());
        disk.damage(|bytes| {
            let block = used[chance.usize(..used.len())];
            match chance.u8(0..4) {
                0 => bytes[block + chance.usize(..64)] ^= 1 << chance.u8(0..8),
                1 => (0..8).for_each(|_| bytes[block + chance.usize(..BLOCK)] = chance.u8(..)),
                2 => bytes[block..block + BLOCK].fill(0),
                _ => bytes[block..block + BLOCK].fill_with(|| chance.u8(..)),
            }
        });
        let read = [
            world.store.outbox_from(&red(), Index(0), 10_000, u64::MAX).await.err(),
            world.store.feed_after(Default::default(), 10_000, u64::MAX).await.err(),
            world.store.peer(&green()).await.err(),
            world.store.submissions_before(Millis(u64::MAX), None).await.err(),
        ];
        for error in read.into_iter().flatten().map(|error| error.to_string()) {
            errors += 1;
            let is_panic = error.contains("the engine panicked");
            panics += usize::from(is_panic);
            assert!(!is_panic || error.contains("`fernpost store verify`"), "seed {seed}: {error}");
        }
    }
    println!("reads of {COPIES} damaged stores failed {errors} times, {panics} times by a panic");
    assert!(panics > 0 && errors > panics, "{panics} {errors}: damaged rows were read");
}
