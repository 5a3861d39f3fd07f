//! The three gateways of the demo, each a peer of the others, and their messengers.

use std::net::SocketAddr;

use crate::tools::demo::gateway::DemoGateway;
use crate::tools::demo::names::NAMES;
use crate::tools::demo::network::DemoNetwork;
use crate::tools::demo::toy::SampleMessenger;

/// Three gateways and their messengers.
pub(super) struct DemoCluster {
    pub(super) gateways: [DemoGateway; 3],
    pub(super) toys: [SampleMessenger; 3],
}

impl DemoCluster {
    /// Starts gateways that reach each other directly.
    pub(super) async fn start() -> anyhow::Result<Self> {
        Self::start_with(None).await
    }

    /// Starts gateways that reach each other through the forwarders of a network.
    pub(super) async fn start_through(network: &DemoNetwork) -> anyhow::Result<Self> {
        Self::start_with(Some(network)).await
    }

    async fn start_with(network: Option<&DemoNetwork>) -> anyhow::Result<Self> {
        let mut gateways =
            [DemoGateway::reserve(NAMES[0])?, DemoGateway::reserve(NAMES[1])?, DemoGateway::reserve(NAMES[2])?];
        let listeners: Vec<SocketAddr> = gateways.iter().map(DemoGateway::federation).collect();
        for (from, to) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            let address = match network {
                Some(network) => network.link([from, to], listeners[to]).await?,
                None => listeners[to],
            };
            gateways[from].know(NAMES[to], address, dialect(from, to));
        }
        for gateway in &mut gateways {
            gateway.start().await?;
        }
        let toy = |gateway: &DemoGateway| SampleMessenger::new(gateway.name(), gateway.messenger_url());
        let toys = [toy(&gateways[0])?, toy(&gateways[1])?, toy(&gateways[2])?];
        Ok(Self { gateways, toys })
    }

    /// Returns the gateway of this name.
    pub(super) fn gateway(&mut self, name: &str) -> Option<&mut DemoGateway> {
        self.gateways.iter_mut().find(|gateway| gateway.name() == name)
    }

    /// Creates a context of all three servers, at each of them.
    pub(super) async fn begin(&self, context: &str) -> anyhow::Result<()> {
        for toy in &self.toys {
            let others: Vec<&str> = NAMES.into_iter().filter(|name| *name != toy.name()).collect();
            toy.begin(context, &others).await?;
        }
        Ok(())
    }

    /// Stops all gateways gracefully.
    pub(super) async fn stop(&mut self) {
        for gateway in &mut self.gateways {
            gateway.stop().await;
        }
    }
}

/// Returns the dialect between two servers: green exchanges transactions, red and blue updates.
fn dialect(from: usize, to: usize) -> &'static str {
    if NAMES[from] == "green" || NAMES[to] == "green" { "transactions" } else { "updates" }
}
