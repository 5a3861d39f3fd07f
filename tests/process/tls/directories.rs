//! Peers that are proved by the keys of their key directories: which directories are read, how often, and which keys count.

use std::time::Duration;

use ::fixtures::clients::messenger_client::texts;
use fernpost::identity::request_signature::{NONCE_BYTES, SignatureHeaders, sign_request};
use fernpost::identity::signing_key::OwnKey;
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::{fernpost, soon};
use crate::peers::signatures::{BODY, PUSH, codes, refused, seconds, send};
use crate::tls::authority::{FileAuthority, LeafKind};
use crate::tls::directory_server::{DirectoryReply, DirectoryServer, directory_of, key_of};
use crate::tls::mutual::{TRUST, certified};

/// Pause between two requests of a test that waits for the end of a time in the gateway.
const SEND_AGAIN: Duration = Duration::from_millis(50);

/// Red, and servers that have nothing but a key directory.
struct DirectoryFixture {
    red: GatewayProcess,
    authority: FileAuthority,
}

impl DirectoryFixture {
    fn new() -> Self {
        let (red, authority) = (GatewayProcess::new("red"), FileAuthority::new());
        authority.write(red.folder());
        Self { red, authority }
    }

    /// Makes a server a peer that signs, with these addresses.
    fn peer_at(&mut self, name: &str, addresses: &str) {
        self.red.peer_section(name, &format!("addresses = [{addresses}]\nauth = \"signature\"\n"));
    }

    /// Makes a peer of this name, whose directory answers so.
    async fn peer(&mut self, name: &str, reply: DirectoryReply) -> DirectoryServer {
        let pair = self.authority.issue(self.red.folder(), name, &[name], LeafKind::Usual);
        let server = DirectoryServer::start(Some(&pair), reply).await;
        self.peer_at(name, &format!("\"https://{}\"", server.address));
        server
    }

    async fn start(&mut self, overrides: &[&str]) {
        self.red.start_with(&[&["network.roots=[\"ca.pem\"]"][..], overrides].concat()).await;
    }

    /// Sends a push that is signed so; returns status and code.
    async fn push(&self, signature: &SignatureHeaders) -> (u16, String) {
        codes(send(&self.red, &PUSH, BODY, signature, "").await)
    }
}

/// Returns the signature of this server over the push, with this nonce.
fn signed_by(server: &str, key: &OwnKey, nonce: u32) -> SignatureHeaders {
    let mut bytes = [0; NONCE_BYTES];
    bytes[..4].copy_from_slice(&nonce.to_be_bytes());
    sign_request(key, &server.parse().expect("a name"), &PUSH, BODY.as_bytes(), seconds(), bytes)
}

fn unknown() -> (u16, String) {
    refused(401, "UNKNOWN_KEY")
}

fn accepted() -> (u16, String) {
    refused(200, "")
}

/// Runs a command with the configuration of a gateway; returns its exit code and its JSON.
async fn run(gateway: &GatewayProcess, arguments: &[&str]) -> (i32, Value) {
    let mut command = fernpost();
    command.args(arguments).arg("--json").arg("--config").arg(gateway.configured());
    command.args(TRUST.iter().filter(|_| arguments[0] != "keys").flat_map(|pair| ["--set", *pair]));
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts"));
    let output = output.await.expect("it ran");
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    (output.status.code().expect("it exits"), serde_json::from_slice(&text).expect("JSON"))
}

#[tokio::test]
async fn rotated_key_is_seen_by_peer() {
    let authority = FileAuthority::new();
    let [mut red, mut blue] = ["red.example", "blue.example"].map(|name| certified(name, &authority));
    let section =
        |peer: &GatewayProcess| format!("addresses = [\"https://{}\"]\nauth = \"signature\"", peer.federation);
    let (of_red, of_blue) = (section(&red), section(&blue));
    red.peer_section("blue.example", &of_blue);
    blue.peer_section("red.example", &of_red);
    let retry = [&TRUST[..], &["network.keys_retry=\"100ms\""]].concat();
    red.start_with(&retry).await;
    blue.start_with(&retry).await;
    red.api().say("m-1", "blue.example", "with the first key").await;
    blue.api().say("m-2", "red.example", "and back").await;
    let heard = blue.api().hear(1).await;
    assert_eq!((texts(&heard), heard[0]["verified"].as_str()), (vec!["with the first key"], Some("signature")));
    assert_eq!(texts(&red.api().hear(1).await), ["and back"]);

    let (code, explanation) = run(&red, &["peer", "explain", "blue.example"]).await;
    let steps = explanation["steps"].as_array().expect("steps");
    let key = steps.iter().find(|step| step["step"] == "key").and_then(|step| step["detail"].as_str());
    assert!(code == 0 && key.is_some_and(|key| key.contains("publishes: 1")), "{explanation}");

    red.kill();
    let (code, rotated) = run(&red, &["keys", "rotate", "--now"]).await;
    assert_eq!((code, &rotated["id"]), (0, &"2".into()), "{rotated}");
    red.start_with(&retry).await;
    red.api().say("m-3", "blue.example", "with the second key").await;
    assert_eq!(texts(&blue.api().hear(2).await)[1], "with the second key");

    blue.kill();
    let (code, explanation) = run(&red, &["check", "keys"]).await;
    let checks = explanation["checks"].as_array().expect("checks");
    let of_blue = checks.iter().find(|check| check["subject"] == "blue.example").expect("a finding");
    assert_eq!((code, &of_blue["code"]), (1, &"KEY_NOT_FOUND".into()), "{explanation}");
    assert!(of_blue["fix"].as_str().is_some_and(|fix| fix.contains("keys")), "{of_blue}");
}

#[tokio::test]
async fn bad_directory_proves_nobody() {
    let mut fixture = DirectoryFixture::new();
    let key = key_of("1", 7);
    let good = directory_of(&[&key]);
    let many: Vec<OwnKey> = (0..33).map(|n| key_of(&format!("{}", n + 1), 7)).collect();
    let weak =
        good.replace("6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_ne!(weak, good);
    let large = good.replace("{\"keys\"", &format!("{{\"x\":\"{}\",\"keys\"", "x".repeat(64 * 1024)));
    let replies = [
        ("large", DirectoryReply::Json(large), "64 KiB"),
        ("endless", DirectoryReply::Endless, "64 KiB"),
        ("moved", DirectoryReply::Redirect(good.clone()), "redirect"),
        ("silent", DirectoryReply::Silence, "within the deadline"),
        ("html", DirectoryReply::Json("<html>".to_owned()), "JWK set"),
        ("many", DirectoryReply::Json(directory_of(&many.iter().collect::<Vec<_>>())), "33 keys"),
        ("weak", DirectoryReply::Json(weak), ""),
    ];
    let mut servers = Vec::new();
    for (name, reply, _) in &replies {
        servers.push(fixture.peer(name, reply.clone()).await);
    }
    let good = fixture.peer("good", DirectoryReply::Json(good)).await;
    fixture.start(&["peers.default.request_timeout=\"2s\"", "peers.default.connect_timeout=\"2s\""]).await;
    for ((name, _, why), server) in replies.iter().zip(&servers) {
        assert_eq!(fixture.push(&signed_by(name, &key, 1)).await, unknown(), "{name}");
        assert_eq!(fixture.push(&signed_by(name, &key, 2)).await, unknown(), "{name}");
        assert_eq!(server.reads(), 1, "{name}: its failure is remembered");
        if !why.is_empty() {
            let said = fixture.red.process().says(&format!("server={name}")).await;
            assert!(said.contains(why), "{said}");
        }
    }
    assert_eq!(fixture.push(&signed_by("good", &key, 1)).await, accepted());
    // What is not listed is not asked, and nobody can sign for another server.
    assert_eq!(fixture.push(&signed_by("green", &key, 1)).await, unknown());
    assert_eq!(fixture.push(&signed_by("good", &key_of("1", 8), 2)).await, refused(401, "BAD_SIGNATURE"));
    assert_eq!(good.reads(), 1);
}

#[tokio::test]
async fn unknown_key_is_fetched_once() {
    let mut fixture = DirectoryFixture::new();
    let (first, second) = (key_of("1", 7), key_of("2", 8));
    let server = fixture.peer("blue", DirectoryReply::Json(directory_of(&[&first]))).await;
    fixture.start(&[]).await;
    assert_eq!(fixture.push(&signed_by("blue", &first, 1)).await, accepted());
    server.reply(DirectoryReply::Json(directory_of(&[&first, &second]))).await;
    for nonce in 0..5 {
        assert_eq!(fixture.push(&signed_by("blue", &second, nonce)).await, unknown());
    }
    assert_eq!(server.reads(), 1, "not again within keys_retry");
}

/// A new key is taken over after `keys_retry`, and one that left the directory is refused after `keys_ttl`.
#[tokio::test]
async fn directory_is_read_again_in_time() {
    let mut fixture = DirectoryFixture::new();
    let (first, second) = (key_of("1", 7), key_of("2", 8));
    let server = fixture.peer("blue", DirectoryReply::Json(directory_of(&[&first]))).await;
    fixture.start(&["network.keys_retry=\"500ms\"", "network.keys_ttl=\"2s\""]).await;
    assert_eq!(fixture.push(&signed_by("blue", &first, 0)).await, accepted());
    server.reply(DirectoryReply::Json(directory_of(&[&second]))).await;
    assert_eq!(fixture.push(&signed_by("blue", &first, 1)).await, accepted(), "its copy is kept");
    let refusal = async {
        for nonce in 2.. {
            match fixture.push(&signed_by("blue", &first, nonce)).await {
                (200, _) => tokio::time::sleep(SEND_AGAIN).await,
                other => return other,
            }
        }
        unreachable!("there are nonces enough")
    };
    assert_eq!(soon("the end of the copy", refusal).await, unknown());
    assert_eq!(fixture.push(&signed_by("blue", &second, 1)).await, accepted());
}

#[tokio::test]
async fn concurrent_requests_share_one_fetch() {
    let mut fixture = DirectoryFixture::new();
    let key = key_of("1", 7);
    let mut server = fixture.peer("blue", DirectoryReply::Held(directory_of(&[&key]))).await;
    fixture.start(&["server.workers=2"]).await;
    let requests = futures_util::future::join_all((0..16).map(|nonce| {
        let (fixture, key) = (&fixture, &key);
        async move { fixture.push(&signed_by("blue", key, nonce)).await }
    }));
    let released = async {
        server.read(1).await;
        server.release();
    };
    let (answers, ()) = tokio::join!(requests, released);
    assert!(answers.iter().all(|answer| *answer == accepted()), "{answers:?}");
    assert_eq!(server.reads(), 1);
}

/// A directory comes over TLS alone, also where plain HTTP is permitted.
#[tokio::test]
async fn directory_is_never_read_over_http() {
    let mut fixture = DirectoryFixture::new();
    let (key, forged) = (key_of("1", 7), key_of("1", 8));
    let plain = DirectoryServer::start(None, DirectoryReply::Json(directory_of(&[&forged]))).await;
    let pair = fixture.authority.issue(fixture.red.folder(), "blue", &["blue"], LeafKind::Usual);
    let server = DirectoryServer::start(Some(&pair), DirectoryReply::Json(directory_of(&[&key]))).await;
    fixture.peer_at("blue", &format!("\"http://{}\", \"https://{}\"", plain.address, server.address));
    fixture.start(&[]).await;
    assert_eq!(fixture.push(&signed_by("blue", &forged, 1)).await, refused(401, "BAD_SIGNATURE"));
    assert_eq!(fixture.push(&signed_by("blue", &key, 2)).await, accepted());
    assert_eq!((plain.connections(), server.reads()), (0, 1));
}

/// The certificate of a directory has to name the server, and a name that is not listed is not asked.
#[tokio::test]
async fn directory_of_another_name_is_refused() {
    let mut fixture = DirectoryFixture::new();
    let key = key_of("1", 7);
    let pair = fixture.authority.issue(fixture.red.folder(), "green", &["green"], LeafKind::Usual);
    let server = DirectoryServer::start(Some(&pair), DirectoryReply::Json(directory_of(&[&key]))).await;
    fixture.peer_at("blue", &format!("\"https://{}\"", server.address));
    let stranger = DirectoryServer::start(None, DirectoryReply::Silence).await;
    fixture.start(&["network.allow=[\"127.0.0.0/8\"]"]).await;
    assert_eq!(fixture.push(&signed_by("blue", &key, 1)).await, unknown());
    assert_eq!(server.reads(), 0);
    let name = stranger.address.to_string();
    assert_eq!(fixture.push(&signed_by(&name, &key, 1)).await, unknown());
    assert_eq!(stranger.connections(), 0, "nothing is fetched for a name that is not listed");
}
