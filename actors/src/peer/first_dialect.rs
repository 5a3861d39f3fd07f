//! The dialect of a stranger, that of its first request, which no configuration states and the store therefore keeps.

use crate::limits::{PeerLimits, PeerListing};

/// The dialect of a stranger.
#[derive(Debug, Clone)]
pub(crate) struct FirstDialect {
    /// Name of the stored dialect.
    known: Option<&'static str>,
    /// Name of the dialect in which the peer is addressed, if it is a stranger.
    current: Option<&'static str>,
}

impl FirstDialect {
    /// Returns the dialect of a peer with these limits, as it was stored.
    pub(crate) fn new(limits: &PeerLimits, known: Option<&'static str>) -> Self {
        Self { known, current: of_stranger(limits) }
    }

    /// Works with these limits from now on.
    pub(crate) fn change_limits(&mut self, limits: &PeerLimits) {
        self.current = of_stranger(limits);
    }

    /// Takes over the dialect of a stranger that sends something for the first time. Returns true if it has to be stored.
    pub(crate) fn learn(&mut self) -> bool {
        let is_new = self.known.is_none() && self.current.is_some();
        if is_new {
            self.known = self.current;
        }
        is_new
    }

    /// Returns the dialect to store.
    pub(crate) const fn known(&self) -> Option<&'static str> {
        self.known
    }
}

fn of_stranger(limits: &PeerLimits) -> Option<&'static str> {
    (limits.listing == PeerListing::Stranger).then_some(limits.dialect.name)
}
