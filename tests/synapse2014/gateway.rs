//! Blue: a whole gateway in this process, with its messenger.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use fernpost::app::{App, DataDir, Listeners};
use fernpost::settings::{Settings, Sources};
use reqwest::{Client, Method};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::old::Old;

/// Longer than any successful step takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for an event that has to happen.
pub(crate) async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    timeout(PATIENCE, happens).await.unwrap_or_else(|_| panic!("{what}: not within {} s", PATIENCE.as_secs()))
}

/// A gateway with servers of 2014 as its peers.
pub(crate) struct Blue {
    app: App,
    messenger: SocketAddr,
    client: Client,
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
        let app = App::start(&settings, listeners, DataDir::Whole).await.expect("starts");
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        Self { app, messenger, client, _folder: folder }
    }

    /// Stops it.
    pub(crate) async fn end(self) {
        self.app.kill().await;
    }

    async fn call(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let request = self.client.request(method, format!("http://{}/v1{path}", self.messenger)).body(body.to_owned());
        let answer = request.send().await.expect("an answer");
        let (status, text) = (answer.status().as_u16(), answer.text().await.expect("a body"));
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Names the servers of a context through the messenger API.
    pub(crate) async fn context(&self, context: &str, servers: &[&str]) {
        let path = format!("/contexts/{}", context.replace('#', "%23"));
        let (status, json) =
            self.call(Method::PUT, &path, &serde_json::json!({ "servers": servers }).to_string()).await;
        assert_eq!(status, 200, "{json}");
    }

    /// Submits a message to a context; returns the id of the PDU.
    pub(crate) async fn say(&self, id: &str, context: &str, text: &str) -> String {
        let body = serde_json::json!({ "context": context, "type": "m.text", "content": { "body": text } });
        self.submit(id, &body.to_string()).await
    }

    /// Submits a body that is not a plain text message.
    pub(crate) async fn submit(&self, id: &str, body: &str) -> String {
        let (status, json) = self.call(Method::PUT, &format!("/messages/{id}"), body).await;
        assert_eq!(status, 202, "{json}");
        json["pdu"]["pdu_id"].as_str().expect("an id").to_owned()
    }

    /// Returns the ids of the current state PDUs.
    pub(crate) async fn state(&self, context: &str) -> Vec<String> {
        let (status, json) = self.call(Method::GET, &format!("/contexts/{context}/state"), "").await;
        assert_eq!(status, 200, "{json}");
        let state = json["state"].as_array().expect("a list");
        state.iter().map(|pdu| pdu["pdu_id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Returns the events of the feed from the beginning, once there are this many.
    pub(crate) async fn feed(&self, count: usize) -> Vec<Value> {
        let mut events: Vec<Value> = vec![];
        let all = async {
            while events.len() < count {
                let path = format!("/events?after={}&wait=10", events.len());
                let (status, json) = self.call(Method::GET, &path, "").await;
                assert_eq!(status, 200, "{json}");
                events.extend(json["events"].as_array().expect("a list").iter().cloned());
            }
        };
        soon("the feed", all).await;
        events
    }

    /// Waits until a message has this state for a server.
    pub(crate) async fn becomes(&self, id: &str, server: &str, state: &str) {
        let there = async {
            loop {
                let (_, json) = self.call(Method::GET, &format!("/messages/{id}"), "").await;
                if json["peers"][server]["state"] == state {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon(&format!("{id} {state} at {server}"), there).await;
    }
}

/// Returns the ids of PDUs, or the kinds of events without one, in the order of the feed.
pub(crate) fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["pdu_id"].as_str().or(event["kind"].as_str()).expect("a kind")).collect()
}
