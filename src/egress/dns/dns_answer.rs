//! The answer to one question.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The kinds of records that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RecordKind {
    /// IPv4 addresses (A).
    Ipv4,
    /// IPv6 addresses (AAAA).
    Ipv6,
    /// Hosts that offer a service (SRV).
    Service,
}

/// A record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FoundRecord {
    /// An address of the host.
    Address(IpAddr),
    /// A host that offers the service.
    Service(ServiceRecord),
}

/// A host that offers a service (SRV).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceRecord {
    /// Hosts with a lower number are tried first.
    pub(crate) priority: u16,
    /// Share of the callers among hosts of the same priority.
    pub(crate) weight: u16,
    /// Port of the service.
    pub(crate) port: u16,
    /// Name of the host in lower case, without the final dot; empty for the root, which offers nothing.
    pub(crate) target: String,
}

/// An answer that the name servers gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DnsAnswer {
    /// There are such records.
    Records(Arc<[FoundRecord]>, Duration),
    /// The name does not exist, or has no such record.
    Absent,
}

/// Error: no name server gave a usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct DnsFailure(pub(super) String);
