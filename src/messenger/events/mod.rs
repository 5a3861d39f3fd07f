//! Endpoints under `/v1/events`: the feed, its acknowledgement, and the JSON of an event.

pub(crate) mod ack;
pub(crate) mod get;
pub(crate) mod render;
pub(crate) mod render_pdu;
