//! The write side: queue, group commit, and what each change writes.
//!
//! [`apply::WriteBatch`] gives each change to the owner of its tables: the types of `peer` and `context`, the feed, and the
//! records of submissions. No other code opens the tables of an owner for writing while the store is open. An owner holds what it
//! remembers between groups; what several owners share is in [`writer_context::WriterContext`].

pub(crate) mod apply;
pub(crate) mod cache;
pub(crate) mod context;
pub(crate) mod feed;
pub(crate) mod group_commit;
mod lazy_table;
pub(crate) mod peer;
pub(crate) mod peer_tails;
pub(crate) mod queue;
pub(crate) mod refused_events;
mod requested_receipts;
pub(crate) mod row_estimate;
mod submissions;
pub(crate) mod writer_context;
