//! What operators see of push mode and do about it.

pub mod health;
pub(super) mod refused_events;
