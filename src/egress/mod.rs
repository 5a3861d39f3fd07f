//! The egress client: every request to a peer goes through it.
//!
//! It finds the address, checks what a name leads to, verifies the peer, keeps the deadlines, limits the response, follows no
//! redirect and uses no proxy. It knows HTTP and no dialect. `connection` is the gate that each connection passes.

mod address_book;
mod address_filter;
mod client;
mod connection;
mod connection_pool;
mod dns;
mod error_words;
mod http_connection;
mod peer_address;
mod probe;
mod protobuf_refusals;
mod request_limiter;
mod request_writer;
mod resizable_semaphore;
mod response;
pub mod signer;

pub use crate::egress::address_book::{AddressBook, PeerRoute, PeerService};
pub use crate::egress::dns::ResolverOptions;
pub use crate::egress::peer_address::{AddressHost, BadAddress, PeerAddress};
pub use crate::egress::request_limiter::SlotLoad;
pub use client::{EgressClient, EgressOptions, PeerCall, PeerCallFault};

// `peer explain` shows each step of a connection.
pub(crate) use crate::egress::connection::StepRecord;
pub(crate) use crate::egress::dns::read_response_bytes;
pub(crate) use crate::egress::probe::{PeerProbe, ProbeAnswer, ProbeConnection};

// `check reachable` shows what other servers see of us.
pub(crate) use crate::egress::probe::outside_view;

// The transport of pushes falls back to JSON as calls do.
pub(crate) use crate::egress::protobuf_refusals::ProtobufRefusals;

// The GETs of `raw_targets` read responses and describe failures in the same way.
pub(crate) use crate::egress::error_words::{in_words, shown};
pub(crate) use crate::egress::response::{AnswerLimit, REASON_BYTES_MAX, classify_status, seconds};

use std::borrow::Cow;

use bytes::Bytes;

/// The product as our requests to the messenger name it.
pub(crate) const PRODUCT: &str = concat!("Fernpost/", env!("CARGO_PKG_VERSION"));

/// A request to a peer, as a dialect wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressRequest {
    /// Method of the request.
    pub method: EgressMethod,
    /// Path, from its first slash.
    pub path: Cow<'static, str>,
    /// Body; empty for a GET.
    pub body: Bytes,
    /// Content type of the body.
    pub content_type: &'static str,
    /// Part of the response that matters.
    pub answer: EgressAnswer,
    /// If true, the path is sent exactly as written, even if a URL would change it; possible for a GET only. For servers that
    /// `raw_targets` is for.
    pub raw: bool,
}

/// The methods of requests to peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgressMethod {
    /// A GET, which reads from the peer.
    Get,
    /// A POST, which transfers items.
    Post,
    /// A PUT, which transfers items under an id.
    Put,
}

/// The part of a response that matters. The status always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgressAnswer {
    /// The body is needed: without it the request fails.
    Needed,
    /// A 200 is a success, even if its body is too long or incomplete; the body is then empty.
    StatusDecides,
}

impl EgressRequest {
    fn new(method: EgressMethod, path: Cow<'static, str>, body: Bytes, answer: EgressAnswer) -> Self {
        Self { method, path, body, content_type: "application/json", answer, raw: false }
    }

    /// States another content type than that of JSON.
    #[must_use]
    pub fn of_type(self, content_type: &'static str) -> Self {
        Self { content_type, ..self }
    }

    /// Returns a GET request for a path.
    pub fn get(path: impl Into<Cow<'static, str>>, answer: EgressAnswer) -> Self {
        Self::new(EgressMethod::Get, path.into(), Bytes::new(), answer)
    }

    /// Sends the path exactly as written.
    #[must_use]
    pub fn raw(self) -> Self {
        Self { raw: true, ..self }
    }

    /// Returns a POST of JSON.
    pub fn post(path: impl Into<Cow<'static, str>>, body: Bytes, answer: EgressAnswer) -> Self {
        Self::new(EgressMethod::Post, path.into(), body, answer)
    }

    /// Returns a PUT of JSON.
    pub fn put(path: impl Into<Cow<'static, str>>, body: Bytes, answer: EgressAnswer) -> Self {
        Self::new(EgressMethod::Put, path.into(), body, answer)
    }
}
