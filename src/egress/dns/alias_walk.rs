//! The aliases through which the answers of name servers lead from a name to its records.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::op::{DnsResponse, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData};

use super::dns_answer::{DnsAnswer, DnsFailure, FoundRecord, RecordKind, ServiceRecord};

/// Maximum number of aliases that lead from one name to another.
const ALIASES_MAX: usize = 8;

/// Maximum number of records that are used of one answer.
const RECORDS_MAX: usize = 16;

/// The way from a name to its records.
pub(super) struct AliasWalk {
    kind: RecordKind,
    /// The names so far; the last one is the name to ask for.
    names: Vec<Name>,
    /// The shortest lifetime of the records on the way.
    lifetime: Duration,
}

impl AliasWalk {
    /// Returns a walk that begins at a name.
    pub(super) fn new(name: Name, kind: RecordKind) -> Self {
        Self { kind, names: vec![name], lifetime: Duration::MAX }
    }

    /// Returns the name to ask for.
    pub(super) fn name(&self) -> &Name {
        self.names.last().expect("a walk has its first name")
    }

    /// Reads the response to a question for [`AliasWalk::name`]. `None`: the response leads to another name and has no records of
    /// it, so that is the name to ask for next.
    pub(super) fn read(&mut self, response: &DnsResponse) -> Result<Option<DnsAnswer>, DnsFailure> {
        let before = self.names.len();
        while let Some((target, ttl)) = alias(response, self.name()) {
            self.lifetime = self.lifetime.min(ttl);
            let first = &self.names[0];
            if self.names.contains(&target) {
                return Err(DnsFailure(format!("the aliases of {first} form a loop over {target}")));
            }
            if self.names.len() > ALIASES_MAX {
                return Err(DnsFailure(format!("{first} leads through more than {ALIASES_MAX} aliases")));
            }
            self.names.push(target);
        }
        let records = self.records(response);
        if !records.is_empty() {
            return Ok(Some(DnsAnswer::Records(records.into(), self.lifetime)));
        }
        let is_end = self.names.len() == before || response.response_code == ResponseCode::NXDomain;
        Ok(is_end.then_some(DnsAnswer::Absent))
    }

    fn records(&mut self, response: &DnsResponse) -> Vec<FoundRecord> {
        let of_name = response.answers.iter().filter(|record| record.name == *self.name());
        let wanted = of_name.filter_map(|record| Some((found(self.kind, &record.data)?, seconds(record.ttl))));
        let (records, lifetimes): (Vec<_>, Vec<_>) = wanted.take(RECORDS_MAX).unzip();
        self.lifetime = lifetimes.into_iter().fold(self.lifetime, Duration::min);
        records
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

fn found(kind: RecordKind, data: &RData) -> Option<FoundRecord> {
    match (kind, data) {
        (RecordKind::Ipv4, RData::A(address)) => Some(FoundRecord::Address(IpAddr::V4(address.0))),
        (RecordKind::Ipv6, RData::AAAA(address)) => Some(FoundRecord::Address(IpAddr::V6(address.0))),
        (RecordKind::Service, RData::SRV(srv)) => {
            let target = srv.target.to_lowercase().to_ascii();
            Some(FoundRecord::Service(ServiceRecord {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: target.trim_end_matches('.').to_owned(),
            }))
        }
        _ => None,
    }
}

/// Returns a lifetime. One with its highest bit set is 0 (RFC 2181, section 8).
fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(if ttl > i32::MAX.cast_unsigned() { 0 } else { ttl.into() })
}

/// Reads the bytes of a response, as often as a walk from `red.example` asks; for fuzzing.
pub(crate) fn read_response_bytes(bytes: &[u8]) {
    let Ok(response) = DnsResponse::from_buffer(bytes.to_vec()) else { return };
    for kind in [RecordKind::Ipv4, RecordKind::Ipv6, RecordKind::Service] {
        let Ok(name) = Name::from_ascii("red.example.") else { return };
        let mut walk = AliasWalk::new(name, kind);
        let mut questions = 0;
        while let Ok(None) = walk.read(&response) {
            questions += 1;
            assert!(questions <= ALIASES_MAX, "a walk asks once for each alias");
        }
        let again = AliasWalk::new(walk.name().clone(), kind).read(&response);
        if let Ok(Some(DnsAnswer::Records(records, _))) = again {
            assert!((1..=RECORDS_MAX).contains(&records.len()), "an answer has a bounded number of records");
        }
    }
}
