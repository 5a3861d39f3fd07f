//! Peers that are unreachable, slow or wrong.

mod backoff;
mod dead;
mod outage;
mod signatures;
mod simulated;
