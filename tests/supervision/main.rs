//! The core under supervision: real actors and the real store on one thread, in virtual time, with scripted disks.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

mod actors;
mod delivery;
mod ports;
