//! Admission by configuration: the callers that are accepted, and the addresses that outbound requests may use.

use std::net::IpAddr;
use std::sync::Arc;

use actors::model::ServerName;
use actors::supervise::log_throttle::LogThrottle;

use crate::egress::AddressBook;
use crate::egress::signer::SignedPeers;
use crate::http::authentication::PeerAuthPolicy;
use crate::http::error::ApiError;
use crate::identity::public_key::PeerKeys;
use crate::settings::{NetworkSettings, PeerTable};

/// The authentication policy of the settings.
pub(super) struct ConfiguredAdmission {
    peers: Arc<PeerTable>,
    unproved: LogThrottle,
}

impl ConfiguredAdmission {
    /// Returns the policy of these peers.
    pub(super) fn new(peers: Arc<PeerTable>) -> Self {
        let unproved = LogThrottle::new(|listener, count, last| {
            tracing::warn!(listener, count, last, "requests rejected, because their sender is not authenticated (401)");
        });
        Self { peers, unproved }
    }
}

impl PeerAuthPolicy for ConfiguredAdmission {
    fn denied(&self, server: &ServerName) -> bool {
        self.peers.denied(server)
    }

    fn allows_address(&self, server: &ServerName, address: IpAddr) -> bool {
        self.peers.believes(server, address)
    }

    fn peer_by_address(&self, address: IpAddr) -> Option<ServerName> {
        self.peers.who_may_be(address)
    }

    fn is_peer_address(&self, address: IpAddr) -> bool {
        self.peers.knows(address)
    }

    fn listed(&self, server: &ServerName) -> bool {
        self.peers.peer(server).is_some()
    }

    fn signature_keys(&self, server: &ServerName) -> Option<PeerKeys> {
        self.peers.signature_keys(server)
    }

    fn on_unauthenticated(&self, address: Option<IpAddr>, why: &ApiError) {
        let address = address.map_or_else(|| "no address".to_owned(), |address| address.to_string());
        self.unproved.note("federation", 1, &format!("{address}: {}: {why}", why.code()));
    }
}

/// The peers' addresses from the settings.
pub(super) struct ConfiguredAddresses {
    /// Addresses of the peers.
    pub(super) peers: Arc<PeerTable>,
    /// Private ranges that names may resolve to.
    pub(super) network: NetworkSettings,
}

impl SignedPeers for ConfiguredAddresses {
    fn signs_to(&self, server: &ServerName) -> bool {
        self.peers.signature_keys(server).is_some()
    }
}

impl AddressBook for ConfiguredAddresses {
    fn addresses(&self, server: &ServerName) -> Option<Vec<String>> {
        let peer = self.peers.peer(server)?;
        Some(peer.link.addresses.iter().map(|address| address.as_str().to_owned()).collect())
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.network.allow.iter().any(|range| range.contains(&address))
    }
}
