//! State of a context: candidates of each key, the current ones, and the participants they define.

pub(crate) mod context_state;
pub(crate) mod missing_prev_state;
pub(crate) mod participants;
pub(crate) mod resolution;
pub(crate) mod set_cache;
pub(crate) mod state_walk;
