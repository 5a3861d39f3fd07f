//! Rows of peers and the feed: outboxes, attempts, group commit, reads and trimming.

mod attempts;
mod budget;
mod forwards;
mod laws;
mod leaving;
mod nonces;
mod reading;
mod refused;
mod servers;
mod trimming;
