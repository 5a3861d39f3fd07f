//! The DNS records by which peers find a server.

use std::fmt;

use actors::model::ServerName;
use serde::Serialize;

use crate::cli::init::answers::{DEFAULT_PORT, PublicAddress, is_address};

/// Service names of the dialects, with the ports that are used without a record.
const SERVICES: [(&str, u16); 2] = [("_actor-server._tcp", DEFAULT_PORT), ("_matrix._tcp", 8448)];

/// Lifetime of the records, in seconds.
const TTL: u32 = 3600;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DnsRecord {
    /// Full name, with a dot at its end.
    pub(super) name: String,
    /// `SRV`, `A` or `AAAA`.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) value: String,
}

impl fmt::Display for DnsRecord {
    /// Writes the record as a line of a zone file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {TTL} IN {} {}", self.name, self.kind, self.value)
    }
}

/// Returns the records for a server that is reached at this address.
pub(super) fn records(name: &ServerName, reached_at: &PublicAddress) -> Vec<DnsRecord> {
    let PublicAddress { host, port } = reached_at;
    let domain = name.host();
    if is_address(domain) {
        return Vec::new();
    }
    let mut records = Vec::new();
    let has_own_port = name.as_str() != domain;
    // A server name with a port is looked up by its address alone, and an SRV record cannot lead to an address.
    if !has_own_port && !is_address(host) {
        let needed = SERVICES.iter().filter(|(_, default)| host != domain || port != default);
        records.extend(needed.map(|(service, _)| DnsRecord {
            name: format!("{service}.{domain}."),
            kind: "SRV",
            value: format!("0 10 {port} {host}."),
        }));
    }
    match host.parse::<std::net::Ipv4Addr>() {
        Ok(address) => records.push(address_record(domain, "A", &address.to_string())),
        Err(_) if is_address(host) => {
            records.push(address_record(domain, "AAAA", host.trim_matches(['[', ']'])));
        }
        Err(_) => {
            records.push(address_record(host, "A", "<IPv4 address of this server>"));
            records.push(address_record(host, "AAAA", "<IPv6 address of this server, if it has one>"));
        }
    }
    records
}

fn address_record(host: &str, kind: &'static str, address: &str) -> DnsRecord {
    DnsRecord { name: format!("{host}."), kind, value: address.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, reached_at: &str) -> Vec<String> {
        let records = records(&name.parse().expect("a name"), &reached_at.parse().expect("an address"));
        records.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn records_lead_to_public_address() {
        assert_eq!(
            lines("red.example", "gate.red.example:443"),
            [
                "_actor-server._tcp.red.example. 3600 IN SRV 0 10 443 gate.red.example.",
                "_matrix._tcp.red.example. 3600 IN SRV 0 10 443 gate.red.example.",
                "gate.red.example. 3600 IN A <IPv4 address of this server>",
                "gate.red.example. 3600 IN AAAA <IPv6 address of this server, if it has one>",
            ]
        );
        let default = lines("red.example", "red.example:9880");
        assert!(default.len() == 3 && default[0].starts_with("_matrix._tcp.red.example."), "{default:?}");
        assert_eq!(lines("red.example", "192.0.2.1:9880"), ["red.example. 3600 IN A 192.0.2.1"]);
        assert_eq!(lines("red.example:443", "red.example:443").len(), 2, "a name with a port has no SRV record");
        assert_eq!(lines("192.0.2.1", "192.0.2.1:9880"), [""; 0]);
    }
}
