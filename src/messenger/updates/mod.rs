//! Endpoint `PUT /v1/updates/{id}`.

pub(crate) mod body;
pub(crate) mod put;
