//! Tokens of the replies that a machine owes. The type of a token fixes the type of its reply, so that no caller can get another.

use std::fmt;
use std::marker::PhantomData;

/// The token of a request that waits for a reply of type `R`. The actor keeps the channel of the reply; a restart drops it, and the
/// caller is told that the outcome is unknown.
pub struct ReplyToken<R> {
    number: u64,
    reply: PhantomData<fn() -> R>,
}

impl<R> ReplyToken<R> {
    /// Returns the token with this number, which is unique within one actor.
    pub const fn new(number: u64) -> Self {
        Self { number, reply: PhantomData }
    }

    /// Returns its number.
    pub const fn number(self) -> u64 {
        self.number
    }
}

// Derived, these would ask the same of `R`.
impl<R> Clone for ReplyToken<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for ReplyToken<R> {}

impl<R> PartialEq for ReplyToken<R> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<R> Eq for ReplyToken<R> {}

impl<R> fmt::Debug for ReplyToken<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyToken({})", self.number)
    }
}
