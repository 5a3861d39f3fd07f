//! The length of a walk from a state PDU to its parents and to the state PDU that it replaces.

/// The number of fetches in a row that led to the PDUs that a PDU names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StateWalk {
    /// Number of fetches that led to its parents.
    pub(crate) parents: u32,
    /// Number of fetches that led to the state PDU that it replaces.
    pub(crate) link: u32,
}

impl StateWalk {
    /// The walk of a PDU that was not fetched.
    pub(crate) const NONE: Self = Self { parents: 1, link: 1 };
}
