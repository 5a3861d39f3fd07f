//! The digest that identifies an update or the PDUs of a transaction.

use std::fmt;

/// The identity of an update for the detection of repeats: the first half of a SHA-256.
///
/// The dialect computes it over the bytes of a plain update; the core only compares it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
