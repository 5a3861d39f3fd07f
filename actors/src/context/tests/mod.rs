//! The harness that runs the context machine against a checked store, and random graphs.

pub(super) mod checked_store;
pub(crate) mod harness;
pub(crate) mod random_graphs;
pub(super) mod shorthand;
pub(super) mod store_reads;
