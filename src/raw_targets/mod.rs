//! Raw request targets: the compatibility part for servers of 2014, which write ids into their paths as they are.
//!
//! # Why
//! Ids of contexts usually begin with `#` and may contain any character. Servers of 2014 do not percent-encode a path that they
//! write, and do not decode a path that they read: under `%23` such a server finds nothing. But a URL ends at a raw `#`, so an
//! HTTP library drops the rest of such a target, both when it sends a request and when it receives one. So this part works
//! below the HTTP libraries.
//!
//! # What
//! - [`stream`]: between the socket and the HTTP parser of a listener. A raw `#` in a request line becomes `%23`.
//! - [`path`]: the segments of paths. A path that was received is read in each way that its sender may have meant; a path to
//!   such a server is written without encoding.
//! - [`get`]: a GET that is sent without the URL library, if the URL would contain another target.
//!
//! # Who uses it
//! - `http::serve::serve_raw_targets` wraps each connection of the federation listener, whoever calls: who the caller is becomes
//!   known only after the head is parsed. The private listeners use no part of it.
//! - `wire::transactions` reads and writes the paths of its GETs with [`path`]. `InteropQuirks::raw_targets` decides per peer;
//!   the profile `synapse-2014` sets it.
//! - `egress::client` hands a request over to [`get`] if its target cannot be sent otherwise.
//!
//! `http::refused_head` is another matter: it stands at the same place of a connection and explains refusals to all callers.
//!
//! # How to delete it
//! Delete this folder and the tests that name raw targets, and follow the compiler: the federation listener uses `serve`; the
//! GETs of the dialect encode every segment and read the decoded one; `EgressRequest` loses `raw`, and the client its branch
//! for it; `InteropQuirks` loses `raw_targets`. No row of the store and no key of the configuration depends on this part.

pub(crate) mod get;
pub(crate) mod path;
pub(crate) mod stream;
