//! Malformed requests to a real gateway: each gets its error, and none changes anything.

use std::net::Ipv4Addr;

use ::fixtures::clients::messenger_client::texts;
use serde_json::{Value, json};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::raw::Raw;

/// `federation.body_max` and `messenger.body_max` in this test.
const BODY_MAX: usize = 64 << 10;

/// A request: the last byte of the caller's address, the request line without the version, headers, body; and the expected
/// status and code.
type Case = (u8, &'static str, &'static str, Body, u16, &'static str);

enum Body {
    Text(&'static str),
    Bytes(&'static [u8]),
    /// A text repeated this often between two others.
    Long(&'static str, &'static str, usize, &'static str),
    /// A body of this announced length that is never sent.
    Announced(u64),
    /// A body in chunks, as raw bytes.
    Chunks(&'static [u8]),
    /// A body that ends before its announced length.
    Broken(&'static str),
}

use Body::{Announced, Broken, Bytes, Chunks, Long, Text};

const PUSH: &str = "POST /http/v1/updates";

/// Requests to the listener for peers.
#[rustfmt::skip]
fn federation() -> Vec<Case> {
    let stranger = "Fernpost-Origin: stranger.example\r\n";
    vec![
        // The body is not JSON.
        (1, PUSH, "", Text(""), 400, "NOT_JSON"),
        (1, PUSH, "", Text("strong=1&seq=1"), 400, "NOT_JSON"),
        (1, PUSH, "", Text("{\"strong\":[{}],\"seq\":1"), 400, "NOT_JSON"),
        (1, PUSH, "", Text("{\"strong\":[{}],\"seq\":1}}"), 400, "NOT_JSON"),
        (1, PUSH, "", Text("{\"strong\":[{\"a\":NaN}],\"seq\":1}"), 400, "NOT_JSON"),
        (1, PUSH, "", Bytes(b"{\"strong\":[{\"a\":\"\xff\"}],\"seq\":1}"), 400, "NOT_JSON"),
        (1, PUSH, "", Bytes(b"\xef\xbb\xbf{\"strong\":[{}],\"seq\":1}"), 400, "NOT_JSON"),
        (1, PUSH, "", Long("{\"seq\":1,\"strong\":[", "[", 20_000, ""), 400, "NOT_JSON"),
        (1, PUSH, "Content-Encoding: gzip\r\n", Bytes(b"\x1f\x8b\x08\x00\x00\x00"), 400, "NOT_JSON"),
        // The body is JSON, but not a push.
        (1, PUSH, "", Text("[]"), 400, "NOT_A_PUSH"),
        (1, PUSH, "", Text("{}"), 400, "NOT_A_PUSH"),
        (1, PUSH, "", Text("{\"strong\":[{}]}"), 400, "NOT_A_PUSH"),
        (1, PUSH, "", Text("{\"strong\":{},\"seq\":1}"), 400, "NOT_A_PUSH"),
        (1, PUSH, "", Text("{\"strong\":[{}],\"seq\":\"1\"}"), 400, "NOT_A_PUSH"),
        (1, PUSH, "", Text("{\"strong\":[{}],\"seq\":-1}"), 400, "NOT_A_PUSH"),
        (1, PUSH, "", Text("{\"strong\":[{}],\"seq\":1.0}"), 400, "NOT_A_PUSH"),
        (1, PUSH, "", Text("{\"strong\":[{}],\"seq\":99999999999999999999}"), 400, "NOT_A_PUSH"),
        (1, PUSH, "", Text("{\"strong\":[{}],\"seq\":1,\"seq\":1}"), 400, "NOT_A_PUSH"),
        // The numbers are inconsistent.
        (1, PUSH, "", Text("{\"strong\":[{}],\"seq\":0}"), 400, "MISNUMBERED"),
        (1, PUSH, "", Text("{\"strong\":[{},{}],\"seq\":1,\"from_seq\":1}"), 400, "MISNUMBERED"),
        (1, PUSH, "", Text("{\"strong\":[{}],\"seq\":1,\"from_seq\":0}"), 400, "MISNUMBERED"),
        (1, PUSH, "", Text("{\"strong\":[{}],\"seq\":1,\"from_seq\":2}"), 400, "MISNUMBERED"),
        (1, PUSH, "", Text("{\"strong\":[{},{}],\"seq\":3,\"from_seq\":1}"), 400, "MISNUMBERED"),
        // The body is too large.
        (1, PUSH, "", Long("{\"seq\":1001,\"strong\":[{}", ",{}", 1000, "]}"), 413, "PUSH_TOO_LONG"),
        (1, PUSH, "", Long("{\"seq\":1,\"strong\":[{\"a\":\"", "x", BODY_MAX, "\"}]}"), 413, "BODY_TOO_LARGE"),
        (1, PUSH, "", Long("", " ", 8 << 20, ""), 413, "BODY_TOO_LARGE"),
        (1, PUSH, "", Announced(1 << 40), 413, "BODY_TOO_LARGE"),
        // The body is broken.
        (1, PUSH, "", Chunks(b"zz\r\n{}\r\n0\r\n\r\n"), 400, "BODY_BROKEN"),
        (1, PUSH, "", Broken("{\"strong\":[{}],\"seq\":1}"), 400, "BODY_BROKEN"),
        // The caller is unknown.
        (2, PUSH, "", Text("{\"strong\":[{}],\"seq\":1}"), 401, "UNAUTHENTICATED"),
        (2, PUSH, "Fernpost-Origin: blue\r\n", Text("{\"strong\":[{}],\"seq\":1}"), 401, "UNAUTHENTICATED"),
        (1, PUSH, stranger, Text("{\"strong\":[{}],\"seq\":1}"), 401, "UNAUTHENTICATED"),
        (1, PUSH, "Fernpost-Origin: red\r\n", Text("{\"strong\":[{}],\"seq\":1}"), 401, "UNAUTHENTICATED"),
        (2, PUSH, "X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n", Text("{\"seq\":0}"), 401, "UNAUTHENTICATED"),
        (2, PUSH, "", Announced(1 << 40), 401, "UNAUTHENTICATED"),
        // The caller is denied and learns no more than an unknown caller.
        (3, PUSH, "", Text("{\"strong\":[{}],\"seq\":1}"), 401, "UNAUTHENTICATED"),
        (3, PUSH, "Fernpost-Origin: x.bad.example\r\n", Text("{\"strong\":[{}],\"seq\":1}"), 403, "FORBIDDEN"),
        (1, PUSH, "Fernpost-Origin: blue..example\r\n", Text("{\"seq\":0}"), 400, "BAD_ORIGIN"),
        (1, PUSH, "Fernpost-Origin: \r\n", Text("{\"seq\":0}"), 400, "BAD_ORIGIN"),
        (1, PUSH, "Fernpost-Origin: blue\r\nFernpost-Origin: blue\r\n", Text("{\"seq\":0}"), 400, "BAD_ORIGIN"),
        // The endpoint does not exist.
        (2, "GET /http/v1/updates", "", Text(""), 401, "UNAUTHENTICATED"),
        (2, "GET /nowhere", "", Text(""), 401, "UNAUTHENTICATED"),
        (1, "GET /nowhere", stranger, Text(""), 401, "UNAUTHENTICATED"),
        (3, "GET /nowhere", "Fernpost-Origin: x.bad.example\r\n", Text(""), 403, "FORBIDDEN"),
        (1, "GET /http/v1/updates", "", Text(""), 405, "METHOD_NOT_ALLOWED"),
        (1, "PUT /http/v1/updates", "", Text("{\"strong\":[{}],\"seq\":1}"), 405, "METHOD_NOT_ALLOWED"),
        (1, "POST /http/v1/update", "", Text("{\"strong\":[{}],\"seq\":1}"), 404, "NOT_FOUND"),
        (1, "POST /http/v1/updates/1", "", Text("{\"strong\":[{}],\"seq\":1}"), 404, "NOT_FOUND"),
        (1, "GET /../../etc/passwd", "", Text(""), 404, "NOT_FOUND"),
        (1, "GET /v1/events", "", Text(""), 404, "NOT_FOUND"),
        (1, "PUT /v1/updates/m-1", "", Text("{\"to\":[\"blue\"],\"strong\":[{}]}"), 404, "NOT_FOUND"),
        (1, "FROB /", "", Text(""), 404, "NOT_FOUND"),
    ]
}

const PUT: &str = "PUT /v1/updates/m-1";
const ACK: &str = "POST /v1/events/ack";

/// Requests to the messenger's listener.
#[rustfmt::skip]
fn messenger() -> Vec<Case> {
    vec![
        (1, PUT, "", Text(""), 400, "BAD_JSON"),
        (1, PUT, "", Text("[]"), 400, "BAD_JSON"),
        (1, PUT, "", Bytes(b"{\"to\":[\"blue\"],\"strong\":[{\"a\":\"\xff\"}]}"), 400, "BAD_JSON"),
        (1, PUT, "", Text("{\"to\":[\"blue\"],\"strong\":[{}]"), 400, "BAD_JSON"),
        (1, PUT, "", Long("{\"to\":[\"blue\"],\"strong\":[", "[", 20_000, ""), 400, "BAD_JSON"),
        (1, PUT, "", Text("{\"to\":[\"blue\"],\"to\":[\"blue\"],\"strong\":[{}]}"), 400, "BAD_JSON"),
        (1, PUT, "", Text("{\"to\":[\"blue\"],\"strong\":[{}],\"weak\":[{}]}"), 400, "UNKNOWN_KEY"),
        (1, PUT, "", Text("{\"strong\":[{}]}"), 422, "BAD_TO"),
        (1, PUT, "", Text("{\"to\":\"blue\",\"strong\":[{}]}"), 422, "BAD_TO"),
        (1, PUT, "", Text("{\"to\":[],\"strong\":[{}]}"), 422, "BAD_TO"),
        (1, PUT, "", Text("{\"to\":[\"b/lue\"],\"strong\":[{}]}"), 422, "BAD_TO"),
        (1, PUT, "", Text("{\"to\":[\"blue\"]}"), 422, "BAD_STRONG"),
        (1, PUT, "", Text("{\"to\":[\"blue\"],\"strong\":[]}"), 422, "BAD_STRONG"),
        (1, PUT, "", Text("{\"to\":[\"blue\"],\"strong\":\"x\"}"), 422, "BAD_STRONG"),
        (1, PUT, "", Text("{\"to\":[\"blue\"],\"strong\":[{},1]}"), 422, "NOT_AN_OBJECT"),
        (1, PUT, "", Text("{\"to\":[\"blue\",\"green\"],\"strong\":[{}]}"), 422, "NOT_A_PEER"),
        (1, PUT, "", Text("{\"to\":[\"red\"],\"strong\":[{}]}"), 422, "NOT_A_PEER"),
        (1, PUT, "", Long("{\"to\":[\"blue\"],\"strong\":[{}", ",{}", 500, "]}"), 422, "TOO_MANY_UPDATES"),
        (1, PUT, "", Long("{\"to\":[\"blue\"],\"strong\":[{\"a\":\"", "x", 40_000, "\"}]}"), 413, "TOO_LARGE"),
        (1, PUT, "", Long("", " ", 8 << 20, ""), 413, "TOO_LARGE"),
        (1, PUT, "", Announced(1 << 40), 413, "TOO_LARGE"),
        (1, PUT, "", Broken("{\"to\":[\"blue\"],\"strong\":[{}]}"), 400, "BAD_BODY"),
        (1, "PUT /v1/updates/m%201", "", Text("{\"to\":[\"blue\"],\"strong\":[{}]}"), 422, "BAD_ID"),
        (1, "PUT /v1/updates/%ff", "", Text("{\"to\":[\"blue\"],\"strong\":[{}]}"), 422, "BAD_ID"),
        (1, "POST /v1/updates/m-1", "", Text("{\"to\":[\"blue\"],\"strong\":[{}]}"), 405, "WRONG_METHOD"),
        (1, "PUT /v1/updates", "", Text("{\"to\":[\"blue\"],\"strong\":[{}]}"), 404, "NO_ROUTE"),
        (1, "PUT /v2/updates/m-1", "", Text("{\"to\":[\"blue\"],\"strong\":[{}]}"), 404, "NO_ROUTE"),
        (1, ACK, "", Text(""), 400, "BAD_JSON"),
        (1, ACK, "", Text("{\"upto\":-1}"), 400, "BAD_JSON"),
        (1, ACK, "", Text("{\"upto\":0,\"to\":0}"), 400, "BAD_JSON"),
        (1, ACK, "", Text("{\"upto\":1}"), 422, "BEYOND_TAIL"),
        (1, "GET /v1/events/ack", "", Text(""), 405, "WRONG_METHOD"),
        (1, "GET /v1/events?after=x", "", Text(""), 400, "BAD_QUERY"),
        (1, "GET /v1/events?limit=0", "", Text(""), 400, "BAD_QUERY"),
        (1, "GET /v1/events?wait=-1", "", Text(""), 400, "BAD_QUERY"),
        (1, "GET /v1/events?affter=1", "", Text(""), 400, "BAD_QUERY"),
        (1, "DELETE /v1/events", "", Text(""), 405, "WRONG_METHOD"),
        (1, "GET /v1/messages/m-1", "", Text(""), 404, "UNKNOWN_ID"),
        (1, "GET /v1/messages/%00", "", Text(""), 404, "UNKNOWN_ID"),
        (1, "GET /v1/peers/green", "", Text(""), 404, "UNKNOWN_PEER"),
        (1, "POST /http/v1/updates", "", Text("{\"strong\":[{}],\"seq\":1}"), 404, "NO_ROUTE"),
    ]
}

/// Returns the bytes of a request.
fn written(line: &str, headers: &str, body: &Body) -> Vec<u8> {
    let (length, body) = match body {
        Text(text) => (format!("Content-Length: {}", text.len()), text.as_bytes().to_vec()),
        Bytes(bytes) => (format!("Content-Length: {}", bytes.len()), bytes.to_vec()),
        Long(start, middle, times, end) => {
            let text = [start, middle.repeat(*times).as_str(), end].concat();
            (format!("Content-Length: {}", text.len()), text.into_bytes())
        }
        Announced(length) => (format!("Content-Length: {length}"), vec![]),
        Chunks(wire) => ("Transfer-Encoding: chunked".to_owned(), wire.to_vec()),
        Broken(text) => (format!("Content-Length: {}", text.len() + 1), text.as_bytes().to_vec()),
    };
    let head = format!("{line} HTTP/1.1\r\nHost: red\r\nConnection: close\r\n{headers}{length}\r\n\r\n");
    [head.into_bytes(), body].concat()
}

#[tokio::test]
async fn malformed_request_changes_nothing() {
    let (mut red, _blue) = GatewayProcess::pair("batch_bytes = \"32KiB\"");
    red.peer("x.bad.example", "addresses = [\"http://127.0.0.1:9\"]\nallow_from = [\"127.0.0.3/32\"]");
    let body_max = ["federation", "messenger"].map(|door| format!("{door}.body_max={BODY_MAX}B"));
    red.start_with(&[&body_max[0], &body_max[1]]).await;

    let doors = [(red.federation, federation()), (red.messenger, messenger())];
    let (mut complaints, mut count) = (vec![], 0);
    for (door, (from, line, headers, body, status, code)) in
        doors.into_iter().flat_map(|(door, cases)| cases.into_iter().map(move |case| (door, case)))
    {
        let raw = Raw::connect(Ipv4Addr::new(127, 0, 0, from), door).await;
        let (got, json) = raw.exchange(&written(line, headers, &body)).await;
        let said = json["error"].as_str().is_some_and(|words| !words.is_empty());
        count += 1;
        if (got, json["code"].as_str(), said) != (status, Some(code), true) {
            complaints.push(format!("{count}: {line} {headers:?}: {got} {json} instead of {status} {code}"));
        }
    }
    assert!(complaints.is_empty(), "of {count}\n{}", complaints.join("\n"));
    println!("{count} requests");

    let api = red.api();
    assert_eq!(api.get("/v1/events?after=0").await, json!({"events": [], "next": 0}));
    for peer in api.get("/v1/peers").await["peers"].as_array().expect("a list") {
        let seen = ["expected_seq", "backlog", "state"].map(|key| peer[key].clone());
        assert_eq!(seen, [Value::from(1), Value::from(0), Value::from("idle")], "{peer}");
    }
    // The same calls without the faults succeed, so each request above was refused for its fault alone.
    let push = written(PUSH, "Fernpost-Origin: blue\r\n", &Text("{\"strong\":[{\"text\":\"hello\"}],\"seq\":1}"));
    let (status, answer) = Raw::connect(Ipv4Addr::LOCALHOST, red.federation).await.exchange(&push).await;
    assert_eq!((status, &answer["receive"], &answer["seq"]), (200, &json!("ok"), &json!(1)), "{answer}");
    api.say("m-1", "blue", "hello").await;
    assert_eq!(texts(&api.hear(1).await), ["hello"]);
    let log = red.kill();
    assert!(!log.contains("panic") && !log.contains("ERROR"), "{log}");
}

/// Bytes that are not HTTP are refused before any route, with a reason.
const NO_HTTP: &[(&str, &str)] = &[
    ("GARBAGE\r\n\r\n", "METHOD TARGET HTTP/1.1"),
    ("POST /http/v1/updates HTTP/1.1\r\nHost: red\r\nContent-Length: x\r\n\r\n", "Content-Length is \"x\""),
    (
        "POST /http/v1/updates HTTP/1.1\r\nHost: red\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "several Content-Length",
    ),
    (
        "POST /http/v1/updates HTTP/1.1\r\nHost: red\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        "a Content-Length and a Transfer-Encoding",
    ),
    ("POST /http/v1/updates HTTP/1.1\r\nHost: red\r\nTransfer-Encoding: frob\r\n\r\n", "Transfer-Encoding is \"frob\""),
    ("POST /http/v1/updates HTTP/1.1\r\nBad Header: x\r\n\r\n", "\"Bad Header: x\" is not NAME: VALUE"),
    ("POST http:// HTTP/1.1\r\n\r\n", "target \"http://\" is not a path"),
    ("GET / HTTP/1.1\r\n\r\n", "no Host header"),
    ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n", "it is TLS"),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\"PRI * HTTP/2.0\""),
];

#[tokio::test]
async fn non_http_bytes_are_refused() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.start().await;
    let mut complaints = vec![];
    for door in [red.federation, red.messenger, red.admin] {
        for (bytes, why) in NO_HTTP {
            let (got, json) = Raw::connect(Ipv4Addr::LOCALHOST, door).await.exchange(bytes.as_bytes()).await;
            let said = json["error"].as_str().is_some_and(|words| words.contains(why));
            if (got, json["code"].as_str(), said) != (400, Some("BAD_REQUEST"), true) {
                complaints.push(format!("{bytes:?}: {got} {json} instead of 400 with {why}"));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(red.api().get("/v1/peers/blue").await["expected_seq"], 1);
    let log = red.kill();
    assert!(!log.contains("panic"), "{log}");
}
