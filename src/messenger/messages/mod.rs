//! Endpoints under `/v1/messages`: submission and trace.

pub(crate) mod body;
pub(crate) mod pdu_id_generator;
pub(crate) mod post_batch;
pub(crate) mod put;
pub(crate) mod submit;
pub(crate) mod trace;
