//! State of batches that are handed over and not committed.

pub(crate) mod claims;
pub(crate) mod uncommitted_state;
