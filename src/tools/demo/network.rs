//! The network of the demo: one TCP forwarder for each direction between two gateways, so that a server can be cut off.
//!
//! A gateway reaches a peer at the address of a forwarder. While one of the two servers is cut off, the forwarder closes
//! new connections at once and ends those that are open: requests fail, and retries and catch-up are those of a real outage.
//! Suspending the peers would not show them.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::names::NAMES;

/// Maximum connections of one direction; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;

/// Servers that are cut off, by their place in [`NAMES`].
pub(super) type CutServers = [bool; NAMES.len()];

/// The switches of the network. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct DemoNetwork {
    cut: Arc<watch::Sender<CutServers>>,
}

impl DemoNetwork {
    /// Returns a network without forwarders, in which no server is cut off.
    pub(super) fn new() -> Self {
        Self { cut: Arc::new(watch::Sender::new([false; NAMES.len()])) }
    }

    /// Starts the forwarder from one server to another, whose federation listener is `target`; returns the address that the
    /// first one calls.
    pub(super) async fn link(&self, ends: [usize; 2], target: SocketAddr) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port on loopback")?;
        let address = listener.local_addr().context("a listener has no address")?;
        tokio::spawn(forward(listener, target, ends, self.cut.subscribe()));
        Ok(address)
    }

    /// Cuts a server off, or connects it again.
    pub(super) fn switch(&self, server: usize, is_cut: bool) {
        self.cut.send_if_modified(|cut| std::mem::replace(&mut cut[server], is_cut) != is_cut);
    }

    /// Returns the servers that are cut off, now and after each change.
    pub(super) fn watch(&self) -> watch::Receiver<CutServers> {
        self.cut.subscribe()
    }
}

async fn forward(listener: TcpListener, target: SocketAddr, ends: [usize; 2], cut: watch::Receiver<CutServers>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let caller = match listener.accept().await {
            Ok((caller, _)) => caller,
            // No file descriptor is left, or the caller has gone; only the former lasts.
            Err(_) => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let mut cut = cut.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = cut.wait_for(|cut| ends.iter().any(|end| cut[*end])) => {}
                () = carry(caller, target) => {}
            }
            drop(permit);
        });
    }
}

/// Carries bytes both ways until a side ends. What fails here ends the connection, which both gateways see.
async fn carry(mut caller: TcpStream, target: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let _ = (caller.set_nodelay(true), server.set_nodelay(true));
    let _ = copy_bidirectional(&mut caller, &mut server).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn cut_ends_and_refuses_connections() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let network = DemoNetwork::new();
        let address = network.link([0, 1], server.local_addr().expect("bound")).await.expect("a link");
        let mut caller = TcpStream::connect(address).await.expect("open");
        let (mut called, _) = server.accept().await.expect("carried");
        caller.write_all(b"hi").await.expect("open");
        let mut read = [0; 2];
        called.read_exact(&mut read).await.expect("carried");
        assert_eq!(&read, b"hi");

        network.switch(1, true);
        assert!(matches!(called.read(&mut read).await, Ok(0) | Err(_)), "the open connection ends");
        let mut refused = TcpStream::connect(address).await.expect("the port is bound");
        assert!(matches!(refused.read(&mut read).await, Ok(0) | Err(_)), "a new one ends at once");

        network.switch(1, false);
        let mut again = TcpStream::connect(address).await.expect("open");
        again.write_all(b"on").await.expect("open");
        let (mut called, _) = server.accept().await.expect("carried");
        called.read_exact(&mut read).await.expect("carried");
        assert_eq!(&read, b"on");
    }
}
