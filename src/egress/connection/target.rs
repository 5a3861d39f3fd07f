//! The hosts and ports at which a peer may be reached.

use std::fmt;

use crate::egress::dns::ServiceRecord;
use crate::egress::peer_address::{AddressHost, PeerAddress};

/// A host and a port to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectTarget {
    pub(super) host: AddressHost,
    pub(super) port: u16,
    /// False for an `http://` address of the configuration, true otherwise.
    pub(super) tls: bool,
    /// The address of the configuration that this is; `None` if the peer's name led here.
    pub(super) configured: Option<PeerAddress>,
}

impl ConnectTarget {
    /// Returns the target of an address of the configuration.
    pub(super) fn of_address(address: &PeerAddress, default_port: u16) -> Self {
        Self {
            host: address.host().clone(),
            port: address.port().unwrap_or(default_port),
            tls: address.uses_tls(),
            configured: Some(address.clone()),
        }
    }

    /// Returns the target of a server name.
    pub(super) fn of_name(host: &str, port: u16) -> Self {
        Self { host: AddressHost::of_server(host), port, tls: true, configured: None }
    }

    /// Returns the target of a host that offers the service.
    pub(super) fn of_service(record: ServiceRecord) -> Self {
        Self { host: AddressHost::Name(record.target), port: record.port, tls: true, configured: None }
    }

    /// Returns whether the ranges of special addresses do not matter: the operator wrote down this address itself.
    pub(super) fn is_exempt(&self) -> bool {
        self.configured.is_some() && matches!(self.host, AddressHost::Ip(_))
    }
}

impl fmt::Display for ConnectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.configured {
            Some(address) => address.fmt(f),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
