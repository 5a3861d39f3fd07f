//! The state of a page server, which its calls share.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Semaphore;

use crate::tools::demo::network::DemoNetwork;

/// Maximum streams of one page server, one for each open page.
pub(super) const STREAMS_MAX: usize = 32;

/// A server of the demo and the address of its page.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ServerAddress {
    pub(super) name: &'static str,
    pub(super) page: String,
}

/// The state of the page of one server.
#[derive(Debug, Clone)]
pub(super) struct PageState {
    /// Place of the server in the demo's names.
    pub(super) at: usize,
    pub(super) servers: Arc<[ServerAddress]>,
    pub(super) network: DemoNetwork,
    /// Permits for streams.
    pub(super) streams: Arc<Semaphore>,
}

impl PageState {
    /// Returns the state of the page at this place.
    pub(super) fn new(at: usize, servers: Vec<ServerAddress>, network: DemoNetwork) -> Self {
        Self { at, servers: servers.into(), network, streams: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }

    /// Returns the name of the server.
    pub(super) fn name(&self) -> &'static str {
        self.servers[self.at].name
    }
}
