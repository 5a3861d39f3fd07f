//! One gateway process, whose spans are collected.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fixtures::clients::http_caller::HttpCaller;
use fixtures::clients::messenger_client::{MessengerClient, soon};
use reqwest::{Client, Method};
use tempfile::TempDir;

/// Interval of checks of a state that nothing tells.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(crate) struct TracedGateway {
    pub(crate) name: &'static str,
    pub(crate) federation: SocketAddr,
    messenger: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
    process: Option<Child>,
}

impl Drop for TracedGateway {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // Both fail only if it has ended.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl TracedGateway {
    pub(crate) fn new(name: &'static str) -> Self {
        let bound = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
        let [federation, messenger, admin] = bound.each_ref().map(|one| one.local_addr().expect("bound"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { name, federation, messenger, admin, folder, process: None }
    }

    /// Starts it with these lines in its configuration, and waits until it is ready.
    pub(crate) async fn start(&mut self, more: &str) {
        let Self { name, federation, messenger, admin, .. } = self;
        let text = format!(
            "[server]\nname = \"{name}\"\ndata_dir = \"data\"\n[federation]\nlisten = \"{federation}\"\n\
             [messenger]\nlisten = \"{messenger}\"\n[admin]\nlisten = \"{admin}\"\n{more}"
        );
        let file = self.folder.path().join("fernpost.toml");
        std::fs::write(&file, text).expect("a writable folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_fernpost"));
        command.env_clear().arg("serve").arg("--config").arg(file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().expect("the binary starts"));
        let caller = HttpCaller::at(self.admin);
        let ready = async {
            while !matches!(caller.call(Method::GET, "/health/ready", "").await, Ok((200, _))) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        soon("readiness", ready).await;
    }

    /// Sends TERM and waits for the end.
    pub(crate) async fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let kill = format!("kill -TERM {}", process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        let ended = tokio::task::spawn_blocking(move || process.wait().expect("a child of ours"));
        assert!(soon("the end", ended).await.expect("it ran").success());
    }

    pub(crate) fn api(&self) -> MessengerClient {
        MessengerClient::at(self.messenger)
    }

    pub(crate) async fn metrics(&self) -> String {
        let client = Client::builder().no_proxy().build().expect("a client");
        let answer = client.get(format!("http://{}/metrics", self.admin)).send().await.expect("an answer");
        answer.text().await.expect("a text")
    }
}
