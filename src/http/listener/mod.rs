//! Listeners and their connections: binding, limits of connections, TLS handshakes, and the deadlines of requests.

pub mod bind_advice;
pub mod bound_listener;
pub mod caller_deadlines;
pub(crate) mod caller_departure;
pub mod client_stream;
pub mod connection_admission;
pub mod connection_progress;
pub mod connection_table;
pub mod forwarded_requests;
pub(crate) mod request_framing;
pub(crate) mod silent_connection;
pub mod timed_stream;
pub mod watched_socket;
