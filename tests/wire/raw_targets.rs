//! A raw `#` in request targets over real sockets: inbound on every request of a connection, outbound to servers that do
//! not decode.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::limits::{InteropQuirks, PairOrder};
use actors::model::{FetchRequest, PushFailure, RequestDeadlines, UnreachedReason};
use actors::ports::Transport;
use fernpost::http::listener::caller_deadlines::RequestTimes;
use fernpost::http::serve::{ListenerLimits, serve_raw_targets};
use fernpost::wire::transport::PeerTransport;
use fixtures::keys::TrustingRelayJudge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::circle::{Circle, name, reference};
use crate::sockets::{One, client};

/// Returns the parts of a request that reached the handler, and the caller's address.
async fn echo(request: HttpRequest, path: web::Path<String>, body: web::Bytes) -> HttpResponse {
    let caller = request.peer_addr().expect("a connection").ip();
    HttpResponse::Ok().body(format!("{path}|{}|{}|{caller}$", request.query_string(), String::from_utf8_lossy(&body)))
}

fn listen(serving: ListenerLimits) -> (SocketAddr, ServerHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = serve_raw_targets(listener, &ListenerLimits { workers: 1, ..serving }, |config| {
        config.service(web::resource("/state/{context}/").to(echo));
    });
    let server = server.expect("serves");
    let handle = server.handle();
    tokio::spawn(server);
    (address, handle)
}

/// Reads one response up to its last byte; returns its status and text.
async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = vec![];
    while !bytes.ends_with(b"$") && stream.read_buf(&mut bytes).await.expect("an answer") > 0 {}
    let text = String::from_utf8(bytes).expect("text");
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{text:?}"));
    (status, text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
}

fn requests() -> Vec<(String, &'static str)> {
    let line = "GET /state/#no/ HTTP/1.1\r\n\r\n";
    let (length, chunk) = (line.len(), format!("{:x}\r\n{line}\r\n0\r\n\r\n", line.len()));
    vec![
        ("GET /state/#room.red/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "#room.red|||127.0.0.1$"),
        (
            format!("PUT /state/#room.red/?v=#a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{line}"),
            "#room.red|v=%23a|GET /state/#no/ HTTP/1.1\r\n\r\n|127.0.0.1$",
        ),
        ("\r\nGET /state/%23room!:@/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "#room!:@|||127.0.0.1$"),
        (
            format!("PUT /state/##/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"),
            "##||GET /state/#no/ HTTP/1.1\r\n\r\n|127.0.0.1$",
        ),
        ("GET /state/#last/ HTTP/1.0\r\n\r\n".to_owned(), "#last|||127.0.0.1$"),
    ]
}

#[actix_web::test]
async fn raw_hash_works_on_every_request() {
    let (address, handle) = listen(ListenerLimits::default());
    for piece in [1, 7, usize::MAX] {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.set_nodelay(true).expect("a socket");
        for (request, expected) in requests() {
            for piece in request.as_bytes().chunks(piece) {
                stream.write_all(piece).await.expect("written");
                tokio::task::yield_now().await;
            }
            assert_eq!(answer(&mut stream).await, (200, expected.to_owned()), "{request:?} in {piece}");
        }
    }
    // Requests are pipelined without waiting, and then the client closes its side for writing.
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let together: String = requests().into_iter().map(|(request, _)| request).collect();
    stream.write_all(together.as_bytes()).await.expect("written");
    stream.shutdown().await.expect("half closed");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.expect("answers");
    for (_, expected) in requests() {
        let (_, rest) = answers.split_once(expected).unwrap_or_else(|| panic!("{expected:?} is not in {answers:?}"));
        answers = rest.to_owned();
    }
    handle.stop(false).await;
}

#[actix_web::test]
async fn raw_hash_in_body_is_untouched() {
    let (address, handle) = listen(ListenerLimits::default());
    let body = "GET /#a HTTP/1.1\r\nContent-Length: 0\r\n\r\n".repeat(4000);
    for chunked in [false, true] {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let head = "PUT /state/#b/ HTTP/1.1\r\nHost: a\r\n";
        let request = if chunked {
            let chunks: String =
                body.as_bytes().chunks(1999).map(|c| format!("{:x}\r\n{}\r\n", c.len(), text(c))).collect();
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
        } else {
            format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
        };
        stream.write_all(request.as_bytes()).await.expect("written");
        let (status, said) = answer(&mut stream).await;
        let same = said == format!("#b||{body}|127.0.0.1$");
        assert!(status == 200 && same, "{status}, {} bytes", said.len());
    }
    handle.stop(false).await;
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[actix_web::test]
async fn raw_target_connection_stays_bounded() {
    let times = RequestTimes { head: Duration::from_millis(300), ..RequestTimes::default() };
    let serving = ListenerLimits { times, ..ListenerLimits::default() };
    let (address, handle) = listen(serving);
    let mut long = TcpStream::connect(address).await.expect("connects");
    let target = "#".repeat(200_000);
    // The response may arrive before the whole request is written.
    let _ = long.write_all(format!("GET /state/{target}/ HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
    let mut said = vec![];
    let _ = long.read_to_end(&mut said).await;
    assert!(said.starts_with(b"HTTP/1.1 4") || said.is_empty(), "{}", String::from_utf8_lossy(&said));

    let mut slow = TcpStream::connect(address).await.expect("connects");
    slow.write_all(b"GET /state/#a").await.expect("written");
    let mut said = vec![];
    slow.read_to_end(&mut said).await.expect("an end");
    assert!(said.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&said));

    handle.stop(false).await;

    // A stop does not wait for an idle connection.
    let (address, handle) = listen(ListenerLimits::default());
    let mut idle = TcpStream::connect(address).await.expect("connects");
    idle.write_all(b"GET /state/#a/ HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
    assert_eq!(answer(&mut idle).await.0, 200);
    tokio::time::timeout(Duration::from_secs(10), handle.stop(true))
        .await
        .expect("the stop is immediate, not after the drain time");
}

const DEADLINES: RequestDeadlines =
    RequestDeadlines { connect: Duration::from_secs(5), total: Duration::from_secs(20) };

/// A server of 2014 that finds nothing and reports the request line that it read.
async fn old_server() -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        let mut asked = vec![];
        while !asked.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut asked).await.expect("a request");
        }
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\"\"\r\n0\r\n\r\n").await.ok();
        String::from_utf8(asked).expect("text")
    });
    (address, asked)
}

fn transport(at: String, habits: InteropQuirks) -> PeerTransport {
    let us = name("red.example");
    let egress = client(us.as_str(), Arc::new(One(at)));
    PeerTransport::new(
        Arc::new(egress),
        us,
        Arc::new(Circle { habits, ..Circle::default() }),
        Arc::new(TrustingRelayJudge),
    )
}

const OLD: InteropQuirks = InteropQuirks { pairs: PairOrder::IdFirst, raw_targets: true, protobuf: false };

#[actix_web::test]
async fn synapse_peer_gets_raw_target() {
    for (habits, id, line) in [
        (OLD, "#a!:@b", "/pdu/green/#a!:@b/"),
        (OLD, "a%23\"<>|\\^`{}b", "/pdu/green/a%23\"<>|\\^`{}b/"),
        (OLD, "..", "/pdu/green/../"),
        (OLD, "a/b? c\u{e9}", "/pdu/green/a%2Fb%3F%20c%C3%A9/"),
        (OLD, "plain", "/pdu/green/plain/"),
        (InteropQuirks::default(), "#a!b", "/pdu/green/%23a%21b/"),
    ] {
        let (address, asked) = old_server().await;
        let want = FetchRequest::Pdu(reference("green", id));
        let fetched = transport(format!("http://{address}"), habits).fetch(&name("blue"), want, DEADLINES).await;
        assert_eq!(fetched, Ok(vec![]), "{id}");
        let asked = asked.await.expect("no panic");
        assert!(asked.starts_with(&format!("GET /matrix/federation/v1{line} HTTP/1.1\r\n")), "{asked}");
        let head = asked.to_ascii_lowercase();
        for header in ["host: blue", "fernpost-origin: red.example", "user-agent: fernpost/"] {
            assert!(head.contains(&format!("\r\n{header}")), "{header} is missing in {head}");
        }
    }
}

#[actix_web::test]
async fn raw_target_passes_address_filter() {
    let want = || FetchRequest::Pdu(reference("green", "#a"));
    let (address, asked) = old_server().await;
    let named = format!("http://localhost:{}", address.port());
    let refused = transport(named, OLD).fetch(&name("blue"), want(), DEADLINES).await;
    let Err(PushFailure::Unreachable(UnreachedReason { words, .. })) = refused else {
        panic!("let through: {refused:?}")
    };
    assert!(words.contains("network.allow"), "{words}");
    assert!(!asked.is_finished(), "nobody was asked");
    asked.abort();
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let unreached = transport(format!("http://{gone}"), OLD).fetch(&name("blue"), want(), DEADLINES).await;
    assert!(
        matches!(&unreached, Err(PushFailure::Unreachable(UnreachedReason { words, .. })) if words.contains(&gone.to_string())),
        "{unreached:?}"
    );
}
