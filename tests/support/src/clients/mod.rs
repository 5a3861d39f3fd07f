//! Clients of a gateway with real listeners.

pub mod http_caller;
pub mod messenger_client;
