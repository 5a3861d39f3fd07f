//! `fernpost check reachable`: a peer looks a gateway up by DNS and calls it, and says what it saw.

use ::fixtures::clients::http_caller::HttpCaller;
use ::fixtures::name_server::{TestNameServer, ZoneReply};
use hickory_resolver::proto::rr::RecordType;
use reqwest::Method;
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;
use crate::tls::authority::{FileAuthority, LeafKind};

/// Red asks blue, whose configuration has addresses for red that lead nowhere.
struct ReachPair {
    red: GatewayProcess,
    blue: GatewayProcess,
    names: TestNameServer,
    authority: FileAuthority,
}

const SERVICE: &str = "_actor-server._tcp.red.example";

/// Line of the configuration that allows it.
const ALLOWED: &str = "reach_tests = true";

/// The proof of either, which no certificate changes.
const BY_ADDRESS: &str = "auth = \"network\"\nallow_from = [\"127.0.0.1/32\"]\n";

impl ReachPair {
    /// Starts both; blue's configuration of red has these lines, too.
    async fn start(section: &str) -> Self {
        let mut pair = Self::new(section).await;
        let trust = pair.network();
        let trust: Vec<&str> = trust.iter().map(String::as_str).collect();
        pair.red.start_with(&trust).await;
        pair.blue.start_with(&trust).await;
        pair
    }

    async fn new(section: &str) -> Self {
        let (names, authority) = (TestNameServer::start().await, FileAuthority::new());
        let [mut red, mut blue] = ["red.example", "blue.example"].map(GatewayProcess::new);
        for gateway in [&mut red, &mut blue] {
            let own = authority.issue(gateway.folder(), "own", &[gateway.name], LeafKind::Usual);
            gateway.tls("federation", &own.cert, &own.key);
            authority.write(gateway.folder());
        }
        let pair = Self { red, blue, names, authority };
        pair.publish(&[pair.red.federation.port()]);
        let Self { mut red, mut blue, names, authority } = pair;
        red.peer_section("blue.example", &format!("{BY_ADDRESS}addresses = [\"https://{}\"]", blue.federation));
        red.peer_section(
            "old.example",
            &format!(
                "profile = \"actor-2016\"\naddresses = [\"https://127.0.0.1:9\"]\n{}",
                BY_ADDRESS.replace(".1/", ".9/")
            ),
        );
        blue.peer_section("red.example", &format!("{BY_ADDRESS}addresses = [\"https://127.0.0.1:1\"]\n{section}"));
        Self { red, blue, names, authority }
    }

    fn network(&self) -> Vec<String> {
        vec![
            format!("network.resolvers=[\"{}\"]", self.names.address),
            "network.allow=[\"127.0.0.0/8\"]".to_owned(),
            "network.roots=[\"ca.pem\"]".to_owned(),
        ]
    }

    /// Makes red's name lead to these ports of its host.
    fn publish(&self, ports: &[u16]) {
        self.names.host("host.red.example", 60, &[self.red.federation.ip()]);
        let hosts: Vec<_> = ports.iter().map(|port| (1, 1, *port, "host.red.example")).collect();
        self.names.service(SERVICE, 60, &hosts);
    }

    /// Runs the command with red's configuration; returns its exit code and its JSON.
    async fn checks(&self, via: &str) -> (i32, Value) {
        let mut command = fernpost();
        command.args(["check", "reachable", "--json", "--via", via]).arg("--config").arg(self.red.configured());
        // The name server runs in this process.
        let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts"));
        let output = output.await.expect("it ran");
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        (output.status.code().expect("it exits"), serde_json::from_slice(&text).expect("JSON"))
    }

    /// Forgets that red has asked.
    async fn forget(&mut self) {
        let trust = self.network();
        self.blue.kill();
        self.blue.start_with(&trust.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
}

/// Returns the codes of the findings that are errors.
fn errors(checked: &Value) -> Vec<&str> {
    let findings = checked["checks"].as_array().expect("findings").iter();
    findings.filter(|finding| finding["ok"] == false).map(|finding| finding["code"].as_str().expect("a code")).collect()
}

/// Returns the step of each finding, as it is written.
fn details(checked: &Value) -> String {
    let findings = checked["checks"].as_array().expect("findings").iter();
    findings.map(|finding| format!("{}\n", finding["detail"].as_str().expect("a text"))).collect()
}

#[tokio::test]
async fn reached_gateway_hears_every_step() {
    let mut pair = ReachPair::start(ALLOWED).await;
    let (exit, checked) = pair.checks("blue.example").await;
    assert_eq!((exit, errors(&checked)), (0, vec![]), "{checked}");
    let said = details(&checked);
    let port = pair.red.federation.port();
    for words in [
        "name: red.example is looked up as _actor-server._tcp.red.example",
        &format!("record: SRV: host.red.example:{port}"),
        &format!("address: {}", pair.red.federation.ip()),
        "connection: ",
        "sni: SNI red.example",
        "the certificate is of red.example, by CN=Test CA",
        "its key is sha256:",
        "directory: its key directory has 1",
        "blue.example reached 1 of 1 addresses",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!pair.names.questions().is_empty(), "by DNS");

    let (exit, refused) = pair.checks("blue.example").await;
    assert_eq!((exit, refused["code"].as_str()), (2, Some("REACH_TOO_OFTEN")), "{refused}");

    // What is wrong now is seen at once, because nothing of the first answer is kept.
    pair.forget().await;
    pair.publish(&[port, 1]);
    let (exit, checked) = pair.checks("blue.example").await;
    assert_eq!((exit, errors(&checked)), (1, vec!["CONNECT_REFUSED", "NOT_REACHED"]), "{checked}");
    assert!(details(&checked).contains("blue.example reached 1 of 2 addresses"), "{checked}");
}

#[tokio::test]
async fn unreached_gateway_hears_reason_and_remedy() {
    let mut pair = ReachPair::start(ALLOWED).await;
    let port = pair.red.federation.port();
    pair.publish(&[1]);
    let (exit, checked) = pair.checks("blue.example").await;
    assert_eq!((exit, errors(&checked)), (1, vec!["CONNECT_REFUSED", "NOT_REACHED"]), "{checked}");
    assert!(details(&checked).contains("its configuration has https://127.0.0.1:1"), "{checked}");

    pair.forget().await;
    pair.publish(&[port]);
    pair.authority.issue(pair.red.folder(), "own", &["green.example"], LeafKind::Usual);
    let reloaded = HttpCaller::at(pair.red.admin);
    reloaded.call_expecting(200, Method::POST, "/admin/v1/reload", "").await;
    let (exit, checked) = pair.checks("blue.example").await;
    assert_eq!((exit, errors(&checked)), (1, vec!["CERTIFICATE_WRONG_NAME", "NOT_REACHED"]), "{checked}");
    assert!(details(&checked).contains("the certificate is of green.example"), "{checked}");
    let wrong = checked["checks"].as_array().expect("findings").iter().find(|one| one["ok"] == false).expect("one");
    assert!(wrong["fix"].as_str().is_some_and(|fix| fix.contains("names red.example")), "{wrong}");

    pair.forget().await;
    pair.names.set(SERVICE, RecordType::SRV, ZoneReply::Failure);
    let (exit, checked) = pair.checks("blue.example").await;
    assert_eq!((exit, errors(&checked)), (1, vec!["DNS_FAILED", "NOT_REACHED"]), "{checked}");
}

/// A name cannot lead the other server into its own network.
#[tokio::test]
async fn private_addresses_are_not_called() {
    let mut pair = ReachPair::new(ALLOWED).await;
    let trust = pair.network();
    let red: Vec<&str> = trust.iter().map(String::as_str).collect();
    let blue: Vec<&str> = red.iter().copied().filter(|key| !key.starts_with("network.allow")).collect();
    pair.red.start_with(&red).await;
    pair.blue.start_with(&blue).await;
    let (exit, checked) = pair.checks("blue.example").await;
    assert_eq!((exit, errors(&checked)), (1, vec!["ADDRESS_NOT_ALLOWED", "NOT_REACHED"]), "{checked}");
    assert!(!details(&checked).contains("connection: "), "{checked}");
}

#[tokio::test]
async fn refusals_of_peers_have_names() {
    let pair = ReachPair::start("").await;
    let (exit, refused) = pair.checks("blue.example").await;
    assert_eq!((exit, refused["code"].as_str()), (2, Some("REACH_NOT_ALLOWED")), "{refused}");
    assert!(pair.names.questions().is_empty(), "nothing is looked up");
    let (exit, refused) = pair.checks("old.example").await;
    assert_eq!((exit, refused["code"].as_str()), (2, Some("NOT_FERNPOST")), "{refused}");
    let (exit, refused) = pair.checks("grey.example").await;
    assert_eq!((exit, refused["code"].as_str()), (2, Some("UNKNOWN_PEER")), "{refused}");
}
