//! Contexts among several gateways: real stores, actors, handlers and wire bytes on one thread, in virtual time.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

mod graph;
mod groups;
mod membership;
mod missing;
mod ports;
mod pressure;
mod proofs;
mod restarts;
