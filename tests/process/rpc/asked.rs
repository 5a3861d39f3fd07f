//! Calls of peers: what the messenger is asked, and what the peer is answered.

use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver};
use tokio::time::Instant;

use crate::fixtures::node::GatewayProcess;
use crate::rpc::{CallAnswer, CallingPair, SOON_CLOSED, answering, counted, json, of_red, refused, to_peer};

#[tokio::test]
async fn call_reaches_messenger_and_returns() {
    const BODY: &str = r#"{ "method" : "resolve", "n": 9007199254740993, "x": "\u00e9" }"#;
    let pair = CallingPair::start(json(201, r#"{"exact": 1.0}"#), &["messenger.push.secret=a secret"]).await;
    let answer = CallAnswer::to(to_peer(&pair.red, "blue", BODY).header("Fernpost-Timeout", "3s")).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"exact": 1.0}"#));
    assert_eq!(answer.peer.as_deref(), Some("blue"));
    let call = &pair.messenger.rpcs(1).await[0];
    assert_eq!((call.target.as_str(), call.body.as_str()), ("POST /in/rpc", BODY));
    assert_eq!(call.header("fernpost-peer"), Some("red"));
    assert!(call.header("webhook-id").is_some() && call.header("webhook-signature").is_some(), "{}", call.head);
    let left = call.header("fernpost-timeout").and_then(|text| text.strip_suffix("ms")).expect("ms");
    assert!((1_000..=3_000).contains(&left.parse::<u64>().expect("a number")), "{left}");
    assert_eq!(counted(&pair.red, "out", "answered").await, 1);
    assert_eq!(counted(&pair.blue, "in", "answered").await, 1);
}

#[tokio::test]
async fn messenger_answers_map_to_statuses() {
    let pair = CallingPair::start(json(200, "{}"), &["rpc.body_max=2KiB"]).await;
    let large = format!("\"{}\"", "x".repeat(3_000));
    for (reply, expected) in [
        (json(200, "[1]"), refused(200, "")),
        (json(204, ""), refused(502, "MESSENGER_ERROR")),
        (json(404, r#"{"code":"NO_SUCH_USER"}"#), refused(404, "NO_SUCH_USER")),
        (json(429, r#"{"code":"LATER"}"#), refused(429, "LATER")),
        (json(404, "not found"), refused(502, "MESSENGER_ERROR")),
        (json(200, "OK"), refused(502, "MESSENGER_ERROR")),
        (json(200, &large), refused(502, "MESSENGER_ERROR")),
        (json(302, "{}"), refused(502, "MESSENGER_ERROR")),
        (json(500, r#"{"code":"MINE"}"#), refused(502, "MESSENGER_ERROR")),
        (json(503, "{}"), refused(502, "MESSENGER_ERROR")),
        (MessengerReply::CutOff("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"), refused(502, "MESSENGER_ERROR")),
    ] {
        pair.messenger.answer(answering(reply.clone()));
        let answer = CallAnswer::to(of_red(pair.blue.federation, "{}")).await;
        assert_eq!(answer.refusal(), expected, "{reply:?}: {}", answer.text);
        // The asking messenger sees the same.
        let answer = CallAnswer::to(to_peer(&pair.red, "blue", "{}")).await;
        assert_eq!((answer.refusal(), answer.peer.as_deref()), (expected, Some("blue")), "{reply:?}");
    }
}

#[tokio::test]
async fn wrong_calls_are_refused_by_name() {
    let pair = CallingPair::start(json(200, "{}"), &["rpc.body_max=2KiB"]).await;
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(3_000));
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let salt = "0".repeat(32);
    let compare = |context: &str| {
        format!(r#"{{"method":"fernpost.compare","context":"{context}","comparison":"{salt}","from":0,"to":9}}"#)
    };
    for (body, expected) in [
        ("", refused(400, "BAD_JSON")),
        ("[]", refused(400, "BAD_JSON")),
        ("{\"a\":", refused(400, "BAD_JSON")),
        (r#"{"method":"a","method":"fernpost.ping"}"#, refused(400, "BAD_JSON")),
        (&deep, refused(400, "NESTS_TOO_DEEP")),
        (&large, refused(413, "TOO_LARGE")),
        (r#"{"method":"fernpost.pong"}"#, refused(404, "UNKNOWN_METHOD")),
        (r#"{"method":"fernpost.compare"}"#, refused(400, "BAD_COMPARISON")),
        (&compare("#none"), refused(404, "CONTEXT_NOT_SHARED")),
        (&compare(""), refused(404, "CONTEXT_NOT_SHARED")),
    ] {
        let answer = CallAnswer::to(of_red(pair.blue.federation, body)).await;
        assert_eq!(answer.refusal(), expected, "{body}: {}", answer.text);
    }
    let odd = of_red(pair.blue.federation, "{}").header("Fernpost-Timeout", "soon");
    assert_eq!(CallAnswer::to(odd).await.refusal(), refused(400, "BAD_TIMEOUT"));
    let unknown = CallAnswer::to(of_red(pair.blue.federation, "{}").header("Fernpost-Origin", "green")).await;
    assert_eq!(unknown.refusal(), refused(400, "BAD_ORIGIN"), "{}", unknown.text);
    let path = format!("http://{}/http/v1/rpc", pair.blue.federation);
    let get = crate::rpc::client().get(path).header("Fernpost-Origin", "red");
    assert_eq!(CallAnswer::to(get).await.refusal(), refused(405, "METHOD_NOT_ALLOWED"));
    assert!(pair.messenger.until("nothing", |_| true).await.iter().all(|call| !call.is_rpc()));
    assert_eq!(counted(&pair.blue, "in", "bad_request").await, 11);
}

#[tokio::test]
async fn missing_messenger_is_told_with_wait() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    let told = async |blue: &GatewayProcess, code: &str| {
        let answer = CallAnswer::to(of_red(blue.federation, "{}")).await;
        assert_eq!(answer.refusal(), refused(503, code), "{}", answer.text);
        assert_eq!(answer.json()["wait"].as_u64(), answer.retry_after);
        assert!(answer.retry_after.is_some_and(|wait| wait > 0));
        let ping = CallAnswer::to(to_peer(&red, "blue", r#"{"method":"fernpost.ping","x":[1]}"#)).await;
        let pong = ping.json();
        assert_eq!((ping.status, &pong["method"], &pong["server"]), (200, &"fernpost.ping".into(), &"blue".into()));
        assert_eq!(pong["version"], env!("CARGO_PKG_VERSION"));
        assert!(pong["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{pong}");
    };
    blue.start().await;
    told(&blue, "NO_MESSENGER").await;
    blue.kill();
    let mut gone = PushReceiver::taking();
    let url = format!("messenger.push.url=http://{}", gone.listen().await);
    gone.stop().await;
    blue.start_with(&[url.as_str()]).await;
    told(&blue, "MESSENGER_DOWN").await;
    assert_eq!(counted(&blue, "in", "unavailable").await, 1);
}

#[tokio::test]
async fn silent_messenger_times_out() {
    let pair = CallingPair::start(MessengerReply::Silent, &["rpc.timeout=300ms", "rpc.timeout_max=1s"]).await;
    let began = Instant::now();
    let answer = CallAnswer::to(of_red(pair.blue.federation, "{}")).await;
    assert_eq!(answer.refusal(), refused(504, "MESSENGER_TIMEOUT"), "{}", answer.text);
    assert!(began.elapsed().as_millis() >= 300 && began.elapsed() < SOON_CLOSED * 2, "{:?}", began.elapsed());
    pair.messenger.abandoned(1).await;
    let began = Instant::now();
    let longer = of_red(pair.blue.federation, "{}").header("Fernpost-Timeout", "1h");
    assert_eq!(CallAnswer::to(longer).await.refusal(), refused(504, "MESSENGER_TIMEOUT"));
    assert!(began.elapsed() >= SOON_CLOSED, "it is clamped to timeout_max: {:?}", began.elapsed());
    assert_eq!(counted(&pair.blue, "in", "timed_out").await, 2);
}
