//! The servers of a test: their names, their addresses, and the usual limits.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actors::limits::PeerLimits;
use actors::model::{DialectSpec, ServerName};
use actors::ports::PeerConfig;
use actors::testkit::TestPeers;
use fernpost::http::authentication::PeerAuthPolicy;

/// First words of the names of all servers; each server calls from an address of its own.
pub const EVERYBODY: [&str; 5] = ["red", "green", "blue", "grey", "pink"];

/// Returns the name `<word>.example`.
pub fn server(word: &str) -> ServerName {
    name(&format!("{word}.example"))
}

/// Returns the server of this name.
pub fn name(text: &str) -> ServerName {
    text.parse().expect("a server name")
}

/// Returns the name `red.example`.
pub fn red() -> ServerName {
    server("red")
}

/// Returns the name `green.example`.
pub fn green() -> ServerName {
    server("green")
}

/// Returns the compiled defaults without jitter.
pub fn limits() -> PeerLimits {
    PeerLimits { jitter: 0.0, ..PeerLimits::default() }
}

/// Returns the usual configuration of `<us>.example`: updates with red and blue, transactions if green is one of the two.
pub fn usual_peers(us: &str) -> TestPeers {
    let dialect = |other: &str| match us == "green" || other == "green" {
        true => DialectSpec::TRANSACTIONS,
        false => DialectSpec::UPDATES,
    };
    let others = EVERYBODY.iter().filter(|other| **other != us);
    let limits = |other: &str| PeerLimits { dialect: dialect(other), ..limits() };
    others.fold(TestPeers::none(), |peers, other| peers.listing(server(other), limits(other)))
}

/// Returns the address from which a server calls.
pub fn address(name: &ServerName) -> IpAddr {
    let place = EVERYBODY.iter().position(|other| server(other) == *name).expect("one of us");
    Ipv4Addr::new(10, 0, 0, u8::try_from(place).unwrap() + 1).into()
}

/// The admission policy of a gateway with these peers: each is known by the [`address`] it calls from.
pub struct PeersByAddress(pub Arc<dyn PeerConfig>);

impl PeerAuthPolicy for PeersByAddress {
    fn denied(&self, _: &ServerName) -> bool {
        false
    }

    fn allows_address(&self, server: &ServerName, from: IpAddr) -> bool {
        self.peer_by_address(from).as_ref() == Some(server)
    }

    fn peer_by_address(&self, from: IpAddr) -> Option<ServerName> {
        let servers = EVERYBODY.iter().map(|word| server(word));
        servers.into_iter().find(|name| address(name) == from && self.listed(name))
    }

    fn is_peer_address(&self, from: IpAddr) -> bool {
        self.peer_by_address(from).is_some()
    }

    fn listed(&self, server: &ServerName) -> bool {
        self.0.limits(server).is_some()
    }
}
