//! Lookups against a name server on loopback, by UDP and TCP.

use std::net::IpAddr;
use std::time::Duration;

use fixtures::name_server::{TestNameServer, ZoneReply, cname, srv};
use hickory_resolver::proto::rr::{RData, RecordType};

use super::*;

fn resolver(servers: &[&TestNameServer]) -> NameResolver {
    let servers = servers.iter().map(|server| server.address).collect();
    // The lifetime of failures is short, so that a test can ask again at once.
    let (failure_ttl, timeout) = (Duration::ZERO, Duration::from_secs(1));
    NameResolver::new(&ResolverOptions { servers, failure_ttl, timeout, ..ResolverOptions::default() })
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

async fn found(resolver: &NameResolver, host: &str) -> String {
    match resolver.addresses(host).await {
        Ok(FoundAddresses { addresses, stale }) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("{}{}", addresses.join(" "), if stale { " stale" } else { "" })
        }
        Err(failure) => failure.code.as_str().to_owned(),
    }
}

async fn offered(resolver: &NameResolver, domain: &str) -> String {
    match resolver.services("_actor-server._tcp", domain).await {
        Ok(FoundServices::Unstated) => "unstated".to_owned(),
        Ok(FoundServices::Refused) => "refused".to_owned(),
        Ok(FoundServices::Hosts { records, stale }) => {
            let hosts: Vec<String> =
                records.iter().map(|record| format!("{}:{}", record.target, record.port)).collect();
            format!("{}{}", hosts.join(" "), if stale { " stale" } else { "" })
        }
        Err(failure) => failure.code.as_str().to_owned(),
    }
}

const SERVICE: &str = "_actor-server._tcp.blue.example";

#[tokio::test]
async fn families_of_addresses_alternate() {
    let server = TestNameServer::start().await;
    server.host("blue.example", 60, &["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"].map(ip));
    let resolver = resolver(&[&server]);
    let expected = "2001:db8::1 192.0.2.1 192.0.2.2 192.0.2.3";
    assert_eq!(found(&resolver, "blue.example").await, expected);
    assert_eq!(server.questions(), ["A blue.example udp", "AAAA blue.example udp"], "no search domain is tried");
    assert_eq!(found(&resolver, "blue.example").await, expected);
    assert_eq!(server.questions(), [] as [&str; 0], "the answer is kept");

    let many: Vec<IpAddr> = (1..=40).map(|n| IpAddr::from([192, 0, 2, n])).collect();
    server.host("many.example", 60, &many);
    assert_eq!(found(&resolver, "many.example").await.split(' ').count(), 16);
}

#[tokio::test]
async fn absent_name_is_no_failure() {
    let server = TestNameServer::start().await;
    let resolver = resolver(&[&server]);
    assert_eq!(found(&resolver, "blue.example").await, "NAME_NOT_FOUND");
    assert_eq!(offered(&resolver, "blue.example").await, "unstated");
    server.all("blue.example", &ZoneReply::Empty).all(SERVICE, &ZoneReply::Empty);
    assert_eq!(found(&resolver, "blue.example").await, "NAME_NOT_FOUND");
    assert_eq!(offered(&resolver, "blue.example").await, "unstated");
    let long = format!("{0}.{0}.{0}.{0}.example", "x".repeat(63));
    assert_eq!(found(&resolver, &long).await, "NAME_NOT_FOUND", "no question can contain it");
}

#[tokio::test]
async fn failure_is_not_absence() {
    let server = TestNameServer::start().await;
    let resolver = resolver(&[&server]);
    for failure in [ZoneReply::Failure, ZoneReply::Malformed, ZoneReply::Silence] {
        server.all("blue.example", &failure).all(SERVICE, &failure);
        assert_eq!(found(&resolver, "blue.example").await, "DNS_FAILED", "{failure:?}");
        assert_eq!(offered(&resolver, "blue.example").await, "DNS_FAILED", "{failure:?}");
    }
    // One family is enough.
    server.host("half.example", 60, &[ip("192.0.2.1")]);
    server.set("half.example", RecordType::AAAA, ZoneReply::Silence);
    assert_eq!(found(&resolver, "half.example").await, "192.0.2.1");
}

#[tokio::test]
async fn next_server_is_asked_after_failure() {
    let (first, second) = (TestNameServer::start().await, TestNameServer::start().await);
    second.host("blue.example", 60, &[ip("192.0.2.1")]);
    for failure in [ZoneReply::Failure, ZoneReply::Silence, ZoneReply::Malformed] {
        first.all("blue.example", &failure);
        assert_eq!(found(&resolver(&[&first, &second]), "blue.example").await, "192.0.2.1", "{failure:?}");
    }
    first.all("blue.example", &ZoneReply::Missing);
    assert_eq!(found(&resolver(&[&first, &second]), "blue.example").await, "NAME_NOT_FOUND", "this is an answer");
}

#[tokio::test]
async fn last_good_answer_is_marked_stale() {
    let server = TestNameServer::start().await;
    let servers = vec![server.address];
    let (ttl_min, ttl_max, failure_ttl) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let options = ResolverOptions { servers, ttl_min, ttl_max, failure_ttl, ..ResolverOptions::default() };
    let resolver = NameResolver::new(&options);
    server.host("blue.example", 0, &[ip("192.0.2.1")]).service(SERVICE, 0, &[(1, 1, 9880, "a.example")]);
    assert_eq!(found(&resolver, "blue.example").await, "192.0.2.1");
    assert_eq!(offered(&resolver, "blue.example").await, "a.example:9880");
    server.all("blue.example", &ZoneReply::Failure).all(SERVICE, &ZoneReply::Failure);
    assert_eq!(found(&resolver, "blue.example").await, "192.0.2.1 stale");
    assert_eq!(offered(&resolver, "blue.example").await, "a.example:9880 stale");
    server.all("blue.example", &ZoneReply::Missing).all(SERVICE, &ZoneReply::Missing);
    assert_eq!(found(&resolver, "blue.example").await, "NAME_NOT_FOUND");
    assert_eq!(offered(&resolver, "blue.example").await, "unstated");
    server.all("blue.example", &ZoneReply::Failure).all(SERVICE, &ZoneReply::Failure);
    assert_eq!(found(&resolver, "blue.example").await, "DNS_FAILED");
    assert_eq!(offered(&resolver, "blue.example").await, "DNS_FAILED");
}

#[tokio::test]
async fn truncated_answer_comes_by_tcp() {
    let server = TestNameServer::start().await;
    let records = (1..=16).map(|n| (SERVICE.to_owned(), 60, srv((1, n, 9880, &format!("host{n}.example"))))).collect();
    server.set(SERVICE, RecordType::SRV, ZoneReply::Truncated(records));
    let offered = offered(&resolver(&[&server]), "blue.example").await;
    assert_eq!(offered.split(' ').count(), 16, "{offered}");
    let asked = server.questions();
    assert!(asked.contains(&format!("SRV {SERVICE} tcp")) && asked.len() == 2, "{asked:?}");
}

#[tokio::test]
async fn root_target_refuses_the_service() {
    let server = TestNameServer::start().await;
    let resolver = resolver(&[&server]);
    let mut said = Vec::new();
    for (n, hosts) in [
        &[(0, 0, 0, "")][..],
        &[(0, 0, 9880, "")],
        &[(0, 0, 0, ""), (1, 1, 9880, "a.example"), (2, 1, 0, "b.example"), (3, 1, 1, "192.0.2.1")],
        &[(1, 1, 0, "a.example")],
        &[(1, 1, 9880, "192.0.2.1")],
    ]
    .iter()
    .enumerate()
    {
        let domain = format!("d{n}.example");
        server.service(&format!("_actor-server._tcp.{domain}"), 60, hosts);
        said.push(offered(&resolver, &domain).await);
    }
    assert_eq!(said, ["refused", "refused", "a.example:9880", "DNS_FAILED", "DNS_FAILED"]);
    let many: Vec<_> = (1..=20).map(|n| (1, 1, n, "a.example")).collect();
    server.service(SERVICE, 60, &many);
    assert_eq!(offered(&resolver, "blue.example").await.split(' ').count(), 16);
}

/// Sets a chain of aliases `a0`, `a1`, .. of this length, in one answer or with a question for each.
fn chain(server: &TestNameServer, length: usize, at_once: bool) {
    let alias = |n: usize| (format!("a{n}.example"), 60, cname(&format!("a{}.example", n + 1)));
    let end = (format!("a{length}.example"), 60, RData::from(ip("192.0.2.9")));
    for n in 0..=length {
        let name = format!("a{n}.example");
        server.all(&name, &ZoneReply::Empty);
        let records = match (n == length, at_once) {
            (true, _) => vec![end.clone()],
            (false, true) => (n..length).map(alias).chain([end.clone()]).collect(),
            (false, false) => vec![alias(n)],
        };
        server.set(&name, RecordType::A, ZoneReply::Records(records));
    }
}

#[tokio::test]
async fn aliases_are_followed_to_eight() {
    for at_once in [true, false] {
        let server = TestNameServer::start().await;
        let resolver = resolver(&[&server]);
        chain(&server, 9, at_once);
        assert_eq!(found(&resolver, "a1.example").await, "192.0.2.9", "eight aliases, at once: {at_once}");
        assert_eq!(found(&resolver, "a0.example").await, "DNS_FAILED", "nine aliases, at once: {at_once}");
    }
}

#[tokio::test]
async fn alias_loop_is_dns_failure() {
    let server = TestNameServer::start().await;
    let resolver = resolver(&[&server]);
    let [to_b, to_a] = [("a.example", "B.example"), ("b.example", "a.example")]
        .map(|(owner, target)| (owner.to_owned(), 60, cname(target)));
    for (at_once, name) in [(true, "a.example"), (false, "b.example")] {
        let records = |own: &(String, u32, RData), other: &(String, u32, RData)| match at_once {
            true => vec![own.clone(), other.clone()],
            false => vec![own.clone()],
        };
        server.all("a.example", &ZoneReply::Records(records(&to_b, &to_a)));
        server.all("b.example", &ZoneReply::Records(records(&to_a, &to_b)));
        assert_eq!(found(&resolver, name).await, "DNS_FAILED", "at once: {at_once}");
    }
    server.all("c.example", &ZoneReply::Records(vec![("c.example".to_owned(), 60, cname("gone.example"))]));
    assert_eq!(found(&resolver, "c.example").await, "NAME_NOT_FOUND", "an alias of nothing");
}

#[tokio::test]
async fn localhost_is_never_looked_up() {
    let server = TestNameServer::start().await;
    let resolver = resolver(&[&server]);
    for name in ["localhost", "blue.localhost"] {
        assert_eq!(found(&resolver, name).await, "::1 127.0.0.1");
    }
    assert_eq!(server.questions(), [] as [&str; 0]);
}
