//! Three gateways, of which the way between two is cut: what they write to each other goes through the third, and directly again
//! once the way is healed.

use ::fixtures::clients::http_caller::HttpCaller;
use fernpost::identity::signing_key::OwnKey;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixtures::gate::Gate;
use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;
use crate::peers::signatures::key;

/// Short times of the peers, so that a cut is noticed at once.
const TIMES: &str = "backoff_min = \"50ms\"\nbackoff_max = \"300ms\"\njitter = 0.0\nrequest_timeout = \"2s\"\n\
                     connect_timeout = \"1s\"\nnotify_after = \"1h\"\n";

/// Alpha, beta and gamma, each a peer of the others; alpha and gamma reach each other through beta too.
struct Triangle {
    /// The gateways.
    nodes: [GatewayProcess; 3],
    /// The ways between alpha and gamma.
    gates: [Gate; 2],
    /// The keys by which alpha, beta and gamma sign.
    keys: [OwnKey; 3],
}

impl Triangle {
    /// Starts it; `relay` is TOML of beta's section `[relay]`, `of_beta` further TOML of alpha's and gamma's about beta.
    async fn start(relay: &str, of_beta: &str) -> Self {
        Self::start_in("", relay, of_beta).await
    }

    /// The same, with further TOML of each peer.
    async fn start_in(of_all: &str, relay: &str, of_beta: &str) -> Self {
        let mut nodes = ["alpha", "beta", "gamma"].map(GatewayProcess::new);
        let gates = [Gate::to(nodes[0].federation).await, Gate::to(nodes[2].federation).await];
        let keys = nodes.each_ref().map(key);
        let names = nodes.each_ref().map(|node| node.name);
        let direct = nodes.each_ref().map(|node| node.federation);
        for (own, node) in nodes.iter_mut().enumerate() {
            for other in (0..3).filter(|other| *other != own) {
                let address = match (own, other) {
                    (2, 0) => gates[0].address,
                    (0, 2) => gates[1].address,
                    _ => direct[other],
                };
                let more = match (own, other) {
                    (0, 2) | (2, 0) => "route = [\"direct\", \"via:beta\"]\n",
                    (_, 1) => of_beta,
                    _ => "",
                };
                let key = &keys[other].1;
                node.peer(
                    names[other],
                    &format!(
                        "addresses = [\"http://{address}\"]\nallow_from = [\"127.0.0.1/32\"]\nkeys = [\"{key}\"]\n{TIMES}{of_all}{more}"
                    ),
                );
            }
            let section = if own == 1 { relay } else { "after = \"300ms\"\nprobe = \"500ms\"\n" };
            node.edit(|text| format!("{text}[relay]\n{section}"));
        }
        for node in &mut nodes {
            node.start().await;
        }
        Self { nodes, gates, keys: keys.map(|(key, _)| key) }
    }

    async fn relaying() -> Self {
        Self::start("allow = [\"alpha -> gamma\", \"gamma -> alpha\"]", "").await
    }

    fn cut(&self) {
        self.gates.iter().for_each(Gate::cut);
    }

    fn heal(&self) {
        self.gates.iter().for_each(Gate::heal);
    }
}

/// Submits updates with these numbers as texts.
async fn tell(node: &GatewayProcess, to: &str, texts: std::ops::Range<u32>) {
    for n in texts {
        node.api().say(&format!("{}-{n}", node.name), to, &n.to_string()).await;
    }
}

fn texts(events: &[Value]) -> Vec<String> {
    let updates = events.iter().filter(|event| event["kind"] == "update");
    updates.map(|event| event["update"]["text"].as_str().expect("a text").to_owned()).collect()
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

async fn trace(node: &GatewayProcess, id: &str, peer: &str) -> Value {
    node.api().get(&format!("/v1/messages/{id}")).await["peers"][peer].clone()
}

async fn metric(node: &GatewayProcess, role: &str, result: &str) -> u64 {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(format!("http://{}/metrics", node.admin)).send().await.expect("an answer");
    let wanted = format!("fernpost_relayed_total{{role=\"{role}\",result=\"{result}\"}} ");
    let text = answer.text().await.expect("a text");
    let value = text.lines().find_map(|line| line.strip_prefix(&wanted)).unwrap_or_else(|| panic!("{text}"));
    value.parse().expect("a number")
}

/// Both directions, over a cut and its end: nothing is lost, twice, or out of order.
#[tokio::test]
async fn cut_pair_delivers_through_third() {
    let triangle = Triangle::relaying().await;
    let [alpha, beta, gamma] = &triangle.nodes;
    tell(alpha, "gamma", 0..5).await;
    tell(gamma, "alpha", 0..5).await;
    alpha.api().until_state("alpha-4", "gamma", "acknowledged").await;
    gamma.api().until_state("gamma-4", "alpha", "acknowledged").await;
    triangle.cut();
    tell(alpha, "gamma", 5..30).await;
    tell(gamma, "alpha", 5..30).await;
    assert_eq!(texts(&gamma.api().hear(30).await), numbers(0..30));
    assert_eq!(texts(&alpha.api().hear(30).await), numbers(0..30));
    // The origin has no acknowledgement of it yet.
    alpha.api().until_state("alpha-29", "gamma", "relayed").await;
    assert_eq!(trace(alpha, "alpha-29", "gamma").await["via"], "beta");
    let left = async || {
        let left = HttpCaller::at(alpha.admin).get("/admin/v1/peers/gamma/drain").await;
        json!([left["queued"], left["relayed"], left["drained"]])
    };
    assert_eq!(left().await, json!([0, 25, false]), "`peer drain` waits for what is relayed");
    let relayed = gamma.api().page(20).await["events"][0].clone();
    assert_eq!((&relayed["from"], &relayed["verified"]), (&json!("alpha"), &json!("forward-signature")), "{relayed}");
    triangle.heal();
    tell(alpha, "gamma", 30..40).await;
    tell(gamma, "alpha", 30..40).await;
    alpha.api().until_state("alpha-39", "gamma", "acknowledged").await;
    gamma.api().until_state("gamma-39", "alpha", "acknowledged").await;
    assert_eq!(left().await, json!([0, 0, true]));
    assert_eq!(texts(&gamma.api().hear(40).await), numbers(0..40));
    assert_eq!(texts(&alpha.api().hear(40).await), numbers(0..40));
    // Beta's messenger has nothing to do with it.
    assert_eq!(beta.api().page(0).await["events"], json!([]));
    assert!(metric(alpha, "origin", "queued").await >= 25);
    assert!(metric(beta, "relay", "queued").await >= 50);
    assert!(metric(gamma, "destination", "taken").await >= 25);
}

/// The messages of a context that alpha and gamma share go the same way, and each is once in the feed.
#[tokio::test]
async fn messages_take_the_route_too() {
    let triangle = Triangle::relaying().await;
    let [alpha, _, gamma] = &triangle.nodes;
    alpha.api().set_participants("%23two", &["gamma"]).await;
    gamma.api().set_participants("%23two", &["alpha"]).await;
    triangle.cut();
    for n in 0..10 {
        alpha.api().say_in("#two", &format!("a{n}"), &n.to_string()).await;
    }
    let events = gamma.api().hear(10).await;
    let heard: Vec<_> = events.iter().map(|event| event["content"]["body"].as_str().expect("a text")).collect();
    assert_eq!(heard, numbers(0..10));
    assert_eq!((&events[9]["origin"], &events[9]["verified"]), (&json!("alpha"), &json!("forward-signature")));
    triangle.heal();
    alpha.api().say_in("#two", "last", "10").await;
    alpha.api().until_state("last", "gamma", "acknowledged").await;
    assert_eq!(gamma.api().hear(11).await.len(), 11);
}

/// The processes of the relay and of the destination are killed while the way is cut.
#[tokio::test]
async fn killed_relay_loses_nothing() {
    let mut triangle = Triangle::relaying().await;
    triangle.cut();
    tell(&triangle.nodes[0], "gamma", 0..20).await;
    triangle.nodes[0].api().until_state("alpha-19", "gamma", "relayed").await;
    triangle.nodes[1].kill();
    triangle.nodes[1].start().await;
    triangle.nodes[2].kill();
    triangle.nodes[2].start().await;
    triangle.nodes[0].kill();
    triangle.nodes[0].start().await;
    tell(&triangle.nodes[0], "gamma", 20..25).await;
    assert_eq!(texts(&triangle.nodes[2].api().hear(25).await), numbers(0..25));
    triangle.heal();
    triangle.nodes[0].api().until_state("alpha-24", "gamma", "acknowledged").await;
    assert_eq!(texts(&triangle.nodes[2].api().hear(25).await), numbers(0..25));
}

/// A relay that does not allow the way is not used again, the items wait, and the messenger is told once.
#[tokio::test]
async fn relay_without_permission_is_left() {
    let triangle = Triangle::start("allow = [\"gamma -> alpha\"]", "").await;
    let [alpha, beta, gamma] = &triangle.nodes;
    triangle.cut();
    tell(alpha, "gamma", 0..3).await;
    let notice = alpha.api().hear(1).await;
    let text = notice[0]["text"].as_str().expect("a text");
    assert!(text.contains("beta") && text.contains("RELAY_NOT_ALLOWED"), "{text}");
    alpha.api().until_state("alpha-2", "gamma", "queued").await;
    assert!(metric(beta, "relay", "refused").await >= 1);
    triangle.heal();
    alpha.api().until_state("alpha-2", "gamma", "acknowledged").await;
    assert_eq!(texts(&gamma.api().hear(3).await), numbers(0..3));
    let events = alpha.api().page(0).await["events"].clone();
    let notices = events.as_array().expect("a list").iter().filter(|event| event["kind"] == "notice");
    assert_eq!(notices.count(), 1, "{events}");
}

/// Sends a push with these strong updates to a gateway, as the server that the header names; returns the answer.
async fn push(to: &GatewayProcess, from: &str, first: u64, strong: &[String]) -> Value {
    let last = first + strong.len() as u64 - 1;
    let body = format!("{{\"strong\":[{}],\"from_seq\":{first},\"seq\":{last}}}", strong.join(","));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://{}/http/v1/updates", to.federation);
    let request = client.request(Method::POST, url).header("Fernpost-Origin", from).body(body);
    let answer = request.send().await.expect("an answer").text().await.expect("a text");
    serde_json::from_str(&answer).expect("JSON")
}

/// A forward of `origin` as it is signed.
struct Signed<'a> {
    origin: &'a str,
    destination: &'a str,
    id: &'a str,
    hops: u64,
    sent: u64,
    seq: u64,
    body: &'a str,
}

impl Default for Signed<'_> {
    fn default() -> Self {
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
        let sent = u64::try_from(now).expect("a time");
        let body = r#"{"text":"0","update":"note"}"#;
        Self { origin: "alpha", destination: "gamma", id: "f-1", hops: 1, sent, seq: 1, body }
    }
}

impl Signed<'_> {
    /// Returns the text with a signature by this key, which the keyid says is the origin's.
    fn by(&self, key: &OwnKey) -> String {
        use base64::Engine;
        let Self { origin, destination, id, hops, sent, seq, body } = self;
        // The canonical text: keys sorted, without white space; the body is written so.
        let signed = format!(
            r#"{{"body":{body},"destination":"{destination}","id":"{id}","origin":"{origin}","sent":{sent},"seq":{seq},"update":"forward"}}"#
        );
        let sig = base64::engine::general_purpose::STANDARD.encode(key.sign(signed.as_bytes()));
        let key = key.id();
        let open = signed.strip_suffix('}').expect("an object");
        format!(r#"{open},"hops":{hops},"signature":{{"keyid":"{origin}/{key}","sig":"{sig}"}}}}"#)
    }
}

/// Each refusal has its code, uses its number, and does not touch the updates beside it.
#[tokio::test]
async fn refused_forwards_name_their_codes() {
    let triangle = Triangle::start("allow = [\"alpha -> *\", \"delta -> gamma\"]", "").await;
    let [_, beta, gamma] = &triangle.nodes;
    let [alpha_key, beta_key, _] = &triangle.keys;
    let usual = Signed::default();
    let late = usual.sent + 600_000;
    let plain = r#"{"update":"note","text":"between"}"#.to_owned();
    let answer = push(
        beta,
        "alpha",
        1,
        &[
            Signed { id: "1", hops: 4, ..Signed::default() }.by(alpha_key),
            Signed { id: "2", destination: "alpha", ..Signed::default() }.by(alpha_key),
            Signed { id: "3", origin: "beta", ..Signed::default() }.by(alpha_key),
            Signed { id: "4", sent: late, ..Signed::default() }.by(alpha_key),
            Signed { id: "5", body: r#"{"update":"forward"}"#, ..Signed::default() }.by(alpha_key),
            Signed { id: "6", destination: "omega", ..Signed::default() }.by(alpha_key),
            plain,
            Signed { id: "7", origin: "delta", ..Signed::default() }.by(alpha_key),
        ],
    )
    .await;
    let parked = json!([
        [1, "RELAY_HOPS"],
        [2, "RELAY_LOOP"],
        [3, "RELAY_LOOP"],
        [4, "BAD_FORWARD"],
        [5, "BAD_FORWARD"],
        [6, "UNKNOWN_DESTINATION"],
        [8, "KEYS_UNKNOWN"]
    ]);
    assert_eq!((&answer["receive"], &answer["parked"]), (&json!("ok"), &parked), "{answer}");
    let not_allowed = Signed { origin: "gamma", destination: "alpha", ..Signed::default() }.by(&triangle.keys[2]);
    let answer = push(beta, "gamma", 1, &[not_allowed]).await;
    assert_eq!(answer["parked"], json!([[1, "RELAY_NOT_ALLOWED"]]), "{answer}");
    // Beta signs in the name of alpha.
    let answer = push(gamma, "beta", 1, &[Signed::default().by(beta_key)]).await;
    assert_eq!(answer["parked"], json!([[1, "BAD_SIGNATURE"]]), "{answer}");
    let event = gamma.api().hear(1).await.remove(0);
    let said = [&event["kind"], &event["what"], &event["from"], &event["origin"], &event["code"]];
    assert_eq!(said, ["parked", "update", "beta", "alpha", "BAD_SIGNATURE"], "{event}");
}

/// A forward is passed on once, whatever brings it again, and one that comes to its destination again is taken once.
#[tokio::test]
async fn repeated_forward_is_taken_once() {
    let triangle = Triangle::relaying().await;
    let [_, beta, gamma] = &triangle.nodes;
    let key = &triangle.keys[0];
    let forward = |seq, id| Signed { seq, id, ..Signed::default() }.by(key);
    let answer = push(beta, "alpha", 1, &[forward(1, "f-1"), forward(1, "f-1")]).await;
    assert_eq!((&answer["receive"], answer.get("parked")), (&json!("ok"), None), "{answer}");
    let answer = push(beta, "alpha", 3, &[forward(1, "f-1")]).await;
    assert_eq!((&answer["receive"], answer.get("parked")), (&json!("ok"), None), "{answer}");
    assert_eq!(texts(&gamma.api().hear(1).await), ["0"]);
    assert_eq!(metric(beta, "relay", "queued").await, 2, "two of one batch, of which the commit dropped one");
    assert_eq!(metric(beta, "relay", "duplicate").await, 1);
    assert_eq!(metric(gamma, "destination", "taken").await, 1);
}

/// Forwards that overtake wait on disk until those before them have come, by any way.
#[tokio::test]
async fn overtaking_forwards_survive_a_kill() {
    let mut triangle = Triangle::relaying().await;
    let alpha = triangle.keys[0].clone();
    let forward = |seq: u64| {
        let (id, body) = (format!("f-{seq}"), format!(r#"{{"text":"{seq}","update":"note"}}"#));
        Signed { seq, id: &id, body: &body, ..Signed::default() }.by(&alpha)
    };
    let answer = push(&triangle.nodes[2], "beta", 1, &[forward(3), forward(2)]).await;
    assert_eq!((&answer["receive"], answer.get("parked")), (&json!("ok"), None), "{answer}");
    assert_eq!(triangle.nodes[2].api().page(0).await["events"], json!([]));
    triangle.nodes[2].kill();
    triangle.nodes[2].start().await;
    let direct = r#"{"text":"1","update":"note"}"#.to_owned();
    assert_eq!(push(&triangle.nodes[2], "alpha", 1, &[direct]).await["receive"], "ok");
    assert_eq!(texts(&triangle.nodes[2].api().hear(3).await), ["1", "2", "3"]);
}

/// Nothing goes through a server that an operator has suspended, until it is resumed.
#[tokio::test]
async fn suspended_relay_gets_no_forwards() {
    let triangle = Triangle::relaying().await;
    let [alpha, beta, gamma] = &triangle.nodes;
    let operator = HttpCaller::at(alpha.admin);
    operator.call_expecting(200, Method::POST, "/admin/v1/peers/beta/suspend", "").await;
    triangle.cut();
    tell(alpha, "gamma", 0..3).await;
    let tried = async {
        while trace(alpha, "alpha-0", "gamma").await["attempts"].as_array().map_or(0, Vec::len) < 8 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    soon("attempts for longer than relay.after", tried).await;
    assert_eq!(trace(alpha, "alpha-2", "gamma").await["state"], "queued");
    assert_eq!((metric(alpha, "origin", "queued").await, metric(beta, "relay", "queued").await), (0, 0));
    operator.call_expecting(200, Method::POST, "/admin/v1/peers/beta/resume", "").await;
    assert_eq!(texts(&gamma.api().hear(3).await), numbers(0..3));
}

/// In the transactions dialect the relay is asked by `relay_to`, and the signature of each PDU proves its origin.
#[tokio::test]
async fn transactions_take_the_route_too() {
    let dialect = "dialect = \"transactions\"\n";
    let allow = "allow = [\"alpha -> gamma\", \"gamma -> alpha\"]";
    let triangle = Triangle::start_in(dialect, allow, "").await;
    let [alpha, beta, gamma] = &triangle.nodes;
    for (node, others) in [(alpha, ["beta", "gamma"]), (beta, ["alpha", "gamma"]), (gamma, ["alpha", "beta"])] {
        node.api().set_participants("%23three", &others).await;
    }
    triangle.cut();
    for n in 0..8 {
        alpha.api().say_in("#three", &format!("a{n}"), &n.to_string()).await;
    }
    let events = gamma.api().hear(8).await;
    let heard: Vec<_> = events.iter().map(|event| event["content"]["body"].as_str().expect("a text")).collect();
    assert_eq!(heard, numbers(0..8));
    assert!(events.iter().all(|event| event["origin"] == "alpha" && event["sender"] == "beta"), "{events:?}");
    assert!(
        events.iter().all(|event| event["verified"] == "pdu-signature" && event.get("gap").is_none()),
        "{events:?}"
    );
    alpha.api().until_state("a7", "gamma", "relayed").await;
    assert!(metric(beta, "relay", "queued").await >= 8);
    triangle.heal();
    alpha.api().say_in("#three", "last", "8").await;
    alpha.api().until_state("last", "gamma", "acknowledged").await;
    assert_eq!(gamma.api().hear(9).await.len(), 9);
}

/// A relay of the transactions dialect that does not allow the way says so, and takes the messages as a participant all the same.
#[tokio::test]
async fn transactions_name_refused_relays() {
    let triangle = Triangle::start_in("dialect = \"transactions\"\n", "", "").await;
    let [alpha, beta, gamma] = &triangle.nodes;
    for (node, others) in [(alpha, ["beta", "gamma"]), (beta, ["alpha", "gamma"]), (gamma, ["alpha", "beta"])] {
        node.api().set_participants("%23three", &others).await;
    }
    triangle.cut();
    alpha.api().say_in("#three", "a", "0").await;
    assert_eq!(beta.api().hear(1).await.len(), 1);
    let notice = alpha.api().hear(1).await;
    let text = notice[0]["text"].as_str().expect("a text");
    assert!(text.contains("beta") && text.contains("RELAY_NOT_ALLOWED"), "{text}");
    alpha.api().until_state("a", "gamma", "queued").await;
}

/// A forward whose origin's key is unknown is kept, and taken when the key is there.
#[tokio::test]
async fn unknown_keys_keep_forward() {
    let mut triangle = Triangle::relaying().await;
    let alpha_key = triangle.keys[0].clone();
    let gamma = &mut triangle.nodes[2];
    let of_alpha = format!("keys = [\"{}:{}\"]\n", alpha_key.id(), alpha_key.public().to_base64());
    let known = gamma.edit(|text| text.replace(&of_alpha, ""));
    reload(gamma).await;
    let answer = push(gamma, "beta", 1, &[Signed::default().by(&alpha_key)]).await;
    assert_eq!(answer["parked"], json!([[1, "KEYS_UNKNOWN"]]), "{answer}");
    let admin = HttpCaller::at(gamma.admin);
    let item = admin.get("/admin/v1/quarantine").await["items"][0].clone();
    assert_eq!((&item["code"], &item["seq"]), (&json!("KEYS_UNKNOWN"), &json!(1)), "{item}");
    gamma.edit(|_| known);
    reload(gamma).await;
    let path = format!("/admin/v1/quarantine/beta/{}/release", item["id"].as_str().expect("an id"));
    let (status, released) = admin.call(Method::POST, &path, "").await.expect("an answer");
    assert_eq!((status, &released["outcome"]), (200, &json!("delivered")), "{released}");
    let events = gamma.api().hear(2).await;
    assert_eq!((&events[0]["code"], texts(&events)), (&json!("KEYS_UNKNOWN"), vec!["0".to_owned()]));
}

/// Reloads the configuration of a gateway.
async fn reload(node: &GatewayProcess) {
    node.configured();
    let (status, report) =
        HttpCaller::at(node.admin).call(Method::POST, "/admin/v1/reload", "").await.expect("an answer");
    assert_eq!(status, 200, "{report}");
}
