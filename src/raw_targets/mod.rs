//! Raw request targets: the compatibility part for servers of 2014, which write ids into their paths without encoding.
//!
//! # Why
//! Ids of contexts usually begin with `#` and may contain any character. Servers of 2014 neither encode the paths that
//! they send nor decode the paths that they receive, so they find no context under `%23`. An HTTP library ends a URL at
//! a raw `#` and drops the rest, in requests that it sends and in requests that it receives. So this part works below
//! the HTTP libraries.
//!
//! # What
//! - [`stream`] replaces a raw `#` in a request line by `%23`, between the socket and the HTTP parser of a listener.
//! - [`path`] reads and writes the segments of paths. It reads a received path in each way that its sender may have
//!   meant, and writes a path to such a server without encoding.
//! - [`get`] sends a GET without the URL library, if the library would change the target.
//!
//! # Who uses it
//! - `http::serve::serve_raw_targets` wraps each connection of the federation listener, because the caller is known
//!   only after the head is parsed. The private listeners do not use it.
//! - `wire::transactions` reads and writes the paths of its GETs with [`path`]. `InteropQuirks::raw_targets` decides
//!   per peer; the profile `synapse-2014` sets it.
//! - `egress::client` passes a request to [`get`] if its target cannot be sent otherwise.
//!
//! `http::refused_head` is not part of this: it reads the same stream, but explains refusals to all callers.
//!
//! # How to delete it
//! Delete this folder, the tests that name raw targets, `EgressRequest::raw` with its branch in the client, and
//! `InteropQuirks::raw_targets`. Let the federation listener use `serve`, and let the GETs of the dialect encode every
//! segment that they write and decode every segment that they read. No row of the store and no key of the configuration
//! depends on this part.

pub(crate) mod get;
pub(crate) mod path;
pub(crate) mod stream;
