//! The sections of the configuration: the keys of each, and their checks.

pub(crate) mod admin;
pub(crate) mod contexts;
pub(crate) mod federation;
pub(crate) mod feed;
pub(crate) mod messenger;
pub(crate) mod network;
pub(crate) mod observation;
pub(crate) mod peer;
pub(crate) mod push;
pub(crate) mod relay;
pub(crate) mod rpc;
pub(crate) mod server;
pub(crate) mod store;
pub(crate) mod strangers;
pub(crate) mod tls;
