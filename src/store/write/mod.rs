//! The write side: queue, group commit, and what each change writes.

pub(crate) mod apply;
pub(crate) mod attempts;
pub(crate) mod dead_letters;
pub(crate) mod group_commit;
pub(crate) mod heads;
pub(crate) mod non_participants;
pub(crate) mod pdus;
pub(crate) mod quarantine_release;
pub(crate) mod queue;
pub(crate) mod retention;
pub(crate) mod stage;
pub(crate) mod state;
pub(crate) mod submissions;
pub(crate) mod trim;
