//! The admission of a connection before its first request: the limits of connections, and the TLS handshake.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actors::supervise::log_throttle::LogThrottle;
use rustls::ServerConfig;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::http::listener::client_stream::{AcceptedSocket, ClientStream, ConnectionFacts};
use crate::http::listener::connection_progress::ConnectionProgress;
use crate::http::listener::connection_table::ConnectionTable;
use crate::http::listener::silent_connection::{SilenceEnd, SilentConnection};
use crate::http::listener::watched_socket::WatchedSocket;
use crate::telemetry::limit_counts::LimitCounts;
use crate::tls::certificate::PresentedCertificate;

/// TLS of a listener.
pub struct ListenerTls {
    /// Certificate, and how handshakes are made.
    pub config: Arc<ServerConfig>,
    /// Maximum time of a handshake.
    pub handshake_timeout: Duration,
}

/// Returns whether connections from this address are not limited by address, because a trusted proxy carries those of others.
type IsProxy = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The rules for new connections of a listener. The default has neither TLS nor limits.
#[derive(Default)]
pub struct ConnectionAdmission {
    tls: Option<ListenerTls>,
    table: Option<(ConnectionTable, IsProxy)>,
    counts: LimitCounts,
    failures: Option<LogThrottle>,
}

impl std::fmt::Debug for ConnectionAdmission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionAdmission").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl ConnectionAdmission {
    /// Returns the rules of a listener with TLS or without.
    pub fn new(tls: Option<ListenerTls>) -> Self {
        let failures = LogThrottle::new(|why, count, last| {
            tracing::info!(why, count, last, "connections ended before their first request");
        });
        Self { tls, failures: Some(failures), ..Self::default() }
    }

    /// Limits the connections by this table, except those of trusted proxies by address; counts what the limits refuse.
    #[must_use]
    pub fn limited_by(self, table: ConnectionTable, is_proxy: IsProxy, counts: LimitCounts) -> Self {
        Self { table: Some((table, is_proxy)), counts, ..self }
    }

    /// Admits an accepted connection, or returns `None` if a limit refuses it.
    pub(crate) fn enter<T: AcceptedSocket>(&self, io: T) -> Option<SilentConnection<T>> {
        io.send_at_once();
        let (caller, since) = (io.other_end(), Instant::now());
        let Some((table, is_proxy)) = &self.table else {
            return Some(SilentConnection { io, caller, entry: None, since });
        };
        let address = canonical(caller);
        match table.open(address.filter(|ip| !is_proxy(*ip))) {
            Ok((entry, evicted)) => {
                if let Some(evicted) = evicted {
                    self.counts.count(evicted.limit());
                }
                Some(SilentConnection { io, caller, entry: Some(entry), since })
            }
            Err(refusal) => {
                self.counts.count(refusal.limit());
                self.note(refusal.limit(), address, &refusal.to_string());
                None
            }
        }
    }

    /// Waits for the first byte of a connection: of its handshake for as long as the handshake may last, of its request for `idle`.
    /// Returns false if the connection must be closed.
    pub(crate) async fn is_heard<T: AcceptedSocket>(
        &self,
        silent: &SilentConnection<T>,
        idle: Duration,
        stop: impl Future<Output = ()>,
    ) -> bool {
        let timeout = self.tls.as_ref().map_or(idle, |tls| tls.handshake_timeout);
        match silent.end_of_silence(silent.since + timeout, stop).await {
            SilenceEnd::Readable => true,
            SilenceEnd::Closed => false,
            SilenceEnd::Late => {
                if self.tls.is_some() {
                    self.handshake_is_late(canonical(silent.caller));
                }
                false
            }
        }
    }

    /// Makes the TLS handshake, if the listener has TLS; returns the stream for requests and the address of the caller, or `None` if the
    /// connection failed.
    pub(crate) async fn begin<T: AcceptedSocket>(
        &self,
        silent: SilentConnection<T>,
    ) -> Option<(ClientStream, Option<SocketAddr>)> {
        let SilentConnection { io, caller, entry, since } = silent;
        let address = canonical(caller);
        let progress = Arc::new(ConnectionProgress::of(entry.clone(), self.counts.clone()));
        let mut facts = ConnectionFacts { address, entry, progress, ..ConnectionFacts::default() };
        let Some(tls) = &self.tls else { return Some((io.plain(facts), caller)) };
        let closed = facts.entry.as_ref().map(|entry| entry.closed().clone());
        let accepted = TlsAcceptor::from(Arc::clone(&tls.config)).accept(WatchedSocket::new(io));
        let handshake = tokio::time::timeout_at(since + tls.handshake_timeout, accepted);
        let handshake = async {
            match closed {
                // A connection that makes room for another one is closed within its handshake too.
                Some(closed) => closed.run_until_cancelled(handshake).await,
                None => Some(handshake.await),
            }
        };
        let stream = match handshake.await? {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                self.note("TLS handshake", address, &error.to_string());
                return None;
            }
            Err(_elapsed) => {
                self.handshake_is_late(address);
                return None;
            }
        };
        facts.is_tls = true;
        let chain = stream.get_ref().1.peer_certificates();
        facts.certificate = chain.map(|chain| {
            let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
            PresentedCertificate::parse(chain).map(Arc::new)
        });
        Some((T::by_tls(stream, facts), caller))
    }

    fn handshake_is_late(&self, address: Option<IpAddr>) {
        self.counts.count("federation.handshake_timeout");
        self.note("TLS handshake", address, "it was not finished within handshake_timeout");
    }

    fn note(&self, why: &'static str, address: Option<IpAddr>, words: &str) {
        if let Some(failures) = &self.failures {
            let address = address.map_or_else(|| "a Unix socket".to_owned(), |address| address.to_string());
            failures.note(why, 1, &format!("{address}: {words}"));
        }
    }
}

/// Returns the address by which callers are judged.
fn canonical(caller: Option<SocketAddr>) -> Option<IpAddr> {
    caller.map(|caller| caller.ip().to_canonical())
}
