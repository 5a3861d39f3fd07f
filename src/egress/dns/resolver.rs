//! The addresses of a host and the hosts of a service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actors::model::ConnectCode;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::answer_cache::{AnswerCache, KnownAnswer, LifetimeBounds};
use super::dns_answer::{DnsFailure, FoundRecord, RecordKind, ServiceRecord};
use super::name_servers::NameServers;
use super::system_names::SystemNames;
use crate::egress::peer_address::AddressHost;

/// Maximum number of addresses of one host.
const ADDRESSES_MAX: usize = 16;

/// Time that the addresses of one family wait for those of the other (RFC 8305, section 3).
const OTHER_FAMILY_WITHIN: Duration = Duration::from_millis(50);

/// The rules for lookups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverOptions {
    /// Name servers, in the order in which they are asked; none: those of the system, after `/etc/hosts`.
    pub servers: Vec<SocketAddr>,
    /// Maximum time of one question, with all servers.
    pub timeout: Duration,
    /// Minimum lifetime of an answer.
    pub ttl_min: Duration,
    /// Maximum lifetime of an answer.
    pub ttl_max: Duration,
    /// Lifetime of a failure, and of the answer that a name does not exist.
    pub failure_ttl: Duration,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(5),
            ttl_min: Duration::from_secs(30),
            ttl_max: Duration::from_secs(60 * 60),
            failure_ttl: Duration::from_secs(30),
        }
    }
}

/// Error: a name leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub(crate) struct NameFailure {
    /// True if the name is known not to exist; false: this is unknown.
    pub(crate) code: ConnectCode,
    /// The reason, for people.
    pub(crate) words: String,
}

/// The addresses of a host, in the order in which they are tried: the families alternate, IPv6 first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundAddresses {
    /// At least one address.
    pub(crate) addresses: Vec<IpAddr>,
    /// True if the name servers fail at present, and these are the addresses of an earlier answer.
    pub(crate) stale: bool,
}

/// The statement of a domain about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FoundServices {
    /// It states nothing.
    Unstated,
    /// It does not offer the service.
    Refused,
    /// These hosts offer it.
    Hosts {
        /// At least one host, in the order of the answer.
        records: Vec<ServiceRecord>,
        /// True if the name servers fail at present, and this is an earlier answer.
        stale: bool,
    },
}

/// The resolver of names, with its cache.
pub(crate) struct NameResolver {
    options: ResolverOptions,
    source: NameSource,
    bounds: LifetimeBounds,
    cache: Mutex<AnswerCache>,
}

enum NameSource {
    Configured(Result<NameServers, DnsFailure>),
    System(SystemNames),
}

impl NameResolver {
    /// Returns a resolver with these rules.
    pub(crate) fn new(options: &ResolverOptions) -> Self {
        let bounds =
            LifetimeBounds { ttl_min: options.ttl_min, ttl_max: options.ttl_max, failure: options.failure_ttl };
        let source = match options.servers.is_empty() {
            true => NameSource::System(SystemNames::new(options.timeout)),
            false => NameSource::Configured(NameServers::new(&options.servers, options.timeout)),
        };
        Self { options: options.clone(), source, bounds, cache: Mutex::default() }
    }

    /// Returns the rules of the resolver.
    pub(crate) const fn options(&self) -> &ResolverOptions {
        &self.options
    }

    /// Returns whether nobody is asked for this host: it is an address, or this machine.
    pub(crate) fn needs_no_question(&self, host: &str) -> bool {
        matches!(AddressHost::of_server(host), AddressHost::Ip(_)) || is_localhost(host)
    }

    /// Returns the addresses of a host.
    pub(crate) async fn addresses(&self, host: &str) -> Result<FoundAddresses, NameFailure> {
        if is_localhost(host) {
            let addresses = vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
            return Ok(FoundAddresses { addresses, stale: false });
        }
        if let NameSource::System(system) = &self.source {
            let addresses = system.in_hosts(host);
            if !addresses.is_empty() {
                return Ok(FoundAddresses { addresses, stale: false });
            }
        }
        let [v6, v4] = self.both_families(host).await;
        let stale = [&v6, &v4].into_iter().flatten().any(|answer| matches!(answer, Ok(known) if known.stale));
        let [of_v6, of_v4] = [&v6, &v4].map(|answer| addresses_of(answer.as_ref()));
        let addresses = alternating(of_v6, of_v4);
        if !addresses.is_empty() {
            return Ok(FoundAddresses { addresses, stale });
        }
        let failures: Vec<String> = [v6, v4]
            .into_iter()
            .flatten()
            .filter_map(|answer| answer.err().map(|failure| failure.to_string()))
            .collect();
        Err(match failures.first() {
            None => NameFailure {
                code: ConnectCode::NameNotFound,
                words: format!("{host} does not exist, or has no address"),
            },
            Some(failure) => {
                NameFailure { code: ConnectCode::DnsFailed, words: format!("{host} cannot be looked up: {failure}") }
            }
        })
    }

    /// Asks for both families at once. Once one has addresses the other has little time left, because a name server that never
    /// answers for IPv6 would delay each connection.
    async fn both_families(&self, host: &str) -> [Option<Result<KnownAnswer, DnsFailure>>; 2] {
        let (mut v6, mut v4) = (pin!(self.known(host, RecordKind::Ipv6)), pin!(self.known(host, RecordKind::Ipv4)));
        tokio::select! {
            biased;
            first = &mut v6 => match has_addresses(&first) {
                true => [Some(first), timeout(OTHER_FAMILY_WITHIN, v4).await.ok()],
                false => [Some(first), Some(v4.await)],
            },
            first = &mut v4 => match has_addresses(&first) {
                true => [timeout(OTHER_FAMILY_WITHIN, v6).await.ok(), Some(first)],
                false => [Some(v6.await), Some(first)],
            },
        }
    }

    /// Returns the hosts that offer a service of a domain, such as `_actor-server._tcp`.
    pub(crate) async fn services(&self, service: &str, domain: &str) -> Result<FoundServices, NameFailure> {
        let name = format!("{service}.{domain}");
        let failed = |words| NameFailure { code: ConnectCode::DnsFailed, words };
        let known = self.known(&name, RecordKind::Service).await;
        let known = known.map_err(|failure| failed(format!("{name} cannot be looked up: {failure}")))?;
        let Some(records) = known.records else { return Ok(FoundServices::Unstated) };
        let records: Vec<&ServiceRecord> = records
            .iter()
            .filter_map(|record| match record {
                FoundRecord::Service(record) => Some(record),
                FoundRecord::Address(_) => None,
            })
            .collect();
        if let [only] = records[..]
            && only.target.is_empty()
        {
            return Ok(FoundServices::Refused);
        }
        let is_usable = |record: &&&ServiceRecord| {
            record.port != 0 && !record.target.is_empty() && record.target.parse::<IpAddr>().is_err()
        };
        let usable: Vec<ServiceRecord> = records.iter().filter(is_usable).map(|record| (*record).clone()).collect();
        match usable.is_empty() {
            true => Err(failed(format!("no SRV record of {name} has a host and a port"))),
            false => Ok(FoundServices::Hosts { records: usable, stale: known.stale }),
        }
    }

    async fn known(&self, name: &str, kind: RecordKind) -> Result<KnownAnswer, DnsFailure> {
        if let Some(known) = self.cache.lock().get(name, kind, Instant::now()) {
            return known;
        }
        let outcome = match &self.source {
            NameSource::Configured(Ok(servers)) => servers.ask(name, kind).await,
            NameSource::Configured(Err(failure)) => Err(failure.clone()),
            NameSource::System(system) => match system.servers() {
                Ok(servers) => Arc::clone(&servers).ask(name, kind).await,
                Err(failure) => Err(failure),
            },
        };
        self.cache.lock().keep((name, kind), outcome, self.bounds, Instant::now())
    }
}

/// Returns whether a name is this machine by definition (RFC 6761), so that nobody is asked for it.
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host == "localhost" || host.ends_with(".localhost")
}

fn has_addresses(answer: &Result<KnownAnswer, DnsFailure>) -> bool {
    answer.as_ref().is_ok_and(|known| known.records.is_some())
}

fn addresses_of(answer: Option<&Result<KnownAnswer, DnsFailure>>) -> Vec<IpAddr> {
    let Some(Ok(KnownAnswer { records: Some(records), .. })) = answer else { return Vec::new() };
    let address = |record: &FoundRecord| match record {
        FoundRecord::Address(address) => Some(*address),
        FoundRecord::Service(_) => None,
    };
    records.iter().filter_map(address).collect()
}

/// Merges the addresses of both families, one of each in turn.
fn alternating(v6: Vec<IpAddr>, v4: Vec<IpAddr>) -> Vec<IpAddr> {
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut merged = Vec::new();
    loop {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            merged.truncate(ADDRESSES_MAX);
            return merged;
        }
        merged.extend(pair.into_iter().flatten());
    }
}
