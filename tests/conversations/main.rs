//! Contexts among several gateways: real stores, actors, handlers and wire bytes on one thread, in virtual time.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

#[path = "../support/disk.rs"]
#[expect(dead_code, reason = "the store's own tests lose power in more ways")]
mod disk;
#[path = "../support/messenger.rs"]
#[expect(dead_code, reason = "the simulation asks for more")]
mod messenger;
#[path = "../support/network.rs"]
#[expect(dead_code, reason = "the simulation has more weather")]
mod network;
#[path = "../support/node.rs"]
#[expect(dead_code, reason = "the simulation changes disks")]
mod node;
#[path = "../support/read_hooks.rs"]
mod read_hooks;
#[path = "../support/surroundings.rs"]
mod surroundings;
#[path = "../support/toy_dialect.rs"]
mod toy_dialect;

mod graph;
mod membership;
mod missing;
mod ports;
mod pressure;
mod restarts;
