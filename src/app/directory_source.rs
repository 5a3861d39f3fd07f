//! The way to the key directories of other servers: the one egress, over TLS alone.

use std::sync::Arc;
use std::time::Duration;

use actors::limits::PeerLimits;
use actors::model::{DialectSpec, RequestDeadlines, ServerName};
use actors::ports::PeerConfig;
use tokio::runtime::Handle;

use crate::app::configured_peers::ConfiguredAddresses;
use crate::egress::EgressClient;
use crate::identity::key_directories::{DirectoryFetch, DirectorySource, DirectoryTimes, KeyDirectories};
use crate::identity::origin_keys::NoKeysError;

/// Fetches key directories by the egress.
pub(super) struct EgressDirectories {
    /// Client for all requests to peers.
    pub(super) egress: Arc<EgressClient>,
    /// Addresses of the peers, and the rules of the network.
    pub(super) addresses: Arc<ConfiguredAddresses>,
}

impl EgressDirectories {
    /// Returns the directories that are fetched so, none of them yet. Fetches run on the runtime of the caller.
    pub(super) fn begin(self) -> KeyDirectories {
        KeyDirectories::new(Arc::new(self), Handle::current())
    }

    fn limits(&self, server: &ServerName) -> Arc<PeerLimits> {
        let ConfiguredAddresses { live, strangers } = &*self.addresses;
        let peers = live.peers();
        let limits = peers.limits(server).or_else(|| strangers.limits(&peers, server));
        limits.unwrap_or_else(|| peers.unlisted(server))
    }
}

impl DirectorySource for EgressDirectories {
    fn fetch(&self, server: &ServerName, dialect: DialectSpec) -> DirectoryFetch {
        let limits = self.limits(server);
        let deadlines = RequestDeadlines { connect: limits.connect_timeout, total: limits.request_timeout };
        let route = self.addresses.directory_route(server, dialect);
        let (egress, server) = (Arc::clone(&self.egress), server.clone());
        Box::pin(async move {
            let fetched = egress.key_directory(&server, route?, deadlines).await;
            fetched.map_err(|failure| failure.to_string())
        })
    }

    fn admit(&self, server: &ServerName) -> Result<(), NoKeysError> {
        let ConfiguredAddresses { live, strangers } = &*self.addresses;
        let peers = live.peers();
        if peers.is_open_to(server) { strangers.admit_fetch(peers.stranger_bounds()) } else { Ok(()) }
    }

    fn patience(&self, server: &ServerName) -> Duration {
        self.limits(server).request_timeout
    }

    fn times(&self) -> DirectoryTimes {
        self.addresses.live.current().network.keys
    }
}
