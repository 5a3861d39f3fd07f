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
