//! What the configuration says at the doors: who may call, and which addresses a request outward may go to.

use std::net::IpAddr;
use std::sync::Arc;

use actors::model::ServerName;
use actors::supervise::seldom::Seldom;

use crate::egress::Addresses;
use crate::http::identity::Admission;
use crate::http::refusal::Problem;
use crate::settings::{Network, Peers};

/// The settings, as the doors ask them.
pub(super) struct Door {
    peers: Arc<Peers>,
    unproved: Seldom,
}

impl Door {
    /// Over these settings.
    pub(super) fn new(peers: Arc<Peers>) -> Self {
        let unproved = Seldom::new(|listener, count, last| {
            tracing::warn!(listener, count, last, "calls are refused whose sender is not proved (UNAUTHENTICATED)");
        });
        Self { peers, unproved }
    }
}

impl Admission for Door {
    fn denied(&self, server: &ServerName) -> bool {
        self.peers.denied(server)
    }

    fn believes(&self, server: &ServerName, address: IpAddr) -> bool {
        self.peers.believes(server, address)
    }

    fn who_may_be(&self, address: IpAddr) -> Option<ServerName> {
        self.peers.who_may_be(address)
    }

    fn knows(&self, address: IpAddr) -> bool {
        self.peers.knows(address)
    }

    fn listed(&self, server: &ServerName) -> bool {
        self.peers.peer(server).is_some()
    }

    fn unproved(&self, address: Option<IpAddr>, why: &Problem) {
        let address = address.map_or_else(|| "no address".to_owned(), |address| address.to_string());
        self.unproved.note("federation", 1, &format!("{address}: {why}"));
    }
}

/// The settings, as the gate outward asks them.
pub(super) struct Directory {
    /// Where peers are.
    pub(super) peers: Arc<Peers>,
    /// What may be reached beside.
    pub(super) network: Network,
}

impl Addresses for Directory {
    fn addresses(&self, server: &ServerName) -> Option<Vec<String>> {
        let peer = self.peers.peer(server)?;
        Some(peer.link.addresses.iter().map(|address| address.as_str().to_owned()).collect())
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.network.allow.iter().any(|range| range.contains(&address))
    }
}
