//! The peers and limits of a gateway under test.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::limits::{
    ContextGroups, ContextLimits, OverloadLimits, PEERS_IDLE_AFTER, PEERS_RESIDENT_MAX, PeerGroups, PeerLimits,
    PeerListing,
};
use crate::model::{GroupId, ServerName};
use crate::ports::PeerConfig;

/// A configuration built by the test: peers, each with its limits, and the limits of everything else.
#[derive(Clone)]
pub struct TestPeers {
    /// Peers that the configuration names, in its order.
    pub peers: Vec<(ServerName, Arc<PeerLimits>)>,
    /// Peers that the configuration does not name.
    pub unlisted: Vec<(ServerName, Arc<PeerLimits>)>,
    /// Servers that the configuration denies.
    pub denied: Vec<ServerName>,
    /// The limits of all other servers; `None`: these are no peers.
    pub others: Option<Arc<PeerLimits>>,
    /// The limits of every context.
    pub contexts: Arc<ContextLimits>,
    /// The thresholds at which the gateway is overloaded.
    pub overload: OverloadLimits,
    /// Maximum number of peers in memory.
    pub resident_max: u32,
    /// Time after which a peer without work leaves memory.
    pub idle_after: Duration,
    /// Maximum number of strangers in memory.
    pub strangers_max: u32,
    /// True if this server passes on what anybody writes to anybody.
    pub relays: bool,
}

impl TestPeers {
    /// Returns a configuration without peers.
    pub fn none() -> Self {
        Self {
            peers: vec![],
            unlisted: vec![],
            denied: vec![],
            others: None,
            contexts: Arc::default(),
            overload: OverloadLimits::default(),
            resident_max: PEERS_RESIDENT_MAX,
            idle_after: PEERS_IDLE_AFTER,
            strangers_max: 0,
            relays: false,
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

    /// Denies a server, listed or not.
    pub fn denying(mut self, server: ServerName) -> Self {
        self.denied.push(server);
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

    /// Makes a context a group of a listed peer, the only one of that peer.
    pub fn with_group(self, name: &str, group: i64, context: &str) -> Self {
        let mapped = PeerGroups::new([(GroupId(group), context.parse().expect("a context"))].into());
        let peers = self.with_peer(name, |peer| peer.groups = mapped);
        let groups = ContextGroups::of_peers(peers.peers.iter().map(|(server, limits)| (server, &limits.groups)));
        peers.with_contexts(|contexts| contexts.groups = groups)
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

    /// Sets the time after which a peer without work leaves memory.
    pub fn with_idle_after(self, idle_after: Duration) -> Self {
        Self { idle_after, ..self }
    }

    /// Lets this server pass on what anybody writes to anybody.
    pub fn relaying(self) -> Self {
        Self { relays: true, ..self }
    }

    /// Sets the maximum number of strangers in memory.
    pub fn with_strangers_max(self, strangers_max: u32) -> Self {
        Self { strangers_max, ..self }
    }
}

impl PeerConfig for TestPeers {
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>> {
        if self.denied.contains(server) {
            return None;
        }
        let named = self.peers.iter().chain(&self.unlisted).find(|(name, _)| name == server);
        named.map(|(_, limits)| limits).or(self.others.as_ref()).cloned()
    }

    fn allows_relay(&self, _: &ServerName, _: &ServerName) -> bool {
        self.relays
    }

    fn listed(&self) -> Vec<ServerName> {
        self.peers.iter().map(|(name, _)| name.clone()).filter(|name| !self.denied.contains(name)).collect()
    }

    fn unlisted(&self, server: &ServerName) -> Arc<PeerLimits> {
        let is_denied = self.denied.contains(server);
        let listing = if is_denied { PeerListing::Denied } else { PeerListing::NotListed };
        Arc::new(PeerLimits { listing, ..PeerLimits::default() })
    }

    fn has_receipts(&self) -> bool {
        let named = self.peers.iter().chain(&self.unlisted).map(|(_, limits)| limits);
        named.chain(&self.others).any(|limits| limits.receipts)
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        self.contexts.clone()
    }

    fn peers_resident_max(&self) -> u32 {
        self.resident_max
    }

    fn peers_idle_after(&self) -> Duration {
        self.idle_after
    }

    fn strangers_resident_max(&self) -> u32 {
        self.strangers_max
    }

    fn overload(&self) -> OverloadLimits {
        self.overload
    }
}

/// A configuration that the test replaces while the gateway runs.
pub struct ReplaceablePeers(ArcSwap<TestPeers>);

impl ReplaceablePeers {
    /// Returns this configuration, until it is replaced.
    pub fn new(peers: TestPeers) -> Self {
        Self(ArcSwap::from_pointee(peers))
    }

    /// Replaces the configuration.
    pub fn replace(&self, peers: TestPeers) {
        self.0.store(Arc::new(peers));
    }
}

impl PeerConfig for ReplaceablePeers {
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>> {
        self.0.load().limits(server)
    }

    fn allows_relay(&self, origin: &ServerName, destination: &ServerName) -> bool {
        self.0.load().allows_relay(origin, destination)
    }

    fn listed(&self) -> Vec<ServerName> {
        self.0.load().listed()
    }

    fn unlisted(&self, server: &ServerName) -> Arc<PeerLimits> {
        self.0.load().unlisted(server)
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        self.0.load().contexts()
    }

    fn peers_resident_max(&self) -> u32 {
        self.0.load().peers_resident_max()
    }

    fn peers_idle_after(&self) -> Duration {
        self.0.load().peers_idle_after()
    }

    fn strangers_resident_max(&self) -> u32 {
        self.0.load().strangers_resident_max()
    }

    fn overload(&self) -> OverloadLimits {
        self.0.load().overload()
    }
}
