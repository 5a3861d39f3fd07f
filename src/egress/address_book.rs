//! The way to a peer, as the configuration gives it.

use std::net::IpAddr;
use std::sync::Arc;

use actors::model::ServerName;

use crate::egress::peer_address::PeerAddress;
use crate::tls::spki_pin::SpkiPin;

/// The way to each peer according to the configuration.
pub trait AddressBook: Send + Sync + 'static {
    /// Returns the way to a server, also to one that is not listed.
    fn route(&self, server: &ServerName) -> Arc<PeerRoute>;

    /// Returns whether `network.allow` contains this address: a name may then lead to it although it is not public.
    fn allows(&self, address: IpAddr) -> bool;
}

/// The way to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRoute {
    /// Configured addresses, in the order in which they are tried; none: the server is found by its name.
    pub addresses: Vec<PeerAddress>,
    /// Service by which the server is found, that of its dialect.
    pub service: PeerService,
    /// Pins, one of which the public key of the server has to have; none: its certificate has to chain to a trusted root.
    pub pins: Arc<[SpkiPin]>,
    /// True if the server is shown our certificate when it asks for one.
    pub presents_certificate: bool,
}

impl PeerRoute {
    /// Returns the way to a server of which only these addresses are known.
    pub fn new(addresses: Vec<PeerAddress>, service: PeerService) -> Self {
        Self { addresses, service, pins: Arc::default(), presents_certificate: false }
    }

    /// Returns the same way over TLS alone; `None`: all configured addresses are `http://`.
    pub fn over_tls(&self) -> Option<Self> {
        let addresses: Vec<PeerAddress> = self.addresses.iter().filter(|address| address.uses_tls()).cloned().collect();
        (self.addresses.is_empty() || !addresses.is_empty()).then(|| Self { addresses, ..self.clone() })
    }
}

/// The service of a dialect, by which its servers are found in DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerService {
    /// Name of the service, which is written before the name of the server.
    pub name: &'static str,
    /// Port of a server that states none.
    pub default_port: u16,
}
