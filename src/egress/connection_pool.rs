//! Connections to peers that wait for the next request.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use actors::model::ServerName;
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::egress::address_book::PeerRoute;
use crate::egress::connection::TlsMaterial;
use crate::egress::http_connection::HttpConnection;

/// Maximum number of idle connections per peer. A peer has one request in flight at a time; an aborted attempt leaves a
/// second connection.
const IDLE_PER_PEER: usize = 2;

/// Time between two removals of ended connections. One occupies twenty kilobytes, most of them for requests that nobody will send, and
/// a peer may not be addressed for a long time.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// The idle connections by the name of the peer.
#[derive(Default)]
pub(super) struct ConnectionPool(Arc<Mutex<PooledConnections>>);

#[derive(Default)]
struct PooledConnections {
    by_peer: HashMap<ServerName, Vec<HttpConnection>>,
    /// True if a task removes ended connections. It runs for as long as there are connections.
    is_swept: bool,
}

impl PooledConnections {
    /// Removes the connections that have ended, and gives their memory back.
    fn sweep(&mut self) {
        self.by_peer.retain(|_, idle| {
            idle.retain(|connection| !connection.is_closed());
            !idle.is_empty()
        });
        if self.by_peer.capacity() > 4 * self.by_peer.len() {
            self.by_peer.shrink_to_fit();
        }
    }
}

async fn sweep(pool: Weak<Mutex<PooledConnections>>) {
    loop {
        sleep(SWEEP_EVERY).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut pool = pool.lock();
        pool.sweep();
        pool.is_swept = !pool.by_peer.is_empty();
        if !pool.is_swept {
            return;
        }
    }
}

impl ConnectionPool {
    /// Returns a connection that was made by this way to the peer, and as one would be made now. One that carries several requests at
    /// once stays in the pool, too.
    pub(super) fn take(
        &self,
        server: &ServerName,
        route: &Arc<PeerRoute>,
        is_current: impl Fn(&TlsMaterial) -> bool,
    ) -> Option<HttpConnection> {
        let mut pool = self.0.lock();
        let idle = pool.by_peer.get_mut(server)?;
        idle.retain(|connection| {
            let is_current = connection.material.as_ref().is_none_or(&is_current);
            is_current && !connection.is_closed() && connection.route == *route
        });
        let found = match idle.iter().find_map(HttpConnection::shared) {
            Some(shared) => Some(shared),
            None => idle.pop(),
        };
        if idle.is_empty() {
            pool.by_peer.remove(server);
        }
        found
    }

    /// Returns a connection to the pool. Its last answer has been read to the end.
    pub(super) fn put(&self, server: &ServerName, connection: HttpConnection) {
        if connection.is_closed() {
            return;
        }
        let mut pool = self.0.lock();
        if !std::mem::replace(&mut pool.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
        let idle = match pool.by_peer.get_mut(server) {
            Some(idle) => idle,
            None => pool.by_peer.entry(server.clone()).or_default(),
        };
        // A second handle to a shared connection would be no second connection.
        if connection.shared().is_some() && idle.iter().any(|other| other.shared().is_some()) {
            return;
        }
        if idle.len() >= IDLE_PER_PEER {
            idle.remove(0);
        }
        idle.reserve_exact(1);
        idle.push(connection);
    }
    /// Returns the number of peers with connections, and whether a task removes those that have ended.
    #[cfg(test)]
    pub(super) fn load(&self) -> (usize, bool) {
        let pool = self.0.lock();
        (pool.by_peer.len(), pool.is_swept)
    }
}
