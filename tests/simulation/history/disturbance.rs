//! What was done to the gateways of a run and to the ways between them, and from when to when.

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
    /// It does not run, or has lost what it had in memory.
    Down(Name),
    /// One of its actors was made to panic.
    Panic(Name),
    /// PDUs that carry its poison make it panic.
    Poisoned(Name),
}

impl Disturbance {
    /// Whether it lasts at any moment from `from` to `until`.
    pub(crate) fn meets(&self, from: Stamp, until: Stamp) -> bool {
        self.from <= until && self.until.is_none_or(|end| from <= end)
    }
}
