//! The outbox rows and the dead letters of peers.

pub(crate) mod dead_letters;
pub(crate) mod outbox;
