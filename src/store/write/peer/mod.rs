//! What changes about a peer write.

pub(crate) mod attempts;
pub(crate) mod inbound;
pub(crate) mod non_participants;
pub(crate) mod outbound;
