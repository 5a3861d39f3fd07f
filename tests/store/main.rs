//! The store against its promises, on disks in memory that fail and lose power when told.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

#[path = "../support/disk.rs"]
#[expect(dead_code, reason = "the simulation breaks disks in more ways")]
mod disk;

mod attempts;
mod budget;
mod claims;
mod conversations;
mod crash;
mod damaged;
mod forgetting;
mod history;
mod laws;
mod leaving;
mod marked;
mod opening;
mod passing;
mod reading;
mod restored;
mod scenario;
mod stage;
mod state;
mod strangers;
mod talk;
mod trimming;
mod whole;
mod world;
