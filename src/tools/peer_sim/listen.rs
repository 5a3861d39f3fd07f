//! The sockets of simulated peers: listeners, addresses that refuse, and addresses that never respond.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};

use super::answer;
use super::script::{ScriptedBehaviour, SimPlan};
use super::world::SimWorld;

/// Maximum number of connections of all peers together; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 8_192;
/// Maximum number of connections that fill the queue of a listener, and below, the time after which the queue counts as
/// full.
const FILLING: usize = 4;
const FULL_AFTER: Duration = Duration::from_millis(50);

/// A peer and its address.
pub(super) struct SimEndpoint {
    /// Name of the peer; `None`: all peers, selected by the Host header.
    pub(super) name: Option<String>,
    pub(super) address: SocketAddr,
}

/// Returns the addresses of the peers, each on a port of its own.
pub(super) fn places(names: impl Iterator<Item = String>, first: SocketAddr) -> anyhow::Result<Vec<SimEndpoint>> {
    let place = |(n, name): (u32, String)| {
        let port = match first.port() {
            0 => 0,
            port => u16::try_from(u32::from(port) + n).with_context(|| format!("no port is left for {name}"))?,
        };
        Ok(SimEndpoint { name: Some(name), address: SocketAddr::new(first.ip(), port) })
    };
    (0..).zip(names).map(place).collect()
}

/// All open sockets; dropping it closes them.
pub(super) struct ServedPeers {
    /// Addresses that the simulated peers listen on.
    pub(super) addresses: Vec<(Option<String>, SocketAddr)>,
    /// Tasks of the listeners; they end when this is dropped.
    listeners: JoinSet<()>,
    /// Sockets that are bound, so that no other process takes the port, and do not listen.
    refusing: Vec<TcpSocket>,
    /// Listeners that accept nothing, and the connections that fill their queues.
    swallowing: Vec<(TcpListener, Vec<TcpStream>)>,
}

/// Opens the sockets of all peers.
pub(super) async fn serve(
    places: Vec<SimEndpoint>,
    plan: &SimPlan,
    world: &Arc<Mutex<SimWorld>>,
) -> anyhow::Result<ServedPeers> {
    let mut served = ServedPeers { addresses: vec![], listeners: JoinSet::new(), refusing: vec![], swallowing: vec![] };
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for SimEndpoint { name, address } in places {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address).with_context(|| format!("{address} cannot be had"))?;
        served.addresses.push((name.clone(), socket.local_addr()?));
        match plan.unreachable() {
            Some(ScriptedBehaviour::Blackhole) => served.swallowing.push(swallow(socket).await?),
            Some(_) => served.refusing.push(socket),
            None => {
                let accepting = accept(socket.listen(1024)?, name.map(Into::into), world.clone(), room.clone());
                served.listeners.spawn(accepting);
            }
        }
    }
    Ok(served)
}

async fn accept(listener: TcpListener, name: Option<Arc<str>>, world: Arc<Mutex<SimWorld>>, room: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let serving = answer::serve(stream, name.clone(), world.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(permit);
                });
            }
            // Most likely the process has no free file descriptors; connections that end release some.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Returns a listener with a full queue of one: the kernel drops further connection attempts.
async fn swallow(socket: TcpSocket) -> anyhow::Result<(TcpListener, Vec<TcpStream>)> {
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    let mut filling = vec![];
    while filling.len() < FILLING {
        match timeout(FULL_AFTER, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => filling.push(stream),
            _ => break,
        }
    }
    Ok((listener, filling))
}
