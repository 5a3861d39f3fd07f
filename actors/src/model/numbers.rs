//! The five counters of the gateway as distinct types, so that an outbox index cannot be used as a sequence number.

use std::fmt;
use std::time::Duration;

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// Returns the next value; the largest one stays.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// Returns the value `n` steps further.
            #[must_use]
            pub const fn plus(self, n: u64) -> Self {
                Self(self.0 + n)
            }

            /// Returns the number of values after `earlier`, up to and including this one; 0 if `earlier` is not
            /// smaller.
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
    /// The position of an item in a peer's outbox: 1, 2, 3 ...; the store's writer assigns it, and it never repeats. It
    /// is never sent to a peer.
    Index
}
counter! {
    /// The sequence number of a strong update on the wire. The newest [`NumberSegment`](super::NumberSegment) maps an index to it.
    Seq
}
counter! {
    /// A position in the messenger's feed: the first is 1, and each is one more than the one before, except for the first
    /// after a restore.
    Position
}
counter! {
    /// The key of the bytes of a plain update, which are stored once for all peers that get it.
    ItemNo
}
counter! {
    /// Wall time in milliseconds since 1970. It is for display and timers only, never for ordering.
    Millis
}

impl Seq {
    /// Numbers on the wire are below this limit: up to here every JSON reader keeps integers exact.
    pub const LIMIT: Self = Self(1 << 53);
}

impl Millis {
    /// Returns the time `duration` after this one.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the time left until `later`; zero if it has passed.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.since(self))
    }
}
