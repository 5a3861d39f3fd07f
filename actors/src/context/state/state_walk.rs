//! The length of a walk from a state PDU to its parents and to the state PDU that it replaces.

/// How many questions in a row have led to what a PDU names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StateWalk {
    /// To its parents.
    pub(crate) parents: u32,
    /// To the state PDU it replaces.
    pub(crate) link: u32,
}

impl StateWalk {
    /// It came by itself.
    pub(crate) const NONE: Self = Self { parents: 1, link: 1 };
}
