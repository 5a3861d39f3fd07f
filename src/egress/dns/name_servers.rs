//! One question to the name servers, and the aliases that its answers lead through.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts, ServerOrderingStrategy};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::time::{Instant, timeout_at};

use super::dns_answer::{DnsAnswer, DnsFailure, FoundRecord, RecordKind, ServiceRecord};

/// Maximum number of aliases that lead from one name to another.
const ALIASES_MAX: usize = 8;

/// Maximum number of records that are used of one answer.
const RECORDS_MAX: usize = 16;

/// Maximum number of questions to one name server that have no answer yet. The requests that ask are fewer.
const QUESTIONS_MAX: usize = 2_048;

/// The name servers, in the order in which they are asked.
pub(super) struct NameServers {
    servers: Vec<(SocketAddr, NameServerPool<TokioRuntimeProvider>)>,
    /// Maximum time of a question, with all servers and all aliases.
    timeout: Duration,
}

impl NameServers {
    /// Returns name servers at these addresses.
    pub(super) fn new(addresses: &[SocketAddr], timeout: Duration) -> Result<Self, DnsFailure> {
        let mut options = ResolverOpts::default();
        options.timeout = timeout;
        options.attempts = 1;
        options.num_concurrent_reqs = 1;
        options.max_active_requests = QUESTIONS_MAX;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        let tls = TlsConfig::new().map_err(|error| DnsFailure(error.to_string()))?;
        let context = Arc::new(PoolContext::new(options, tls));
        let pool = |address: &SocketAddr| {
            let [mut udp, mut tcp] = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            (udp.port, tcp.port) = (address.port(), address.port());
            let config = NameServerConfig::new(address.ip(), true, vec![udp, tcp]);
            // Each server has a pool of its own: a pool of all would spend the whole time on a silent first one.
            let pool = NameServerPool::from_config([config], Arc::clone(&context), TokioRuntimeProvider::default());
            (*address, pool)
        };
        Ok(Self { servers: addresses.iter().map(pool).collect(), timeout })
    }

    /// Asks for the records of a name.
    pub(super) async fn ask(&self, name: &str, kind: RecordKind) -> Result<DnsAnswer, DnsFailure> {
        // A name that cannot be written in a question cannot exist either.
        let Ok(mut current) = Name::from_str(&format!("{name}.")) else { return Ok(DnsAnswer::Absent) };
        current.set_fqdn(true);
        let deadline = Instant::now() + self.timeout;
        let mut passed = vec![current.clone()];
        let mut lifetime = Duration::MAX;
        loop {
            let Some(response) = self.answered(&current, kind, deadline).await? else { return Ok(DnsAnswer::Absent) };
            let asked = current.clone();
            while let Some((target, ttl)) = alias(&response, &current) {
                lifetime = lifetime.min(ttl);
                if passed.contains(&target) {
                    return Err(DnsFailure(format!("the aliases of {name} form a loop over {target}")));
                }
                if passed.len() > ALIASES_MAX {
                    return Err(DnsFailure(format!("{name} leads through more than {ALIASES_MAX} aliases")));
                }
                passed.push(target.clone());
                current = target;
            }
            let records = records(&response, &current, kind, &mut lifetime);
            if !records.is_empty() {
                return Ok(DnsAnswer::Records(records.into(), lifetime));
            }
            if current == asked || response.response_code == ResponseCode::NXDomain {
                return Ok(DnsAnswer::Absent);
            }
        }
    }

    /// Asks one server after the other; each has its share of the time that is left. `None`: there is no such record.
    async fn answered(
        &self,
        name: &Name,
        kind: RecordKind,
        deadline: Instant,
    ) -> Result<Option<DnsResponse>, DnsFailure> {
        let record_type = match kind {
            RecordKind::Ipv4 => RecordType::A,
            RecordKind::Ipv6 => RecordType::AAAA,
            RecordKind::Service => RecordType::SRV,
        };
        let mut failed = Vec::new();
        for (place, (address, pool)) in self.servers.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(self.servers.len() - place).unwrap_or(1);
            let mut options = DnsRequestOptions::default();
            options.recursion_desired = true;
            // Without it a datagram has room for 512 bytes.
            options.use_edns = true;
            let asked = pool.lookup(Query::query(name.clone(), record_type), options).first_answer();
            match timeout_at(Instant::now() + share, asked).await {
                Ok(Ok(response)) => return Ok(Some(response)),
                Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => return Ok(None),
                Ok(Err(NetError::Dns(DnsError::ResponseCode(code)))) => failed.push(format!("{address} says {code}")),
                Ok(Err(NetError::Timeout)) | Err(_) => failed.push(format!("{address} does not answer")),
                Ok(Err(error)) => failed.push(format!("{address}: {error}")),
            }
        }
        if failed.is_empty() {
            failed.push("no name server is configured".to_owned());
        }
        Err(DnsFailure(failed.join("; ")))
    }
}

/// Returns the name that this one is an alias of.
fn alias(response: &DnsResponse, name: &Name) -> Option<(Name, Duration)> {
    response.answers.iter().filter(|record| record.name == *name).find_map(|record| match &record.data {
        RData::CNAME(target) => {
            let mut target = target.0.to_lowercase();
            target.set_fqdn(true);
            Some((target, seconds(record.ttl)))
        }
        _ => None,
    })
}

fn records(response: &DnsResponse, name: &Name, kind: RecordKind, lifetime: &mut Duration) -> Vec<FoundRecord> {
    let of_name = response.answers.iter().filter(|record| record.name == *name);
    let wanted = of_name.filter_map(|record| {
        let found = match (kind, &record.data) {
            (RecordKind::Ipv4, RData::A(address)) => FoundRecord::Address(IpAddr::V4(address.0)),
            (RecordKind::Ipv6, RData::AAAA(address)) => FoundRecord::Address(IpAddr::V6(address.0)),
            (RecordKind::Service, RData::SRV(srv)) => {
                let target = srv.target.to_lowercase().to_ascii();
                FoundRecord::Service(ServiceRecord {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: target.trim_end_matches('.').to_owned(),
                })
            }
            _ => return None,
        };
        Some((found, seconds(record.ttl)))
    });
    let mut found = Vec::new();
    for (record, ttl) in wanted.take(RECORDS_MAX) {
        *lifetime = (*lifetime).min(ttl);
        found.push(record);
    }
    found
}

/// Returns a lifetime. One with its highest bit set is 0 (RFC 2181, section 8).
fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(if ttl > i32::MAX.cast_unsigned() { 0 } else { ttl.into() })
}
