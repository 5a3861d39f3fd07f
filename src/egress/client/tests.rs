//! The egress client against small servers with valid and with invalid responses.

mod over_tls;

use std::net::IpAddr;

use actors::model::Millis;
use actors::testkit::TestClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::egress::client::*;
use crate::egress::{EgressAnswer, PeerService};

struct Book {
    route: Arc<PeerRoute>,
    loopback: bool,
}

impl AddressBook for Book {
    fn route(&self, _: &ServerName) -> Arc<PeerRoute> {
        Arc::clone(&self.route)
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.loopback && address.is_loopback()
    }
}

fn blue() -> ServerName {
    "blue.example".parse().expect("valid")
}

const LIMIT: usize = 64 * 1024;

fn gate(urls: &[String], loopback: bool) -> EgressClient {
    gate_with(urls, loopback, EgressOptions { answer_max: LIMIT, ..EgressOptions::default() })
}

fn gate_with(urls: &[String], loopback: bool, options: EgressOptions) -> EgressClient {
    let us = "red.example".parse().expect("valid");
    let addresses = urls.iter().map(|url| url.parse().expect("an address")).collect();
    let service = PeerService { name: "_actor-server._tcp", default_port: 9880 };
    let book = Book { route: Arc::new(PeerRoute::new(addresses, service)), loopback };
    EgressClient::new(&us, Arc::new(book), Arc::new(TestClock::fixed(Millis(0))), options)
}

const PATIENT: RequestDeadlines = RequestDeadlines { connect: Duration::from_secs(5), total: Duration::from_secs(20) };
const HASTY: RequestDeadlines =
    RequestDeadlines { connect: Duration::from_millis(200), total: Duration::from_millis(300) };

fn push() -> EgressRequest {
    EgressRequest::post("/http/v1/updates", Bytes::from_static(b"{}"), EgressAnswer::Needed)
}

async fn ask(urls: Vec<String>, deadlines: RequestDeadlines) -> Result<Bytes, PushFailure> {
    gate(&urls, false).send(&blue(), push(), deadlines).await
}

/// Starts a server that sends these bytes on every connection after one request, and then holds the connection open or
/// closes it. It reports the request heads it read.
async fn answering(answer: impl Into<Vec<u8>>, hold: bool) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let (heads, read) = mpsc::unbounded_channel();
    let answer = answer.into();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n{}") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            heads.send(String::from_utf8_lossy(&request).to_ascii_lowercase()).ok();
            stream.write_all(&answer).await.ok();
            if hold {
                held.push(stream);
            }
        }
    });
    (url, read)
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

#[tokio::test]
async fn request_carries_host_and_origin() {
    let (url, mut heads) = answering(response("200 OK", "", r#"{"receive":"ok"}"#), false).await;
    assert_eq!(ask(vec![url], PATIENT).await, Ok(Bytes::from_static(br#"{"receive":"ok"}"#)));
    let head = heads.recv().await.expect("a request");
    assert!(head.starts_with("post /http/v1/updates http/1.1\r\n"), "{head}");
    let agent = concat!("user-agent: fernpost/", env!("CARGO_PKG_VERSION"));
    for line in ["host: blue.example", "fernpost-origin: red.example", "content-type: application/json", agent] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} is missing in {head}");
    }
}

#[tokio::test]
async fn error_reason_is_short_and_printable() {
    let (url, _heads) = answering(response("503 Busy", "Retry-After: 7\r\n", "not\nnow"), false).await;
    let expected =
        PushFailure::Troubled { status: 503, reason: "not now".to_owned(), retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(ask(vec![url], PATIENT).await, Err(expected));

    let (url, _heads) = answering(response("403 No", "", &"x".repeat(5000)), false).await;
    assert_eq!(ask(vec![url], PATIENT).await, Err(PushFailure::Refused { status: 403, reason: "x".repeat(200) }));

    let (url, _heads) = answering(response("204 None", "", ""), false).await;
    assert!(matches!(ask(vec![url], PATIENT).await, Err(PushFailure::Unreadable(_))));
}

#[tokio::test]
async fn redirect_is_never_followed() {
    let (other, mut asked) = answering(response("200 OK", "", "{}"), false).await;
    let (url, _heads) = answering(response("307 Elsewhere", &format!("Location: {other}/\r\n"), ""), false).await;
    assert!(matches!(ask(vec![url], PATIENT).await, Err(PushFailure::Redirected { status: 307 })));
    assert!(asked.try_recv().is_err());
}

fn too_large() -> PushFailure {
    PushFailure::AnswerTooLarge { limit: "network.answer_max", bytes_max: LIMIT }
}

#[tokio::test]
async fn oversized_response_is_cut_off() {
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n";
    let (url, _heads) = answering(announced, true).await;
    assert_eq!(ask(vec![url], PATIENT).await, Err(too_large()));

    let mut endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n".to_vec();
    endless.resize(endless.len() + 0x1_8000, b'x');
    let (url, _heads) = answering(endless, true).await;
    assert_eq!(ask(vec![url], PATIENT).await, Err(too_large()));

    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_BYTES_MAX + 1));
    let (url, _heads) = answering(long, true).await;
    assert_eq!(ask(vec![url], PATIENT).await, Err(HEAD_LIMIT.exceeded()));
}

#[tokio::test]
async fn silent_response_times_out() {
    for start in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"] {
        let (url, _heads) = answering(start, true).await;
        assert_eq!(ask(vec![url], HASTY).await, Err(PushFailure::TimedOut), "{start:?}");
    }
    let (url, _heads) = answering("HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 10\r\n\r\nsorr", true).await;
    let kept =
        PushFailure::Troubled { status: 503, reason: "sorr".to_owned(), retry_after: Some(Duration::from_secs(3)) };
    assert_eq!(ask(vec![url], HASTY).await, Err(kept), "the status decides, even if the body is incomplete");
}

/// If a broken response body made the request fail, an accepted transaction would be sent again for ever.
#[tokio::test]
async fn status_decides_despite_broken_body() {
    let taken = |url| async {
        let request = EgressRequest { answer: EgressAnswer::StatusDecides, method: EgressMethod::Put, ..push() };
        let options = EgressOptions { answer_max: 8, ..EgressOptions::default() };
        gate_with(&[url], false, options).send(&blue(), request, HASTY).await
    };
    let long = response("200 OK", "", "more than eight");
    let broken = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{".to_owned();
    for (answer, hold) in [(long, false), (broken.clone(), false), (broken, true)] {
        let (url, mut heads) = answering(answer, hold).await;
        assert_eq!(taken(url).await, Ok(Bytes::new()));
        assert!(heads.recv().await.expect("a request").starts_with("put "));
    }
    let (url, _heads) = answering(response("200 OK", "", "null"), false).await;
    assert_eq!(taken(url).await, Ok(Bytes::from_static(b"null")));
    let (url, _heads) = answering(response("202 Later", "", "null"), false).await;
    assert!(matches!(taken(url).await, Err(PushFailure::Unreadable(_))));
}

#[tokio::test]
async fn broken_connection_is_transport_failure() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", "no http at all\r\n\r\n"] {
        let (url, _heads) = answering(answer, false).await;
        assert!(matches!(ask(vec![url], PATIENT).await, Err(PushFailure::Broken(_))), "{answer:?}");
    }
}

async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

#[tokio::test]
async fn last_good_address_is_first() {
    let (first, mut heads_of_first) = answering(response("200 OK", "Connection: close\r\n", "1"), false).await;
    let (second, _heads) = answering(response("200 OK", "Connection: close\r\n", "2"), false).await;
    let dead = nobody().await;
    let gate = gate(&[dead.clone(), second, first], false);
    for _ in 0..3 {
        assert_eq!(gate.send(&blue(), push(), PATIENT).await, Ok(Bytes::from_static(b"2")));
    }
    assert!(heads_of_first.try_recv().is_err(), "an address that answers is not left");
    let good = gate.good.lock().get(&blue()).map(ToString::to_string);
    assert!(good.is_some_and(|good| good != dead));
}

#[tokio::test]
async fn unreachable_peer_names_all_addresses() {
    let (one, two) = (nobody().await, nobody().await);
    let Err(PushFailure::Unreachable(reason)) = ask(vec![one.clone(), two.clone()], PATIENT).await else {
        panic!("reached nobody")
    };
    assert!(reason.words.contains(&one) && reason.words.contains(&two), "{reason}");
    assert_eq!(reason.code, Some(ConnectCode::ConnectRefused));
}

#[tokio::test]
async fn private_resolution_needs_operator_permission() {
    let (literal, mut heads) = answering(response("200 OK", "", "{}"), false).await;
    let named = literal.replace("127.0.0.1", "localhost");
    let request = push();

    let refused = gate(std::slice::from_ref(&named), false).send(&blue(), request.clone(), PATIENT).await;
    let Err(PushFailure::Unreachable(reason)) = refused else { panic!("let through: {refused:?}") };
    assert!(reason.words.contains("network.allow"), "{reason}");
    assert_eq!(reason.code, Some(ConnectCode::AddressNotAllowed));
    assert!(heads.try_recv().is_err());

    assert!(gate(&[named], true).send(&blue(), request, PATIENT).await.is_ok());
}

/// Starts a server that answers this many requests on each connection, and reports the number of each connection.
async fn keeping(requests: usize) -> (String, mpsc::UnboundedReceiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let (connections, read) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 1.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let connections = connections.clone();
            tokio::spawn(async move {
                for _ in 0..requests {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n{}") {
                        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    connections.send(number).ok();
                    stream.write_all(response("200 OK", "", "{}").as_bytes()).await.ok();
                }
            });
        }
    });
    (url, read)
}

#[tokio::test]
async fn connection_is_kept_for_next_request() {
    let (url, mut connections) = keeping(2).await;
    let gate = gate(&[url], false);
    let mut used = Vec::new();
    for _ in 0..5 {
        assert_eq!(gate.send(&blue(), push(), PATIENT).await, Ok(Bytes::from_static(b"{}")));
        used.push(connections.recv().await.expect("a request"));
    }
    // A connection that the peer has closed meanwhile costs no failure.
    assert_eq!(used, [1, 1, 2, 2, 3]);
}

#[tokio::test]
async fn ended_connections_leave_the_pool() {
    let (url, _connections) = keeping(2).await;
    let gate = gate(&[url], false);
    assert_eq!(gate.send(&blue(), push(), PATIENT).await, Ok(Bytes::from_static(b"{}")));
    assert_eq!(gate.pool.load(), (1, true));
    // The connection ends because nothing uses it.
    tokio::time::pause();
    for _ in 0..100 {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(gate.pool.load(), (0, false));
}

#[tokio::test]
async fn in_flight_requests_are_bounded() {
    let (silent, mut heads) = answering("", true).await;
    let options = EgressOptions { requests_max: 1, ..EgressOptions::default() };
    let gate = Arc::new(gate_with(&[silent], false, options));
    let ask = |name: &'static str| {
        let gate = gate.clone();
        tokio::spawn(async move { gate.send(&name.parse().expect("valid"), push(), PATIENT).await })
    };
    let first = ask("blue.example");
    heads.recv().await.expect("the first request is sent");
    let second = ask("green.example");
    while gate.load().waiting == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.load(), SlotLoad { under_way: 1, waiting: 1 });
    assert!(heads.try_recv().is_err(), "the second request waits");
    first.abort();
    heads.recv().await.expect("the second request is sent once a permit is free");
    second.abort();
}
