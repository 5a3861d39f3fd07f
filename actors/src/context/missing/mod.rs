//! Missing parents, gaps and history: what a context lacks, whom it asks, and when it gives up.

pub(crate) mod gaps;
pub(crate) mod history_fetch;
pub(crate) mod history_request;
pub(crate) mod missing_parent;
pub(crate) mod missing_parents;
pub(crate) mod planned_fetch;
pub(crate) mod repair_fetch;
