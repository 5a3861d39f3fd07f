//! The one gate outward: every request to a peer goes through here.
//!
//! It finds the address, checks what a name resolves to, keeps the deadlines, caps what comes back, follows no redirect and
//! asks no proxy. It knows HTTP and no dialect.

mod client;
mod guard;
mod lookups;
mod raw;
mod reply;
mod resolve;
mod slots;

pub use client::{ANSWER_BYTES_MAX, Addresses, Egress, Unbuildable};
pub use guard::is_special;
pub use slots::Load;

use std::borrow::Cow;

use bytes::Bytes;

/// A request to a peer, in the words of a dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The path, from its first slash.
    pub path: Cow<'static, str>,
    /// The body, which is JSON; a GET has none.
    pub body: Bytes,
    /// What of the answer counts.
    pub answer: Answer,
    /// The path is written as it stands, whatever a URL would make of it; only a GET can be. Else it is a URL's.
    pub raw: bool,
}

/// The methods peers are asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Something is read.
    Get,
    /// Something is handed over.
    Post,
    /// Something is handed over under a name.
    Put,
}

/// What of the answer counts. Its status always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Its body says what was done: without it there is no answer.
    Needed {
        /// The most bytes it may have.
        bytes_max: usize,
    },
    /// A 200 says all; a body that is too long or breaks off is as good as none.
    StatusDecides {
        /// The most bytes of it that are read.
        bytes_max: usize,
    },
}

impl Request {
    /// A GET.
    pub fn get(path: impl Into<Cow<'static, str>>, answer: Answer) -> Self {
        Self { method: Method::Get, path: path.into(), body: Bytes::new(), answer, raw: false }
    }

    /// The same, to a server that takes its target as it stands.
    #[must_use]
    pub fn raw(self) -> Self {
        Self { raw: true, ..self }
    }

    /// A POST of JSON.
    pub fn post(path: impl Into<Cow<'static, str>>, body: Bytes, answer: Answer) -> Self {
        Self { method: Method::Post, path: path.into(), body, answer, raw: false }
    }

    /// A PUT of JSON.
    pub fn put(path: impl Into<Cow<'static, str>>, body: Bytes, answer: Answer) -> Self {
        Self { method: Method::Put, path: path.into(), body, answer, raw: false }
    }
}
