//! The egress client against small servers with valid and with invalid responses.

use std::net::IpAddr;
use std::sync::Mutex as StdMutex;

use actors::model::UnreachedReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::egress::client::*;
use crate::egress::{ANSWER_BYTES_MAX, EgressAnswer};

struct Book {
    urls: StdMutex<Vec<String>>,
    loopback: bool,
}

impl AddressBook for Book {
    fn addresses(&self, _: &ServerName) -> Option<Vec<String>> {
        let urls = self.urls.lock().expect("not poisoned").clone();
        (!urls.is_empty()).then_some(urls)
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.loopback && address.is_loopback()
    }
}

fn blue() -> ServerName {
    "blue.example".parse().expect("valid")
}

fn gate(urls: Vec<String>, loopback: bool) -> EgressClient {
    let us = "red.example".parse().expect("valid");
    EgressClient::new(&us, Arc::new(Book { urls: StdMutex::new(urls), loopback })).expect("builds")
}

const PATIENT: RequestDeadlines = RequestDeadlines { connect: Duration::from_secs(5), total: Duration::from_secs(20) };
const HASTY: RequestDeadlines =
    RequestDeadlines { connect: Duration::from_millis(200), total: Duration::from_millis(300) };

fn push() -> EgressRequest {
    let answer = EgressAnswer::Needed { bytes_max: ANSWER_BYTES_MAX };
    EgressRequest::post("/http/v1/updates", Bytes::from_static(b"{}"), answer)
}

async fn ask(urls: Vec<String>, deadlines: RequestDeadlines) -> Result<Bytes, PushFailure> {
    gate(urls, false).send(&blue(), push(), deadlines).await
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

#[tokio::test]
async fn oversized_response_is_cut_off() {
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n";
    let (url, _heads) = answering(announced, true).await;
    assert!(matches!(ask(vec![url], PATIENT).await, Err(PushFailure::Unreadable(_))));

    let mut endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n".to_vec();
    endless.resize(endless.len() + 0x1_8000, b'x');
    let (url, _heads) = answering(endless, true).await;
    assert!(matches!(ask(vec![url], PATIENT).await, Err(PushFailure::Unreadable(_))));
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
        let request =
            EgressRequest { answer: EgressAnswer::StatusDecides { bytes_max: 8 }, method: EgressMethod::Put, ..push() };
        gate(vec![url], false).send(&blue(), request, HASTY).await
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
    let (dead, (live, _heads)) = (nobody().await, answering(response("200 OK", "", "{}"), false).await);
    let gate = gate(vec![dead.clone(), live.clone()], false);
    let request = push();
    assert_eq!(gate.in_order(&blue()), [dead.clone(), live.clone()]);
    assert_eq!(gate.send(&blue(), request, PATIENT).await, Ok(Bytes::from_static(b"{}")));
    assert_eq!(gate.in_order(&blue()), [live, dead]);
}

#[tokio::test]
async fn unreachable_peer_names_all_addresses() {
    let (one, two) = (nobody().await, nobody().await);
    let Err(PushFailure::Unreachable(UnreachedReason { words, .. })) =
        ask(vec![one.clone(), two.clone()], PATIENT).await
    else {
        panic!("reached nobody")
    };
    assert!(words.contains(&one) && words.contains(&two), "{words}");

    let Err(PushFailure::Unreachable(UnreachedReason { words, .. })) = ask(Vec::new(), PATIENT).await else {
        panic!("reached nobody")
    };
    assert!(words.contains("peers.server.\"blue.example\".addresses"), "{words}");

    for unusable in ["https://127.0.0.1:1", "ftp://127.0.0.1", "127.0.0.1:1", "http://", "::"] {
        let failure = ask(vec![unusable.to_owned()], PATIENT).await;
        assert!(matches!(failure, Err(PushFailure::Unreachable(_))), "{unusable}: {failure:?}");
    }
}

#[tokio::test]
async fn private_resolution_needs_operator_permission() {
    let (literal, mut heads) = answering(response("200 OK", "", "{}"), false).await;
    let named = literal.replace("127.0.0.1", "localhost");
    let request = push();

    let refused = gate(vec![named.clone()], false).send(&blue(), request.clone(), PATIENT).await;
    let Err(PushFailure::Unreachable(UnreachedReason { words, .. })) = refused else {
        panic!("let through: {refused:?}")
    };
    assert!(words.contains("network.allow"), "{words}");
    assert!(heads.try_recv().is_err());

    assert!(gate(vec![named], true).send(&blue(), request, PATIENT).await.is_ok());
}

#[test]
fn client_cache_is_bounded() {
    let gate = gate(Vec::new(), false);
    for seconds in 1..100 {
        gate.client(Duration::from_secs(seconds)).expect("builds");
        gate.client(Duration::from_secs(seconds)).expect("builds");
    }
    assert_eq!(gate.clients.lock().len(), CLIENTS_MAX);
}

#[tokio::test]
async fn in_flight_requests_are_bounded() {
    let (silent, mut heads) = answering("", true).await;
    let gate = Arc::new(gate(vec![silent], false).with_requests_max(1));
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
