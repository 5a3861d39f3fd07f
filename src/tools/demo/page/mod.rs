//! `fernpost demo`: a chat page for each of the three servers, which uses the messenger API of its gateway.
//!
//! A page has no build step and no token: its server passes calls to the messenger API and adds what only the demo knows,
//! the network and its switches.

mod calls;
mod error;
mod files;
mod guard;
mod messenger;
mod server;
mod state;
mod stream;

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use serde::Serialize;
use tokio::sync::mpsc;

use self::state::{PageState, ServerAddress};
use crate::terminal::exit_code::FINE;
use crate::terminal::output::{print_json, say};
use crate::tools::demo::cluster::DemoCluster;
use crate::tools::demo::names::{CONTEXTS, NAMES};
use crate::tools::demo::network::DemoNetwork;
use crate::tools::demo::toy::SampleMessenger;

/// The first line of `fernpost demo --json`.
#[derive(Serialize)]
struct DemoAddresses {
    servers: Vec<GatewayAddresses>,
}

/// The addresses of one server of the demo.
#[derive(Serialize)]
struct GatewayAddresses {
    name: &'static str,
    page: String,
    messenger: String,
    admin: String,
    federation: String,
}

/// Runs the gateways and their pages until the process is stopped.
pub(super) async fn run(json: bool) -> anyhow::Result<u8> {
    let network = DemoNetwork::new();
    let trio = DemoCluster::start_through(&network).await?;
    for context in CONTEXTS {
        trio.begin(context).await?;
    }
    let bind = || TcpListener::bind("127.0.0.1:0").context("no free port on loopback");
    let listeners = [bind()?, bind()?, bind()?];
    let mut pages = vec![];
    for (name, listener) in NAMES.into_iter().zip(&listeners) {
        pages.push(ServerAddress { name, page: url(listener.local_addr()?) });
    }
    for (at, (listener, toy)) in listeners.into_iter().zip(&trio.toys).enumerate() {
        acknowledge(toy.clone());
        let messenger = trio.gateways[at].messenger_url();
        let state = PageState::new(at, pages.clone(), network.clone());
        actix::spawn(server::serve(state, messenger, listener)?);
    }
    let servers = trio.gateways.iter().zip(pages).map(|(gateway, ServerAddress { name, page })| GatewayAddresses {
        name,
        page,
        messenger: url(gateway.messenger()),
        admin: url(gateway.admin()),
        federation: url(gateway.federation()),
    });
    let addresses = DemoAddresses { servers: servers.collect() };
    if json {
        print_json(&serde_json::to_string(&addresses)?, FINE);
    } else {
        introduce(&addresses);
    }
    std::future::pending().await
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn introduce(addresses: &DemoAddresses) {
    say!("Three servers with a gateway each. Open their pages side by side, write, and cut one off:\n");
    for GatewayAddresses { name, page, .. } in &addresses.servers {
        say!("  {name:<5}  {page}/");
    }
    say!("\nTheir APIs:\n");
    for GatewayAddresses { name, messenger, admin, federation, .. } in &addresses.servers {
        say!("  {name:<5}  messenger {messenger}  peers {federation}  health {admin}/health/ready");
    }
    say!("\nCtrl-C ends the demo and deletes its data. In this terminal instead: fernpost demo --terminal");
}

/// Acknowledges all events of a gateway's feed. Pages come and go, and none of them owns the feed.
fn acknowledge(toy: SampleMessenger) {
    let (heard, mut hears) = mpsc::unbounded_channel();
    actix::spawn(toy.listen(heard));
    actix::spawn(async move { while hears.recv().await.is_some() {} });
}
