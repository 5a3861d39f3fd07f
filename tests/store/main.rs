//! The store against its guarantees, on disks in memory that fail and lose power on request.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

#[path = "../support/src/disk.rs"]
#[expect(dead_code, reason = "the simulation breaks disks in more ways")]
mod disk;

mod contexts;
mod files;
mod fixtures;
mod queues;
