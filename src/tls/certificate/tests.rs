//! Certificates made by rcgen, and their names.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use super::*;
use crate::tls::key_pair::TlsKeyPair;
use crate::tls::provider::provider;
use crate::tls::trust_roots::TrustRoots;

/// Days of November 2026; the certificates begin on the 1st and end on the 90th.
pub(crate) fn at(day: u64) -> Millis {
    const FIRST: u64 = 1_793_491_200_000; // 2026-11-01
    Millis(FIRST + day * 86_400_000 - 86_400_000)
}

#[test]
fn chain_is_judged_once_a_minute() {
    let authority = TestAuthority::new();
    let (certificate, roots) = (authority.issue(&TestLeaf::named("blue.example")), authority.roots());
    let judgements = std::cell::Cell::new(0);
    let judge = |roots: &TrustRoots, now: u64| {
        let verdict = certificate.chain_verdict(roots, Millis(now), || {
            judgements.set(judgements.get() + 1);
            Err(CertificateFault::IsCa)
        });
        assert_eq!(verdict, Err(CertificateFault::IsCa), "a refusal is kept like an acceptance");
        judgements.get()
    };
    assert_eq!([judge(&roots, 100_000), judge(&roots, 159_999), judge(&roots, 160_000)], [1, 1, 2]);
    assert_eq!(judge(&roots, 150_000), 3, "a clock that was set back");
    // Roots that were read again are others, even if they are the same.
    let again = authority.roots();
    assert_eq!([judge(&again, 150_000), judge(&again, 150_001), judge(&roots, 150_002)], [4, 4, 5]);
}

/// A CA of the tests.
pub(crate) struct TestAuthority(CertifiedIssuer<'static, KeyPair>);

/// The leaf to issue.
#[derive(Debug, Clone)]
pub(crate) struct TestLeaf {
    pub(crate) names: Vec<SanType>,
    pub(crate) is_ca: bool,
    pub(crate) usage: Option<&'static str>,
}

/// An issued certificate with its key.
pub(crate) struct IssuedPair {
    pub(crate) certificate: PresentedCertificate,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl IssuedPair {
    /// Returns the pair as handshakes use it. The key is not compared with the certificate.
    pub(crate) fn key_pair(self) -> TlsKeyPair {
        let key = provider().key_provider.load_private_key(self.key).expect("a key");
        let certified = Arc::new(CertifiedKey::new(self.certificate.chain().to_vec(), key));
        TlsKeyPair { certified, certificate: self.certificate }
    }
}

impl TestLeaf {
    pub(crate) fn named(dns: &str) -> Self {
        Self { names: vec![SanType::DnsName(dns.try_into().expect("ASCII"))], is_ca: false, usage: None }
    }
}

impl TestAuthority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn roots(&self) -> TrustRoots {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, self.pem()).expect("written");
        TrustRoots::from_files(&[file]).expect("roots")
    }

    pub(crate) fn issue(&self, leaf: &TestLeaf) -> PresentedCertificate {
        self.issue_pair(leaf).certificate
    }

    /// Issues a certificate with its key, for a test that makes handshakes.
    pub(crate) fn issue_pair(&self, leaf: &TestLeaf) -> IssuedPair {
        self.issue_until(leaf, (2027, 1, 29))
    }

    /// Issues a certificate that ends on another day.
    pub(crate) fn issue_until(&self, leaf: &TestLeaf, (year, month, day): (i32, u8, u8)) -> IssuedPair {
        let mut params = CertificateParams::default();
        params.subject_alt_names.clone_from(&leaf.names);
        params.is_ca = if leaf.is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        params.extended_key_usages = match leaf.usage {
            Some("client") => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Some("server") => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Some(_) => vec![ExtendedKeyUsagePurpose::CodeSigning],
            None => vec![],
        };
        (params.not_before, params.not_after) = (date_time_ymd(2026, 11, 1), date_time_ymd(year, month, day));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let certificate = PresentedCertificate::parse(vec![certificate.der().clone()]).expect("readable");
        IssuedPair { certificate, key: key.into() }
    }
}

#[test]
fn facts_are_those_of_certificate() {
    let mut leaf = TestLeaf::named("Blue.example");
    leaf.names.push(SanType::IpAddress("10.0.0.2".parse().expect("an address")));
    leaf.names.push(SanType::IpAddress("2001:db8::2".parse().expect("an address")));
    let blue = TestAuthority::new().issue(&leaf);
    assert_eq!(blue.names_text(), "blue.example, 10.0.0.2, 2001:db8::2");
    assert_eq!((blue.not_before(), blue.not_after(), blue.is_ca()), (at(1), at(90), false));
    assert!(blue.covers("10.0.0.2") && blue.covers("[2001:db8::2]") && !blue.covers("10.0.0.3"));
    let exact: Vec<_> = blue.names().iter().filter_map(CertificateName::exact).collect();
    assert_eq!(exact, ["blue.example", "10.0.0.2", "[2001:db8::2]"]);
}

#[test]
fn wildcard_covers_one_label() {
    let covers = |name: &str, host: &str| CertificateName::Dns(name.to_owned()).covers_dns(host);
    assert!(covers("blue.example", "blue.example"));
    assert!(covers("*.org.example", "blue.org.example"));
    for (name, host) in [
        ("*.example", "blue.example"),
        ("*.org.example", "a.blue.org.example"),
        ("*.org.example", "org.example"),
        ("*.org.example", ".org.example"),
        ("b*.org.example", "blue.org.example"),
        ("*", "blue"),
        ("*.*.example", "a.b.example"),
        ("blue.example", "green.example"),
        ("blue.example", "blue.example."),
    ] {
        assert!(!covers(name, host), "{name} {host}");
    }
    assert_eq!(CertificateName::Dns("*.org.example".to_owned()).exact(), None);
}

#[test]
fn garbage_is_unreadable() {
    for chain in [vec![], vec![CertificateDer::from(vec![])], vec![CertificateDer::from(vec![0x30, 0x82])]] {
        let fault = PresentedCertificate::parse(chain).expect_err("unreadable");
        assert_eq!(fault.code(), "CERTIFICATE_UNREADABLE");
    }
}
