//! Calls in Protobuf: between gateways, of a stranger's bytes, and to a peer that cannot read them.

use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver, ReceivedCall};
use fernpost::http::body::encoded_errors::ErrorMessage;
use fernpost::rpc::call_message::CallMessage;
use prost::Message;
use reqwest::Method;

use crate::fixtures::node::GatewayProcess;
use crate::rpc::{CallAnswer, CallingPair, answering, client, counted, json, refused, to_peer};

const PROTOBUF: &str = "application/x-protobuf";

/// Returns a message with this JSON.
fn message(json: &str) -> Vec<u8> {
    CallMessage { json: json.to_owned().into() }.encode_to_vec()
}

/// Blue's answer to a body of red, which has this content type: the status, and the body.
async fn answer_to(blue: &GatewayProcess, content_type: &str, body: Vec<u8>) -> (u16, bytes::Bytes) {
    let call = client().post(format!("http://{}/http/v1/rpc", blue.federation));
    let call = call.header("Fernpost-Origin", "red").header("content-type", content_type).body(body);
    let answer = call.send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], PROTOBUF, "{}", answer.status());
    (answer.status().as_u16(), answer.bytes().await.expect("a body"))
}

/// Blue's refusal of a body in Protobuf: the status, the code, and the seconds to wait.
async fn refusal_of(blue: &GatewayProcess, body: Vec<u8>) -> (u16, String, u32) {
    let (status, body) = answer_to(blue, PROTOBUF, body).await;
    let ErrorMessage { error, code, wait } = ErrorMessage::decode(body).expect("an error");
    assert!(!error.is_empty(), "{code}");
    (status, code, wait)
}

#[tokio::test]
async fn protobuf_call_reaches_messenger_as_json() {
    const BODY: &str = r#"{ "method" : "resolve", "n": 9007199254740993, "x": "\u00e9" }"#;
    let pair = CallingPair::linked("encoding = \"protobuf\"", json(201, r#"{"exact": 1.0}"#), &[]).await;
    for _ in 0..2 {
        let answer = CallAnswer::to(to_peer(&pair.red, "blue", BODY)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"exact": 1.0}"#));
        assert_eq!(answer.peer.as_deref(), Some("blue"));
    }
    let call = &pair.messenger.rpcs(2).await[0];
    assert_eq!((call.body.as_str(), call.header("content-type")), (BODY, Some("application/json")));
    for content_type in [PROTOBUF, "application/protobuf; proto=fernpost.v1.Rpc"] {
        let (status, body) = answer_to(&pair.blue, content_type, message(BODY)).await;
        assert_eq!((status, body), (200, message(r#"{"exact": 1.0}"#).into()));
    }
    for (reply, expected) in [
        (json(404, r#"{"code":"NO_SUCH_USER"}"#), refused(404, "NO_SUCH_USER")),
        (json(400, r#"{"code":"MISSING"}"#), refused(400, "MISSING")),
        (json(415, r#"{"code":"ODD"}"#), refused(415, "ODD")),
        (json(500, "{}"), refused(502, "MESSENGER_ERROR")),
    ] {
        pair.messenger.answer(answering(reply));
        let answer = CallAnswer::to(to_peer(&pair.red, "blue", "{}")).await;
        assert_eq!((answer.refusal(), answer.peer.as_deref()), (expected, Some("blue")), "{}", answer.text);
    }
    pair.messenger.answer(answering(json(404, r#"{"code":"NO_SUCH_USER"}"#)));
    let (status, body) = answer_to(&pair.blue, PROTOBUF, message("{}")).await;
    assert_eq!((status, body), (404, message(r#"{"code":"NO_SUCH_USER"}"#).into()), "it stays the messenger's");
    let CallingPair { mut red, .. } = pair;
    assert!(!red.kill().contains("refuses Protobuf"), "no answer in Protobuf says so");
}

#[tokio::test]
async fn wrong_protobuf_calls_are_refused() {
    let pair = CallingPair::start(json(200, "{}"), &["rpc.body_max=2KiB"]).await;
    let sized = |length: usize| format!("{{\"x\":\"{}\"}}", "x".repeat(length - 8));
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let odd: [(&[u8], &str); 6] = [
        (b"\x0a\x05{}", "NOT_PROTOBUF"),
        (b"\x08\x01", "NOT_PROTOBUF"),
        (b"{}", "NOT_PROTOBUF"),
        (b"", "BAD_JSON"),
        (b"\x0a\x02[]", "BAD_JSON"),
        (b"\x0a\x02\xff\xfe", "BAD_JSON"),
    ];
    for (body, code) in odd {
        assert_eq!(refusal_of(&pair.blue, body.to_vec()).await, (400, code.to_owned(), 0), "{}", body.escape_ascii());
    }
    assert_eq!(refusal_of(&pair.blue, message(&deep)).await, (400, "NESTS_TOO_DEEP".to_owned(), 0));
    assert_eq!(refusal_of(&pair.blue, message(&sized(2049))).await, (413, "TOO_LARGE".to_owned(), 0));
    assert_eq!(refusal_of(&pair.blue, vec![0x1a; 9000]).await, (413, "TOO_LARGE".to_owned(), 0));
    let unknown = message(r#"{"method":"fernpost.pong"}"#);
    assert_eq!(refusal_of(&pair.blue, unknown).await, (404, "UNKNOWN_METHOD".to_owned(), 0));
    assert!(pair.messenger.until("nothing", |_| true).await.iter().all(|call| !call.is_rpc()));
    let (status, body) = answer_to(&pair.blue, PROTOBUF, message(&sized(2048))).await;
    assert_eq!((status, body), (200, message("{}").into()), "the limit is that of the JSON");
    // Brackets in the framing are no nesting: 91 is the length of the JSON, and the code of an opening bracket.
    let framed = [vec![b'\x12', 91], vec![b'['; 91], message(&sized(91))].concat();
    assert_eq!(answer_to(&pair.blue, PROTOBUF, framed).await.0, 200, "an unknown field is skipped");
    let form = client().post(format!("http://{}/http/v1/rpc", pair.blue.federation));
    let form = form.header("Fernpost-Origin", "red").header("content-type", "multipart/form-data; boundary=x");
    assert_eq!(CallAnswer::to(form.body("{}")).await.refusal(), refused(415, "UNSUPPORTED_MEDIA_TYPE"));
    assert_eq!(counted(&pair.blue, "in", "bad_request").await, 11);
}

/// The refusals before the handler of a call are in the encoding of the request, too.
#[tokio::test]
async fn early_refusals_come_in_protobuf() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    blue.start().await;
    let (status, code, wait) = refusal_of(&blue, message("{}")).await;
    assert_eq!((status, code.as_str()), (503, "NO_MESSENGER"));
    assert!(wait > 0);
    let at = |method: Method, path: &str, origin: &str| {
        let call = client().request(method, format!("http://{}{path}", blue.federation));
        call.header("Fernpost-Origin", origin).header("content-type", PROTOBUF).body(message("{}"))
    };
    for (method, path, origin, expected) in [
        (Method::POST, "/http/v1/rpc", "green", (401, "UNAUTHENTICATED")),
        (Method::POST, "/http/v1/updates", "green", (401, "UNAUTHENTICATED")),
        (Method::PUT, "/http/v1/rpc", "red", (405, "METHOD_NOT_ALLOWED")),
        (Method::POST, "/http/v1/nothing", "red", (404, "NOT_FOUND")),
    ] {
        let answer = at(method, path, origin).send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], PROTOBUF, "{path}");
        let status = answer.status().as_u16();
        let read = ErrorMessage::decode(answer.bytes().await.expect("a body")).expect("an error");
        assert_eq!((status, read.code.as_str()), expected, "{path} of {origin}");
    }
    let other = at(Method::PUT, "/matrix/federation/v1/send/1/", "red").send().await.expect("an answer");
    assert_eq!(other.headers()["content-type"], "application/json", "the other dialect has one encoding");
}

#[tokio::test]
async fn refused_protobuf_call_becomes_json() {
    let is_json = |call: &ReceivedCall| call.header("content-type") == Some("application/json");
    let mut gold = PushReceiver::answering(move |call| match (is_json(call), call.is_rpc()) {
        (false, _) => MessengerReply::Status(400, r#"{"error":"no JSON","code":"BAD"}"#.to_owned()),
        (true, true) => MessengerReply::Status(200, call.body.clone()),
        (true, false) => MessengerReply::Status(200, r#"{"receive":"ok","seq":1}"#.to_owned()),
    });
    let address = gold.listen().await;
    let mut red = GatewayProcess::new("red");
    red.peer(
        "gold",
        &format!("addresses = [\"http://{address}\"]\nallow_from = [\"127.0.0.1/32\"]\nencoding = \"protobuf\""),
    );
    red.start().await;
    for number in 1..=3 {
        let body = format!("{{\"n\":{number}}}");
        let answer = CallAnswer::to(to_peer(&red, "gold", &body)).await;
        assert_eq!((answer.status, answer.text), (200, body));
    }
    red.api().say("m-1", "gold", "a push").await;
    red.api().until_state("m-1", "gold", "acknowledged").await;
    let calls = gold.until("five calls", |calls| calls.len() == 5).await;
    let encodings: Vec<bool> = calls.iter().map(is_json).collect();
    assert_eq!(encodings, [false, true, true, true, true], "Protobuf is tried once, and pushes know it, too");
    assert_eq!(red.kill().matches("the peer refuses Protobuf and is sent JSON").count(), 1);
}

#[tokio::test]
async fn protobuf_answers_of_peer_become_json() {
    const REFUSED: &str = "HTTP/1.1 429 Told\r\ncontent-type: application/x-protobuf\r\ncontent-length: 18\r\n\r\n\n\x04busy\x12\x08RPC_BUSY\x18\x07";
    const CUT: &str = "HTTP/1.1 200 Told\r\ncontent-type: application/x-protobuf\r\ncontent-length: 4\r\n\r\n\n\x05{}";
    const NO_JSON: &str =
        "HTTP/1.1 200 Told\r\ncontent-type: application/x-protobuf\r\ncontent-length: 4\r\n\r\n\n\x02{]";
    let mut gold = PushReceiver::answering(answering(MessengerReply::CutOff(REFUSED)));
    let address = gold.listen().await;
    let mut red = GatewayProcess::new("red");
    red.peer(
        "gold",
        &format!("addresses = [\"http://{address}\"]\nallow_from = [\"127.0.0.1/32\"]\nencoding = \"protobuf\""),
    );
    red.start().await;
    let answer = CallAnswer::to(to_peer(&red, "gold", "{}")).await;
    assert_eq!((answer.status, answer.peer.as_deref()), (429, Some("gold")));
    assert_eq!(answer.text, r#"{"error":"busy","code":"RPC_BUSY","wait":7}"#);
    for reply in [CUT, NO_JSON] {
        gold.answer(answering(MessengerReply::CutOff(reply)));
        let answer = CallAnswer::to(to_peer(&red, "gold", "{}")).await;
        assert_eq!((answer.refusal(), answer.peer), (refused(502, "refused"), None), "{reply}");
    }
    assert_eq!(gold.rpcs(3).await[0].body, "\n\u{2}{}");
}
