//! Simulated peers under test: a `fernpost peer-sim` process, what it has taken, and what it is told to do next.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;

use crate::node::{Api, Node, own_address};
use crate::process::{Process, fernpost};

/// The port of the first peer of each process; its address is its own.
const FIRST_PORT: u16 = 7001;

/// A process that plays peers.
pub(crate) struct Sim {
    prefix: &'static str,
    peers: u16,
    address: Ipv4Addr,
    #[expect(dead_code, reason = "held for its drop, which ends it")]
    process: Process,
}

impl Sim {
    /// Peers `PREFIX1` to `PREFIXn`, each with an address of its own, that do as they are told.
    pub(crate) async fn start(prefix: &'static str, peers: u16, arguments: &[&str]) -> Self {
        let address = own_address();
        let mut command = fernpost();
        command.args(["peer-sim", "--listen", &format!("{address}:{FIRST_PORT}")]);
        command.args(["--peers", &peers.to_string(), "--name", &format!("{prefix}{{}}")]);
        let mut process = Process::start(command.args(arguments));
        process.says("ready: ").await;
        Self { prefix, peers, address, process }
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> + use<> {
        let prefix = self.prefix;
        (1..=self.peers).map(move |n| format!("{prefix}{n}"))
    }

    /// Make them peers of a gateway; `limits` is more TOML for each section.
    pub(crate) fn are_known_to(&self, node: &mut Node, limits: &str) {
        for (name, port) in self.names().zip(FIRST_PORT..) {
            let address = SocketAddr::from((self.address, port));
            // Each may call from the same place; who it is stands in its header.
            node.peer(&name, &format!("addresses = [\"http://{address}\"]\nallow_from = [\"127.0.0.1/32\"]\n{limits}"));
        }
    }

    /// What one of them has taken, in order, and its counts.
    pub(crate) async fn received(&self, peer: &str) -> (Vec<String>, Value) {
        let told = self.control().get(&format!("/sim/received?peer={peer}")).await;
        let items = told["items"].as_array().expect("a list").iter();
        (items.map(|item| item[0].as_str().expect("a name").to_owned()).collect(), told)
    }

    fn control(&self) -> Api {
        Api::at(SocketAddr::from((self.address, FIRST_PORT)))
    }
}
