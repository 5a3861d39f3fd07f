//! Messages of a peer's groups that are messages of contexts here.

pub(super) mod mapped_messages;
mod parked_messages;
