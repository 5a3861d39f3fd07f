//! Disturbances of the gateways of a run and of the links between them, each with its start and end.

use crate::history::{Name, Stamp};

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disturbance {
    pub(crate) what: Done,
    pub(crate) from: Stamp,
    /// `None`: to the end.
    pub(crate) until: Option<Stamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// Requests on this way do not arrive, or arrive later.
    Way(Name, Name),
    /// An operator has told the first to leave the second alone.
    Suspended(Name, Name),
    /// The gateway does not run, or has lost its memory.
    Down(Name),
    /// One of its actors was made to panic.
    Panic(Name),
    /// PDUs that carry its poison make it panic.
    Poisoned(Name),
}

impl Disturbance {
    /// True if the disturbance lasts at any moment from `from` to `until`.
    pub(crate) fn meets(&self, from: Stamp, until: Stamp) -> bool {
        self.from <= until && self.until.is_none_or(|end| from <= end)
    }
}
