//! One gateway under test: its folder, its addresses, its configuration, its process, and calls on its APIs.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, fernpost, soon};

/// Between two looks at a process that starts: it says nothing before its doors are open.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// An address on loopback that nobody else has: connections outward leave from 127.0.0.1, so none of them can take a port of it
/// while its owner is down.
pub(crate) fn own_address() -> Ipv4Addr {
    static TAKEN: AtomicU8 = AtomicU8::new(1);
    let (pid, own) = (std::process::id().to_be_bytes(), TAKEN.fetch_add(1, Ordering::Relaxed));
    Ipv4Addr::new(127, 64 | (pid[2] & 63), pid[3], own)
}

/// A gateway that may be down.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    folder: TempDir,
    pub(crate) federation: SocketAddr,
    pub(crate) messenger: SocketAddr,
    pub(crate) admin: SocketAddr,
    configuration: String,
    process: Option<Process>,
}

impl Node {
    /// A folder and three free ports for a gateway of this name.
    pub(crate) fn new(name: &'static str) -> Self {
        let address = own_address();
        let bind = || TcpListener::bind(SocketAddr::from((address, 0))).expect("a free port on loopback");
        let bound = [bind(), bind(), bind()];
        let [federation, messenger, admin] = bound.each_ref().map(|one| one.local_addr().expect("bound"));
        let configuration = format!(
            "[server]\nname = \"{name}\"\ndata_dir = \"data\"\ndrain = \"5s\"\n\
             [federation]\nlisten = \"{federation}\"\ndeny = [\"*.bad.example\"]\n\
             [messenger]\nlisten = \"{messenger}\"\n\
             [admin]\nlisten = \"{admin}\"\n"
        );
        let folder = tempfile::Builder::new().prefix("fernpost-process-").tempdir().expect("a temporary folder");
        Self { name, folder, federation, messenger, admin, configuration, process: None }
    }

    /// Two that are each other's peers, believed from 127.0.0.1 alone; `limits` is more TOML for each other's section.
    pub(crate) fn pair(limits: &str) -> (Self, Self) {
        let (mut red, mut blue) = (Self::new("red"), Self::new("blue"));
        red.know(&blue, limits);
        blue.know(&red, limits);
        (red, blue)
    }

    fn know(&mut self, other: &Self, limits: &str) {
        let (name, address) = (other.name, other.federation);
        self.peer(name, &format!("addresses = [\"http://{address}\"]\nallow_from = [\"127.0.0.1/32\"]\n{limits}"));
    }

    /// One more peer, in TOML.
    pub(crate) fn peer(&mut self, name: &str, section: &str) {
        self.configuration += &format!("[peers.server.\"{name}\"]\nauth = \"network\"\n{section}\n");
    }

    /// The folder of everything it has.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file of its store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder().join("data/fernpost.redb")
    }

    /// Write its configuration; returns where.
    pub(crate) fn configured(&self) -> PathBuf {
        let path = self.folder().join("fernpost.toml");
        std::fs::write(&path, &self.configuration).expect("a writable folder");
        path
    }

    /// `fernpost serve` for it, with some keys overridden.
    pub(crate) fn serve(&self, overrides: &[&str]) -> Command {
        let mut command = fernpost();
        command.arg("serve").arg("--config").arg(self.configured());
        command.args(overrides.iter().flat_map(|pair| ["--set", pair]));
        command
    }

    /// Start it on what is in its folder, and wait until it is ready.
    pub(crate) async fn start(&mut self) {
        self.start_with(&[]).await;
    }

    /// The same, with some keys overridden.
    pub(crate) async fn start_with(&mut self, overrides: &[&str]) {
        let mut command = self.serve(overrides);
        self.start_as(&mut command).await;
    }

    /// The same, by a command that ends in its `serve`.
    pub(crate) async fn start_as(&mut self, command: &mut Command) {
        let process = Process::start(command);
        let admin = Api::at(self.admin);
        let ready = async {
            while !matches!(admin.call(Method::GET, "/health/ready", "").await, Ok((200, _))) {
                assert!(!process.is_gone(), "{} does not start:\n{}", self.name, process.log());
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        soon("readiness", ready).await;
        self.process = Some(process);
    }

    /// SIGKILL; returns what it had said.
    pub(crate) fn kill(&mut self) -> String {
        let mut process = self.process.take().expect("it runs");
        process.kill();
        process.log()
    }

    /// Its process.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }

    /// Calls on its messenger API, over connections of their own.
    pub(crate) fn api(&self) -> Api {
        Api::at(self.messenger)
    }
}

/// Calls on one listener.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
    token: Option<String>,
}

impl Api {
    /// Without a token.
    pub(crate) fn at(listener: SocketAddr) -> Self {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(75)).build().expect("a client");
        Self { client, base: format!("http://{listener}"), token: None }
    }

    /// The same with an `Authorization` header.
    pub(crate) fn authorized(mut self, header: &str) -> Self {
        self.token = Some(header.to_owned());
        self
    }

    /// Status and JSON of an answer; null where it has no body.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &str) -> reqwest::Result<(u16, Value)> {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).body(body.to_owned());
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await?;
        let json =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("an answer is JSON") };
        Ok((status, json))
    }

    /// A read that works.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, json) = self.call(Method::GET, path, "").await.expect("an answer");
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    /// Submit one update with this text, and have it accepted.
    pub(crate) async fn say(&self, id: &str, to: &str, text: &str) {
        let answer = self.call(Method::PUT, &format!("/v1/updates/{id}"), &submission(to, &[text])).await;
        let (status, json) = answer.expect("an answer");
        assert_eq!(status, 202, "{id}: {json}");
    }

    /// Follow the feed from its beginning until it has this many events; returns them.
    pub(crate) async fn hear(&self, count: usize) -> Vec<Value> {
        let mut events = vec![];
        let all = async {
            while events.len() < count {
                let page = self.get(&format!("/v1/events?after={}&wait=20&limit=1000", events.len())).await;
                events.extend(page["events"].as_array().expect("a list").iter().cloned());
            }
        };
        soon("the events", all).await;
        events
    }
}

/// The body of a submission.
pub(crate) fn submission(to: &str, texts: &[impl AsRef<str>]) -> String {
    let strong: Vec<String> = texts.iter().map(|text| format!("{{\"text\":\"{}\"}}", text.as_ref())).collect();
    format!("{{\"to\":[\"{to}\"],\"strong\":[{}]}}", strong.join(","))
}

/// The texts of events, in their order.
pub(crate) fn texts(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["update"]["text"].as_str().expect("an update of ours")).collect()
}
