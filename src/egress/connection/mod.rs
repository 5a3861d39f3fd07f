//! The one gate for connections to peers: name, route, addresses, ranges, TCP, TLS.
//!
//! ```text
//! server name --> PeerConnector --> ConnectTarget, one after the other    addresses of the configuration, the last good one first
//!                       |                                                 else the port in the name
//!                       |                                                 else SRV of the dialect's service
//!                       |                                                 else the name with the default port
//!                       +--> NameResolver      addresses of the target's host
//!                       +--> is_permitted      the addresses that remain are raced (RFC 8305)
//!                       +--> PeerTls           verified against the host of the server name, whatever host led there
//! ```
//!
//! This is built on hyper's connections and not on a client such as reqwest, because such a client takes the name for TLS and the
//! key of its pool from the URL: two peers at one URL would share a connection, and a certificate would be verified against the
//! host of an SRV record. Its resolver sees no literal addresses and no records of services, so it could not be the gate either.

mod connector;
mod first_success;
mod peer_tls;
mod step_trace;
mod target;

pub(crate) use connector::{ConnectCall, ConnectPlace, PeerConnection, PeerConnector};
pub(crate) use peer_tls::{OfferedProtocols, PeerTls, TlsMaterial};
pub(crate) use step_trace::{StepRecord, StepTrace};

#[cfg(test)]
mod tests;
