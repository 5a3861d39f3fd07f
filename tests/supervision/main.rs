//! The core under supervision: real actors and the real store on one thread, in virtual time, with scripted disks.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

#[path = "../support/src/disk.rs"]
#[expect(dead_code, reason = "the store's own tests lose power in more ways")]
mod disk;
#[path = "../support/src/read_hooks.rs"]
mod read_hooks;

mod actors;
mod delivery;
mod fixtures;
