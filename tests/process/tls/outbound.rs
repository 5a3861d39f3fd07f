//! Two gateways that find each other by DNS, authenticate each other by certificate, and explain what fails.

use ::fixtures::name_server::{TestNameServer, ZoneReply};
use hickory_resolver::proto::rr::RecordType;
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;
use crate::tls::authority::{FileAuthority, LeafKind};

/// Two gateways without `addresses`, their name server, and the keys that lead to it.
struct NamedPair {
    red: GatewayProcess,
    blue: GatewayProcess,
    names: TestNameServer,
    overrides: Vec<String>,
}

impl NamedPair {
    async fn new(blue_certificate: LeafKind) -> Self {
        Self::speaking("updates", "_actor-server._tcp", blue_certificate).await
    }

    /// Returns a pair that speaks this dialect, with records of this service.
    async fn speaking(dialect: &str, service: &str, blue_certificate: LeafKind) -> Self {
        let names = TestNameServer::start().await;
        let authority = FileAuthority::new();
        let [mut red, mut blue] = ["red.example", "blue.example"].map(GatewayProcess::new);
        let ca = authority.write(red.folder());
        for (gateway, kind) in [(&mut red, LeafKind::Usual), (&mut blue, blue_certificate)] {
            let own = authority.issue(gateway.folder(), "own", &[gateway.name], kind);
            gateway.tls("federation", &own.cert, &own.key);
            let (address, host) = (gateway.federation, format!("host.{}", gateway.name));
            names.host(&host, 60, &[address.ip()]);
            let service = format!("{service}.{}", gateway.name);
            names.service(&service, 60, &[(1, 1, address.port(), &host)]);
        }
        let section = format!("auth = \"mtls\"\ndialect = \"{dialect}\"");
        red.peer_section("blue.example", &section);
        blue.peer_section("red.example", &section);
        let overrides = vec![
            format!("network.resolvers=[\"{}\"]", names.address),
            "network.allow=[\"127.0.0.0/8\"]".to_owned(),
            format!("network.roots=[\"{}\"]", ca.display()),
        ];
        Self { red, blue, names, overrides }
    }

    /// Runs a command with red's configuration; returns its exit code and its JSON.
    async fn red_runs(&self, arguments: &[&str]) -> (i32, Value) {
        let mut command = fernpost();
        command.args(arguments).arg("--json").arg("--config").arg(self.red.configured());
        command.args(self.overrides.iter().flat_map(|pair| ["--set", pair]));
        // The name server runs in this process, on the thread of the test.
        let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts"));
        let output = output.await.expect("it ran");
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        (output.status.code().expect("it exits"), serde_json::from_slice(&text).expect("JSON"))
    }
}

/// Returns the steps of an explanation, with the codes of those that failed.
fn steps(explanation: &Value) -> Vec<String> {
    let steps = explanation["steps"].as_array().expect("steps");
    let word = |step: &Value| match step["code"].as_str() {
        Some(code) => format!("{} {code}", step["step"].as_str().expect("a word")),
        None => step["step"].as_str().expect("a word").to_owned(),
    };
    steps.iter().map(word).collect()
}

#[tokio::test]
async fn peers_are_found_by_service_records() {
    let mut pair = NamedPair::new(LeafKind::Usual).await;
    let overrides = pair.overrides.clone();
    let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
    pair.red.start_with(&overrides).await;
    pair.blue.start_with(&overrides).await;
    pair.red.api().say("m-1", "blue.example", "by name").await;
    pair.blue.api().say("m-2", "red.example", "and back").await;
    let (heard, answered) = (pair.blue.api().hear(1).await, pair.red.api().hear(1).await);
    assert_eq!((heard[0]["from"].as_str(), answered[0]["from"].as_str()), (Some("red.example"), Some("blue.example")));

    let (code, explanation) = pair.red_runs(&["peer", "explain", "blue.example"]).await;
    assert_eq!((code, explanation["verdict"].as_str()), (0, Some("ok")), "{explanation}");
    let expected =
        ["name", "record", "record", "address", "connection", "sni", "certificate", "key", "clock", "identity"];
    assert_eq!(steps(&explanation), expected);

    let (code, checked) = pair.red_runs(&["check", "peers"]).await;
    assert_eq!((code, checked["ok"].as_bool()), (0, Some(true)), "{checked}");
    let (code, checked) = pair.red_runs(&["check", "dns"]).await;
    assert_eq!((code, checked["checks"][0]["subject"].as_str()), (0, Some("blue.example")), "{checked}");

    // A peer that does not list us refuses our proof.
    let (code, explanation) = pair.red_runs(&["peer", "explain", "red.example"]).await;
    assert_eq!((code, explanation["code"].as_str()), (1, Some("NOT_LISTED")), "{explanation}");
}

/// Servers of the transactions dialect have a service and a default port of their own.
#[tokio::test]
async fn transactions_have_their_own_service() {
    let mut pair = NamedPair::speaking("transactions", "_matrix._tcp", LeafKind::Usual).await;
    for (name, dialect) in [("grey.example", "transactions"), ("pink.example", "updates")] {
        pair.names.host(name, 60, &[pair.red.federation.ip()]);
        pair.red.peer_section(name, &format!("auth = \"mtls\"\ndialect = \"{dialect}\""));
    }
    let overrides = pair.overrides.clone();
    let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
    pair.red.start_with(&overrides).await;
    pair.blue.start_with(&overrides).await;
    pair.red.api().set_participants("#room", &["blue.example"]).await;
    pair.red.api().say_in("#room", "m-1", "by the other service").await;
    assert_eq!(pair.blue.api().hear(1).await[0]["content"]["body"], "by the other service");
    // Without a record of the service the name itself is called, at the default port of the dialect.
    let ip = pair.red.federation.ip();
    for (name, port) in [("grey.example", 8448), ("pink.example", 9880)] {
        let (code, explanation) = pair.red_runs(&["peer", "explain", name]).await;
        assert_eq!((code, explanation["code"].as_str()), (1, Some("CONNECT_REFUSED")), "{explanation}");
        assert!(explanation.to_string().contains(&format!("{ip}:{port}")), "{explanation}");
    }
}

#[tokio::test]
async fn explanation_ends_with_failed_step() {
    let mut pair = NamedPair::new(LeafKind::Expired).await;
    let service = "_actor-server._tcp.blue.example";
    let (code, explanation) = pair.red_runs(&["peer", "explain", "blue.example"]).await;
    assert_eq!((code, explanation["code"].as_str()), (1, Some("CONNECT_REFUSED")), "{explanation}");

    let overrides = pair.overrides.clone();
    pair.blue.start_with(&overrides.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (code, explanation) = pair.red_runs(&["peer", "explain", "blue.example"]).await;
    assert_eq!(code, 1);
    let expected = ["name", "record", "record", "address", "connection", "sni", "certificate CERTIFICATE_EXPIRED"];
    assert_eq!(steps(&explanation), expected, "{explanation}");
    let last = explanation["steps"].as_array().and_then(|steps| steps.last()).expect("a step");
    assert_eq!((last["ok"].as_bool(), last["fix"].as_str().is_some()), (Some(false), true), "{last}");

    for (reply, expected) in [
        (ZoneReply::Failure, vec!["name", "record DNS_FAILED"]),
        (ZoneReply::Silence, vec!["name", "record DNS_FAILED"]),
    ] {
        pair.names.set(service, RecordType::SRV, reply);
        let (code, explanation) = pair.red_runs(&["peer", "explain", "blue.example"]).await;
        assert_eq!((code, steps(&explanation)), (1, expected.into_iter().map(str::to_owned).collect()));
    }
    pair.names.service(service, 60, &[(0, 0, 0, "")]);
    let (code, checked) = pair.red_runs(&["check", "dns"]).await;
    assert_eq!((code, checked["checks"][0]["code"].as_str()), (1, Some("SERVICE_NOT_OFFERED")), "{checked}");

    // A name that is no peer is explained up to its identity; without a usable configuration nothing is.
    let (code, explanation) = pair.red_runs(&["peer", "explain", "nobody.example"]).await;
    assert_eq!((code, explanation["code"].as_str()), (1, Some("NAME_NOT_FOUND")), "{explanation}");
    pair.overrides.push("server.nmae=\"x\"".to_owned());
    assert_eq!(pair.red_runs(&["peer", "explain", "blue.example"]).await.0, 2);
}
