//! The tables about contexts, each owned by a type of its own.

pub(crate) mod latest_pdu_ids;
pub(crate) mod pdus;
pub(crate) mod records;
pub(crate) mod stage;
pub(crate) mod state;
