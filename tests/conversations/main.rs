//! Contexts among several gateways: real stores, actors, handlers and wire bytes on one thread, in virtual time.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

#[path = "../support/src/disk.rs"]
#[expect(dead_code, reason = "the store's own tests lose power in more ways")]
mod disk;
#[path = "../support/src/messenger.rs"]
#[expect(dead_code, reason = "the simulation asks for more")]
mod messenger;
#[path = "../support/src/network.rs"]
#[expect(dead_code, reason = "the simulation has more weather")]
mod network;
#[path = "../support/src/node.rs"]
#[expect(dead_code, reason = "the simulation changes disks")]
mod node;
#[path = "../support/src/read_hooks.rs"]
mod read_hooks;
#[path = "../support/src/surroundings.rs"]
mod surroundings;
#[path = "../support/src/toy_dialect.rs"]
mod toy_dialect;

mod graph;
mod membership;
mod missing;
mod ports;
mod pressure;
mod restarts;
