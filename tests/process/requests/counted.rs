//! Each refusal by a limit is counted under the key of the limit.

use std::net::Ipv4Addr;

use ::fixtures::clients::messenger_client::submission;
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::raw::Raw;

/// Returns a push of blue; `more` are further header lines.
fn push(body: &str, more: &str) -> String {
    let length = body.len();
    let head = "POST /http/v1/updates HTTP/1.1\r\nHost: red\r\nFernpost-Origin: blue\r\n";
    format!("{head}Content-Length: {length}\r\n{more}\r\n{body}")
}

async fn pushed(red: &GatewayProcess, body: &str) -> (u16, Value) {
    let caller = Raw::connect(Ipv4Addr::LOCALHOST, red.federation).await;
    caller.exchange(push(body, "Connection: close\r\n").as_bytes()).await
}

#[tokio::test]
async fn each_refusal_counts_by_key() {
    let mut red = GatewayProcess::new("red");
    red.peer(
        "blue",
        "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.1/32\"]\nrate = 1\nconnections_max = 2\n\
        intake_items = 2\noutbox_items = 1\nbatch_bytes = \"1KiB\"\nbackoff_min = \"10m\"",
    );
    let more = ["federation.body_max=4KiB", "federation.body_timeout=1s", "messenger.body_max=4KiB"];
    red.start_with(&more).await;
    let refused = |status: u16, json: &Value| (status, json["code"].as_str().unwrap_or_default().to_owned());
    let expected = |status: u16, code: &str| (status, code.to_owned());

    let (status, json) = pushed(&red, &format!(r#"{{"seq":1,"strong":[{{"a":"{}"}}]}}"#, "x".repeat(5 << 10))).await;
    assert_eq!(refused(status, &json), expected(413, "BODY_TOO_LARGE"));
    let (status, json) = pushed(&red, r#"{"seq":3,"from_seq":1,"strong":[{},{},{}]}"#).await;
    assert_eq!(refused(status, &json), expected(413, "PUSH_TOO_LONG"));
    let slow = Raw::connect(Ipv4Addr::LOCALHOST, red.federation).await;
    let text = slow.text(push("{", "").replace("Length: 1", "Length: 2").as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("BODY_TIMEOUT"), "{text}");
    // One of these comes within a second of the one before.
    let mut waits = 0;
    while waits == 0 {
        let (status, json) = pushed(&red, r#"{"seq":2,"from_seq":1,"strong":[{},{}]}"#).await;
        assert_eq!(status, 200, "{json}");
        waits += u64::from(json["receive"] == "wait");
    }

    let api = red.api();
    let submit = async |id: &str, text: &str| {
        let body = submission(&["blue"], &[text]);
        let (status, json) = api.call(Method::PUT, &format!("/v1/updates/{id}"), &body).await.expect("an answer");
        refused(status, &json)
    };
    assert_eq!(submit("m-1", "first").await.0, 202);
    assert_eq!(submit("m-2", "second").await, expected(429, "OUTBOX_FULL"));
    assert_eq!(submit("m-3", &"x".repeat(2 << 10)).await, expected(413, "TOO_LARGE"));
    assert_eq!(submit("m-4", &"x".repeat(5 << 10)).await, expected(413, "TOO_LARGE"));

    // Two connections of blue are open; on a third one no request is answered.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(red.federation).await.expect("connected");
        stream.write_all(push("{}", "").as_bytes()).await.expect("sent");
        let mut read = vec![0; 12];
        stream.read_exact(&mut read).await.expect("an answer");
        assert_ne!(&read[..], b"HTTP/1.1 429");
        held.push(stream);
    }
    let (status, json) = pushed(&red, "{}").await;
    assert_eq!(refused(status, &json), expected(429, "TOO_MANY_CONNECTIONS"));
    drop(held);

    for (limit, count) in [
        ("federation.body_max", 1),
        ("federation.body_timeout", 1),
        ("peers.intake_items", 1),
        ("peers.rate", waits),
        ("peers.outbox_items", 1),
        ("peers.batch_bytes", 1),
        ("messenger.body_max", 1),
        ("peers.connections_max", 1),
        ("federation.idle_timeout", 0),
    ] {
        assert_eq!(red.refusals(limit).await, count, "{limit}");
    }
}
