//! State of batches that are submitted and not committed.

pub(crate) mod claims;
pub(crate) mod uncommitted_state;
