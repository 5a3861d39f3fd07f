//! The peers and limits of a gateway under test.

use std::sync::Arc;

use crate::limits::{ContextLimits, OverloadLimits, PEERS_RESIDENT_MAX, PeerLimits};
use crate::model::ServerName;
use crate::ports::PeerConfig;

/// A configuration built by the test: peers, each with its limits, and the limits of everything else.
#[derive(Clone)]
pub struct TestPeers {
    /// Peers that the configuration names, in its order.
    pub peers: Vec<(ServerName, Arc<PeerLimits>)>,
    /// Peers that the configuration does not name.
    pub unlisted: Vec<(ServerName, Arc<PeerLimits>)>,
    /// The limits of all other servers; `None`: these are no peers.
    pub others: Option<Arc<PeerLimits>>,
    /// The limits of every context.
    pub contexts: Arc<ContextLimits>,
    /// The thresholds at which the gateway is overloaded.
    pub overload: OverloadLimits,
    /// Maximum number of peers in memory.
    pub resident_max: u32,
}

impl TestPeers {
    /// Returns a configuration without peers.
    pub fn none() -> Self {
        Self {
            peers: vec![],
            unlisted: vec![],
            others: None,
            contexts: Arc::default(),
            overload: OverloadLimits::default(),
            resident_max: PEERS_RESIDENT_MAX,
        }
    }

    /// Returns a configuration that names no server and has every server as a peer with these limits.
    pub fn everybody(limits: impl Into<Arc<PeerLimits>>) -> Self {
        Self { others: Some(limits.into()), ..Self::none() }
    }

    /// Adds a peer that the configuration names.
    pub fn listing(mut self, server: ServerName, limits: impl Into<Arc<PeerLimits>>) -> Self {
        self.peers.push((server, limits.into()));
        self
    }

    /// Adds a peer that the configuration does not name.
    pub fn accepting(mut self, server: ServerName, limits: impl Into<Arc<PeerLimits>>) -> Self {
        self.unlisted.push((server, limits.into()));
        self
    }

    /// Changes the limits of a listed peer, given by its name or by the first word of its name.
    pub fn with_peer(mut self, name: &str, change: impl FnOnce(&mut PeerLimits)) -> Self {
        let is_called = |server: &ServerName| {
            let rest = server.as_str().strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let peer = self.peers.iter_mut().find(|(server, _)| is_called(server)).expect("a listed peer");
        change(Arc::make_mut(&mut peer.1));
        self
    }

    /// Changes the limits of contexts.
    pub fn with_contexts(mut self, change: impl FnOnce(&mut ContextLimits)) -> Self {
        change(Arc::make_mut(&mut self.contexts));
        self
    }

    /// Changes the thresholds of overload.
    pub fn with_overload(mut self, change: impl FnOnce(&mut OverloadLimits)) -> Self {
        change(&mut self.overload);
        self
    }

    /// Sets the number of unread events from which peers have to wait, and the number below which they are accepted again.
    pub fn with_water(self, high: u64, low: u64) -> Self {
        self.with_overload(|overload| (overload.feed_high, overload.feed_low) = (high, low))
    }

    /// Sets the maximum number of peers in memory.
    pub fn with_resident_max(self, resident_max: u32) -> Self {
        Self { resident_max, ..self }
    }
}

impl PeerConfig for TestPeers {
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>> {
        let named = self.peers.iter().chain(&self.unlisted).find(|(name, _)| name == server);
        named.map(|(_, limits)| limits).or(self.others.as_ref()).cloned()
    }

    fn listed(&self) -> Vec<ServerName> {
        self.peers.iter().map(|(name, _)| name.clone()).collect()
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        self.contexts.clone()
    }

    fn peers_resident_max(&self) -> u32 {
        self.resident_max
    }

    fn overload(&self) -> OverloadLimits {
        self.overload
    }
}
