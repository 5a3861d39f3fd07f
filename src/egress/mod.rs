//! The one gate outward: every request to a peer goes through here.
//!
//! It finds the address, checks what a name resolves to, keeps the deadlines, caps what comes back, follows no redirect and
//! asks no proxy. It knows HTTP and no dialect.

mod client;
mod guard;
mod reply;
mod resolve;

pub use client::{ANSWER_BYTES_MAX, Addresses, Egress, Unbuildable};
pub use guard::is_special;

use std::borrow::Cow;

use bytes::Bytes;

/// A request to a peer, in the words of a dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The path, from its first slash.
    pub path: Cow<'static, str>,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}
