//! The write side: queue, group commit, and what each change writes.

pub(crate) mod apply;
pub(crate) mod context;
pub(crate) mod group_commit;
pub(crate) mod peer;
pub(crate) mod quarantine_release;
pub(crate) mod queue;
pub(crate) mod retention;
