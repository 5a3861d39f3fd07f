//! Makes connections to peers.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use actors::model::{ConnectCode, ServerName, UnreachedReason};
use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::first_success::first_success;
use super::peer_tls::{
    HandshakeError, OfferedProtocols, PeerTls, RefusedHandshake, TlsMaterial, TlsProfile, VerifiedStream,
};
use super::step_trace::{ConnectStep, StepTrace};
use super::target::ConnectTarget;
use crate::egress::address_book::{AddressBook, PeerRoute};
use crate::egress::address_filter::is_permitted;
use crate::egress::dns::{FoundServices, NameResolver, ResolverOptions, in_order};
use crate::egress::peer_address::{AddressHost, PeerAddress};
use crate::tls::certificate::PresentedCertificate;

/// The stream of a connection: TCP, or TLS over it.
pub(crate) type PeerStream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Makes connections to peers.
pub(crate) struct PeerConnector {
    book: Arc<dyn AddressBook>,
    names: ArcSwap<NameResolver>,
    tls: PeerTls,
}

/// A wanted connection.
#[derive(Clone, Copy)]
pub(crate) struct ConnectCall<'a> {
    /// The peer.
    pub(crate) server: &'a ServerName,
    /// The way to it.
    pub(crate) route: &'a PeerRoute,
    /// Address of the configuration that is tried first.
    pub(crate) prefer: Option<&'a PeerAddress>,
    /// HTTP versions that are offered.
    pub(crate) protocols: OfferedProtocols,
    /// Maximum time for one address, with TLS.
    pub(crate) within: Duration,
    /// Record of the steps.
    pub(crate) trace: &'a StepTrace,
}

/// One address of a host at which a peer may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectPlace {
    target: ConnectTarget,
    /// Address and port.
    pub(crate) address: SocketAddr,
}

impl ConnectPlace {
    /// Returns the host and the port, as the name of the peer led to them.
    pub(crate) fn host(&self) -> String {
        self.target.to_string()
    }
}

/// A connection to a peer.
pub(crate) struct PeerConnection {
    /// Stream to the peer.
    pub(crate) stream: PeerStream,
    /// True if the peer has chosen HTTP/2.
    pub(crate) is_http2: bool,
    /// Address of the configuration that led here, if one did.
    pub(crate) configured: Option<PeerAddress>,
    /// Certificate and roots with which the connection was made; `None`: it is plain.
    pub(crate) material: Option<TlsMaterial>,
}

impl PeerConnector {
    /// Returns a connector that finds peers by this book and these names.
    pub(crate) fn new(book: Arc<dyn AddressBook>, names: NameResolver, tls: PeerTls) -> Self {
        Self { book, names: ArcSwap::from_pointee(names), tls }
    }

    /// Looks names up by these rules from now on. Known answers are forgotten, because other name servers may give others.
    pub(crate) fn change_names(&self, options: &ResolverOptions) {
        if self.names.load().options() != options {
            self.names.store(Arc::new(NameResolver::new(options)));
        }
    }

    /// Connects to the first target of the peer that accepts.
    pub(crate) async fn connect(&self, call: ConnectCall<'_>) -> Result<PeerConnection, UnreachedReason> {
        let mut failures = Vec::new();
        for target in self.targets(call).await? {
            match self.connect_to(&target, call).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => failures.push(failure),
            }
        }
        Err(worst(failures))
    }

    /// Returns whether a connection would be made with the same certificate of ours and the same roots now.
    pub(crate) fn is_current(&self, material: &TlsMaterial) -> bool {
        self.tls.is_current(material)
    }

    /// Looks a peer up without connecting to it.
    pub(crate) async fn find(&self, call: ConnectCall<'_>) -> Result<(), UnreachedReason> {
        let mut failures = Vec::new();
        let targets = self.targets(call).await?;
        for target in &targets {
            let permitted = match self.addresses(target, call.trace).await {
                Ok(found) => self.permitted(target, found, call.trace),
                Err(failure) => Err(failure),
            };
            failures.extend(permitted.err());
        }
        if failures.len() < targets.len() { Ok(()) } else { Err(worst(failures)) }
    }

    /// Looks a peer up and returns each permitted address of at most this many of its hosts. A host that leads nowhere is a step that
    /// failed.
    pub(crate) async fn places(
        &self,
        call: ConnectCall<'_>,
        hosts_max: usize,
    ) -> Result<Vec<ConnectPlace>, UnreachedReason> {
        let mut places = Vec::new();
        for target in self.targets(call).await?.into_iter().take(hosts_max) {
            let Ok(found) = self.addresses(&target, call.trace).await else { continue };
            let Ok(permitted) = self.permitted(&target, found, call.trace) else { continue };
            for ip in permitted {
                let place = ConnectPlace { address: SocketAddr::new(ip, target.port), target: target.clone() };
                // Several records may lead to one address.
                if !places.iter().any(|other: &ConnectPlace| other.address == place.address) {
                    places.push(place);
                }
            }
        }
        Ok(places)
    }

    /// Connects to one of these addresses.
    pub(crate) async fn connect_at(
        &self,
        place: &ConnectPlace,
        call: ConnectCall<'_>,
    ) -> Result<PeerConnection, UnreachedReason> {
        self.attempt(&place.target, place.address, call).await
    }

    /// Returns the targets of a peer, in the order in which they are tried.
    async fn targets(&self, call: ConnectCall<'_>) -> Result<Vec<ConnectTarget>, UnreachedReason> {
        let ConnectCall { server, route, trace, .. } = call;
        let service = route.service;
        let began = Instant::now();
        if !route.addresses.is_empty() {
            let target = |address: &PeerAddress| ConnectTarget::of_address(address, service.default_port);
            let mut targets: Vec<ConnectTarget> = route.addresses.iter().map(target).collect();
            let is_preferred = |target: &ConnectTarget| target.configured.as_ref() == call.prefer;
            if let Some(at) = targets.iter().position(is_preferred) {
                targets[..=at].rotate_right(1);
            }
            trace.done(ConnectStep::Name, began, || format!("{server} is reached at {}", listed(&targets)));
            return Ok(targets);
        }
        if let Some(port) = server.port() {
            trace.done(ConnectStep::Name, began, || format!("{server} states its port"));
            return Ok(vec![ConnectTarget::of_name(server.host(), port)]);
        }
        let by_default = ConnectTarget::of_name(server.host(), service.default_port);
        let names = self.names.load_full();
        if names.needs_no_question(server.host()) {
            trace.done(ConnectStep::Name, began, || format!("{server} is reached at port {}", service.default_port));
            return Ok(vec![by_default]);
        }
        trace.done(ConnectStep::Name, began, || {
            format!(
                "{server} is looked up as {}.{}, else at port {}",
                service.name,
                server.host(),
                service.default_port
            )
        });
        let began = Instant::now();
        match names.services(service.name, server.host()).await {
            Ok(FoundServices::Unstated) => {
                trace.done(ConnectStep::Record, began, || format!("there is no SRV record of {}", service.name));
                Ok(vec![by_default])
            }
            Ok(FoundServices::Hosts { records, stale }) => {
                let ordered = in_order(records, |most| fastrand::u32(0..=most));
                let targets: Vec<_> = ordered.into_iter().map(ConnectTarget::of_service).collect();
                trace.done(ConnectStep::Record, began, || format!("SRV: {}{}", listed(&targets), stale_words(stale)));
                Ok(targets)
            }
            Ok(FoundServices::Refused) => {
                let words =
                    format!("{} states that it does not offer {} (SRV target \".\")", server.host(), service.name);
                let reason = UnreachedReason { code: Some(ConnectCode::ServiceNotOffered), words };
                Err(trace.failed(ConnectStep::Record, began, reason))
            }
            Err(failure) => {
                let reason = UnreachedReason { code: Some(failure.code), words: failure.words };
                Err(trace.failed(ConnectStep::Record, began, reason))
            }
        }
    }

    /// Connects to a target, whose addresses are raced.
    async fn connect_to(
        &self,
        target: &ConnectTarget,
        call: ConnectCall<'_>,
    ) -> Result<PeerConnection, UnreachedReason> {
        let found = self.addresses(target, call.trace).await?;
        let addresses = self.permitted(target, found, call.trace)?;
        let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, target.port)).collect();
        let outcome = first_success(addresses, |address| self.attempt(target, address, call)).await;
        outcome.map_err(worst)
    }

    async fn addresses(&self, target: &ConnectTarget, trace: &StepTrace) -> Result<Vec<IpAddr>, UnreachedReason> {
        let began = Instant::now();
        let name = match &target.host {
            AddressHost::Ip(ip) => return Ok(vec![*ip]),
            AddressHost::Name(name) => name,
        };
        match self.names.load_full().addresses(name).await {
            Ok(found) => {
                let detail = || format!("{name}: {}{}", joined(&found.addresses), stale_words(found.stale));
                trace.done(ConnectStep::Record, began, detail);
                Ok(found.addresses)
            }
            Err(failure) => {
                let words = at_target(target, &failure.words);
                Err(trace.failed(ConnectStep::Record, began, UnreachedReason { code: Some(failure.code), words }))
            }
        }
    }

    /// Returns the addresses that are permitted.
    fn permitted(
        &self,
        target: &ConnectTarget,
        found: Vec<IpAddr>,
        trace: &StepTrace,
    ) -> Result<Vec<IpAddr>, UnreachedReason> {
        let began = Instant::now();
        let is_permitted = |ip: &IpAddr| target.is_exempt() || is_permitted(*ip, |address| self.book.allows(address));
        let (permitted, forbidden): (Vec<IpAddr>, Vec<IpAddr>) = found.into_iter().partition(is_permitted);
        if permitted.is_empty() {
            let ranges = "which is not public, and network.allow does not contain it";
            let words = at_target(target, &format!("it leads to {}, {ranges}", joined(&forbidden)));
            let reason = UnreachedReason { code: Some(ConnectCode::AddressNotAllowed), words };
            return Err(trace.failed(ConnectStep::Address, began, reason));
        }
        trace.done(ConnectStep::Address, began, || match forbidden.is_empty() {
            true => joined(&permitted),
            false => format!("{}; not permitted: {}", joined(&permitted), joined(&forbidden)),
        });
        Ok(permitted)
    }

    /// Connects to one address, within the time for one address.
    async fn attempt(
        &self,
        target: &ConnectTarget,
        address: SocketAddr,
        call: ConnectCall<'_>,
    ) -> Result<PeerConnection, UnreachedReason> {
        let ConnectCall { server, route, trace, .. } = call;
        let place = match &target.host {
            AddressHost::Ip(_) => target.to_string(),
            AddressHost::Name(_) => format!("{target} ({address})"),
        };
        let reason = |code, words: &str| UnreachedReason { code: Some(code), words: format!("{place}: {words}") };
        let deadline = Instant::now() + call.within;
        let began = Instant::now();
        let connected = match timeout_at(deadline, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(reason(code_of(&error), &error.to_string())),
            Err(_elapsed) => Err(reason(ConnectCode::ConnectTimeout, "no connection within connect_timeout")),
        };
        let stream = connected.map_err(|reason| trace.failed(ConnectStep::Connection, began, reason))?;
        trace.done(ConnectStep::Connection, began, || place.clone());
        // A failure only costs latency.
        let _ = stream.set_nodelay(true);
        let configured = target.configured.clone();
        if !target.tls {
            return Ok(PeerConnection { stream: Either::Left(stream), is_http2: false, configured, material: None });
        }
        let profile = TlsProfile {
            pins: Arc::clone(&route.pins),
            presents_certificate: route.presents_certificate,
            protocols: call.protocols,
        };
        let began = Instant::now();
        let verified = match timeout_at(deadline, self.secure(stream, address, server.host(), profile)).await {
            Ok(Ok(verified)) => Ok(verified),
            Ok(Err(RefusedHandshake { reason, certificate })) => {
                trace.presented(certificate.as_ref());
                Err(UnreachedReason { words: format!("{place}: {}", reason.words), ..reason })
            }
            Err(_elapsed) => Err(reason(ConnectCode::ConnectTimeout, "no TLS handshake within connect_timeout")),
        };
        let VerifiedStream { stream, certificate, material } = verified.map_err(|reason| {
            let is_handshake = matches!(reason.code, Some(ConnectCode::TlsFailed | ConnectCode::ConnectTimeout));
            if !is_handshake {
                trace.done(ConnectStep::Sni, began, || sni_words(server));
            }
            let step = if is_handshake { ConnectStep::Sni } else { ConnectStep::Certificate };
            trace.failed(step, began, reason)
        })?;
        trace.presented(certificate.as_ref());
        let session = stream.get_ref().1;
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        trace.done(ConnectStep::Sni, began, || {
            let version = session.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default();
            format!("{}; {version}, {}", sni_words(server), if is_http2 { "HTTP/2" } else { "HTTP/1.1" })
        });
        trace.done(ConnectStep::Certificate, began, || {
            certificate.as_ref().map(|certificate| certificate_words(certificate, route)).unwrap_or_default()
        });
        let (stream, material) = (Either::Right(Box::new(stream)), Some(material));
        Ok(PeerConnection { stream, is_http2, configured, material })
    }

    /// Makes the handshake. If it resumes a session whose certificate is not accepted any more, a second connection makes a full one.
    async fn secure(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        host: &str,
        profile: TlsProfile,
    ) -> Result<VerifiedStream, RefusedHandshake> {
        match self.tls.handshake(stream, host, profile.clone()).await {
            Err(HandshakeError::StaleSession(_)) => {
                let connected = TcpStream::connect(address).await;
                let refused =
                    |error: io::Error| UnreachedReason { code: Some(code_of(&error)), words: error.to_string() };
                let stream = connected.map_err(refused)?;
                let _ = stream.set_nodelay(true);
                self.tls.handshake(stream, host, profile).await.map_err(HandshakeError::into_refusal)
            }
            made => made.map_err(HandshakeError::into_refusal),
        }
    }
}

/// Returns the code of an error of the system while it connects.
fn code_of(error: &io::Error) -> ConnectCode {
    match error.kind() {
        ErrorKind::TimedOut => ConnectCode::ConnectTimeout,
        _ => ConnectCode::ConnectRefused,
    }
}

/// Returns one reason of several: the code of the attempt that came furthest, and the words of all.
fn worst(failures: Vec<UnreachedReason>) -> UnreachedReason {
    let rank = |code: &ConnectCode| ConnectCode::ALL.iter().position(|other| other == code);
    let code = failures.iter().filter_map(|failure| failure.code).max_by_key(rank);
    let words: Vec<String> = failures.into_iter().map(|failure| failure.words).collect();
    UnreachedReason { code, words: words.join("; ") }
}

fn at_target(target: &ConnectTarget, words: &str) -> String {
    format!("{target}: {words}")
}

fn sni_words(server: &ServerName) -> String {
    match AddressHost::of_server(server.host()) {
        AddressHost::Name(name) => format!("SNI {name}"),
        AddressHost::Ip(_) => "no SNI, because the name is an address".to_owned(),
    }
}

fn certificate_words(certificate: &PresentedCertificate, route: &PeerRoute) -> String {
    let ends = UNIX_EPOCH + Duration::from_millis(certificate.not_after().0);
    let ends = humantime::format_rfc3339_seconds(ends);
    let trust = if route.pins.is_empty() { "chains to a trusted root" } else { "its key is pinned" };
    format!("of {}, until {ends}; {trust}", certificate.names_text())
}

fn listed(targets: &[ConnectTarget]) -> String {
    targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn joined(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

const fn stale_words(stale: bool) -> &'static str {
    if stale { " (stale: the name servers fail at present)" } else { "" }
}
