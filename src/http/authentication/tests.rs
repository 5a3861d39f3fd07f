//! Names, addresses and certificates of callers.

mod certificates;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use std::net::IpAddr;
use std::sync::Arc;

use actors::model::{Millis, ServerName};

use super::*;
use crate::tls::certificate::PresentedCertificate;
use crate::tls::spki_pin::SpkiPin;
use crate::tls::trust_roots::TrustRoots;

/// Peers: red on 10.0.0.0/8 and loopback, blue on a part of it; black is listed and denied.
struct Book;

const RANGES: [(&str, &str); 4] = [
    ("red.example", "10.0.0.0/8"),
    ("blue.example", "10.1.0.0/16"),
    ("black.example", "10.2.0.0/16"),
    ("red.example", "::1/128"),
];

fn ranges() -> impl Iterator<Item = (ServerName, IpNet)> {
    RANGES.iter().map(|(name, net)| (name.parse().expect("a name"), net.parse().expect("a range")))
}

impl PeerAuthPolicy for Book {
    fn denied(&self, server: &ServerName) -> bool {
        server.as_str() == "black.example"
    }
    fn allows_address(&self, server: &ServerName, address: IpAddr) -> bool {
        ranges().any(|(name, net)| name == *server && net.contains(&address))
    }
    fn peer_by_address(&self, address: IpAddr) -> Option<ServerName> {
        let holding = ranges().filter(|(_, net)| net.contains(&address));
        holding.max_by_key(|(_, net)| net.prefix_len()).map(|(name, _)| name)
    }
    fn is_peer_address(&self, address: IpAddr) -> bool {
        ranges().any(|(_, net)| net.contains(&address))
    }
    fn listed(&self, server: &ServerName) -> bool {
        ranges().any(|(name, _)| name == *server)
    }
}

fn asked(address: Option<&str>, origins: &[&[u8]]) -> Result<String, (u16, &'static str)> {
    let mut headers = HeaderMap::new();
    for origin in origins {
        let value = HeaderValue::from_bytes(origin).expect("a header value");
        headers.append(HeaderName::from_static("fernpost-origin"), value);
    }
    let address = address.map(|address| address.parse().expect("an address"));
    let caller = identify(&Book, &CallerEvidence::of_address(address), &headers)
        .map_err(|no| (no.status().as_u16(), no.code()))?;
    assert_eq!(caller.proof, "network");
    Ok(caller.server.to_string())
}

#[test]
fn name_needs_its_address_range() {
    let red = || Ok("red.example".to_owned());
    let unproved = || Err((401, "UNAUTHENTICATED"));
    assert_eq!(asked(Some("10.9.9.9"), &[b"red.example"]), red());
    assert_eq!(asked(Some("10.9.9.9"), &[b" RED.example "]), red());
    assert_eq!(asked(Some("10.1.0.1"), &[b"red.example"]), red());
    assert_eq!(asked(Some("::1"), &[b"red.example"]), red());
    assert_eq!(asked(Some("::ffff:10.9.9.9"), &[b"red.example"]), red());
    assert_eq!(asked(Some("11.0.0.1"), &[b"red.example"]), unproved());
    assert_eq!(asked(Some("10.9.9.9"), &[b"blue.example"]), unproved());
    assert_eq!(asked(Some("10.9.9.9"), &[b"stranger.example"]), unproved());
    assert_eq!(asked(None, &[b"red.example"]), unproved());
}

#[test]
fn nameless_caller_matches_longest_prefix() {
    assert_eq!(asked(Some("10.1.2.3"), &[]), Ok("blue.example".to_owned()));
    assert_eq!(asked(Some("10.3.2.1"), &[]), Ok("red.example".to_owned()));
    assert_eq!(asked(Some("::ffff:10.1.2.3"), &[]), Ok("blue.example".to_owned()));
    assert_eq!(asked(Some("192.0.2.1"), &[]), Err((401, "UNAUTHENTICATED")));
    assert_eq!(asked(None, &[]), Err((401, "UNAUTHENTICATED")));
}

#[test]
fn proven_denied_peer_gets_403() {
    assert_eq!(asked(Some("10.2.0.1"), &[b"black.example"]), Err((403, "FORBIDDEN")));
    assert_eq!(asked(Some("10.2.0.1"), &[]), Err((403, "FORBIDDEN")));
    assert_eq!(asked(Some("10.3.0.1"), &[b"black.example"]), Err((401, "UNAUTHENTICATED")));
}

#[test]
fn invalid_origin_header_is_400() {
    let bad = || Err((400, "BAD_ORIGIN"));
    for origin in
        [&b""[..], b"red..example", b"red example", b"red.example/", b"http://red.example", b"r\xc3\xa9d", b"\xff"]
    {
        assert_eq!(asked(Some("10.9.9.9"), &[origin]), bad(), "{origin:?}");
    }
    assert_eq!(asked(Some("10.9.9.9"), &[b"red.example", b"red.example"]), bad());
}

/// Peers green and grey share a range, so only the body tells which of them is calling.
struct Shared;

impl PeerAuthPolicy for Shared {
    fn denied(&self, server: &ServerName) -> bool {
        server.as_str() == "black.example"
    }
    fn allows_address(&self, server: &ServerName, address: IpAddr) -> bool {
        match address.to_string().as_str() {
            "10.0.0.1" => ["green.example", "grey.example"].contains(&server.as_str()),
            "10.0.0.2" => server.as_str() == "black.example",
            _ => false,
        }
    }
    fn peer_by_address(&self, address: IpAddr) -> Option<ServerName> {
        (address.to_string() == "10.0.0.2").then(|| "black.example".parse().expect("a name"))
    }
    fn is_peer_address(&self, address: IpAddr) -> bool {
        address.to_string().starts_with("10.0.0.")
    }
    fn listed(&self, server: &ServerName) -> bool {
        server.as_str() != "grey.example"
    }
}

fn claiming(address: &str, header: Option<&'static str>, origin: &str) -> Result<String, (u16, bool)> {
    let mut headers = HeaderMap::new();
    if let Some(header) = header {
        headers.insert(HeaderName::from_static("fernpost-origin"), HeaderValue::from_static(header));
    }
    let told = |no: ApiError, before: bool| (no.status().as_u16(), before);
    let arrival = CallerClaim::from_head(&Shared, CallerEvidence::of_address(address.parse().ok()), &headers)
        .map_err(|no| told(no, true))?;
    let caller = arrival.verify_origin(&Shared, &origin.parse().expect("a name")).map_err(|no| told(no, false))?;
    Ok(caller.server.to_string())
}

#[test]
fn body_origin_must_match_caller() {
    let (green, before_body, after_body) = ("green.example", true, false);
    assert_eq!(claiming("10.0.0.1", None, green), Ok(green.to_owned()));
    assert_eq!(claiming("10.0.0.1", Some(green), green), Ok(green.to_owned()));
    assert_eq!(claiming("10.0.0.1", Some(green), "blue.example"), Err((403, after_body)));
    assert_eq!(claiming("10.0.0.1", None, "blue.example"), Err((401, after_body)));
    assert_eq!(claiming("10.0.0.3", None, green), Err((401, after_body)));
    assert_eq!(claiming("10.0.0.3", Some(green), green), Err((401, before_body)));
    assert_eq!(claiming("192.0.2.1", None, green), Err((401, before_body)));
    assert_eq!(claiming("10.0.0.2", None, green), Err((403, before_body)), "no other peer calls from this address");
    assert_eq!(claiming("10.0.0.1", None, "grey.example"), Err((403, after_body)), "no peer");
}
