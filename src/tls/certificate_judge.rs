//! The judgement of a certificate: role, dates, and chain or pins. Names are compared by the caller, which knows whom it expects.

use std::time::Duration;

use actors::model::Millis;
use rustls::pki_types::UnixTime;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage};

use crate::tls::certificate::PresentedCertificate;
use crate::tls::certificate_fault::CertificateFault;
use crate::tls::spki_pin::SpkiPin;
use crate::tls::trust_roots::TrustRoots;

/// The role in which a certificate was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateRole {
    /// By a caller. Certificates for servers alone are accepted too, because an organisation has one certificate for its server.
    Client,
    /// By a server that we call.
    Server,
}

/// The reason to believe a certificate.
#[derive(Debug, Clone, Copy)]
pub enum CertificateTrust<'a> {
    /// It chains to one of these roots.
    Roots(&'a TrustRoots),
    /// Its public key is one of these. Pins take the place of the chain, never of name, role and dates.
    Pins(&'a [SpkiPin]),
}

/// Judges a certificate. The first fault is returned: it is a CA, its dates, its role, its chain or pin.
pub fn judge(
    certificate: &PresentedCertificate,
    role: CertificateRole,
    trust: CertificateTrust<'_>,
    now: Millis,
) -> Result<(), CertificateFault> {
    if certificate.is_ca() {
        return Err(CertificateFault::IsCa);
    }
    if now < certificate.not_before() {
        return Err(CertificateFault::NotYetValid(certificate.not_before()));
    }
    if now > certificate.not_after() {
        return Err(CertificateFault::Expired(certificate.not_after()));
    }
    let purposes = certificate.purposes();
    let fits = match role {
        CertificateRole::Client => purposes.client || purposes.server,
        CertificateRole::Server => purposes.server,
    };
    if !fits {
        return Err(CertificateFault::WrongPurpose);
    }
    match trust {
        CertificateTrust::Pins(pins) if pins.contains(&certificate.pin()) => Ok(()),
        CertificateTrust::Pins(_) => Err(CertificateFault::NotPinned(certificate.pin().to_string())),
        CertificateTrust::Roots(roots) => certificate.chain_verdict(roots, now, || chains_to(certificate, roots, now)),
    }
}

/// Judges the name: the certificate must cover the host.
pub fn judge_name(certificate: &PresentedCertificate, host: &str) -> Result<(), CertificateFault> {
    if certificate.covers(host) {
        return Ok(());
    }
    Err(CertificateFault::WrongName { expected: host.to_owned(), found: certificate.names_text() })
}

/// Verifies the chain. The usage of each certificate in it must be that of clients or that of servers.
fn chains_to(certificate: &PresentedCertificate, roots: &TrustRoots, now: Millis) -> Result<(), CertificateFault> {
    let (leaf, between) = certificate.chain().split_first().expect("a presented certificate has a leaf");
    let leaf = EndEntityCert::try_from(leaf).map_err(|error| CertificateFault::Unreadable(error.to_string()))?;
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
    let verify = |usage| {
        leaf.verify_for_usage(ALL_VERIFICATION_ALGS, roots.anchors(), between, now, usage, None, None).map(drop)
    };
    let purposes = certificate.purposes();
    let verified = match purposes.server {
        true => verify(KeyUsage::server_auth()),
        false => verify(KeyUsage::client_auth()),
    };
    // An intermediate may be for clients alone, even if the leaf has no usage.
    let verified = verified.or_else(|error| match purposes.client && purposes.server {
        true => verify(KeyUsage::client_auth()),
        false => Err(error),
    });
    verified.map_err(|error| fault(&error))
}

fn fault(error: &Error) -> CertificateFault {
    match error {
        Error::CaUsedAsEndEntity => CertificateFault::IsCa,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => CertificateFault::WrongPurpose,
        other => CertificateFault::UnknownIssuer(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificate::tests::{TestAuthority, TestLeaf, at};

    #[test]
    fn sound_certificate_fits_both_roles() {
        let authority = TestAuthority::new();
        let blue = authority.issue(&TestLeaf::named("blue.example"));
        for role in [CertificateRole::Client, CertificateRole::Server] {
            assert_eq!(judge(&blue, role, CertificateTrust::Roots(&authority.roots()), at(10)), Ok(()));
            assert_eq!(judge(&blue, role, CertificateTrust::Pins(&[blue.pin()]), at(10)), Ok(()));
        }
        assert_eq!(judge_name(&blue, "blue.example"), Ok(()));
    }

    #[test]
    fn each_fault_has_its_code() {
        let authority = TestAuthority::new();
        let roots = authority.roots();
        let judged = |leaf: &TestLeaf, role, day| {
            let certificate = authority.issue(leaf);
            judge(&certificate, role, CertificateTrust::Roots(&roots), at(day)).map_err(|fault| fault.code())
        };
        let blue = TestLeaf::named("blue.example");
        let (client, server) = (CertificateRole::Client, CertificateRole::Server);
        assert_eq!(judged(&blue, client, 91), Err("CERTIFICATE_EXPIRED"));
        assert_eq!(judged(&blue, server, 0), Err("CERTIFICATE_NOT_YET_VALID"));
        assert_eq!(judged(&TestLeaf { is_ca: true, ..blue.clone() }, client, 10), Err("CERTIFICATE_IS_A_CA"));
        let clients_only = TestLeaf { usage: Some("client"), ..blue.clone() };
        assert_eq!(judged(&clients_only, client, 10), Ok(()));
        assert_eq!(judged(&clients_only, server, 10), Err("CERTIFICATE_WRONG_PURPOSE"));
        assert_eq!(judged(&TestLeaf { usage: Some("server"), ..blue.clone() }, client, 10), Ok(()));
        assert_eq!(
            judged(&TestLeaf { usage: Some("code"), ..blue.clone() }, client, 10),
            Err("CERTIFICATE_WRONG_PURPOSE")
        );

        let certificate = authority.issue(&blue);
        let foreign = TestAuthority::new().roots();
        let other = TestAuthority::new().issue(&blue).pin();
        for (trust, code) in [
            (CertificateTrust::Roots(&foreign), "CERTIFICATE_UNKNOWN_ISSUER"),
            (CertificateTrust::Roots(&TrustRoots::none()), "CERTIFICATE_UNKNOWN_ISSUER"),
            (CertificateTrust::Pins(&[other]), "CERTIFICATE_NOT_PINNED"),
            (CertificateTrust::Pins(&[]), "CERTIFICATE_NOT_PINNED"),
        ] {
            assert_eq!(judge(&certificate, client, trust, at(10)).map_err(|fault| fault.code()), Err(code));
        }
        let wrong = judge_name(&certificate, "green.example").expect_err("another name");
        assert_eq!(wrong.to_string(), "the certificate names blue.example, not green.example");
    }

    #[test]
    fn pin_keeps_dates_and_role() {
        let authority = TestAuthority::new();
        let blue = authority.issue(&TestLeaf::named("blue.example"));
        let pins = [blue.pin()];
        let judged = judge(&blue, CertificateRole::Client, CertificateTrust::Pins(&pins), at(91));
        assert_eq!(judged.map_err(|fault| fault.code()), Err("CERTIFICATE_EXPIRED"));
    }
}
