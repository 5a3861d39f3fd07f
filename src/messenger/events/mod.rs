//! Endpoints under `/v1/events`: the feed by page and by stream, its acknowledgement, and the JSON of an event.

pub(crate) mod ack;
pub(crate) mod ack_cursor;
pub(crate) mod get;
pub(crate) mod open_streams;
pub(crate) mod render;
pub(crate) mod render_pdu;
pub(crate) mod rewind;
mod stream;
