//! Pieces of state: what is kept of each state PDU of a key, and who holds the key.

use std::sync::Arc;

use super::{PduRef, ServerName};

/// The piece of state a PDU sets: its type, and the key.
pub type StateKey = (Arc<str>, String);

/// What the choice among the state PDUs of a key needs of one of them. Its bytes lie elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePiece {
    /// Which PDU.
    pub reference: PduRef,
    /// How much its author's word weighs.
    pub power: i64,
    /// The PDU it replaces.
    pub prev: Option<PduRef>,
    /// What is known of the link to `prev`.
    pub bond: Bond,
    /// What it says of a membership, where its type is one of those that speak of members.
    pub member: Option<Membership>,
}

/// What is known of the link from a state PDU to the one it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bond {
    /// It holds, or what it names is still looked for.
    Sound,
    /// What it names could not be had: the PDU counts as a beginning, unless the other one comes after all.
    GivenUp,
    /// What it names is a PDU of another key or context: the PDU counts for nothing.
    Foreign,
}

/// A user of a server takes part, or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The user's server.
    pub server: ServerName,
    /// It joins, or is invited; else it has left, or was banned.
    pub joins: bool,
}

/// A PDU that state PDUs name as the one they replace, and that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLink {
    /// Which one.
    pub missing: PduRef,
    /// The keys whose PDUs name it.
    pub keys: Vec<StateKey>,
    /// It could not be had.
    pub given_up: bool,
}
