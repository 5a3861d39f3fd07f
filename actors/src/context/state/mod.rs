//! State of a context: candidates of each key, the current ones, and the membership they define.

pub(crate) mod context_state;
pub(crate) mod current_state;
pub(crate) mod late_state;
pub(crate) mod membership;
pub(crate) mod missing_prev_state;
pub(crate) mod resolution;
pub(crate) mod set_cache;
pub(crate) mod state_walk;
