//! Open mode: servers that nobody listed prove themselves and exchange messages, within bounds that listed peers do not notice.

use std::process::Command;

use ::fixtures::clients::messenger_client::{submission, texts};
use ::fixtures::name_server::TestNameServer;
use fernpost::identity::request_signature::{NONCE_BYTES, SignatureHeaders, sign_request};
use fernpost::identity::signature_base::SignedParts;
use fernpost::identity::signing_key::OwnKey;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use crate::fixtures::node::{GatewayProcess, own_address};
use crate::fixtures::process::soon;
use crate::peers::signatures::{BODY, PUSH, answer, codes, refused, request, seconds};
use crate::reload::reloaded;
use crate::tls::authority::{FileAuthority, LeafKind, PairFiles};
use crate::tls::directory_server::{DirectoryReply, DirectoryServer, directory_of, key_of};
use crate::tls::mutual::{TRUST, certified};

const OPEN: &str = "federation.mode=\"open\"";

/// Red, which is open and found by nobody's configuration but theirs, with a name server for all.
async fn open_red(authority: &FileAuthority) -> (GatewayProcess, TestNameServer, Vec<String>) {
    let (red, names) = (certified("red.example", authority), TestNameServer::start().await);
    let more = [format!("network.resolvers=[\"{}\"]", names.address), "network.allow=[\"127.0.0.0/8\"]".to_owned()];
    let overrides = TRUST.iter().map(|trust| (*trust).to_owned()).chain(more).collect();
    (red, names, overrides)
}

fn texts_of<'a>(overrides: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    overrides.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

/// Lets the gateway be found by this service alone.
fn announce(names: &TestNameServer, gateway: &GatewayProcess, service: &str) {
    let (address, host) = (gateway.federation, format!("host.{}", gateway.name));
    names.host(&host, 60, &[address.ip()]);
    names.service(&format!("{service}.{}", gateway.name), 60, &[(1, 1, address.port(), &host)]);
}

#[tokio::test]
async fn strangers_exchange_messages_both_ways() {
    let authority = FileAuthority::new();
    let (mut red, names, overrides) = open_red(&authority).await;
    let [mut green, mut pink] = ["green.example", "pink.example"].map(|name| certified(name, &authority));
    let at_red = format!("addresses = [\"https://{}\"]\n", red.federation);
    green.peer_section("red.example", &format!("{at_red}auth = \"signature\"\n"));
    pink.peer_section("red.example", &format!("{at_red}auth = \"mtls\"\ndialect = \"transactions\"\n"));
    announce(&names, &green, "_actor-server._tcp");
    // It is found by the service of the dialect in which it calls, and by no other.
    announce(&names, &pink, "_matrix._tcp");
    let open = texts_of(&overrides, &[OPEN]);
    red.start_with(&open).await;
    green.start_with(&TRUST).await;
    pink.start_with(&TRUST).await;

    green.api().say("m-1", "red.example", "by signature").await;
    let heard = red.api().hear(1).await;
    assert_eq!((heard[0]["from"].as_str(), heard[0]["verified"].as_str()), (Some("green.example"), Some("signature")));
    red.api().say("m-2", "green.example", "and back").await;
    assert_eq!(texts(&green.api().hear(1).await), ["and back"]);

    pink.api().set_participants("#room", &["red.example"]).await;
    pink.api().say_in("#room", "p-1", "by certificate").await;
    let heard = red.api().hear(2).await;
    assert_eq!((heard[1]["sender"].as_str(), heard[1]["verified"].as_str()), (Some("pink.example"), Some("mtls")));
    red.api().say_in("#room", "r-1", "and back").await;
    assert_eq!(pink.api().hear(1).await[0]["content"]["body"], "and back");

    // Its dialect is that of its first request, also after a restart.
    red.kill();
    red.start_with(&open).await;
    red.api().say_in("#room", "r-2", "after the restart").await;
    assert_eq!(pink.api().hear(2).await[1]["content"]["body"], "after the restart");

    // With the allow list they are nobody again, and what waits for them stays.
    red.kill();
    red.start_with(&texts_of(&overrides, &[])).await;
    let body = submission(&["green.example"], &["no"]);
    let (status, refusal) = red.api().call(Method::PUT, "/v1/updates/u-1", &body).await.expect("an answer");
    assert_eq!((status, refusal["code"].as_str()), (422, Some("NOT_A_PEER")), "{refusal}");
    green.api().say("m-3", "red.example", "refused").await;
    green.process().says("UNKNOWN_KEY").await;
}

/// A server with a key directory, whose name is its address.
struct DirectoryStranger {
    name: String,
    key: OwnKey,
    server: DirectoryServer,
}

impl DirectoryStranger {
    async fn start(authority: &FileAuthority, red: &GatewayProcess, seed: u8) -> Self {
        let (address, key) = (own_address(), key_of("1", seed));
        let pair = authority.issue(red.folder(), &format!("s{seed}"), &[&address.to_string()], LeafKind::Usual);
        let reply = DirectoryReply::Json(directory_of(&[&key]));
        let server = DirectoryServer::start_at(address, Some(&pair), reply).await;
        Self { name: server.address.to_string(), key, server }
    }

    fn sign(&self, message: &SignedParts<'static>, body: &str, nonce: u8) -> SignatureHeaders {
        let name = self.name.parse().expect("a name");
        sign_request(&self.key, &name, message, body.as_bytes(), seconds(), [nonce; NONCE_BYTES])
    }

    /// Pushes the update with this number; returns status and JSON.
    async fn push(&self, red: &GatewayProcess, number: u8) -> (u16, Value) {
        self.push_under(red, number, number).await
    }

    async fn push_under(&self, red: &GatewayProcess, number: u8, nonce: u8) -> (u16, Value) {
        let body = format!(r#"{{"seq":{number},"strong":[{{"text":"{number}"}}]}}"#);
        answer(request(red, &PUSH, &body, &self.sign(&PUSH, &body, nonce))).await
    }
}

/// Red without TLS, with blue as a listed peer of a pinned key.
fn plain_red(authority: &FileAuthority) -> (GatewayProcess, OwnKey) {
    let mut red = GatewayProcess::new("red");
    let blue = key_of("1", 200);
    let pinned = format!("1:{}", blue.public().to_base64());
    red.peer_section(
        "blue",
        &format!("addresses = [\"http://127.0.0.1:1\"]\nauth = \"signature\"\nkeys = [\"{pinned}\"]"),
    );
    authority.write(red.folder());
    (red, blue)
}

const PLAIN: [&str; 2] = ["network.roots=[\"ca.pem\"]", "network.allow=[\"127.0.0.0/8\"]"];

/// Sends a push of blue's; returns status and code.
async fn push_of_blue(red: &GatewayProcess, blue: &OwnKey, nonce: u8) -> (u16, String) {
    let name = "blue".parse().expect("a name");
    let signature = sign_request(blue, &name, &PUSH, BODY.as_bytes(), seconds(), [nonce; NONCE_BYTES]);
    codes(answer(request(red, &PUSH, BODY, &signature)).await)
}

fn unsigned(red: &GatewayProcess, origin: &str) -> RequestBuilder {
    let client = Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://{}{}", red.federation, PUSH.target);
    client.post(url).header("Fernpost-Origin", origin).body(BODY)
}

#[tokio::test]
async fn rows_of_strangers_are_bounded() {
    let authority = FileAuthority::new();
    let (mut red, blue) = plain_red(&authority);
    let stranger = DirectoryStranger::start(&authority, &red, 1).await;
    let bounds = ["federation.strangers.rows_max=20", "federation.strangers.rate_per_address=1000"];
    let overrides = [&PLAIN[..], &[OPEN], &bounds].concat();
    red.start_with(&overrides).await;
    let mut told = Value::Null;
    for number in 1..=30 {
        let (status, body) = stranger.push(&red, number).await;
        assert_eq!(status, 200, "{body}");
        told = body;
        if told["receive"] == "wait" {
            break;
        }
        assert_eq!(told["receive"], "ok", "{told}");
    }
    assert_eq!(told["receive"], "wait", "each push leaves rows");
    assert!(told["wait"].as_u64().is_some_and(|wait| wait > 0), "{told}");

    let path = "/matrix/federation/v1/send/1/";
    let put = SignedParts { method: "PUT", scheme: "http", authority: "red", target: path, headers: &[] };
    let body = format!(r#"{{"origin":"{}","pdus":[]}}"#, stranger.name);
    let mut refusal = (200, String::new());
    for nonce in 100..130 {
        refusal = codes(answer(request(&red, &put, &body, &stranger.sign(&put, &body, nonce))).await);
        if refusal.0 != 200 {
            break;
        }
    }
    assert_eq!(refusal, refused(429, "STRANGERS_ROWS"));
    assert!(red.refusals("federation.strangers.rows_max").await >= 2);
    assert_eq!(push_of_blue(&red, &blue, 1).await, refused(200, ""), "a listed peer notices nothing");
    assert_eq!(stranger.server.reads(), 1);
}

/// The state that the bounds count is kept over a reload, and the bounds are those of the new configuration.
#[tokio::test]
async fn reloaded_bounds_of_strangers_hold() {
    let authority = FileAuthority::new();
    let (mut red, blue) = plain_red(&authority);
    let first = DirectoryStranger::start(&authority, &red, 1).await;
    let mut others = vec![];
    for seed in 2..=4 {
        others.push(DirectoryStranger::start(&authority, &red, seed).await);
    }
    // So many items may come at once, whatever the rate.
    let base = red.edit(str::to_owned) + "[peers.default]\nintake_items = 4\n";
    let bounded = |bounds: &str| format!("{base}[federation.strangers]\nrate_per_address = 1000\n{bounds}");
    red.edit(|_| bounded(""));
    red.start_with(&[&PLAIN[..], &[OPEN]].concat()).await;
    assert_eq!(first.push(&red, 1).await.1["receive"], "ok");

    red.edit(|_| bounded("rows_max = 1\n"));
    assert_eq!(reloaded(&red).await.0, ["federation.strangers.rows_max"]);
    assert_eq!(first.push(&red, 2).await.1["receive"], "wait", "its first push left rows");
    red.edit(|_| bounded("rate = 1\n"));
    assert_eq!(reloaded(&red).await.0, ["federation.strangers.rate", "federation.strangers.rows_max"]);
    let mut next = 2;
    while next < 30 && first.push_under(&red, next, next + 100).await.1["receive"] == "ok" {
        next += 1;
    }
    assert!(red.refusals("federation.strangers.rate").await >= 1, "{next} were accepted");

    red.edit(|_| bounded("proofs_per_second = 1\n"));
    reloaded(&red).await;
    let proved = futures_util::future::join_all(others.iter().map(|stranger| stranger.push(&red, 1))).await;
    assert!(proved.into_iter().map(codes).any(|answer| answer == refused(429, "STRANGERS_PROOFS")));
    red.edit(|_| format!("{base}[federation.strangers]\nrate_per_address = 1\n"));
    reloaded(&red).await;
    let asked = futures_util::future::join_all((0..8).map(|_| answer(unsigned(&red, "green.example")))).await;
    assert!(asked.into_iter().map(codes).any(|answer| answer == refused(429, "STRANGERS_RATE")));
    assert_eq!(push_of_blue(&red, &blue, 1).await, refused(200, ""), "a listed peer notices nothing");

    red.edit(|_| bounded(""));
    reloaded(&red).await;
    // A bucket that is empty fills by its new rate from the next request on.
    soon("wide bounds", async {
        while codes(answer(unsigned(&red, "green.example")).await).0 != 401 {}
        let mut nonce = 200;
        while first.push_under(&red, next, nonce).await.1["receive"] != "ok" {
            nonce += 1;
        }
    })
    .await;
}

#[tokio::test]
async fn stranger_requests_are_address_limited() {
    let authority = FileAuthority::new();
    let (mut red, blue) = plain_red(&authority);
    red.start_with(&[&PLAIN[..], &[OPEN, "federation.strangers.rate_per_address=3"]].concat()).await;
    let mut answers = vec![];
    for _ in 0..8 {
        let answer = unsigned(&red, "green.example").send().await.expect("an answer");
        let retry = answer.headers().get("retry-after").is_some();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
        answers.push((status, body["code"].as_str().expect("a code").to_owned(), retry));
    }
    assert_eq!(answers[0], (401, "UNAUTHENTICATED".to_owned(), false), "an address proves no stranger");
    assert!(answers.contains(&(429, "STRANGERS_RATE".to_owned(), true)), "{answers:?}");
    assert!(red.refusals("federation.strangers.rate_per_address").await >= 1);
    assert_eq!(push_of_blue(&red, &blue, 1).await, refused(200, ""), "from the same address");
}

#[tokio::test]
async fn proofs_of_strangers_are_limited() {
    let authority = FileAuthority::new();
    let (mut red, blue) = plain_red(&authority);
    let strangers = [
        DirectoryStranger::start(&authority, &red, 1).await,
        DirectoryStranger::start(&authority, &red, 2).await,
        DirectoryStranger::start(&authority, &red, 3).await,
    ];
    red.start_with(&[&PLAIN[..], &[OPEN, "federation.strangers.proofs_per_second=1"]].concat()).await;
    let pushed = futures_util::future::join_all(strangers.iter().map(|stranger| stranger.push(&red, 1))).await;
    let pushed: Vec<_> = pushed.into_iter().map(codes).collect();
    assert!(pushed.contains(&refused(200, "")) && pushed.contains(&refused(429, "STRANGERS_PROOFS")), "{pushed:?}");
    assert!(red.refusals("federation.strangers.proofs_per_second").await >= 1);
    assert_eq!(push_of_blue(&red, &blue, 1).await, refused(200, ""));
}

/// A denied name is told so once it is proved; without the open mode nothing is fetched to prove it.
#[tokio::test]
async fn denied_or_unlisted_stranger_is_refused() {
    let authority = FileAuthority::new();
    let (mut red, blue) = plain_red(&authority);
    let denied = DirectoryStranger::start(&authority, &red, 1).await;
    let other = DirectoryStranger::start(&authority, &red, 2).await;
    let deny = format!("federation.deny=[\"{}\"]", denied.server.address.ip());
    red.start_with(&[&PLAIN[..], &[OPEN, &deny]].concat()).await;
    assert_eq!(codes(denied.push(&red, 1).await), refused(403, "FORBIDDEN"));
    assert_eq!(codes(other.push(&red, 1).await), refused(200, ""));
    let update = submission(&[&denied.name], &["no"]);
    let (status, refusal) = red.api().call(Method::PUT, "/v1/updates/u-1", &update).await.expect("an answer");
    assert_eq!((status, refusal["code"].as_str()), (422, Some("DENIED")), "{refusal}");
    red.api().say("u-2", &other.name, "it waits").await;
    assert_eq!(answer(unsigned(&red, &other.name)).await.0, 401);
    assert_eq!(answer(unsigned(&red, "red")).await.0, 401, "our own name is nobody's");

    red.kill();
    red.start_with(&PLAIN).await;
    assert_eq!(codes(other.push(&red, 2).await), refused(401, "UNKNOWN_KEY"));
    assert_eq!((denied.server.reads(), other.server.reads()), (1, 1), "nothing is fetched in allow list mode");
    let peer = red.api().get(&format!("/v1/peers/{}", other.name)).await;
    assert_eq!((peer["reason"].as_str(), peer["backlog"].as_u64()), (Some("not_listed"), Some(1)), "{peer}");
    assert_eq!(push_of_blue(&red, &blue, 1).await, refused(200, ""));
}

/// Pushes by curl with this certificate and claim; returns the status and the code of the refusal.
async fn push_with(red: &GatewayProcess, pair: &PairFiles, claim: &str) -> (u16, String) {
    let mut curl = Command::new("curl");
    let address = red.federation;
    let resolve = format!("red.example:{}:{}", address.port(), address.ip());
    curl.args(["--silent", "--insecure", "--resolve", &resolve, "--write-out", "\n%{http_code}"]);
    curl.args(["--json", r#"{"seq":1,"strong":[{}]}"#, "--header", &format!("Fernpost-Origin: {claim}")]);
    curl.arg("--cert").arg(&pair.cert).arg("--key").arg(&pair.key);
    curl.arg(format!("https://red.example:{}/http/v1/updates", address.port()));
    let output = tokio::task::spawn_blocking(move || curl.output().expect("curl")).await.expect("it ran");
    crate::tls::callers::answer(&output)
}

/// The certificate of a stranger chains to `network.roots`, never to the CA of listed peers.
#[tokio::test]
async fn certificate_of_stranger_chains_to_roots() {
    let (authority, of_peers) = (FileAuthority::new(), FileAuthority::new());
    let mut red = certified("red.example", &authority);
    let folder = red.folder().join("peers");
    std::fs::create_dir(&folder).expect("a folder");
    let client_ca = format!("federation.tls.client_ca=\"{}\"", of_peers.write(&folder).display());
    red.peer_section("blue.example", "addresses = [\"http://127.0.0.1:1\"]\nauth = \"mtls\"\n");
    red.start_with(&["network.roots=[\"ca.pem\"]", &client_ca, OPEN]).await;
    let public = |name: &str| authority.issue(&folder, name, &[name], LeafKind::Usual);
    let private = |name: &str| of_peers.issue(&folder, &format!("p-{name}"), &[name], LeafKind::Usual);
    let unknown = || refused(401, "CERTIFICATE_UNKNOWN_ISSUER");
    assert_eq!(push_with(&red, &public("green.example"), "green.example").await, refused(200, ""));
    assert_eq!(push_with(&red, &private("green.example"), "green.example").await, unknown());
    assert_eq!(push_with(&red, &private("blue.example"), "blue.example").await, refused(200, ""));
    assert_eq!(push_with(&red, &public("blue.example"), "blue.example").await, unknown());
    assert_eq!(push_with(&red, &public("green.example"), "pink.example").await, refused(403, "NOT_THE_SENDER"));
    assert_eq!(push_with(&red, &public("x.bad.example"), "X.Bad.example").await, refused(403, "FORBIDDEN"));
}
