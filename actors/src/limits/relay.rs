//! The limits of delivery through third servers.

use std::time::Duration;

use crate::model::ServerName;

/// A way to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteStep {
    /// To its own addresses.
    Direct,
    /// Through this server, which has to be a peer too.
    Via(ServerName),
}

/// The limits of delivery to and from one peer through third servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayLimits {
    /// Ways to the peer in the order in which they are tried.
    pub route: Vec<RouteStep>,
    /// Time for which the peer has to be unreachable before another server is used.
    pub after: Duration,
    /// Longest time between two attempts to reach the peer itself while another server is used.
    pub probe: Duration,
    /// Time for which a server that refused to pass on is not used again.
    pub retry: Duration,
    /// Maximum number of forwarded updates of the peer that wait here for those before them.
    pub held_max: u32,
}

impl RelayLimits {
    /// Returns the servers through which the peer may be reached, in their order.
    pub fn vias(&self) -> impl Iterator<Item = &ServerName> {
        self.route.iter().filter_map(|step| match step {
            RouteStep::Direct => None,
            RouteStep::Via(server) => Some(server),
        })
    }

    /// Returns whether the peer itself is tried.
    pub fn is_direct(&self) -> bool {
        self.route.contains(&RouteStep::Direct)
    }
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            route: vec![RouteStep::Direct],
            after: Duration::from_secs(300),
            probe: Duration::from_secs(30),
            retry: Duration::from_secs(3600),
            held_max: 1000,
        }
    }
}
