//! The operator's view of push mode, and the commands for it.

pub(super) mod feed_tail;
pub mod health;
pub(super) mod refused_events;
