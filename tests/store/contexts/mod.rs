//! Rows of contexts: PDUs, state, stage, quarantine and history.

mod claims;
mod conversations;
pub(crate) mod forgetting;
mod history;
mod stage;
mod state;
mod strangers;
