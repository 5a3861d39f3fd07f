//! Subjects of the measurements: a gateway core on a store of its own, and requests as peers write them.

#![expect(clippy::expect_used, reason = "a measurement ends where its world does")]

mod peer_reads;
pub mod texts;
mod world;

pub use peer_reads::PeerReads;
pub use world::CoreWorld;
