//! Blue: a whole gateway in this process, with its messenger.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};

use fernpost::app::{App, DataDir, Listeners};
use fernpost::settings::{LoadedSettings, Settings, Sources};
use fixtures::clients::messenger_client::MessengerClient;
use serde_json::Value;
use tempfile::TempDir;

use crate::old::Old;

/// A gateway with servers of 2014 as its peers.
pub(crate) struct Blue {
    app: App,
    /// Its messenger.
    pub(crate) messenger: MessengerClient,
    _folder: TempDir,
}

impl Blue {
    /// Starts it with these peers; `limits` is further TOML for each.
    pub(crate) async fn knowing<const N: usize>(peers: [&mut Old; N], limits: &str) -> Self {
        // Each gateway has its own loopback address, so that no outbound connection can take one of its ports.
        static GATEWAYS: AtomicU8 = AtomicU8::new(1);
        let own = Ipv4Addr::new(127, 0, 14, GATEWAYS.fetch_add(1, Ordering::Relaxed));
        let bound = [0; 3].map(|port| TcpListener::bind((own, port)).expect("a free port"));
        let [federation, messenger, admin] = bound.each_ref().map(|one| one.local_addr().expect("bound"));
        drop(bound);
        let mut text = format!(
            "[server]\nname = \"blue\"\ndata_dir = \"data\"\ndrain = \"1s\"\n[federation]\nlisten = \"{federation}\"\n\
             [messenger]\nlisten = \"{messenger}\"\n[admin]\nlisten = \"{admin}\"\n\
             [contexts.gap]\ngrace = \"50ms\"\ngive_up = \"1s\"\n"
        );
        for peer in peers {
            text += &format!(
                "[peers.server.{}]\nprofile = \"synapse-2014\"\naddresses = [\"http://{}\"]\nallow_from = [\"{}/32\"]\n\
                 backoff_min = \"100ms\"\nbackoff_max = \"500ms\"\n{limits}\n",
                peer.name, peer.address, peer.from
            );
            peer.blue = Some(federation);
        }
        let folder = tempfile::Builder::new().prefix("fernpost-2014-").tempdir().expect("a temporary folder");
        let settings =
            Settings::load(&Sources::text(text, folder.path())).unwrap_or_else(|problems| panic!("{problems}"));
        let listeners = Listeners::bind(&settings).expect("free ports");
        let app = App::start(LoadedSettings::in_memory(settings), listeners, DataDir::Whole).await.expect("starts");
        Self { app, messenger: MessengerClient::at(messenger), _folder: folder }
    }

    /// Stops it.
    pub(crate) async fn end(self) {
        self.app.kill().await;
    }
}

/// Returns the ids of PDUs, or the kinds of events without one, in the order of the feed.
pub(crate) fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["pdu_id"].as_str().or(event["kind"].as_str()).expect("a kind")).collect()
}
