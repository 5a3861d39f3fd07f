//! One question to the name servers, and the aliases that its answers lead through.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts, ServerOrderingStrategy};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::time::{Instant, timeout_at};

use super::alias_walk::AliasWalk;
use super::dns_answer::{DnsAnswer, DnsFailure, RecordKind};

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
        let mut walk = AliasWalk::new(current, kind);
        loop {
            let Some(response) = self.answered(walk.name(), kind, deadline).await? else {
                return Ok(DnsAnswer::Absent);
            };
            if let Some(answer) = walk.read(&response)? {
                return Ok(answer);
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
        let question = Query::query(name.clone(), record_type);
        let mut failed = Vec::new();
        for (place, (address, pool)) in self.servers.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(self.servers.len() - place).unwrap_or(1);
            let mut options = DnsRequestOptions::default();
            options.recursion_desired = true;
            // Without it a datagram has room for 512 bytes.
            options.use_edns = true;
            let asked = pool.lookup(question.clone(), options).first_answer();
            match timeout_at(Instant::now() + share, asked).await {
                // The library compares the questions of datagrams only.
                Ok(Ok(response)) if response.queries[..] == [question.clone()] => return Ok(Some(response)),
                Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) if *none.query == question => return Ok(None),
                Ok(Ok(_) | Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => {
                    failed.push(format!("{address} answers another question"));
                }
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
