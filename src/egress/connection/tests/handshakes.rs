//! TLS with peers whose certificates prove their name, and with others.

use rcgen::SanType;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::*;
use crate::tls::live_pair::LiveKeyPair;
use crate::tls::server_config::{ClientCertificates, server_config};

const WITHIN: Duration = Duration::from_secs(5);

fn route(address: SocketAddr) -> PeerRoute {
    PeerRoute::new(vec![format!("https://{address}").parse().expect("an address")], SERVICE)
}

/// Returns the code of a handshake with a server that has this certificate.
async fn code(gate: &TestGate, server: &str, pair: IssuedPair) -> String {
    let (address, _seen) = tls_server(server_tls(pair, &["http/1.1"])).await;
    let (connected, steps) = gate.connect_by(server, &route(address), WITHIN).await;
    match connected {
        Ok(connection) => format!("connected, HTTP/2: {}", connection.is_http2),
        Err(_) => steps.last().cloned().unwrap_or_default(),
    }
}

#[tokio::test]
async fn certificate_is_judged_by_server_name() {
    let gate = TestGate::new(&[]).await;
    let issue = |leaf: &TestLeaf| gate.authority.issue_pair(leaf);
    let blue = leaf("blue.example");
    assert_eq!(code(&gate, "blue.example", issue(&blue)).await, "connected, HTTP/2: false");
    assert_eq!(code(&gate, "blue.example:1234", issue(&blue)).await, "connected, HTTP/2: false", "ports do not count");
    assert_eq!(code(&gate, "green.example", issue(&blue)).await, "certificate CERTIFICATE_WRONG_NAME");
    let ca = TestLeaf { is_ca: true, ..blue.clone() };
    assert_eq!(code(&gate, "blue.example", issue(&ca)).await, "certificate CERTIFICATE_IS_A_CA");
    let of_client = TestLeaf { usage: Some("client"), ..blue.clone() };
    assert_eq!(code(&gate, "blue.example", issue(&of_client)).await, "certificate CERTIFICATE_WRONG_PURPOSE");
    let of_server = TestLeaf { usage: Some("server"), ..blue.clone() };
    assert_eq!(code(&gate, "blue.example", issue(&of_server)).await, "connected, HTTP/2: false");
    let foreign = TestAuthority::new().issue_pair(&blue);
    assert_eq!(code(&gate, "blue.example", foreign).await, "certificate CERTIFICATE_UNKNOWN_ISSUER");
    let ip = TestLeaf { names: vec![SanType::IpAddress("127.0.0.1".parse().expect("an address"))], ..blue };
    assert_eq!(code(&gate, "127.0.0.1", issue(&ip)).await, "connected, HTTP/2: false");
}

#[tokio::test]
async fn dates_are_those_of_our_clock() {
    for (day, expected) in [
        (0, "certificate CERTIFICATE_NOT_YET_VALID"),
        (10, "connected, HTTP/2: false"),
        (91, "certificate CERTIFICATE_EXPIRED"),
    ] {
        let mut gate = TestGate::new(&[]).await;
        let tls =
            PeerTls::new(Arc::new(TestClock::fixed(at(day)))).with(Some(LiveRoots::new(gate.authority.roots())), None);
        let names = NameResolver::new(&ResolverOptions::default());
        gate.connector = PeerConnector::new(Arc::new(AllowedRanges(Vec::new())), names, tls);
        let pair = gate.authority.issue_pair(&leaf("blue.example"));
        assert_eq!(code(&gate, "blue.example", pair).await, expected, "day {day}");
    }
}

#[tokio::test]
async fn pin_replaces_chain() {
    let gate = TestGate::new(&[]).await;
    let foreign = TestAuthority::new();
    let (pair, other) = (foreign.issue_pair(&leaf("blue.example")), foreign.issue(&leaf("blue.example")).pin());
    let own = pair.certificate.pin();
    let (address, _seen) = tls_server(server_tls(pair, &[])).await;
    for (server, pins, expected) in [
        ("blue.example", vec![other, own], "certificate"),
        ("blue.example", vec![other], "certificate CERTIFICATE_NOT_PINNED"),
        ("green.example", vec![own], "certificate CERTIFICATE_WRONG_NAME"),
    ] {
        let route = PeerRoute { pins: pins.into(), ..route(address) };
        let (_, steps) = gate.connect_by(server, &route, WITHIN).await;
        assert_eq!(steps.last().map(String::as_str), Some(expected), "{server}");
    }
}

#[tokio::test]
async fn http2_is_used_where_offered() {
    let gate = TestGate::new(&[]).await;
    let pair = || gate.authority.issue_pair(&leaf("blue.example"));
    for (offers, is_http2) in [(&["h2", "http/1.1"][..], true), (&["http/1.1"], false), (&[], false)] {
        let (address, _seen) = tls_server(server_tls(pair(), offers)).await;
        let (connected, _) = gate.connect_by("blue.example", &route(address), WITHIN).await;
        assert_eq!(connected.map(|connection| connection.is_http2), Ok(is_http2), "{offers:?}");
    }
}

#[tokio::test]
async fn session_is_resumed_and_judged_again() {
    let mut gate = TestGate::new(&[]).await;
    let clock = Arc::new(TestClock::fixed(at(10)));
    let tls = PeerTls::new(clock.clone()).with(Some(LiveRoots::new(gate.authority.roots())), None);
    let names = NameResolver::new(&ResolverOptions::default());
    gate.connector = PeerConnector::new(Arc::new(AllowedRanges(Vec::new())), names, tls);
    let pair = gate.authority.issue_pair(&leaf("blue.example"));
    let (address, mut seen) = tls_server(server_tls(pair, &[])).await;
    for is_resumed in [false, true] {
        let (connected, _) = gate.connect_by("blue.example", &route(address), WITHIN).await;
        let mut connection = connected.expect("a connection");
        // The ticket arrives before the first byte.
        connection.stream.read_u8().await.expect("a byte");
        assert_eq!(seen.recv().await.map(|seen| seen.is_resumed), Some(is_resumed));
    }
    clock.set(at(91).0);
    let (_, steps) = gate.connect_by("blue.example", &route(address), WITHIN).await;
    assert_eq!(steps.last().map(String::as_str), Some("certificate CERTIFICATE_EXPIRED"));
    assert_eq!(seen.recv().await.map(|seen| seen.is_resumed), Some(true), "the certificate was not sent again");
}

#[tokio::test]
async fn renewed_peer_certificate_replaces_session() {
    let mut gate = TestGate::new(&[]).await;
    let clock = Arc::new(TestClock::fixed(at(10)));
    let tls = PeerTls::new(clock.clone()).with(Some(LiveRoots::new(gate.authority.roots())), None);
    let names = NameResolver::new(&ResolverOptions::default());
    gate.connector = PeerConnector::new(Arc::new(AllowedRanges(Vec::new())), names, tls);
    let pair = LiveKeyPair::new(gate.authority.issue_pair(&leaf("blue.example")).key_pair());
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let (address, mut seen) = tls_server(builder.with_cert_resolver(Arc::new(pair.clone()))).await;
    let (connected, _) = gate.connect_by("blue.example", &route(address), WITHIN).await;
    connected.expect("a connection").stream.read_u8().await.expect("a byte");
    clock.set(at(91).0);
    pair.replace(gate.authority.issue_until(&leaf("blue.example"), (2028, 1, 1)).key_pair());
    let (connected, steps) = gate.connect_by("blue.example", &route(address), WITHIN).await;
    assert!(connected.is_ok(), "{steps:?}");
    let resumed =
        [seen.recv().await, seen.recv().await, seen.recv().await].map(|seen| seen.map(|seen| seen.is_resumed));
    assert_eq!(resumed, [Some(false), Some(true), Some(false)]);
}

#[tokio::test]
async fn renewed_own_certificate_ends_sessions() {
    let mut gate = TestGate::new(&[]).await;
    let own = LiveKeyPair::new(gate.authority.issue_pair(&leaf("red.example")).key_pair());
    let roots = LiveRoots::new(gate.authority.roots());
    let tls = PeerTls::new(Arc::new(TestClock::fixed(at(10)))).with(Some(roots.clone()), Some(own.clone()));
    let names = NameResolver::new(&ResolverOptions::default());
    gate.connector = PeerConnector::new(Arc::new(AllowedRanges(Vec::new())), names, tls);
    let (address, mut seen) = tls_server(server_tls(gate.authority.issue_pair(&leaf("blue.example")), &[])).await;
    let route = PeerRoute { presents_certificate: true, ..route(address) };
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), gate.authority.pem()).expect("written");
    let mut last = None;
    for (change, is_resumed) in [("none", false), ("none", true), ("pair", false), ("none", true), ("roots", false)] {
        match change {
            "pair" => own.replace(gate.authority.issue_pair(&leaf("red.example")).key_pair()),
            "roots" => (roots.read_from(vec![file.path().to_owned()]).expect("roots").expect("others").apply)(),
            _ => {}
        }
        let (connected, _) = gate.connect_by("blue.example", &route, WITHIN).await;
        let mut connection = connected.expect("a connection");
        connection.stream.read_u8().await.expect("a byte");
        assert_eq!(seen.recv().await.map(|seen| seen.is_resumed), Some(is_resumed), "{change}");
        last = connection.material;
    }
    let material = last.expect("it is by TLS");
    assert!(gate.connector.is_current(&material));
    own.replace(gate.authority.issue_pair(&leaf("red.example")).key_pair());
    assert!(!gate.connector.is_current(&material), "a request takes another connection");
}

#[tokio::test]
async fn server_without_key_is_refused() {
    let gate = TestGate::new(&[]).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stolen = gate.authority.issue(&leaf("blue.example"));
        let pair = IssuedPair { certificate: stolen, ..gate.authority.issue_pair(&leaf("mallory.example")) };
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
        let builder = builder.with_protocol_versions(&[version]).expect("a version").with_no_client_auth();
        let (address, _seen) =
            tls_server(builder.with_cert_resolver(Arc::new(LiveKeyPair::new(pair.key_pair())))).await;
        let (_, steps) = gate.connect_by("blue.example", &route(address), WITHIN).await;
        assert_eq!(steps.last().map(String::as_str), Some("sni TLS_FAILED"), "{version:?}");
    }
}

#[tokio::test]
async fn caller_without_key_is_refused() {
    let authority = TestAuthority::new();
    let pair = LiveKeyPair::new(authority.issue_pair(&leaf("red.example")).key_pair());
    let config = server_config(pair, ClientCertificates::Asked).expect("a configuration");
    let (address, mut seen) = tls_server(ServerConfig::clone(&config)).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        // The second caller shows no certificate, so the server reports which of the two it has accepted.
        for steals in [true, false] {
            let roots = rustls::RootCertStore { roots: authority.roots().anchors().to_vec() };
            let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(provider()));
            let builder = builder.with_protocol_versions(&[version]).expect("a version").with_root_certificates(roots);
            let config = match steals {
                true => {
                    let mallory = authority.issue_pair(&leaf("mallory.example"));
                    let stolen = IssuedPair { certificate: authority.issue(&leaf("blue.example")), ..mallory };
                    builder.with_client_cert_resolver(Arc::new(LiveKeyPair::new(stolen.key_pair())))
                }
                false => builder.with_no_client_auth(),
            };
            let stream = TcpStream::connect(address).await.expect("a connection");
            let name = rustls::pki_types::ServerName::try_from("red.example").expect("a name");
            let connected = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            let mut first = [0];
            let is_served = match connected {
                Ok(mut stream) => stream.read_exact(&mut first).await.is_ok(),
                Err(_) => false,
            };
            assert_eq!(is_served, !steals, "{version:?}");
        }
        assert_eq!(seen.recv().await.map(|seen| seen.client_certificates), Some(0), "{version:?}");
    }
}

#[tokio::test]
async fn stalled_handshake_ends_with_connect_timeout() {
    let gate = TestGate::new(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let stalled = listener.local_addr().expect("bound");
    let within = Duration::from_millis(200);
    let (_, steps) = gate.connect_by("blue.example", &route(stalled), within).await;
    assert_eq!(steps, ["name", "address", "connection", "sni CONNECT_TIMEOUT"]);
    // A peer that does not serve TLS at this port.
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the first connection");
        let (_again, _) = (stream.read_u8().await, ());
        let (mut stream, _) = listener.accept().await.expect("a connection");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
    });
    let (_, steps) = gate.connect_by("blue.example", &route(stalled), WITHIN).await;
    assert_eq!(steps.last().map(String::as_str), Some("sni TLS_FAILED"));
    plain.await.expect("no panic");
}

/// A server that asks for a certificate and accepts any.
#[derive(Debug)]
struct AsksForCertificate;

impl ClientCertVerifier for AsksForCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn own_certificate_needs_mtls_peer() {
    let mut gate = TestGate::new(&[]).await;
    let own = LiveKeyPair::new(gate.authority.issue_pair(&leaf("red.example")).key_pair());
    let tls =
        PeerTls::new(Arc::new(TestClock::fixed(at(10)))).with(Some(LiveRoots::new(gate.authority.roots())), Some(own));
    let names = NameResolver::new(&ResolverOptions::default());
    gate.connector = PeerConnector::new(Arc::new(AllowedRanges(Vec::new())), names, tls);
    let pair = gate.authority.issue_pair(&leaf("blue.example"));
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = builder.with_client_cert_verifier(Arc::new(AsksForCertificate));
    let config = builder.with_single_cert(pair.certificate.chain().to_vec(), pair.key).expect("a pair");
    let (address, mut seen) = tls_server(config).await;
    for presents_certificate in [true, false] {
        let route = PeerRoute { presents_certificate, ..route(address) };
        let (connected, steps) = gate.connect_by("blue.example", &route, WITHIN).await;
        assert!(connected.is_ok(), "{steps:?}");
        let shown = seen.recv().await.map(|seen| seen.client_certificates);
        assert_eq!(shown, Some(usize::from(presents_certificate)));
    }
}
