//! One gateway of the demo: its ports, its folder, and how it is stopped and restarted.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::app::{App, DataDir, Listeners};
use crate::settings::{LoadedSettings, Sources};

/// A gateway that may be stopped.
pub(super) struct DemoGateway {
    name: &'static str,
    /// Data folder; it is deleted with the demo.
    folder: TempDir,
    ports: DemoPorts,
    peers: Vec<(&'static str, SocketAddr, &'static str)>,
    app: Option<App>,
}

/// The addresses of a gateway's listeners, which stay the same for the whole demo.
#[derive(Debug, Clone, Copy)]
struct DemoPorts {
    federation: SocketAddr,
    messenger: SocketAddr,
    admin: SocketAddr,
}

impl DemoGateway {
    /// Reserves a folder and three free ports for a gateway of this name.
    pub(super) fn reserve(name: &'static str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("fernpost-demo-").tempdir().context("no temporary folder")?;
        // The three ports are bound at the same time, so that they differ, and then released for the gateway. Local
        // outgoing connections use 127.0.0.1, so they take no port of the gateway's own address while it is down.
        let bind = || {
            let own = TcpListener::bind((own_address(name), 0));
            own.or_else(|_| TcpListener::bind("127.0.0.1:0")).context("no free port on loopback")
        };
        let listeners = [bind()?, bind()?, bind()?];
        let port = |at: usize| listeners[at].local_addr().context("a listener has no address");
        let ports = DemoPorts { federation: port(0)?, messenger: port(1)?, admin: port(2)? };
        Ok(Self { name, folder, ports, peers: vec![], app: None })
    }

    /// Makes another gateway a peer of this one, reached at this address and in this dialect.
    pub(super) fn know(&mut self, name: &'static str, address: SocketAddr, dialect: &'static str) {
        self.peers.push((name, address, dialect));
    }

    /// Returns the address of the federation listener.
    pub(super) const fn federation(&self) -> SocketAddr {
        self.ports.federation
    }

    /// Returns the address of the messenger API.
    pub(super) const fn messenger(&self) -> SocketAddr {
        self.ports.messenger
    }

    /// Returns the address of the admin listener.
    pub(super) const fn admin(&self) -> SocketAddr {
        self.ports.admin
    }

    /// Returns the name of the gateway.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the base URL of the messenger API.
    pub(super) fn messenger_url(&self) -> String {
        format!("http://{}/v1", self.ports.messenger)
    }

    /// Returns the addresses for output.
    pub(super) fn addresses(&self) -> String {
        let DemoPorts { federation, messenger, admin } = self.ports;
        format!("peers http://{federation}  messenger http://{messenger}  health http://{admin}/health/ready")
    }

    /// Returns whether the gateway runs.
    pub(super) const fn is_up(&self) -> bool {
        self.app.is_some()
    }

    /// Starts the gateway with the data in its folder.
    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        let loaded = match LoadedSettings::read(&Sources::text(self.configuration(), self.folder.path())) {
            Ok(loaded) => loaded,
            Err(problems) => bail!("the demo's own configuration is invalid:\n{problems}"),
        };
        let listeners = Listeners::bind(&loaded.settings)?;
        self.app = Some(App::start(loaded, listeners, DataDir::Whole).await?);
        Ok(())
    }

    /// Stops the gateway as a power cut would.
    pub(super) async fn kill(&mut self) {
        if let Some(app) = self.app.take() {
            app.kill().await;
        }
    }

    /// Stops the gateway gracefully.
    pub(super) async fn stop(&mut self) {
        if let Some(app) = self.app.take() {
            app.stop().await;
        }
    }

    fn configuration(&self) -> String {
        let DemoPorts { federation, messenger, admin } = self.ports;
        let mut text = format!(
            "[server]\nname = \"{}\"\ndata_dir = \"data\"\ndrain = \"2s\"\n\
             [federation]\nlisten = \"{federation}\"\n\
             [messenger]\nlisten = \"{messenger}\"\n\
             [admin]\nlisten = \"{admin}\"\n",
            self.name
        );
        for (peer, address, dialect) in &self.peers {
            text += &format!(
                "[peers.server.\"{peer}\"]\naddresses = [\"http://{address}\"]\ndialect = \"{dialect}\"\nauth = \"network\"\n\
                 allow_from = [\"127.0.0.0/8\"]\nbackoff_min = \"200ms\"\nbackoff_max = \"2s\"\n\
                 failures_to_suspend = 1_000_000\n"
            );
        }
        text
    }
}

/// Returns a loopback address for this gateway alone; binding falls back to 127.0.0.1 if the system has no other.
fn own_address(name: &str) -> Ipv4Addr {
    let place = super::names::NAMES.iter().position(|known| *known == name).unwrap_or(0);
    Ipv4Addr::new(127, 0, 77, u8::try_from(place + 1).unwrap_or(1))
}
