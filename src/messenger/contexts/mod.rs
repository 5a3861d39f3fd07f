//! Endpoints under `/v1/contexts`.

pub(crate) mod context;
pub(crate) mod history;
pub(crate) mod join;
pub(crate) mod state;
