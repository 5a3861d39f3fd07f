//! Listeners and their connections, up to the first request: binding, limits of connections, TLS handshakes.

pub mod bind_advice;
pub mod bound_listener;
pub mod client_stream;
pub mod connection_admission;
pub mod connection_table;
pub mod forwarded_requests;
