//! Conversations among several gateways: real stores, actors, handlers and wire bytes on one thread, where time jumps.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

#[path = "../support/disk.rs"]
#[expect(dead_code, reason = "the store's own tests lose power in more ways")]
mod disk;

mod asking;
mod full;
mod identity;
mod idle;
mod messenger;
mod mixed;
mod network;
mod node;
mod order;
mod poison;
mod ports;
mod restart;
mod restored;
mod storm;
mod surroundings;
