//! Callers that say nothing, or too much: each is closed or refused in time, and counted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::{Client, Method};
use tokio::time::Instant;

use crate::fixtures::node::GatewayProcess;
use crate::tls::authority::{FileAuthority, LeafKind};

/// Sends these bytes and reads until the other side closes; returns what was read and after how long.
fn until_closed(address: std::net::SocketAddr, sent: &[u8]) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.write_all(sent).expect("sent");
    let mut read = Vec::new();
    // A reset ends the connection, too.
    let _ = stream.read_to_end(&mut read);
    (String::from_utf8_lossy(&read).into_owned(), began.elapsed())
}

#[tokio::test]
async fn silent_caller_is_closed_in_time() {
    let authority = FileAuthority::new();
    let mut red = GatewayProcess::new("red.example");
    let pair = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    red.tls("federation", &pair.cert, &pair.key);
    let limits = ["federation.handshake_timeout=\"1s\"", "federation.header_timeout=\"1s\""];
    red.start_with(&limits).await;
    let address = red.federation;
    for hello in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n"] {
        let (_, took) = tokio::task::spawn_blocking(move || until_closed(address, hello)).await.expect("it ran");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    assert_eq!(red.refusals("federation.handshake_timeout").await, 2, "the third was no TLS");
    drop(red.kill());

    let mut plain = GatewayProcess::new("red.example");
    plain.start_with(&limits).await;
    let address = plain.federation;
    let half = b"POST /http/v1/updates HTTP/1.1\r\nHost: red";
    let (answer, took) = tokio::task::spawn_blocking(move || until_closed(address, half)).await.expect("it ran");
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("HEAD_TIMEOUT"), "{answer}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn large_head_is_refused() {
    let mut red = GatewayProcess::new("red.example");
    red.peer("blue", "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.1/32\"]\n");
    red.start().await;
    let client = Client::builder().no_proxy().build().expect("a client");
    let send = async |bytes: usize| {
        let request = client.request(Method::GET, format!("http://{}/x", red.federation));
        request.header("X-Much", "x".repeat(bytes)).send().await.expect("an answer")
    };
    assert_eq!(send(15 << 10).await.status().as_u16(), 404);
    let refused = send(17 << 10).await;
    assert_eq!(refused.status().as_u16(), 431);
    let text = refused.text().await.expect("a text");
    assert!(text.contains("HEAD_TOO_LARGE") && text.contains("federation.headers_max"), "{text}");
    assert_eq!(red.refusals("federation.headers_max").await, 1);
}

#[tokio::test]
async fn deep_body_is_refused() {
    let mut red = GatewayProcess::new("red.example");
    red.peer("blue", "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.0/8\"]\n");
    red.start_with(&["federation.json_depth=20"]).await;
    let client = Client::builder().no_proxy().build().expect("a client");
    let push = async |levels: usize| {
        let request = client.post(format!("http://{}/http/v1/updates", red.federation));
        let body = format!("{{\"seq\":1,\"strong\":[{}{}]}}", "[".repeat(levels - 2), "]".repeat(levels - 2));
        request.header("Fernpost-Origin", "blue").body(body).send().await.expect("an answer")
    };
    let refused = push(21).await;
    assert_eq!(refused.status().as_u16(), 400);
    let text = refused.text().await.expect("a text");
    assert!(text.contains("NESTS_TOO_DEEP") && text.contains("20 levels (federation.json_depth)"), "{text}");
    assert_eq!(red.refusals("federation.json_depth").await, 1);
    assert_eq!(push(20).await.status().as_u16(), 200);
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let mut red = GatewayProcess::new("red.example");
    red.start_with(&["federation.connections_per_address=3"]).await;
    let held: Vec<_> = (0..3).map(|_| TcpStream::connect(red.federation).expect("connected")).collect();
    // The gateway has accepted them once it has refused one more.
    let address = red.federation;
    let refused = async {
        while red.refusals("federation.connections_per_address").await == 0 {
            tokio::task::spawn_blocking(move || until_closed(address, b"")).await.expect("it ran");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused).await.expect("one more is refused");
    drop(held);
}

/// The name of a caller comes from the body, from its address alone, or from the header; each counts its connection.
#[tokio::test]
async fn one_peer_has_so_many_connections() {
    let mut red = GatewayProcess::new("red.example");
    red.peer("blue", "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.0/8\"]\nconnections_max = 2\n");
    red.start().await;
    let transaction = r#"{"transaction_id":"1","origin":"blue","ts":1,"pdus":[]}"#;
    let by_body = ("PUT /matrix/federation/v1/send/1/", "", transaction);
    let by_address = ("POST /http/v1/updates", "", r#"{"seq":1,"strong":[{}]}"#);
    let by_header = ("GET /matrix/federation/v1/pull/?origin=blue&v=0", "Fernpost-Origin: blue\r\n", "");
    let address = red.federation;
    let ask = async |(line, header, body): (&str, &str, &str)| {
        let length = body.len();
        let request = format!("{line} HTTP/1.1\r\nHost: red\r\n{header}Content-Length: {length}\r\n\r\n{body}");
        let asked = move || {
            let mut stream = TcpStream::connect(address).expect("connected");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
            stream.write_all(request.as_bytes()).expect("sent");
            let mut status = [0; 12];
            stream.read_exact(&mut status).expect("an answer");
            (String::from_utf8_lossy(&status[9..]).into_owned(), stream)
        };
        tokio::task::spawn_blocking(asked).await.expect("it ran")
    };
    // The gateway learns of the end of a connection when it reads from it, so the first answers may still be 429.
    let held = async |how| {
        let connected = async {
            loop {
                let (status, stream) = ask(how).await;
                match status.as_str() {
                    "200" => return stream,
                    other => assert_eq!(other, "429"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), connected).await.expect("there is room")
    };
    for (first, second) in [(by_body, by_address), (by_address, by_header), (by_header, by_body)] {
        let two = [held(first).await, held(second).await];
        let before = red.refusals("peers.connections_max").await;
        for third in [by_body, by_address, by_header] {
            assert_eq!(ask(third).await.0, "429");
        }
        assert_eq!(red.refusals("peers.connections_max").await, before + 3);
        drop(two);
    }
}
