//! The addresses of peers that the egress client looks up.

use std::net::IpAddr;

use actors::model::ServerName;

/// The addresses of peers according to the configuration.
pub trait AddressBook: Send + Sync + 'static {
    /// Returns the URLs of a peer in the order in which they are tried; `None` if none is configured.
    fn addresses(&self, server: &ServerName) -> Option<Vec<String>>;

    /// Returns whether `network.allow` contains this address: a name may then resolve to it although it is not public.
    fn allows(&self, address: IpAddr) -> bool;
}
