//! Events of the feed are pushed signed, in batches that grow, over every kind of connection.

use std::sync::Arc;

use ::fixtures::receivers::push_receiver::{PushReceiver, ReceivedCall};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::push::{PushingPair, listening, sizes, taken};
use crate::tls::authority::{FileAuthority, LeafKind};

fn is_signed(call: &ReceivedCall, key: &[u8], place: usize) -> bool {
    let header = |name| call.header(name).expect("each call has it");
    let signed = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), call.body);
    let signature = header("webhook-signature").split(' ').nth(place).and_then(|one| one.strip_prefix("v1,"));
    let signature = STANDARD.decode(signature.expect("a signature of version 1")).expect("base64");
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes(), &signature).is_ok()
}

#[tokio::test]
async fn pushed_events_are_signed_polled_ones() {
    let (receiver, address) = listening(PushReceiver::taking()).await;
    let pair = PushingPair::start(address, &["messenger.push.secret=whsec_AQIDBA==\nold secret"]).await;
    pair.say(1, 3).await;
    let calls = receiver.acknowledged(3).await;
    assert_eq!(taken(&calls), [1, 2, 3]);
    let polled = reqwest::get(format!("http://{}/v1/events?after=0", pair.blue.messenger)).await.expect("an answer");
    let polled = polled.text().await.expect("a body");
    let pushed: Vec<&str> =
        calls.iter().map(|call| call.body.trim_start_matches("{\"events\":[").trim_end_matches("]}")).collect();
    assert_eq!(polled, format!("{{\"events\":[{}],\"next\":3}}", pushed.join(",")), "byte for byte");

    let mut last = 0;
    for call in &calls {
        let id = call.header("webhook-id").expect("signed");
        assert_eq!(call.target, format!("PUT /fernpost/transactions/{id}"));
        let txn: u64 = id.parse().expect("decimal");
        assert!(txn > last, "ids rise");
        last = txn;
        assert!(is_signed(call, &[1, 2, 3, 4], 0) && is_signed(call, b"old secret", 1));
        assert_eq!(call.header("content-type"), Some("application/json"));
        assert!(call.header("user-agent").is_some_and(|agent| agent.starts_with("Fernpost/")));
    }
    let all = receiver.until("the greeting", |calls| calls.iter().any(|call| call.target.starts_with("GET"))).await;
    let ping = all.iter().find(|call| call.target == "GET /fernpost/ping").expect("at the start");
    assert!(ping.body.is_empty() && is_signed(ping, &[1, 2, 3, 4], 0), "{}", ping.head);
    pair.nothing_unread().await;
}

#[tokio::test]
async fn push_alone_acknowledges() {
    let (receiver, address) = listening(PushReceiver::taking()).await;
    let mut pair = PushingPair::start(address, &[]).await;
    pair.say(1, 1).await;
    receiver.acknowledged(1).await;
    let api = pair.blue.api();
    let (status, refused) = api.call(Method::POST, "/v1/events/ack", r#"{"upto":1}"#).await.expect("an answer");
    assert_eq!((status, refused["code"].as_str()), (409, Some("PUSH_ON")));
    assert_eq!(api.call(Method::POST, "/v1/ping", "anything").await.expect("an answer").0, 204);
    assert_eq!(api.page(0).await["events"][0]["position"], 1, "the feed stays readable");
    pair.nothing_unread().await;
    let log = pair.blue.kill();
    assert!(log.contains("pushes are not signed") && log.contains("the messenger is up"), "{log}");
    // Without push mode the messenger goes on by polling from the same position, and back.
    pair.blue.start().await;
    pair.say(2, 2).await;
    pair.fed(3).await;
    let page = pair.blue.api().get("/v1/events").await;
    assert_eq!(page["events"][0]["position"], 2);
    pair.blue.api().acknowledge(2).await;
    // The acknowledgement rides with the commit of this submission; a kill before a commit would take it back.
    pair.blue.api().say("b-1", "red", "read").await;
    assert_eq!(pair.blue.api().call(Method::POST, "/v1/ping", "").await.expect("an answer").0, 204);
    drop(pair.blue.kill());
    pair.start_blue(&format!("http://{address}"), &[]).await;
    let calls = receiver.acknowledged(3).await;
    assert_eq!(taken(&calls), [1, 3]);
}

#[tokio::test]
async fn backlog_drains_in_growing_batches() {
    let (mut receiver, address) = listening(PushReceiver::taking()).await;
    receiver.stop().await;
    let pair = PushingPair::start(address, &[]).await;
    pair.say(1, 10_000).await;
    pair.fed(10_000).await;
    receiver.listen_at(address).await;
    pair.blue.api().call(Method::POST, "/v1/ping", "").await.expect("an answer");
    let calls = receiver.acknowledged(10_000).await;
    assert_eq!(taken(&calls), (1..=10_000).collect::<Vec<_>>(), "in order, each once");
    // The batch that waited holds what was there when it was cut.
    let sizes = sizes(&calls);
    assert!(sizes[0] <= 64 && sizes.len() <= 20, "{sizes:?}");
    assert!(sizes[1..5].is_sorted() && sizes.contains(&1_000), "{sizes:?}");
    assert!(!receiver.overlapped(), "one in flight");
    pair.nothing_unread().await;
}

#[tokio::test]
async fn events_reach_socket_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.sock");
    let mut receiver = PushReceiver::taking();
    receiver.listen_on_file(&path);
    let pair = PushingPair::start_to(&format!("unix:{}:/in", path.display()), &[]).await;
    pair.say(1, 2).await;
    let calls = receiver.acknowledged(2).await;
    assert_eq!(taken(&calls), [1, 2]);
    assert!(calls[0].target.starts_with("PUT /in/transactions/"), "{}", calls[0].target);
}

#[tokio::test]
async fn tls_trusts_configured_root_alone() {
    let (authority, folder) = (FileAuthority::new(), tempfile::tempdir().expect("a folder"));
    let pair = authority.issue(folder.path(), "messenger", &["localhost"], LeafKind::Usual);
    let chain = vec![CertificateDer::from_pem_file(&pair.cert).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a pair");
    let (acceptor, receiver) = (TlsAcceptor::from(Arc::new(config)), Arc::new(PushReceiver::taking()));
    let listener = TcpListener::bind("localhost:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let serving = Arc::clone(&receiver);
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serving.serve(stream));
            }
        }
    });

    let url = format!("https://localhost:{port}/fernpost");
    let mut pair = PushingPair::start_to(&url, &[]).await;
    pair.say(1, 1).await;
    let line = pair.blue.process().says("did not take a batch").await;
    assert!(line.contains("the TLS handshake failed"), "the system does not know the root: {line}");
    drop(pair.blue.kill());
    let ca = format!("messenger.push.ca={}", authority.write(folder.path()).display());
    pair.start_blue(&url, &[&ca]).await;
    assert_eq!(taken(&receiver.acknowledged(1).await), [1]);
    server.abort();
}
