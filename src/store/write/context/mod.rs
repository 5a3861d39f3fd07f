//! What changes about a context write.

pub(crate) mod pdus;
pub(crate) mod records;
pub(crate) mod stage;
pub(crate) mod state;
