//! The gate against name servers and peers on loopback.

mod discovery;
mod handshakes;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actors::model::{ServerName, UnreachedReason};
use actors::testkit::TestClock;
use fixtures::name_server::TestNameServer;
use ipnet::IpNet;
use rustls::ServerConfig;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::egress::address_book::{AddressBook, PeerRoute, PeerService};
use crate::egress::dns::{NameResolver, ResolverOptions};
use crate::tls::certificate::tests::{IssuedPair, TestAuthority, TestLeaf, at};
use crate::tls::live_roots::LiveRoots;
use crate::tls::provider::provider;

const SERVICE: PeerService = PeerService { name: "_actor-server._tcp", default_port: 9880 };

/// A book in which no peer is listed, and these ranges are allowed.
struct AllowedRanges(Vec<IpNet>);

impl AddressBook for AllowedRanges {
    fn route(&self, _: &ServerName) -> Arc<PeerRoute> {
        Arc::new(PeerRoute::new(Vec::new(), SERVICE))
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(&address))
    }
}

/// A gate to peers: its name server, the CA that it trusts, and the ranges that it allows.
struct TestGate {
    names: TestNameServer,
    authority: TestAuthority,
    connector: PeerConnector,
}

impl TestGate {
    async fn new(allowed: &[&str]) -> Self {
        let names = TestNameServer::start().await;
        let authority = TestAuthority::new();
        let options = ResolverOptions { servers: vec![names.address], ..ResolverOptions::default() };
        let book = AllowedRanges(allowed.iter().map(|range| range.parse().expect("a range")).collect());
        let tls = PeerTls::new(Arc::new(TestClock::fixed(at(10)))).with(Some(LiveRoots::new(authority.roots())), None);
        let connector = PeerConnector::new(Arc::new(book), NameResolver::new(&options), tls);
        Self { names, authority, connector }
    }

    /// Connects to a server by this way; returns the outcome and the steps.
    async fn connect_by(
        &self,
        server: &str,
        route: &PeerRoute,
        within: Duration,
    ) -> (Result<PeerConnection, UnreachedReason>, Vec<String>) {
        let (server, trace) = (server.parse().expect("a name"), StepTrace::recording());
        let (prefer, protocols, trace) = (None, OfferedProtocols::Both, &trace);
        let call = ConnectCall { server: &server, route, prefer, protocols, within, trace };
        let connected = self.connector.connect(call).await;
        let steps = trace.take().into_iter().map(|record| match record.failure {
            None => record.step.as_str().to_owned(),
            Some(code) => format!("{} {}", record.step.as_str(), code.as_str()),
        });
        (connected, steps.collect())
    }

    /// Connects to a server that is found by these addresses, or by its name; returns the code of a failure.
    async fn code(&self, server: &str, addresses: &[&str]) -> &'static str {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        let (connected, _) = self.connect_by(server, &PeerRoute::new(addresses, SERVICE), Duration::from_secs(5)).await;
        match connected {
            Ok(_) => "connected",
            Err(reason) => reason.code.map_or("no code", |code| code.as_str()),
        }
    }
}

/// Returns TLS of a server with this certificate.
fn server_tls(pair: IssuedPair, protocols: &[&str]) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let mut config = builder.with_single_cert(pair.certificate.chain().to_vec(), pair.key).expect("a pair");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

/// The handshake as the TLS server saw it.
#[derive(Debug, PartialEq, Eq)]
struct SeenHandshake {
    sni: Option<String>,
    is_resumed: bool,
    client_certificates: usize,
}

/// Starts a TLS server that reports its handshakes and holds the connections.
async fn tls_server(config: ServerConfig) -> (SocketAddr, mpsc::UnboundedReceiver<SeenHandshake>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (seen, reports) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), seen.clone());
            tokio::spawn(async move { hold(acceptor, stream, seen).await });
        }
    });
    (address, reports)
}

async fn hold(acceptor: TlsAcceptor, stream: TcpStream, seen: mpsc::UnboundedSender<SeenHandshake>) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let session = stream.get_ref().1;
    let report = SeenHandshake {
        sni: session.server_name().map(str::to_owned),
        is_resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        client_certificates: session.peer_certificates().map_or(0, <[_]>::len),
    };
    seen.send(report).ok();
    // The client reads nothing, so tickets are read with the first byte that follows; one is sent for it.
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"x").await.ok();
    stream.read_u8().await.ok();
}

/// Returns an address at which nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound")
}

fn leaf(name: &str) -> TestLeaf {
    TestLeaf::named(name)
}
