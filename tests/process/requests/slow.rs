//! Callers that say nothing for long, at any request of a connection; and those who wait for us, which is not the same.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;
use crate::fixtures::raw::Raw;

/// Sends this to a listener, and reads until it closes; returns what was read and after how long.
async fn until_closed(stream: &mut TcpStream, sent: &str) -> (String, Duration) {
    let began = Instant::now();
    stream.write_all(sent.as_bytes()).await.expect("sent");
    let mut read = Vec::new();
    // A reset ends the connection, too.
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut read)).await.expect("closed in time");
    (String::from_utf8_lossy(&read).into_owned(), began.elapsed())
}

/// Connects and has this request answered; the connection stays open.
async fn answered(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut read = Vec::new();
    while !read.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut read).await.expect("an answer"), 0, "closed");
    }
    stream
}

const GET: &str = "GET /nothing HTTP/1.1\r\nHost: red.example\r\n\r\n";
const CHUNKED: &str =
    "POST /http/v1/updates HTTP/1.1\r\nHost: red.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n";

#[tokio::test]
async fn later_request_has_its_deadlines() {
    let mut red = GatewayProcess::new("red.example");
    red.start_with(&["federation.header_timeout=1s", "federation.idle_timeout=2s"]).await;
    let half = &GET[..20];
    let mut later = answered(red.federation, GET).await;
    let (said, took) = until_closed(&mut later, half).await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("within 1s") && said.contains("HEAD_TIMEOUT"), "{said}");
    assert!((1..5).contains(&took.as_secs()), "{took:?}");
    let mut idle = answered(red.federation, GET).await;
    let (said, took) = until_closed(&mut idle, "").await;
    assert!(said.is_empty() && (1..6).contains(&took.as_secs()), "{took:?} {said}");
    // It is refused at its head, and the rest is not waited for.
    let mut refused = answered(red.federation, CHUNKED).await;
    let (said, took) = until_closed(&mut refused, "1\r\n").await;
    assert!(said.is_empty() && took < Duration::from_secs(5), "{took:?} {said}");

    // The other listeners have the defaults.
    let private = async |address| {
        let mut later = answered(address, GET).await;
        until_closed(&mut later, half).await
    };
    for (said, took) in <[_; 2]>::from(tokio::join!(private(red.messenger), private(red.admin))) {
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("within 10s"), "{said}");
        assert!((9..15).contains(&took.as_secs()), "{took:?}");
    }
    assert_eq!(red.refusals("federation.header_timeout").await, 1);
}

/// A server of 2014 is named by the body of its transaction alone, and repeats none that it lost.
#[tokio::test]
async fn held_transaction_survives_silent_flood() {
    let mut red = GatewayProcess::new("red.example");
    red.peer(
        "blue.example",
        "profile = \"synapse-2014\"\naddresses = [\"http://127.0.0.1:1\"]\n\
        allow_from = [\"127.0.0.1/32\"]\nhold_max = \"3s\"",
    );
    red.start_with(&["federation.connections_max=3", "feed.high_water=2", "feed.low_water=1"]).await;
    let transaction = |number: u32| {
        let pdu = |id: String| {
            json!({"content": {}, "context": "ctx", "depth": 0, "is_state": false, "origin": "blue.example",
                "pdu_id": id, "pdu_type": "m.text", "prev_pdus": [], "ts": 1_404_838_188_000_u64})
        };
        let pdus = [pdu(format!("a{number}")), pdu(format!("b{number}"))];
        let body = json!({"transaction_id": number.to_string(), "origin": "blue.example", "ts": 1, "pdus": pdus});
        let body = body.to_string();
        let head =
            format!("PUT /matrix/federation/v1/send/{number}/ HTTP/1.1\r\nHost: red.example\r\nConnection: close\r\n");
        format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let send = async |number| {
        let caller = Raw::connect(Ipv4Addr::LOCALHOST, red.federation).await;
        let began = Instant::now();
        let text = caller.text(transaction(number).as_bytes()).await;
        (text, began.elapsed())
    };
    let (first, _) = send(1).await;
    assert!(first.starts_with("HTTP/1.1 200 ") && !first.contains("error"), "{first}");
    let flood = async {
        let mut silent = Vec::new();
        // Connections that are closed in place of another one are counted.
        let counted = async {
            while red.refusals("federation.connections_max").await < 9 {
                silent.push(TcpStream::connect(red.federation).await.expect("connected"));
            }
        };
        soon("nine are closed", counted).await;
    };
    let ((second, took), ()) = tokio::join!(send(2), flood);
    assert!(second.starts_with("HTTP/1.1 200 "), "{second:?}");
    assert!(took >= Duration::from_secs(2), "it was held: {took:?}");
}
