//! `[federation]`: the listener that peers reach.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use actix_web::http::header::HeaderName;
use ipnet::IpNet;
use serde::Deserialize;

use crate::json::nesting::JSON_DEPTH_MAX;
use crate::settings::check::SettingsCheck;
use crate::settings::sections::strangers::{StrangersSection, StrangersSettings};
use crate::settings::sections::tls::acme::AcmeSection;
use crate::settings::sections::tls::{CertificateSource, FederationTlsSection, ListenerProtection, check_exposure};
use crate::settings::values::pattern::NamePattern;
use crate::settings::values::range::AddressRange;
use crate::settings::values::units::{DurationValue, ListenAddress, SizeSetting};
use crate::tls::acme::options::AcmeOptions;
use crate::tls::key_pair::KeyPairFiles;
use crate::tls::trust_roots::TrustRoots;

/// The listener that peers reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationSettings {
    /// Address and port of the listener.
    pub listen: SocketAddr,
    /// Files of the listener's certificate; `None`: plain HTTP.
    pub tls: Option<KeyPairFiles>,
    /// Rules for ordering that certificate; `None`: the operator writes the files.
    pub acme: Option<AcmeOptions>,
    /// File of the roots that client certificates of listed peers chain to; `None`: `network.roots`.
    pub client_ca: Option<PathBuf>,
    /// Ranges of the reverse proxies whose headers name the caller.
    pub trusted_proxies: Vec<IpNet>,
    /// Header in which a trusted proxy passes the client certificate, in lower case.
    pub client_cert_header: Option<String>,
    /// Limits of connections.
    pub connections: ConnectionSettings,
    /// Rule for who may be a peer.
    pub mode: FederationMode,
    /// Patterns of names that are never peers.
    pub deny: Vec<NamePattern>,
    /// Bounds on servers that are not listed, if the federation is open.
    pub strangers: StrangersSettings,
    /// Maximum bytes of a request body.
    pub body_max: usize,
    /// Maximum nesting of a body, in requests and in answers.
    pub json_depth: usize,
}

/// The limits of connections to the federation listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Maximum number of connections.
    pub connections_max: usize,
    /// Maximum number of connections from one address.
    pub per_address: usize,
    /// Maximum time of a TLS handshake.
    pub handshake_timeout: Duration,
    /// Maximum time from the first byte of a request to the end of its head.
    pub header_timeout: Duration,
    /// Time after which an idle connection is closed.
    pub idle_timeout: Duration,
    /// Maximum time for a request body to arrive.
    pub body_timeout: Duration,
    /// Maximum bytes of a request head.
    pub headers_max: usize,
}

/// The rule for who may be a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FederationMode {
    /// Only the servers listed under `peers.server`.
    #[default]
    Allowlist,
    /// Every server that proves its name.
    Open,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FederationSection {
    /// Address and port that peers connect to.
    pub(crate) listen: ListenAddress,
    /// Certificate of the listener.
    tls: FederationTlsSection,
    /// Orders of that certificate from an authority.
    acme: AcmeSection,
    /// If true, plain HTTP is served beyond loopback; for a listener behind a proxy.
    insecure: bool,
    /// Ranges of reverse proxies: from these alone `Forwarded` and `X-Forwarded-For` give the caller's address.
    trusted_proxies: Vec<AddressRange>,
    /// Header in which a trusted proxy passes the verified client certificate, as URL-encoded PEM.
    client_cert_header: Option<String>,
    /// Maximum number of connections.
    connections_max: u32,
    /// Maximum number of connections from one address.
    connections_per_address: u32,
    /// Maximum time of a TLS handshake.
    handshake_timeout: DurationValue,
    /// Maximum time from the first byte of a request to the end of its head.
    header_timeout: DurationValue,
    /// Time after which an idle connection is closed.
    idle_timeout: DurationValue,
    /// Maximum time for a request body to arrive.
    body_timeout: DurationValue,
    /// Maximum bytes of a request head.
    headers_max: SizeSetting,
    /// Rule for who may be a peer: "allowlist" means the servers listed under `peers.server`, "open" every server that
    /// proves its name.
    mode: FederationMode,
    /// Bounds on servers that are not listed.
    strangers: StrangersSection,
    /// Patterns of names that are no peers, even if they are listed.
    deny: Vec<String>,
    /// Maximum size of a request body of a peer.
    body_max: SizeSetting,
    /// Maximum nesting of arrays and objects in a JSON body of a peer.
    json_depth: u32,
}

impl Default for FederationSection {
    fn default() -> Self {
        Self {
            listen: ListenAddress::loopback(9880),
            tls: FederationTlsSection::default(),
            acme: AcmeSection::default(),
            insecure: false,
            trusted_proxies: Vec::new(),
            client_cert_header: None,
            connections_max: 10_000,
            connections_per_address: 256,
            handshake_timeout: DurationValue::secs(10),
            header_timeout: DurationValue::secs(10),
            idle_timeout: DurationValue::secs(75),
            body_timeout: DurationValue::secs(30),
            headers_max: SizeSetting::kib(16),
            mode: FederationMode::Allowlist,
            strangers: StrangersSection::default(),
            deny: Vec::new(),
            body_max: SizeSetting::mib(8),
            json_depth: 128,
        }
    }
}

impl FederationSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> FederationSettings {
        let numbers = [
            ("body_max", self.body_max.0),
            ("connections_max", self.connections_max.into()),
            ("connections_per_address", self.connections_per_address.into()),
            ("headers_max", self.headers_max.0),
            ("handshake_timeout", whole(self.handshake_timeout)),
            ("header_timeout", whole(self.header_timeout)),
            ("idle_timeout", whole(self.idle_timeout)),
            ("body_timeout", whole(self.body_timeout)),
        ];
        check.at_least_one(&["federation"], &numbers);
        let json_depth = self.json_depth as usize;
        if !(JSON_DEPTH_MIN..=JSON_DEPTH_MAX).contains(&json_depth) {
            let why = format!(
                "it must be from {JSON_DEPTH_MIN} to {JSON_DEPTH_MAX}, because PDUs need some levels and parsers stop there"
            );
            check.invalid(&["federation", "json_depth"], why);
        }
        let source = if self.acme.is_on() { CertificateSource::Acme } else { CertificateSource::Operator };
        let (tls, client_ca) = self.tls.check(source, check);
        let acme = self.acme.check(tls.is_some(), check);
        let protection = ListenerProtection { has_tls: tls.is_some(), is_insecure: self.insecure, has_token: None };
        check_exposure("federation", self.listen, protection, check);
        if let Some(file) = client_ca.as_ref().filter(|_| check.to_run)
            && let Err(why) = TrustRoots::from_files(&[file])
        {
            check.invalid(&["federation", "tls", "client_ca"], why);
        }
        let client_cert_header = self.client_cert_header.map(|header| header.to_ascii_lowercase());
        if let Some(header) = &client_cert_header
            && HeaderName::from_bytes(header.as_bytes()).is_err()
        {
            check.invalid(&["federation", "client_cert_header"], format!("\"{header}\" is not the name of a header"));
        }
        let connections = ConnectionSettings {
            connections_max: self.connections_max as usize,
            per_address: self.connections_per_address as usize,
            handshake_timeout: self.handshake_timeout.0,
            header_timeout: self.header_timeout.0,
            idle_timeout: self.idle_timeout.0,
            body_timeout: self.body_timeout.0,
            headers_max: self.headers_max.in_memory(),
        };
        let mut deny = Vec::new();
        for text in self.deny {
            match text.parse() {
                Ok(pattern) => deny.push(pattern),
                Err(why) => check.invalid(&["federation", "deny"], format!("\"{text}\": {why}")),
            }
        }
        FederationSettings {
            listen: self.listen.0,
            tls,
            acme,
            client_ca,
            trusted_proxies: self.trusted_proxies.into_iter().map(|AddressRange(net)| net.trunc()).collect(),
            client_cert_header,
            connections,
            mode: self.mode,
            strangers: self.strangers.check(check),
            deny,
            body_max: self.body_max.in_memory(),
            json_depth,
        }
    }
}

/// Lowest value of `json_depth`: a transaction with signed PDUs nests that deep before any content.
const JSON_DEPTH_MIN: usize = 8;

/// Returns milliseconds, for the check that a time is not 0.
fn whole(time: DurationValue) -> u64 {
    u64::try_from(time.0.as_millis()).unwrap_or(u64::MAX)
}
