//! The five counters of the house, as types: an index is never taken for a number on the wire.

use std::fmt;
use std::time::Duration;

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this; the largest stays.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// `n` further.
            #[must_use]
            pub const fn plus(self, n: u64) -> Self {
                Self(self.0 + n)
            }

            /// How many lie between `earlier` (exclusive) and this (inclusive); 0 where `earlier` is not earlier.
            pub const fn since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// The place of an item in a peer's outbox: 1, 2, 3 ... for ever, given by the journal's writer. Never on the wire.
    Index
}
counter! {
    /// The number of a strong update as a peer sees it. Derived from the index by the newest [`Segment`](super::Segment).
    Seq
}
counter! {
    /// A place in the messenger's feed: the first is 1, each is one more than the one before, but for the first of a restored store.
    Position
}
counter! {
    /// The key under which the bytes of a plain update are stored once, however many peers they go to.
    ItemNo
}
counter! {
    /// Wall time in milliseconds since 1970. Orders nothing; tells people when, and timers until when.
    Millis
}

impl Seq {
    /// Numbers on the wire stay below this: up to here every JSON reader keeps integers exact.
    pub const LIMIT: Self = Self(1 << 53);
}

impl Millis {
    /// This moment and `duration` more.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long until `later`; zero where it has passed.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.since(self))
    }
}
