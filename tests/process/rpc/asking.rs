//! Calls to peers: what the messenger is answered when the peer does, and when it does not.

use ::fixtures::clients::http_caller::HttpCaller;
use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver};
use reqwest::Method;
use tokio::time::Instant;

use crate::fixtures::node::GatewayProcess;
use crate::rpc::{CallAnswer, CallingPair, answering, client, counted, json, refused, to_peer};

/// Red, whose peer is an HTTP server that answers calls so.
async fn with_scripted_peer(reply: MessengerReply, overrides: &[&str]) -> (GatewayProcess, PushReceiver) {
    let mut peer = PushReceiver::answering(answering(reply));
    let mut red = GatewayProcess::new("red");
    let address = peer.listen().await;
    red.peer("gold", &format!("addresses = [\"http://{address}\"]\nallow_from = [\"127.0.0.1/32\"]"));
    red.peer(
        "old",
        "profile = \"synapse-2014\"\naddresses = [\"http://127.0.0.1:9\"]\nallow_from = [\"127.0.0.9/32\"]",
    );
    red.start_with(overrides).await;
    (red, peer)
}

#[tokio::test]
async fn answers_of_peer_pass_unchanged() {
    let (red, peer) = with_scripted_peer(json(200, "{}"), &["rpc.body_max=2KiB"]).await;
    let large = format!("\"{}\"", "x".repeat(3_000));
    let cut = MessengerReply::CutOff("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}");
    for (reply, expected, is_the_peers) in [
        (json(200, r#"{"code":"FINE"}"#), refused(200, "FINE"), true),
        (json(500, r#"{"code":"BROKEN"}"#), refused(500, "BROKEN"), true),
        (json(404, r#"{"code":"unknown_peer"}"#), refused(404, "unknown_peer"), true),
        (json(302, r#"{"code":"MOVED"}"#), refused(302, "MOVED"), true),
        (json(200, "OK"), refused(502, "refused"), false),
        (json(401, ""), refused(502, "refused"), false),
        (json(200, &large), refused(502, "refused"), false),
        (cut, refused(502, "unreachable"), false),
        (MessengerReply::CutOff(""), refused(502, "unreachable"), false),
    ] {
        peer.answer(answering(reply.clone()));
        let answer = CallAnswer::to(to_peer(&red, "gold", "{}")).await;
        assert_eq!(answer.refusal(), expected, "{reply:?}: {}", answer.text);
        assert_eq!(answer.peer.as_deref(), is_the_peers.then_some("gold"), "{reply:?}");
    }
    peer.answer(answering(MessengerReply::RetryAfter(7)));
    assert_eq!(CallAnswer::to(to_peer(&red, "gold", "{}")).await.refusal(), refused(502, "refused"));
    let calls = peer.rpcs(10).await;
    assert_eq!(calls.len(), 10, "nothing is repeated");
    assert_eq!(calls[0].target, "POST /http/v1/rpc");
    assert_eq!(calls[0].header("fernpost-origin"), Some("red"));
}

#[tokio::test]
async fn wrong_calls_send_nothing() {
    let (red, peer) = with_scripted_peer(json(200, "{}"), &["rpc.body_max=2KiB"]).await;
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(3_000));
    for (server, body, expected) in [
        ("nobody", "{}", refused(404, "unknown_peer")),
        ("red", "{}", refused(404, "unknown_peer")),
        ("x.bad.example", "{}", refused(404, "unknown_peer")),
        ("a%20b", "{}", refused(404, "unknown_peer")),
        ("old", "{}", refused(422, "dialect")),
        ("gold", "[]", refused(400, "bad_json")),
        ("gold", "", refused(400, "bad_json")),
        ("gold", &large, refused(413, "too_large")),
    ] {
        let answer = CallAnswer::to(to_peer(&red, server, body)).await;
        assert_eq!((answer.refusal(), answer.peer), (expected, None), "{server} {body}");
    }
    for odd in ["soon", "0ms", "2", ""] {
        let answer = CallAnswer::to(to_peer(&red, "gold", "{}").header("Fernpost-Timeout", odd)).await;
        assert_eq!(answer.refusal(), refused(400, "bad_timeout"), "{odd:?}");
    }
    assert!(peer.until("nothing", |_| true).await.is_empty());
    assert_eq!(counted(&red, "out", "bad_request").await, 12);
}

#[tokio::test]
async fn silent_peer_times_out() {
    let (red, peer) = with_scripted_peer(MessengerReply::Silent, &["rpc.timeout=1h", "rpc.timeout_max=1h"]).await;
    let began = Instant::now();
    let answer = CallAnswer::to(to_peer(&red, "gold", "{}").header("Fernpost-Timeout", "300ms")).await;
    assert_eq!((answer.refusal(), answer.peer), (refused(504, "timeout"), None));
    assert!(began.elapsed().as_millis() >= 300 && began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    peer.abandoned(1).await;
    let left = peer.rpcs(1).await[0].header("fernpost-timeout").map(str::to_owned).expect("it is told");
    assert!(left.strip_suffix("ms").is_some_and(|ms| ms.parse::<u64>().is_ok_and(|ms| ms <= 300)), "{left}");
}

/// The asker is told that its time is over, and never by the peer, whose time ends later.
#[tokio::test]
async fn deadline_of_asker_comes_first() {
    let pair = CallingPair::start(MessengerReply::Silent, &[]).await;
    for _ in 0..5 {
        let answer = CallAnswer::to(to_peer(&pair.red, "blue", "{}").header("Fernpost-Timeout", "100ms")).await;
        assert_eq!((answer.refusal(), answer.peer), (refused(504, "timeout"), None));
    }
}

#[tokio::test]
async fn down_peer_is_unreachable() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    let ping = || to_peer(&red, "blue", r#"{"method":"fernpost.ping"}"#);
    let answer = CallAnswer::to(ping()).await;
    assert_eq!((answer.refusal(), answer.peer), (refused(502, "unreachable"), None));
    blue.start().await;
    assert_eq!(CallAnswer::to(ping()).await.status, 200, "there is no backoff");
    blue.kill();
    blue.start().await;
    assert_eq!(CallAnswer::to(ping()).await.status, 200, "the connection that was kept is replaced");
}

#[tokio::test]
async fn suspended_peer_is_not_asked() {
    let (mut red, mut blue) = GatewayProcess::pair("paused = true\nbackoff_min = \"1h\"\nbackoff_max = \"1h\"");
    red.start().await;
    blue.start().await;
    let messenger = red.messenger;
    let ping = async || {
        let call = client().post(format!("http://{messenger}/v1/rpc/blue")).body(r#"{"method":"fernpost.ping"}"#);
        CallAnswer::to(call).await.refusal()
    };
    red.api().say("m", "blue", "waits").await;
    assert_eq!(ping().await, refused(200, ""), "a pause concerns the queue alone");
    let operator = HttpCaller::at(red.admin);
    for (order, expected) in [("suspend", refused(503, "suspended")), ("resume", refused(200, ""))] {
        operator.call_expecting(200, Method::POST, &format!("/admin/v1/peers/blue/{order}"), "").await;
        assert_eq!(ping().await, expected, "{order}");
    }
    operator.call_expecting(200, Method::POST, "/admin/v1/peers/blue/suspend", "").await;
    red.kill();
    red.start().await;
    assert_eq!(ping().await, refused(503, "suspended"), "also after a restart");
    let back = CallAnswer::to(to_peer(&blue, "red", r#"{"method":"fernpost.ping"}"#)).await;
    assert_eq!(back.status, 200, "what the peer asks is answered");
    assert_eq!(counted(&red, "out", "suspended").await, 1);
}
