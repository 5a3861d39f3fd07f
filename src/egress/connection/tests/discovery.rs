//! The discovery of a peer, and the rule of permitted addresses.

use fixtures::name_server::ZoneReply;
use hickory_resolver::proto::rr::RecordType;

use super::*;

const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1/128"];

/// Starts a TLS server for `blue.example` whose certificate this gate trusts.
async fn blue(gate: &TestGate) -> (SocketAddr, mpsc::UnboundedReceiver<SeenHandshake>) {
    tls_server(server_tls(gate.authority.issue_pair(&leaf("blue.example")), &["h2", "http/1.1"])).await
}

fn loopback() -> [IpAddr; 1] {
    ["127.0.0.1".parse().expect("an address")]
}

#[tokio::test]
async fn service_record_gives_host_port() {
    let gate = TestGate::new(LOOPBACK).await;
    let (address, mut seen) = blue(&gate).await;
    gate.names.service("_actor-server._tcp.blue.example", 60, &[(1, 1, address.port(), "host.example")]);
    gate.names.host("host.example", 60, &loopback());
    let route = PeerRoute::new(Vec::new(), SERVICE);
    let (connected, steps) = gate.connect_by("blue.example", &route, Duration::from_secs(5)).await;
    assert!(connected.is_ok_and(|connection| connection.is_http2));
    assert_eq!(steps, ["name", "record", "record", "address", "connection", "sni", "certificate"]);
    let sni = seen.recv().await.expect("a handshake").sni;
    assert_eq!(sni.as_deref(), Some("blue.example"), "the name of the server, not of the host");
    let asked = gate.names.questions();
    assert_eq!(asked, ["A host.example udp", "AAAA host.example udp", "SRV _actor-server._tcp.blue.example udp"]);
}

#[tokio::test]
async fn port_in_name_skips_service_record() {
    let gate = TestGate::new(LOOPBACK).await;
    let (address, _seen) = blue(&gate).await;
    gate.names.host("blue.example", 60, &loopback());
    gate.names.service("_actor-server._tcp.blue.example", 60, &[(1, 1, 1, "host.example")]);
    let server = format!("blue.example:{}", address.port());
    assert_eq!(gate.code(&server, &[]).await, "connected");
    assert_eq!(gate.names.questions(), ["A blue.example udp", "AAAA blue.example udp"]);
}

#[tokio::test]
async fn absent_record_uses_default_port() {
    let gate = TestGate::new(LOOPBACK).await;
    let (address, _seen) = blue(&gate).await;
    gate.names.host("blue.example", 60, &loopback());
    let service = PeerService { default_port: address.port(), ..SERVICE };
    let route = PeerRoute::new(Vec::new(), service);
    assert!(gate.connect_by("blue.example", &route, Duration::from_secs(5)).await.0.is_ok());
    // An address of the configuration without a port has the default one, too.
    let route = PeerRoute::new(vec!["https://blue.example".parse().expect("an address")], service);
    assert!(gate.connect_by("blue.example", &route, Duration::from_secs(5)).await.0.is_ok());
}

#[tokio::test]
async fn failed_record_lookup_tries_nothing_else() {
    let gate = TestGate::new(LOOPBACK).await;
    gate.names.host("blue.example", 60, &loopback());
    let name = "_actor-server._tcp.blue.example";
    gate.names.set(name, RecordType::SRV, ZoneReply::Failure);
    assert_eq!(gate.code("blue.example", &[]).await, "DNS_FAILED");
    gate.names.service("_actor-server._tcp.green.example", 60, &[(0, 0, 0, "")]);
    gate.names.host("green.example", 60, &loopback());
    assert_eq!(gate.code("green.example", &[]).await, "SERVICE_NOT_OFFERED");
    let asked = gate.names.questions();
    assert!(asked.iter().all(|question| question.starts_with("SRV ")), "{asked:?}");
    assert_eq!(gate.code("grey.example", &[]).await, "NAME_NOT_FOUND");
}

#[tokio::test]
async fn next_host_is_tried_after_failure() {
    let gate = TestGate::new(LOOPBACK).await;
    let (address, _seen) = blue(&gate).await;
    let wrong = tls_server(server_tls(gate.authority.issue_pair(&leaf("green.example")), &[])).await.0;
    let dead = nobody().await;
    let ports = [(1, dead.port()), (2, wrong.port()), (3, address.port())];
    let hosts = ports.map(|(priority, port)| (priority, 1, port, "host.example"));
    gate.names.service("_actor-server._tcp.blue.example", 60, &hosts);
    gate.names.host("host.example", 60, &loopback());
    let route = PeerRoute::new(Vec::new(), SERVICE);
    let (connected, steps) = gate.connect_by("blue.example", &route, Duration::from_secs(5)).await;
    assert!(connected.is_ok(), "{steps:?}");
    let expected = [
        "name",
        "record",
        "record",
        "address",
        "connection CONNECT_REFUSED",
        "record",
        "address",
        "connection",
        "sni",
        "certificate CERTIFICATE_WRONG_NAME",
        "record",
        "address",
        "connection",
        "sni",
        "certificate",
    ];
    assert_eq!(steps, expected);
}

#[tokio::test]
async fn private_addresses_of_names_are_refused() {
    let gate = TestGate::new(&[]).await;
    let (address, mut seen) = blue(&gate).await;
    let port = address.port();
    gate.names.host("blue.example", 60, &loopback());
    gate.names.service("_actor-server._tcp.blue.example", 60, &[(1, 1, port, "blue.example")]);
    // By its record, by the port in its name, by a name in its addresses, and by names that are addresses.
    let by_url = format!("https://blue.example:{port}");
    let of_localhost = format!("https://localhost:{port}");
    let with_port = format!("blue.example:{port}");
    let literal = format!("127.0.0.1:{port}");
    let mapped = format!("[::ffff:127.0.0.1]:{port}");
    for (server, addresses) in [
        ("blue.example", &[][..]),
        (with_port.as_str(), &[]),
        ("blue.example", &[by_url.as_str()]),
        ("blue.example", &[of_localhost.as_str()]),
        (literal.as_str(), &[]),
        (mapped.as_str(), &[]),
        ("localhost", &[]),
    ] {
        assert_eq!(gate.code(server, addresses).await, "ADDRESS_NOT_ALLOWED", "{server} {addresses:?}");
    }
    assert!(seen.try_recv().is_err(), "nothing was connected to");
    // What the operator wrote down as an address is exempt, for this port.
    assert_eq!(gate.code("blue.example", &[&format!("https://127.0.0.1:{port}")]).await, "connected");
}

#[tokio::test]
async fn mixed_answer_uses_permitted_addresses() {
    let gate = TestGate::new(&["127.0.0.1/32"]).await;
    let (address, _seen) = blue(&gate).await;
    let mixed = ["10.0.0.1", "127.0.0.1", "::1", "64:ff9b::7f00:1"].map(|text| text.parse().expect("an address"));
    gate.names.host("blue.example", 60, &mixed);
    let route = PeerRoute::new(Vec::new(), SERVICE);
    let server = format!("blue.example:{}", address.port());
    let (connected, steps) = gate.connect_by(&server, &route, Duration::from_secs(5)).await;
    assert!(connected.is_ok(), "{steps:?}");
    assert_eq!(steps.iter().filter(|step| step.starts_with("connection")).count(), 1);
}

/// A name that turns private between two connections, and one that does so between the check and the connection, which
/// cannot be told apart: the checked address is the one that is connected to.
#[tokio::test]
async fn rebound_name_is_checked_again() {
    let names = TestNameServer::start().await;
    let (ttl_min, ttl_max) = (Duration::ZERO, Duration::ZERO);
    let options = ResolverOptions { servers: vec![names.address], ttl_min, ttl_max, ..ResolverOptions::default() };
    let tls = PeerTls::new(Arc::new(TestClock::fixed(at(10))));
    let book = AllowedRanges(vec!["127.0.0.2/32".parse().expect("a range")]);
    let connector = PeerConnector::new(Arc::new(book), NameResolver::new(&options), tls);
    let gate = TestGate { names, authority: TestAuthority::new(), connector };
    for (address, code) in [("127.0.0.2", "CONNECT_REFUSED"), ("127.0.0.1", "ADDRESS_NOT_ALLOWED")] {
        gate.names.host("blue.example", 0, &[address.parse().expect("an address")]);
        assert_eq!(gate.code(&format!("blue.example:{}", nobody().await.port()), &[]).await, code);
    }
}

#[tokio::test]
async fn literal_addresses_need_no_lookup() {
    let gate = TestGate::new(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    assert_eq!(gate.code("blue.example", &[&url]).await, "connected");
    assert_eq!(gate.names.questions(), [] as [&str; 0]);
}
