//! The open connections of a listener, limited in all and by address.
//!
//! A full table closes the connection that has proved nobody and been silent longest, so that strangers who only connect do not keep
//! peers out. Connections that proved a peer are counted by peer and are never closed for others. Neither are those whose request is
//! being handled: a peer that is named by its body proves nothing to this table, and its transaction may be held for long. A request
//! that proves nobody is refused at once, so strangers do not hold connections in this way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::model::ServerName;
use lru::LruCache;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::telemetry::limit_counts::LimitCounts;

/// The limits of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Maximum number of connections.
    pub connections_max: usize,
    /// Maximum number of connections from one address.
    pub per_address: usize,
}

/// The connections of a listener. Clones share one table.
#[derive(Debug, Clone)]
pub struct ConnectionTable(Arc<SharedTable>);

#[derive(Debug)]
struct SharedTable {
    limits: ConnectionLimits,
    /// Counts of refusals.
    counts: LimitCounts,
    state: Mutex<OpenConnections>,
}

#[derive(Debug)]
struct OpenConnections {
    open: usize,
    next: u64,
    by_address: HashMap<IpAddr, usize>,
    by_peer: HashMap<ServerName, usize>,
    /// Connections that have proved nobody and wait for no answer, the one that was silent longest last.
    unproved: LruCache<u64, CancellationToken>,
}

/// The limit that refuses a connection, by its configuration key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionRefusal {
    /// All connections are those of peers, or have a request in progress.
    #[error(
        "federation.connections_max is reached, and each connection is that of a peer or has a request in progress"
    )]
    Connections,
    /// The address has too many.
    #[error("federation.connections_per_address is reached")]
    PerAddress,
}

impl ConnectionRefusal {
    /// Returns the configuration key of the limit.
    pub const fn limit(self) -> &'static str {
        match self {
            Self::Connections => "federation.connections_max",
            Self::PerAddress => "federation.connections_per_address",
        }
    }
}

/// One open connection. It leaves the table when it is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    table: ConnectionTable,
    id: u64,
    address: Option<IpAddr>,
    peer: Mutex<Option<ServerName>>,
    is_proved: AtomicBool,
    closed: CancellationToken,
}

impl ConnectionTable {
    /// Returns an empty table, which counts the connections that a peer's limit refuses.
    pub fn new(limits: ConnectionLimits, counts: LimitCounts) -> Self {
        let state = OpenConnections {
            open: 0,
            next: 0,
            by_address: HashMap::new(),
            by_peer: HashMap::new(),
            unproved: LruCache::unbounded(),
        };
        Self(Arc::new(SharedTable { limits, counts, state: Mutex::new(state) }))
    }

    /// Adds a connection. `address` is that of the caller if it counts: not that of a trusted proxy or of a Unix socket.
    ///
    /// Returns the limit that closed another connection, if one was.
    pub fn open(
        &self,
        address: Option<IpAddr>,
    ) -> Result<(Arc<OpenConnection>, Option<ConnectionRefusal>), ConnectionRefusal> {
        let limits = self.0.limits;
        let mut state = self.0.state.lock();
        if let Some(address) = address
            && state.by_address.get(&address).is_some_and(|count| *count >= limits.per_address)
        {
            return Err(ConnectionRefusal::PerAddress);
        }
        let mut evicted = None;
        if state.open >= limits.connections_max {
            let (_, silent) = state.unproved.pop_lru().ok_or(ConnectionRefusal::Connections)?;
            silent.cancel();
            evicted = Some(ConnectionRefusal::Connections);
        }
        state.open += 1;
        state.next += 1;
        if let Some(address) = address {
            *state.by_address.entry(address).or_default() += 1;
        }
        let (id, closed) = (state.next, CancellationToken::new());
        state.unproved.put(id, closed.clone());
        let (table, peer, is_proved) = (self.clone(), Mutex::new(None), AtomicBool::new(false));
        Ok((Arc::new(OpenConnection { table, id, address, peer, is_proved, closed }), evicted))
    }

    /// Returns the number of open connections.
    pub fn len(&self) -> usize {
        self.0.state.lock().open
    }

    /// Returns whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl OpenConnection {
    /// Returns the token that is cancelled when the connection must be closed.
    pub fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Records that the caller sent something.
    pub fn touch(&self) {
        if !self.is_proved.load(Ordering::Relaxed) {
            self.table.0.state.lock().unproved.promote(&self.id);
        }
    }

    /// Records whether a request of this connection is being handled, so that it is not silent although nothing arrives.
    pub fn set_busy(&self, is_busy: bool) {
        if self.is_proved.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.table.0.state.lock();
        if is_busy {
            state.unproved.pop(&self.id);
        } else if !self.closed.is_cancelled() {
            state.unproved.put(self.id, self.closed.clone());
        }
    }

    /// Records that the caller proved this name. Returns false if the peer has `peer_max` other connections already. A connection
    /// of a stranger is counted, and can still be closed to make room: in an open federation anybody can prove some name.
    pub fn prove(&self, server: &ServerName, peer_max: usize, is_stranger: bool) -> bool {
        let mut peer = self.peer.lock();
        if peer.as_ref() == Some(server) {
            return true;
        }
        let mut state = self.table.0.state.lock();
        if state.by_peer.get(server).is_some_and(|count| *count >= peer_max) {
            self.table.0.counts.count("peers.connections_max");
            return false;
        }
        *state.by_peer.entry(server.clone()).or_default() += 1;
        // A proxy carries several peers on one connection: it is counted for the latest.
        if let Some(other) = peer.replace(server.clone()) {
            state.leave_peer(&other);
        }
        if !is_stranger {
            state.unproved.pop(&self.id);
            self.is_proved.store(true, Ordering::Relaxed);
        }
        true
    }
}

impl OpenConnections {
    fn leave_peer(&mut self, server: &ServerName) {
        if let Some(count) = self.by_peer.get_mut(server) {
            *count -= 1;
            if *count == 0 {
                self.by_peer.remove(server);
            }
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut state = self.table.0.state.lock();
        state.open -= 1;
        state.unproved.pop(&self.id);
        if let Some(address) = self.address
            && let Some(count) = state.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                state.by_address.remove(&address);
            }
        }
        if let Some(server) = self.peer.get_mut().take() {
            state.leave_peer(&server);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(connections_max: usize, per_address: usize) -> ConnectionTable {
        ConnectionTable::new(ConnectionLimits { connections_max, per_address }, LimitCounts::default())
    }

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    fn name(text: &str) -> ServerName {
        text.parse().expect("a name")
    }

    #[test]
    fn full_table_closes_longest_silent_stranger() {
        let table = table(3, 9);
        let (peer, _) = table.open(ip(1)).expect("room");
        assert!(peer.prove(&name("blue.example"), 8, false));
        let (first, _) = table.open(ip(2)).expect("room");
        let (second, _) = table.open(ip(3)).expect("room");
        first.touch();
        let (third, evicted) = table.open(ip(4)).expect("room is made");
        assert_eq!(evicted.map(ConnectionRefusal::limit), Some("federation.connections_max"));
        let closed = [&peer, &first, &second, &third].map(|one| one.closed().is_cancelled());
        assert_eq!(closed, [false, false, true, false], "the second said nothing since");
        drop(second);
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn request_in_progress_keeps_connection() {
        let table = table(2, 9);
        let (held, _) = table.open(ip(1)).expect("room");
        held.set_busy(true);
        let (silent, _) = table.open(ip(2)).expect("room");
        let (third, _) = table.open(ip(3)).expect("room is made");
        assert!(silent.closed().is_cancelled() && !held.closed().is_cancelled(), "held was silent longer");
        drop(silent);
        third.set_busy(true);
        assert_eq!(table.open(ip(4)).map(drop), Err(ConnectionRefusal::Connections));
        // It is silent from its answer on.
        held.set_busy(false);
        third.set_busy(false);
        assert!(table.open(ip(4)).is_ok() && held.closed().is_cancelled() && !third.closed().is_cancelled());
        // A closed one is not closed twice in place of another.
        held.set_busy(false);
        assert!(table.open(ip(5)).is_ok() && third.closed().is_cancelled());
    }

    #[test]
    fn table_of_peers_refuses_newcomer() {
        let table = table(1, 9);
        let (peer, _) = table.open(ip(1)).expect("room");
        assert!(peer.prove(&name("blue.example"), 8, false));
        assert_eq!(table.open(ip(2)).map(drop), Err(ConnectionRefusal::Connections));
        drop(peer);
        assert!(table.is_empty() && table.open(ip(2)).is_ok());
    }

    #[test]
    fn address_has_its_own_limit() {
        let table = table(100, 2);
        let held: Vec<_> = (0..2).map(|_| table.open(ip(1)).expect("room")).collect();
        assert_eq!(table.open(ip(1)).map(drop), Err(ConnectionRefusal::PerAddress));
        assert!(table.open(ip(2)).is_ok() && table.open(None).is_ok());
        drop(held);
        assert!(table.open(ip(1)).is_ok());
    }

    #[test]
    fn peer_has_its_own_limit() {
        let table = table(100, 100);
        let open = || table.open(ip(1)).expect("room").0;
        let (one, two, three) = (open(), open(), open());
        assert!(one.prove(&name("blue.example"), 2, false) && two.prove(&name("blue.example"), 2, false));
        assert!(one.prove(&name("blue.example"), 2, false), "it is counted once");
        assert!(!three.prove(&name("blue.example"), 2, false));
        assert_eq!(table.0.counts.counts(), [("peers.connections_max", 1)]);
        assert!(three.prove(&name("green.example"), 2, false));
        drop(one);
        assert!(three.prove(&name("blue.example"), 2, false), "a connection of a proxy changes its peer");
        assert!(open().prove(&name("green.example"), 1, false));
    }

    #[test]
    fn connection_of_stranger_makes_room() {
        let table = table(1, 9);
        let (stranger, _) = table.open(ip(1)).expect("room");
        assert!(stranger.prove(&name("green.example"), 1, true));
        let (peer, _) = table.open(ip(2)).expect("room is made");
        assert!(stranger.closed().is_cancelled() && peer.prove(&name("blue.example"), 1, false));
        assert!(!peer.prove(&name("green.example"), 1, true), "it is counted while it is open");
    }
}
