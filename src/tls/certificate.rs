//! A certificate that a peer has presented, with the facts that decide what it proves.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actors::model::Millis;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::tls::certificate_fault::CertificateFault;
use crate::tls::spki_pin::SpkiPin;
use crate::tls::trust_roots::TrustRoots;

/// Maximum number of names that are read from a certificate.
const NAMES_MAX: usize = 256;

/// A chain as it was presented: the certificate of the peer, and those between it and a root.
#[derive(Debug, Clone)]
pub struct PresentedCertificate {
    chain: Vec<CertificateDer<'static>>,
    names: Vec<CertificateName>,
    not_before: Millis,
    not_after: Millis,
    is_ca: bool,
    is_self_signed: bool,
    purposes: CertificatePurposes,
    pin: SpkiPin,
    /// The latest judgement of the chain: it costs several signatures, and most requests come on connections that are held.
    judged: Arc<Mutex<Option<ChainVerdict>>>,
}

/// A judgement of a chain.
#[derive(Debug)]
struct ChainVerdict {
    roots: TrustRoots,
    at: Millis,
    verdict: Result<(), CertificateFault>,
}

/// Time after which a chain is judged anew, because a certificate within it may have ended.
const JUDGED_FOR: Duration = Duration::from_secs(60);

/// A name in a certificate (subjectAltName). The common name is no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    /// A DNS name in lower case, perhaps with a wildcard as its first label.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// The roles that a certificate may be used in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificatePurposes {
    /// True if it may be used by clients.
    pub client: bool,
    /// True if it may be used by servers.
    pub server: bool,
}

impl PresentedCertificate {
    /// Parses a chain, the certificate of the peer first.
    pub fn parse(chain: Vec<CertificateDer<'static>>) -> Result<Self, CertificateFault> {
        let unreadable = |why: &dyn fmt::Display| CertificateFault::Unreadable(why.to_string());
        let leaf = chain.first().ok_or_else(|| unreadable(&"there is none"))?;
        let (rest, parsed) = X509Certificate::from_der(leaf).map_err(|error| unreadable(&error))?;
        if !rest.is_empty() {
            return Err(unreadable(&"bytes follow it"));
        }
        let is_ca = parsed.basic_constraints().map_err(|error| unreadable(&error))?.is_some_and(|basic| basic.value.ca);
        let usage = parsed.extended_key_usage().map_err(|error| unreadable(&error))?;
        let purposes = usage.map_or(CertificatePurposes { client: true, server: true }, |usage| CertificatePurposes {
            client: usage.value.any || usage.value.client_auth,
            server: usage.value.any || usage.value.server_auth,
        });
        let alternative = parsed.subject_alternative_name().map_err(|error| unreadable(&error))?;
        let listed = alternative.iter().flat_map(|names| &names.value.general_names);
        let names = listed.filter_map(CertificateName::read).take(NAMES_MAX).collect();
        let validity = parsed.validity();
        let (not_before, not_after) = (millis(validity.not_before.timestamp()), millis(validity.not_after.timestamp()));
        let pin = SpkiPin::of(parsed.public_key().raw);
        let is_self_signed = parsed.issuer().as_raw() == parsed.subject().as_raw();
        Ok(Self { names, not_before, not_after, is_ca, is_self_signed, purposes, pin, chain, judged: Arc::default() })
    }

    /// Returns the chain as it was presented.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Returns the names of the certificate.
    pub fn names(&self) -> &[CertificateName] {
        &self.names
    }

    /// Returns the names for people, separated by commas.
    pub fn names_text(&self) -> String {
        match self.names.is_empty() {
            true => "nobody".to_owned(),
            false => self.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        }
    }

    /// Returns whether a name of the certificate covers this host: a DNS name in lower case, or an address.
    pub fn covers(&self, host: &str) -> bool {
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => self.names.contains(&CertificateName::Ip(address)),
            Err(_) => self.names.iter().any(|name| name.covers_dns(host)),
        }
    }

    /// Returns the judgement of the chain by these roots: the latest one, or that of `judge`.
    pub(super) fn chain_verdict(
        &self,
        roots: &TrustRoots,
        now: Millis,
        judge: impl FnOnce() -> Result<(), CertificateFault>,
    ) -> Result<(), CertificateFault> {
        let mut judged = self.judged.lock();
        if let Some(known) = &*judged
            && known.roots.is_clone_of(roots)
            && (known.at..known.at.after(JUDGED_FOR)).contains(&now)
        {
            return known.verdict.clone();
        }
        let verdict = judge();
        *judged = Some(ChainVerdict { roots: roots.clone(), at: now, verdict: verdict.clone() });
        verdict
    }

    /// Returns the name of its issuer, for people.
    pub fn issuer_text(&self) -> String {
        let parsed = self.chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
        parsed.map(|(_, parsed)| parsed.issuer().to_string()).unwrap_or_default()
    }

    /// Returns the start of its validity.
    pub const fn not_before(&self) -> Millis {
        self.not_before
    }

    /// Returns the end of its validity.
    pub const fn not_after(&self) -> Millis {
        self.not_after
    }

    /// Returns whether it may sign other certificates.
    pub const fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Returns whether it names itself as its issuer.
    pub const fn is_self_signed(&self) -> bool {
        self.is_self_signed
    }

    /// Returns the roles that its extended key usage allows.
    pub const fn purposes(&self) -> CertificatePurposes {
        self.purposes
    }

    /// Returns the pin of its public key.
    pub const fn pin(&self) -> SpkiPin {
        self.pin
    }
}

/// Returns seconds since 1970 as milliseconds; a time before 1970 is 0.
fn millis(seconds: i64) -> Millis {
    Millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

impl CertificateName {
    fn read(name: &GeneralName<'_>) -> Option<Self> {
        match name {
            GeneralName::DNSName(name) => Some(Self::Dns(name.to_ascii_lowercase())),
            GeneralName::IPAddress(octets) => match octets.len() {
                4 => <[u8; 4]>::try_from(*octets).ok().map(|ip| Self::Ip(ip.into())),
                16 => <[u8; 16]>::try_from(*octets).ok().map(|ip| Self::Ip(ip.into())),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns whether this is a DNS name that covers `host`. A wildcard covers one left-most label, and needs two labels after it,
    /// so that no certificate covers a whole top-level domain.
    fn covers_dns(&self, host: &str) -> bool {
        let Self::Dns(name) = self else { return false };
        match name.strip_prefix("*.") {
            None => !name.contains('*') && name == host,
            Some(parent) => {
                let rest = host.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, rest)| rest);
                parent.contains('.') && !parent.contains('*') && rest == Some(parent)
            }
        }
    }

    /// Returns the exact DNS name or address; `None` for a wildcard, which names nobody.
    pub fn exact(&self) -> Option<String> {
        match self {
            Self::Dns(name) if name.contains('*') => None,
            Self::Dns(name) => Some(name.clone()),
            Self::Ip(IpAddr::V6(ip)) => Some(format!("[{ip}]")),
            Self::Ip(IpAddr::V4(ip)) => Some(ip.to_string()),
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(&name.escape_debug().to_string()),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
