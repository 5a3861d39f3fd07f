//! `[network]`: the rules for outbound requests.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::de::{self, Deserialize, Deserializer};

use crate::egress::ResolverOptions;
use crate::identity::key_directories::DirectoryTimes;
use crate::settings::check::SettingsCheck;
use crate::settings::values::range::AddressRange;
use crate::settings::values::units::{DurationValue, SizeSetting};
use crate::tls::trust_roots::TrustRoots;

/// The rules for outbound requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Non-public ranges to which names of peers may resolve.
    pub allow: Vec<IpNet>,
    /// Maximum number of requests to peers in flight.
    pub requests_max: usize,
    /// Maximum bytes of the answer to a push.
    pub answer_max: usize,
    /// Rules for lookups.
    pub resolver: ResolverOptions,
    /// Files of the roots that certificates of peers chain to; none: the roots of the system.
    pub roots: Vec<PathBuf>,
    /// Times of fetched key directories.
    pub keys: DirectoryTimes,
}

#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NetworkSection {
    /// Non-public ranges to which names of peers may resolve.
    allow: Vec<AddressRange>,
    /// Maximum number of requests to peers in flight; at most a quarter of them to peers that did not respond last
    /// time.
    requests_max: u32,
    /// Maximum size of the answer to a push.
    answer_max: SizeSetting,
    /// Name servers, asked in order; none: `/etc/hosts` and those of the system.
    resolvers: Vec<ResolverAddress>,
    /// Maximum time of one question, with all name servers.
    dns_timeout: DurationValue,
    /// Minimum time for which an answer is kept.
    dns_ttl_min: DurationValue,
    /// Maximum time for which an answer is kept.
    dns_ttl_max: DurationValue,
    /// Time for which a failed lookup, or a name that does not exist, is remembered.
    dns_failure_ttl: DurationValue,
    /// PEM files of the roots that certificates of peers chain to; none: the roots of the system.
    roots: Vec<PathBuf>,
    /// Time for which the key directory of a peer is kept.
    keys_ttl: DurationValue,
    /// Pause before a key directory is fetched again for an unknown key, or after a failure.
    keys_retry: DurationValue,
}

impl Default for NetworkSection {
    fn default() -> Self {
        let resolver = ResolverOptions::default();
        Self {
            allow: vec![],
            requests_max: 512,
            answer_max: SizeSetting::mib(1),
            resolvers: vec![],
            dns_timeout: DurationValue(resolver.timeout),
            dns_ttl_min: DurationValue(resolver.ttl_min),
            dns_ttl_max: DurationValue(resolver.ttl_max),
            dns_failure_ttl: DurationValue(resolver.failure_ttl),
            roots: vec![],
            keys_ttl: DurationValue::secs(3600),
            keys_retry: DurationValue::secs(30),
        }
    }
}

/// The address of a name server; without a port it is 53.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ResolverAddress(SocketAddr);

impl<'de> Deserialize<'de> for ResolverAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const DNS_PORT: u16 = 53;
        let text = String::deserialize(deserializer)?;
        let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
        text.parse::<SocketAddr>().or_else(|_| bare()).map(Self).map_err(|_| {
            de::Error::custom(format_args!("\"{text}\" is not the address of a name server such as \"127.0.0.1:53\""))
        })
    }
}

impl NetworkSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> NetworkSettings {
        let numbers = [
            ("requests_max", self.requests_max.into()),
            ("answer_max", self.answer_max.0),
            ("dns_timeout", millis(self.dns_timeout)),
            ("keys_ttl", millis(self.keys_ttl)),
            ("keys_retry", millis(self.keys_retry)),
        ];
        check.at_least_one(&["network"], &numbers);
        if self.dns_ttl_min.0 > self.dns_ttl_max.0 {
            check.invalid(&["network", "dns_ttl_max"], "it must not be below network.dns_ttl_min");
        }
        let roots: Vec<PathBuf> = self.roots.iter().map(|file| check.path(file)).collect();
        if check.to_run
            && !roots.is_empty()
            && let Err(why) = TrustRoots::from_files(&roots)
        {
            check.invalid(&["network", "roots"], why);
        }
        NetworkSettings {
            allow: self.allow.into_iter().map(|AddressRange(net)| net).collect(),
            requests_max: self.requests_max as usize,
            answer_max: self.answer_max.in_memory(),
            resolver: ResolverOptions {
                servers: self.resolvers.into_iter().map(|ResolverAddress(address)| address).collect(),
                timeout: self.dns_timeout.0,
                ttl_min: self.dns_ttl_min.0,
                ttl_max: self.dns_ttl_max.0,
                failure_ttl: self.dns_failure_ttl.0,
            },
            roots,
            keys: DirectoryTimes { ttl: self.keys_ttl.0, retry: self.keys_retry.0 },
        }
    }
}

fn millis(time: DurationValue) -> u64 {
    u64::try_from(time.0.as_millis()).unwrap_or(u64::MAX)
}
