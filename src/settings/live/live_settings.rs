//! The settings in use, replaced without a restart.

use std::sync::Arc;
use std::time::Duration;

use actors::limits::{ContextLimits, OverloadLimits, PeerLimits};
use actors::model::ServerName;
use actors::ports::PeerConfig;
use arc_swap::ArcSwap;

use crate::rpc::{RpcLimits, RpcRules};
use crate::settings::{PeerTable, Settings};

/// The settings in use. Clones share them; read them anew for each decision, because a reload replaces them.
#[derive(Debug, Clone)]
pub struct LiveSettings(Arc<ArcSwap<Settings>>);

impl LiveSettings {
    /// Returns these settings, to begin with.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// Returns the settings in use.
    pub fn current(&self) -> Arc<Settings> {
        self.0.load_full()
    }

    /// Returns the peers in use.
    pub fn peers(&self) -> Arc<PeerTable> {
        Arc::clone(&self.0.load().peers)
    }

    /// Uses these settings from now on.
    pub fn replace(&self, settings: Settings) {
        self.0.store(Arc::new(settings));
    }
}

impl RpcRules for LiveSettings {
    fn rpc_limits(&self) -> RpcLimits {
        self.0.load().rpc
    }

    fn rpc_peer_max(&self, server: &ServerName) -> u32 {
        self.limits_of(server).rpc_max
    }

    fn allows_reach(&self, server: &ServerName) -> bool {
        self.peers().peer(server).is_some_and(|peer| peer.link.reach_tests)
    }
}

impl PeerConfig for LiveSettings {
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>> {
        self.0.load().peers.limits(server)
    }

    fn allows_relay(&self, origin: &ServerName, destination: &ServerName) -> bool {
        self.0.load().peers.allows_relay(origin, destination)
    }

    fn listed(&self) -> Vec<ServerName> {
        self.0.load().peers.listed()
    }

    fn unlisted(&self, server: &ServerName) -> Arc<PeerLimits> {
        self.0.load().peers.unlisted(server)
    }

    fn limits_of(&self, server: &ServerName) -> Arc<PeerLimits> {
        // One table answers both questions of the default method.
        self.0.load().peers.limits_of(server)
    }

    fn has_receipts(&self) -> bool {
        self.0.load().peers.has_receipts()
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        self.0.load().peers.contexts()
    }

    fn peers_resident_max(&self) -> u32 {
        self.0.load().peers.peers_resident_max()
    }

    fn peers_idle_after(&self) -> Duration {
        self.0.load().peers.peers_idle_after()
    }

    fn overload(&self) -> OverloadLimits {
        self.0.load().peers.overload()
    }
}
