//! Two gateways that authenticate each other by signatures, and callers that forge, alter or copy a signed request.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::fixtures::clients::messenger_client::texts;
use fernpost::identity::key_folder::KeyFolder;
use fernpost::identity::request_signature::{NONCE_BYTES, SignatureHeaders, sign_request};
use fernpost::identity::signature_base::SignedParts;
use fernpost::identity::signing_key::OwnKey;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::{fernpost, soon};

#[expect(clippy::disallowed_methods, reason = "the gateways of this test are processes, whose clock is the system's")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Makes the first key of a node and returns it with its form for `keys`.
pub(crate) fn key(node: &GatewayProcess) -> (OwnKey, String) {
    let now = now();
    let folder = KeyFolder::in_data_dir(&node.folder().join("data"));
    let key = folder.create(None, now, now).expect("a key").key;
    let pinned = format!("{}:{}", key.id(), key.public().to_base64());
    (key, pinned)
}

/// Red and blue, each knowing the other by its key alone; returns blue's key, too.
fn signing_pair(more: &str) -> (GatewayProcess, GatewayProcess, OwnKey) {
    let (mut red, mut blue) = (GatewayProcess::new("red"), GatewayProcess::new("blue"));
    let (_, of_red) = key(&red);
    let (secret, of_blue) = key(&blue);
    let section = |peer: &GatewayProcess, pinned: &str| {
        format!("addresses = [\"http://{}\"]\nauth = \"signature\"\nkeys = [\"{pinned}\"]\n{more}", peer.federation)
    };
    let (to_blue, to_red) = (section(&blue, &of_blue), section(&red, &of_red));
    red.peer_section("blue", &to_blue);
    blue.peer_section("red", &to_red);
    (red, blue, secret)
}

#[tokio::test]
async fn signing_gateways_exchange_updates() {
    let (mut red, mut blue, _) = signing_pair("");
    red.start().await;
    blue.start().await;
    for n in 0..5 {
        red.api().say(&format!("m-{n}"), "blue", &format!("from red {n}")).await;
        blue.api().say(&format!("m-{n}"), "red", &format!("from blue {n}")).await;
    }
    let events = blue.api().hear(5).await;
    assert_eq!(texts(&events), ["from red 0", "from red 1", "from red 2", "from red 3", "from red 4"]);
    assert!(events.iter().all(|event| event["verified"] == "signature"), "{events:?}");
    assert_eq!(red.api().hear(5).await.len(), 5);
    for (gateway, peer) in [(&red, "blue"), (&blue, "red")] {
        let skew = skew_of(gateway, peer).await.expect("both have answered and signed");
        assert!(skew.abs() < 2_000, "one clock drives both: {skew}");
    }
}

/// Returns the skew that a gateway shows for a peer.
async fn skew_of(gateway: &GatewayProcess, peer: &str) -> Option<i64> {
    let shown = gateway.api().get(&format!("/v1/peers/{peer}")).await;
    shown.get("clock_skew_ms").map(|skew| skew.as_i64().expect("a number"))
}

/// A GET that was signed after our start by the peer's own slow clock is accepted once the skew of that clock is known.
#[tokio::test]
async fn slow_clock_of_peer_is_known() {
    let (mut red, _blue, secret) = signing_pair("");
    red.start().await;
    assert_eq!(skew_of(&red, "blue").await, None);
    let read = SignedParts { method: "GET", target: "/matrix/federation/v1/pull/?origin=blue&v=0", ..PUSH };
    let slow = || seconds() - 60;
    let early = send(&red, &read, "", &sign(&secret, &read, "", slow(), 1), "").await;
    assert_eq!(codes(early), refused(401, "TOO_OLD"));
    assert_eq!(skew_of(&red, "blue").await, None, "a refused request states nothing");
    assert_eq!(send(&red, &PUSH, BODY, &sign(&secret, &PUSH, BODY, slow(), 2), "").await.0, 200);
    let skew = skew_of(&red, "blue").await.expect("it is known");
    assert!((-62_000..=-58_000).contains(&skew), "{skew}");
    assert_eq!(send(&red, &read, "", &sign(&secret, &read, "", slow(), 3), "").await.0, 200);
    let before_start = sign(&secret, &read, "", slow() - 120, 4);
    assert_eq!(codes(send(&red, &read, "", &before_start, "").await), refused(401, "TOO_OLD"));
    let mut command = fernpost();
    let shown = command.args(["peer", "show", "blue", "--config"]).arg(red.configured()).output();
    let shown = String::from_utf8(shown.expect("the binary starts").stdout).expect("text");
    assert!(shown.lines().any(|line| line.contains("clock") && line.contains("behind ours")), "{shown}");
}

/// Transactions and the GETs of a join are signed, too.
#[tokio::test]
async fn signing_gateways_exchange_messages() {
    let (mut red, mut blue, _) = signing_pair("dialect = \"transactions\"\n");
    red.start().await;
    blue.start().await;
    red.api().set_participants("#room", &[]).await;
    for n in 0..3 {
        red.api().say_in("#room", &format!("early-{n}"), &format!("early {n}")).await;
    }
    red.api().set_participants("#room", &["blue"]).await;
    let join = json!({"via": "red", "backfill": 10}).to_string();
    let (status, answer) = blue.api().call(Method::POST, "/v1/contexts/%23room/join", &join).await.expect("an answer");
    assert_eq!(status, 202, "{answer}");
    red.api().say_in("#room", "late", "late").await;
    let events = blue.api().hear(4).await;
    let mut texts: Vec<_> = events.iter().map(|event| event["content"]["body"].as_str().expect("a text")).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["early 0", "early 1", "early 2", "late"]);
    // Answers are not signed: what was fetched over plain HTTP is proved by the address that was asked.
    let verified = |event: &Value| (event["content"]["body"] == "late") == (event["verified"] == "signature");
    assert!(events.iter().all(verified), "{events:?}");
}

/// A push of blue's to red, as a caller writes it.
pub(crate) const PUSH: SignedParts<'static> =
    SignedParts { method: "POST", scheme: "http", authority: "red", target: "/http/v1/updates", headers: &[] };
pub(crate) const BODY: &str = r#"{"seq":1,"strong":[{"text":"hello"}]}"#;

/// Returns the seconds since 1970.
pub(crate) fn seconds() -> i64 {
    let since = now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the year 2^63")
}

fn sign(key: &OwnKey, message: &SignedParts<'static>, body: &str, created: i64, nonce: u8) -> SignatureHeaders {
    sign_request(key, &"blue".parse().expect("a name"), message, body.as_bytes(), created, [nonce; NONCE_BYTES])
}

/// Returns a request with these headers to red.
pub(crate) fn request(
    red: &GatewayProcess,
    message: &SignedParts<'static>,
    body: &str,
    signature: &SignatureHeaders,
) -> RequestBuilder {
    let method = Method::from_bytes(message.method.as_bytes()).expect("a method");
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
    client
        .request(method, format!("http://{}{}", red.federation, message.target))
        .header("Host", message.authority)
        .header("Content-Digest", &signature.content_digest)
        .header("Signature-Input", &signature.signature_input)
        .header("Signature", &signature.signature)
        .body(body.to_owned())
}

/// Sends a request with these headers to red; returns status and JSON.
pub(crate) async fn send(
    red: &GatewayProcess,
    message: &SignedParts<'static>,
    body: &str,
    signature: &SignatureHeaders,
    origin: &str,
) -> (u16, Value) {
    let mut request = request(red, message, body, signature);
    if !origin.is_empty() {
        request = request.header("Fernpost-Origin", origin);
    }
    answer(request).await
}

pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = soon("an answer", request.send()).await.expect("an answer");
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.expect("a body");
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

pub(crate) fn codes((status, body): (u16, Value)) -> (u16, String) {
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

pub(crate) fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn forged_requests_are_refused_by_name() {
    let (mut red, _blue, secret) = signing_pair("");
    red.start().await;
    let now = seconds();
    let sound = |nonce| sign(&secret, &PUSH, BODY, now, nonce);
    let other = OwnKey::from_seed("1".parse().expect("an id"), &zeroize::Zeroizing::new([3; 32]));
    let unknown = OwnKey::from_seed("9".parse().expect("an id"), &secret.seed());
    let elsewhere = SignedParts { authority: "green", ..PUSH };
    let moved = SignedParts { target: "/http/v1/updates?x=1", ..PUSH };
    for (message, body, signature, expected) in [
        (&PUSH, BODY, sign(&other, &PUSH, BODY, now, 1), refused(401, "BAD_SIGNATURE")),
        (&PUSH, BODY, sign(&unknown, &PUSH, BODY, now, 2), refused(401, "UNKNOWN_KEY")),
        (&PUSH, r#"{"seq":1}"#, sound(3), refused(401, "BAD_DIGEST")),
        (&moved, BODY, sound(4), refused(401, "BAD_SIGNATURE")),
        (&elsewhere, BODY, sign(&secret, &elsewhere, BODY, now, 5), refused(401, "WRONG_TARGET")),
        // Of several faults the first of the list is named.
        (&elsewhere, BODY, sign(&unknown, &elsewhere, BODY, now - 400, 12), refused(401, "WRONG_TARGET")),
        (&PUSH, BODY, sign(&unknown, &PUSH, BODY, now - 400, 13), refused(401, "UNKNOWN_KEY")),
        (&PUSH, r#"{"seq":1}"#, sign(&other, &PUSH, BODY, now - 400, 14), refused(401, "TOO_OLD")),
        (&PUSH, r#"{"seq":1}"#, sign(&other, &PUSH, BODY, now, 15), refused(401, "BAD_DIGEST")),
        (&PUSH, BODY, sign(&secret, &PUSH, BODY, now - 400, 6), refused(401, "TOO_OLD")),
        (&PUSH, BODY, sign(&secret, &PUSH, BODY, now + 400, 7), refused(401, "TOO_NEW")),
        (&PUSH, BODY, SignatureHeaders { signature: "sig1=x".to_owned(), ..sound(8) }, refused(401, "BAD_SIGNATURE")),
    ] {
        assert_eq!(codes(send(&red, message, body, &signature, "").await), expected);
    }
    let (_, late) = send(&red, &PUSH, BODY, &sign(&secret, &PUSH, BODY, now - 400, 9), "").await;
    let skew = late["skew_ms"].as_i64().expect("a number");
    assert!((-420_000..=-400_000).contains(&skew), "{late}");
    assert_eq!(codes(send(&red, &PUSH, BODY, &sound(10), "green").await), refused(403, "NOT_THE_SENDER"));
    assert_eq!(red.api().get("/v1/events").await["events"], json!([]));
    assert_eq!(send(&red, &PUSH, BODY, &sound(11), "blue").await.0, 200);
    assert_eq!(texts(&red.api().hear(1).await), ["hello"]);
}

/// A peer is proved by its own `auth` alone: the right address is no proof for blue, and blue's signature none for green.
#[tokio::test]
async fn proof_of_another_kind_is_refused() {
    let (mut red, _blue, secret) = signing_pair("");
    red.peer("green", "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.1/32\"]\n");
    red.start().await;
    let client = Client::builder().no_proxy().build().expect("a client");
    let unsigned = async |path: &str, method: Method, origin: &str, body: &str| {
        let request = client.request(method, format!("http://{}{path}", red.federation)).body(body.to_owned());
        let request = if origin.is_empty() { request } else { request.header("Fernpost-Origin", origin) };
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.headers().get("www-authenticate").cloned())
    };
    let signature = || Some("Signature".parse().expect("a value"));
    assert_eq!(unsigned("/http/v1/updates", Method::POST, "blue", BODY).await, (401, signature()));
    let transaction = r#"{"transaction_id":"1","origin":"blue","ts":1,"pdus":[]}"#;
    let send = "/matrix/federation/v1/send/1/";
    assert_eq!(unsigned(send, Method::PUT, "", transaction).await, (401, signature()), "as the body names it");
    assert_eq!(
        unsigned("/http/v1/updates", Method::POST, "green", BODY).await.0,
        200,
        "green is proved by its address"
    );
    let sound = sign(&secret, &PUSH, BODY, seconds(), 1);
    let as_green = self::send(&red, &PUSH, BODY, &sound, "green").await;
    assert_eq!(codes(as_green), refused(403, "NOT_THE_SENDER"));
}

/// Of copies that arrive at once, one is accepted.
#[tokio::test]
async fn one_of_many_copies_is_accepted() {
    let (mut red, _blue, secret) = signing_pair("");
    red.start().await;
    let signature = sign(&secret, &PUSH, BODY, seconds(), 1);
    let copies: Vec<_> = (0..8).map(|_| tokio::spawn(answer(request(&red, &PUSH, BODY, &signature)))).collect();
    let mut answers = vec![];
    for copy in copies {
        answers.push(copy.await.expect("no panic"));
    }
    let (accepted, others): (Vec<_>, Vec<_>) = answers.into_iter().map(codes).partition(|(status, _)| *status == 200);
    assert_eq!((accepted.len(), others), (1, vec![refused(401, "NONCE_SEEN"); 7]));
}

/// The scheme may be that of a proxy before us, the port of the listener may be named, and the method is that of the request line.
#[tokio::test]
async fn other_forms_of_target_are_accepted() {
    let (mut red, _blue, secret) = signing_pair("");
    red.start().await;
    let over_tls = SignedParts { scheme: "https", ..PUSH };
    assert_eq!(send(&red, &PUSH, BODY, &sign(&secret, &over_tls, BODY, seconds(), 1), "").await.0, 200);
    let host: &'static str = Box::leak(format!("red:{}", red.federation.port()).into_boxed_str());
    let with_port = SignedParts { authority: host, ..PUSH };
    assert_eq!(send(&red, &with_port, BODY, &sign(&secret, &with_port, BODY, seconds(), 2), "").await.0, 200);
    let read = SignedParts { method: "GET", target: "/matrix/federation/v1/nowhere/", ..PUSH };
    let head = SignedParts { method: "HEAD", ..read };
    let status = async |made_for: &SignedParts<'static>, nonce: u8| {
        let signature = sign(&secret, made_for, "", seconds(), nonce);
        answer(request(&red, &head, "", &signature)).await.0
    };
    assert_eq!((status(&head, 3).await, status(&read, 4).await), (404, 401));
}

/// A copy of an accepted request is refused, also after the process was killed: its nonce was in the same commit.
#[tokio::test]
async fn copied_request_is_refused_after_kill() {
    let (mut red, _blue, secret) = signing_pair("");
    red.start().await;
    let signature = sign(&secret, &PUSH, BODY, seconds(), 1);
    assert_eq!(send(&red, &PUSH, BODY, &signature, "").await.0, 200);
    assert_eq!(codes(send(&red, &PUSH, BODY, &signature, "").await), refused(401, "NONCE_SEEN"));
    // A push that is known already, and one that is answered with a hole, bring nothing: their nonces are stored all the same.
    let known = sign(&secret, &PUSH, BODY, seconds(), 4);
    let later = r#"{"seq":9,"strong":[{"text":"later"}]}"#;
    let hole = sign(&secret, &PUSH, later, seconds(), 5);
    assert_eq!(send(&red, &PUSH, BODY, &known, "").await.0, 200);
    assert_eq!(send(&red, &PUSH, later, &hole, "").await.0, 200);
    red.kill();
    red.start().await;
    for (body, copied) in [(BODY, &signature), (BODY, &known), (later, &hole)] {
        assert_eq!(codes(send(&red, &PUSH, body, copied, "").await), refused(401, "NONCE_SEEN"), "{body}");
    }
    let read = SignedParts { method: "GET", target: "/matrix/federation/v1/pull/?v=0", ..PUSH };
    let before_start = sign(&secret, &read, "", seconds() - 60, 2);
    assert_eq!(codes(send(&red, &read, "", &before_start, "").await), refused(401, "TOO_OLD"));
    assert_eq!(texts(&red.api().hear(1).await), ["hello"], "once");
}

#[tokio::test]
async fn nonces_of_one_key_are_limited() {
    let (mut red, _blue, secret) = signing_pair("");
    red.start_with(&["peers.nonces_max=2"]).await;
    let pushed = async |nonce: u8| send(&red, &PUSH, BODY, &sign(&secret, &PUSH, BODY, seconds(), nonce), "").await;
    assert_eq!((pushed(1).await.0, pushed(2).await.0), (200, 200));
    let refusal = pushed(3).await;
    assert!(refusal.1["error"].as_str().is_some_and(|words| words.contains("peers.nonces_max")), "{refusal:?}");
    assert_eq!(codes(refusal), refused(429, "NONCES_MAX"));
    assert_eq!(red.refusals("peers.nonces_max").await, 1);
}

/// The host is the signed one only if the proxy passes it on.
#[tokio::test]
async fn wrong_target_behind_proxy_names_header() {
    let (mut red, _blue, secret) = signing_pair("");
    let signature = sign(&secret, &PUSH, BODY, seconds(), 1);
    let replaced = SignedParts { authority: "inner.example", ..PUSH };
    let words = "the reverse proxy must pass the Host header on (nginx: proxy_set_header Host $http_host)";
    for (proxies, is_told) in [("[\"127.0.0.0/8\"]", true), ("[\"198.51.100.0/24\"]", false)] {
        red.start_with(&[&format!("federation.trusted_proxies={proxies}")]).await;
        let answer = send(&red, &replaced, BODY, &signature, "").await;
        let told = answer.1["error"].as_str().expect("a text").contains(words);
        assert_eq!((codes(answer), told), (refused(401, "WRONG_TARGET"), is_told), "{proxies}");
        drop(red.kill());
    }
}

/// The digest is that of the body as it is sent, so an encoding that the signature does not cover is refused.
#[tokio::test]
async fn signed_encoded_body_is_415() {
    let (mut red, _blue, secret) = signing_pair("");
    red.start().await;
    let signature = sign(&secret, &PUSH, BODY, seconds(), 1);
    let encoded = request(&red, &PUSH, BODY, &signature).header("Content-Encoding", "gzip");
    assert_eq!(codes(answer(encoded).await), refused(415, "CONTENT_ENCODING"));
    assert_eq!(send(&red, &PUSH, BODY, &signature, "").await.0, 200, "its nonce was not used");
}
