//! Connections to peers that wait for the next request.

use std::collections::HashMap;
use std::sync::Arc;

use actors::model::ServerName;
use parking_lot::Mutex;

use crate::egress::address_book::PeerRoute;
use crate::egress::connection::TlsMaterial;
use crate::egress::http_connection::HttpConnection;

/// Maximum number of idle connections per peer. A peer has one request in flight at a time; an aborted attempt leaves a
/// second connection.
const IDLE_PER_PEER: usize = 2;

/// Number of peers from which those are looked for whose connections have ended.
const SWEEP_FROM: usize = 1_024;

/// The idle connections by the name of the peer.
#[derive(Default)]
pub(super) struct ConnectionPool(Mutex<PooledConnections>);

#[derive(Default)]
struct PooledConnections {
    by_peer: HashMap<ServerName, Vec<HttpConnection>>,
    /// Number of peers at which the ended connections are removed next.
    sweep_at: usize,
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
        if pool.by_peer.len() >= pool.sweep_at.max(SWEEP_FROM) {
            pool.by_peer.retain(|_, idle| {
                idle.retain(|connection| !connection.is_closed());
                !idle.is_empty()
            });
            pool.sweep_at = pool.by_peer.len() * 2;
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
        idle.push(connection);
    }
}
