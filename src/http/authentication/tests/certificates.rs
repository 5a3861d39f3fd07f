//! Callers with client certificates, directly and through a trusted proxy.

use rcgen::SanType;

use super::*;
use crate::tls::certificate::tests::{TestAuthority, TestLeaf, at};
use crate::tls::certificate_fault::CertificateFault;

/// Blue, pink and black prove themselves by certificate, pink by a pinned one; green by its address, grey by signature. Black is
/// denied. 10.0.0.1 is a trusted proxy.
struct Certified {
    authority: TestAuthority,
    pink: PresentedCertificate,
    day: u64,
}

impl Certified {
    fn new() -> Self {
        let pink = TestAuthority::new().issue(&TestLeaf::named("pink.example"));
        Self { authority: TestAuthority::new(), pink, day: 10 }
    }

    fn issue(&self, names: &[&str]) -> PresentedCertificate {
        let names = names.iter().map(|name| SanType::DnsName((*name).try_into().expect("ASCII"))).collect();
        self.authority.issue(&TestLeaf { names, ..TestLeaf::named("x") })
    }
}

impl PeerAuthPolicy for Certified {
    fn denied(&self, server: &ServerName) -> bool {
        server.as_str() == "black.example"
    }
    fn allows_address(&self, server: &ServerName, address: IpAddr) -> bool {
        server.as_str() == "green.example" && self.is_peer_address(address)
    }
    fn peer_by_address(&self, address: IpAddr) -> Option<ServerName> {
        self.is_peer_address(address).then(|| "green.example".parse().expect("a name"))
    }
    fn is_peer_address(&self, address: IpAddr) -> bool {
        address.to_string() == "10.9.9.9"
    }
    fn listed(&self, server: &ServerName) -> bool {
        self.proof_kind(server).is_some()
    }
    fn proof_kind(&self, server: &ServerName) -> Option<ProofKind> {
        match server.as_str() {
            "blue.example" | "pink.example" | "black.example" | "10.0.0.7" => Some(ProofKind::Certificate),
            "green.example" => Some(ProofKind::Network),
            "grey.example" => Some(ProofKind::Signature),
            _ => None,
        }
    }
    fn certificate_pins(&self, server: &ServerName) -> Option<Arc<[SpkiPin]>> {
        (server.as_str() == "pink.example").then(|| [self.pink.pin()].into())
    }
    fn is_pinned(&self, key: &SpkiPin) -> bool {
        self.pink.pin() == *key
    }
    fn peers_named_by(&self, certificate: &PresentedCertificate) -> Vec<ServerName> {
        let exact = certificate.names().iter().filter_map(|name| name.exact()?.parse().ok());
        exact.filter(|name| self.proof_kind(name) == Some(ProofKind::Certificate)).collect()
    }
    fn client_roots(&self) -> TrustRoots {
        self.authority.roots()
    }
    fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        address.to_string() == "10.0.0.1"
    }
    fn client_cert_header(&self) -> Option<Arc<str>> {
        Some("x-client-cert".into())
    }
    fn now(&self) -> Millis {
        at(self.day)
    }
}

type Asked = Result<String, (u16, &'static str)>;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn shows(certificate: &PresentedCertificate) -> CallerEvidence {
    CallerEvidence {
        address: "192.0.2.1".parse().ok(),
        certificate: Some(Ok(Arc::new(certificate.clone()))),
        ..CallerEvidence::default()
    }
}

fn asked(policy: &Certified, evidence: &CallerEvidence, claim: Option<&str>) -> Asked {
    let lines: Vec<_> = claim.iter().map(|name| ("fernpost-origin", *name)).collect();
    let caller = identify(policy, evidence, &headers(&lines)).map_err(|no| (no.status().as_u16(), no.code()))?;
    Ok(format!("{} {}", caller.server, caller.proof))
}

#[test]
fn certificate_proves_covered_name() {
    let policy = Certified::new();
    let blue = shows(&policy.issue(&["blue.example"]));
    let proved = || Ok("blue.example mtls".to_owned());
    assert_eq!(asked(&policy, &blue, Some("blue.example")), proved());
    assert_eq!(asked(&policy, &blue, None), proved());
    let wildcard = shows(&policy.issue(&["*.blue.example", "blue.example", "grey.example"]));
    assert_eq!(asked(&policy, &wildcard, None), proved(), "grey proves itself by signature");
    assert_eq!(asked(&policy, &shows(&policy.pink), Some("pink.example")), Ok("pink.example mtls".to_owned()));
}

#[test]
fn claim_against_sound_certificate_is_403() {
    let policy = Certified::new();
    let blue = shows(&policy.issue(&["blue.example"]));
    for claim in ["pink.example", "black.example", "grey.example", "stranger.example", "green.example"] {
        assert_eq!(asked(&policy, &blue, Some(claim)), Err((403, "NOT_THE_SENDER")), "{claim}");
    }
    assert_eq!(asked(&policy, &shows(&policy.pink), Some("blue.example")), Err((403, "NOT_THE_SENDER")));
}

#[test]
fn useless_certificate_is_named() {
    let mut policy = Certified::new();
    let nobody = shows(&policy.issue(&[]));
    assert_eq!(asked(&policy, &nobody, Some("blue.example")), Err((401, "CERTIFICATE_WRONG_NAME")));
    assert_eq!(asked(&policy, &nobody, None), Err((401, "UNAUTHENTICATED")));
    let foreign = shows(&TestAuthority::new().issue(&TestLeaf::named("blue.example")));
    assert_eq!(asked(&policy, &foreign, Some("blue.example")), Err((401, "CERTIFICATE_UNKNOWN_ISSUER")));
    assert_eq!(asked(&policy, &foreign, Some("pink.example")), Err((401, "CERTIFICATE_NOT_PINNED")));
    let chained_pink = shows(&policy.issue(&["pink.example"]));
    assert_eq!(asked(&policy, &chained_pink, Some("pink.example")), Err((401, "CERTIFICATE_NOT_PINNED")));
    let blue = shows(&policy.issue(&["blue.example"]));
    policy.day = 91;
    assert_eq!(asked(&policy, &blue, Some("blue.example")), Err((401, "CERTIFICATE_EXPIRED")));
    let unreadable = CertificateFault::Unreadable("x".to_owned());
    let unreadable = CallerEvidence { certificate: Some(Err(unreadable)), ..CallerEvidence::default() };
    assert_eq!(asked(&policy, &unreadable, None), Err((401, "CERTIFICATE_UNREADABLE")));
}

#[test]
fn useless_certificate_is_refused_unread() {
    let policy = Certified::new();
    let unread = |evidence: &CallerEvidence| {
        CallerClaim::from_head(&policy, evidence.clone(), &headers(&[])).err().map(|no| no.code())
    };
    assert_eq!(unread(&shows(&policy.issue(&["a.example", "b.example"]))), None, "the body may name one of them");
    assert_eq!(unread(&shows(&policy.pink)), None);
    let foreign = shows(&TestAuthority::new().issue(&TestLeaf::named("a.example")));
    assert_eq!(unread(&foreign), Some("CERTIFICATE_UNKNOWN_ISSUER"));
    let by_address = CallerEvidence { address: "10.9.9.9".parse().ok(), ..foreign };
    assert_eq!(unread(&by_address), None, "the address may be the proof");
}

#[test]
fn no_proof_replaces_another() {
    let policy = Certified::new();
    let by_address = CallerEvidence::of_address("10.9.9.9".parse().ok());
    assert_eq!(asked(&policy, &by_address, Some("blue.example")), Err((401, "UNAUTHENTICATED")));
    assert_eq!(asked(&policy, &by_address, Some("green.example")), Ok("green.example network".to_owned()));
    let green = shows(&policy.issue(&["green.example"]));
    assert_eq!(asked(&policy, &green, Some("green.example")), Err((401, "UNAUTHENTICATED")), "it is no proof of green");
    let with_address = CallerEvidence { address: by_address.address, ..green };
    assert_eq!(asked(&policy, &with_address, Some("green.example")), Ok("green.example network".to_owned()));
}

#[test]
fn proven_name_is_authorized_after() {
    let policy = Certified::new();
    assert_eq!(asked(&policy, &shows(&policy.issue(&["black.example"])), None), Err((403, "FORBIDDEN")));
    let stranger = shows(&policy.issue(&["stranger.example"]));
    assert_eq!(
        asked(&policy, &stranger, Some("stranger.example")),
        Err((403, "FORBIDDEN")),
        "the chain proves the name"
    );
    let foreign = shows(&TestAuthority::new().issue(&TestLeaf::named("stranger.example")));
    assert_eq!(asked(&policy, &foreign, Some("stranger.example")), Err((401, "CERTIFICATE_UNKNOWN_ISSUER")));
}

#[test]
fn proxy_headers_count_from_proxy_alone() {
    let policy = Certified::new();
    let made = rcgen::generate_simple_self_signed(["blue.example".to_owned()]).expect("a certificate");
    let pem = percent_encoding::utf8_percent_encode(&made.cert.pem(), percent_encoding::NON_ALPHANUMERIC).to_string();
    let lines = [("x-forwarded-for", "10.9.9.9"), ("x-client-cert", &*pem), ("fernpost-origin", "blue.example")];
    let from = |address: &str| CallerEvidence::of(&policy, None, address.parse().ok(), &headers(&lines));
    let direct = from("192.0.2.1");
    assert!(direct.certificate.is_none() && direct.address == "192.0.2.1".parse().ok() && !direct.by_proxy);
    let proxied = from("10.0.0.1");
    assert!(proxied.by_proxy && proxied.address == "10.9.9.9".parse().ok());
    let code = identify(&policy, &proxied, &headers(&lines)).expect_err("self-signed").code();
    assert_eq!(code, "CERTIFICATE_UNKNOWN_ISSUER", "it is judged as if it had come in the handshake");
    let silent = CallerEvidence::of(&policy, None, "10.0.0.1".parse().ok(), &headers(&[]));
    assert_eq!(asked(&policy, &silent, Some("green.example")), Err((401, "UNAUTHENTICATED")), "a proxy proves nobody");
}
