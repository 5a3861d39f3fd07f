//! The store against its guarantees, on disks in memory that fail and lose power on request.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

mod contexts;
mod files;
mod fixtures;
mod queues;
