//! The tables about peers, each owned by a type of its own.

pub(crate) mod attempts;
pub(crate) mod forwards;
pub(crate) mod inbound;
pub(crate) mod non_participants;
mod numbered_rows;
pub(crate) mod outbound;
pub(crate) mod quarantine;
