//! State entries: the fields of each state PDU that state resolution compares.

use std::sync::Arc;

use super::{PduRef, ServerName};

/// The key of a state entry: PDU type and state key.
pub type StateKey = (Arc<str>, String);

/// The fields of one state PDU that state resolution needs. The PDU's bytes are stored elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateEntry {
    /// Identity of the PDU.
    pub reference: PduRef,
    /// Power level that the PDU states.
    pub power: i64,
    /// PDU that this one replaces (`prev_state`).
    pub prev: Option<PduRef>,
    /// Status of the link to `prev`.
    pub bond: PrevStateLink,
    /// Membership that the content states; `None` unless its type is a membership type.
    pub member: Option<Membership>,
}

/// The status of the link from a state PDU to its `prev_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrevStateLink {
    /// The link is valid, or its target is still being fetched.
    Sound,
    /// The target could not be fetched: the PDU counts as a root unless the target arrives later.
    GivenUp,
    /// The target belongs to another key or context: the PDU is excluded from resolution.
    Foreign,
}

/// The membership of one user, as stated by a membership state PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Server of the user.
    pub server: ServerName,
    /// True for `join` and `invite`, false for `leave` and `ban`.
    pub joins: bool,
}

/// A PDU that state PDUs name as `prev_state` and that is not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPrevState {
    /// Identity of the missing PDU.
    pub missing: PduRef,
    /// Keys of the state PDUs that name it.
    pub keys: Vec<StateKey>,
    /// True if it could not be fetched.
    pub given_up: bool,
}
