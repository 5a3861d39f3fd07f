//! Peers that are unreachable, slow or wrong.

mod backoff;
mod dead;
mod groups;
mod outage;
mod protobuf;
mod reached;
mod relays;
mod routes;
pub(crate) mod signatures;
mod simulated;
mod skew;
