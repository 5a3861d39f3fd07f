//! Callers that say too little, in virtual time: a whole connection with its HTTP parser, over a pipe.

use actix_http::Protocol;
use actix_service::Service;
use actix_web::rt::task::JoinHandle;
use actix_web::{HttpResponse, web};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::connection_rules::timed;
use super::*;
use crate::http::body::RequestBody;
use crate::http::listener::connection_progress::ConnectionProgress;
use crate::http::listener::watched_socket::WatchedSocket;
use crate::telemetry::limit_counts::LimitCounts;

/// Bytes that the pipe takes before a write is blocked.
const PIPE: usize = 64 << 10;

/// Bytes of the large answer.
const LARGE: usize = 4 << 20;

/// One connection to a service.
struct PipedCaller {
    stream: DuplexStream,
    served: JoinHandle<()>,
    counts: LimitCounts,
    began: Instant,
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/ok", web::get().to(|| async { HttpResponse::Ok().body("fine") }))
        .route("/large", web::get().to(|| async { HttpResponse::Ok().body("x".repeat(LARGE)) }))
        .route(
            "/long",
            web::get().to(|| async {
                sleep(Duration::from_secs(600)).await;
                HttpResponse::Ok().body("late")
            }),
        )
        .route(
            "/refuse",
            web::post().to(|| async { HttpResponse::Forbidden().content_type("application/json").body("{}") }),
        )
        .route("/limited", web::post().to(|body: RequestBody| async move { HttpResponse::Ok().body(body.0) }))
        .route("/any", web::post().to(|body: web::Bytes| async move { HttpResponse::Ok().body(body) }));
}

impl PipedCaller {
    /// Connects to a service with the usual times.
    async fn connect() -> Self {
        let (stream, inside) = duplex(PIPE);
        let stops = ServerBuilder::default().graceful_shutdown_signal();
        let factory = http_service!(Stream<WatchedSocket<DuplexStream>>, stops, ([127, 0, 0, 1], 0).into(), routes);
        let service = factory.new_service(()).await.expect("a service");
        let counts = LimitCounts::default();
        let progress = Arc::new(ConnectionProgress::of(None, counts.clone()));
        let facts = ConnectionFacts { progress, ..ConnectionFacts::default() };
        let inside = timed(WatchedSocket::new(inside), facts, RequestTimes::default());
        let served = actix_web::rt::spawn(async move {
            // How it ends is seen at the other end.
            let _ = service.call((inside, Protocol::Http1, None)).await;
        });
        Self { stream, served, counts, began: Instant::now() }
    }

    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("taken");
    }

    /// Reads until this text has arrived.
    async fn hear(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(end.as_bytes()) {
            let read = self.stream.read_buf(&mut heard).await.expect("read");
            assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&heard));
        }
        String::from_utf8(heard).expect("text")
    }

    /// Reads until the connection is closed; returns what was read, and the seconds since the last call.
    async fn hear_end(&mut self) -> (String, u64) {
        let mut heard = String::new();
        self.stream.read_to_string(&mut heard).await.expect("closed in order");
        (heard, self.lap())
    }

    /// Returns the seconds since the last call.
    fn lap(&mut self) -> u64 {
        let began = std::mem::replace(&mut self.began, Instant::now());
        began.elapsed().as_secs()
    }
}

const GET: &str = "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n";

#[actix_web::test]
async fn each_head_has_its_deadline() {
    tokio::time::pause();
    for requests_before in [0, 1, 2] {
        let mut caller = PipedCaller::connect().await;
        for _ in 0..requests_before {
            caller.say(GET).await;
            assert!(caller.hear("fine").await.starts_with("HTTP/1.1 200"));
            // The time before the first byte of a head is not the head's.
            sleep(Duration::from_secs(60)).await;
        }
        caller.lap();
        caller.say("GET /ok HTTP/1.1\r\nHo").await;
        sleep(Duration::from_secs(6)).await;
        caller.say("st: a\r\n").await;
        let (heard, took) = caller.hear_end().await;
        assert!(heard.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{heard}");
        assert!(heard.contains("connection: close") && heard.ends_with("\"code\":\"HEAD_TIMEOUT\"}"), "{heard}");
        assert_eq!((took, caller.counts.counts()), (10, vec![("federation.header_timeout", 1)]));
    }
}

#[actix_web::test]
async fn late_head_waits_for_earlier_answer() {
    tokio::time::pause();
    let mut caller = PipedCaller::connect().await;
    caller.say("GET /long HTTP/1.1\r\nHost: a\r\n\r\nGET /ok").await;
    let (heard, took) = caller.hear_end().await;
    assert!(heard.starts_with("HTTP/1.1 200") && heard.contains("lateHTTP/1.1 408 Request Timeout"), "{heard}");
    assert_eq!(took, 600);
}

#[actix_web::test]
async fn idle_connection_is_closed_without_answer() {
    tokio::time::pause();
    let mut caller = PipedCaller::connect().await;
    assert_eq!(caller.hear_end().await, (String::new(), 75));
    let mut caller = PipedCaller::connect().await;
    caller.say(GET).await;
    caller.hear("fine").await;
    // Empty lines may precede a request, but they begin none.
    sleep(Duration::from_secs(70)).await;
    caller.say("\r\n\r\n").await;
    assert_eq!(caller.hear_end().await, (String::new(), 75));
    assert!(caller.counts.counts().is_empty(), "nobody was refused");
}

#[actix_web::test]
async fn handler_may_take_its_time() {
    tokio::time::pause();
    let mut caller = PipedCaller::connect().await;
    for upgrade in ["", "Upgrade: h2c\r\n"] {
        caller.say(&format!("GET /long HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n")).await;
        assert!(caller.hear("late").await.starts_with("HTTP/1.1 200"), "{upgrade}");
    }
    assert_eq!(caller.lap(), 1200);
}

#[actix_web::test]
async fn slow_body_is_refused_anywhere() {
    tokio::time::pause();
    for (target, took) in [("/limited", 30), ("/any", 31)] {
        for framing in ["Content-Length: 9\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"] {
            let mut caller = PipedCaller::connect().await;
            caller.say(GET).await;
            caller.hear("fine").await;
            sleep(Duration::from_secs(20)).await;
            caller.lap();
            caller.say(&format!("POST {target} HTTP/1.1\r\nHost: a\r\n{framing}")).await;
            let heard = caller.hear("}").await;
            assert!(heard.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{target} {framing} {heard}");
            assert!(heard.ends_with("\"the body did not arrive within 30s\",\"code\":\"BODY_TIMEOUT\"}"), "{heard}");
            assert_eq!(caller.lap(), took, "{target} {framing}");
            assert_eq!(caller.hear_end().await.0, "");
            assert!(caller.lap() <= 1, "{target} {framing}");
        }
    }
}

#[actix_web::test]
async fn refused_body_drains_one_second() {
    tokio::time::pause();
    let head = "POST /refuse HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut caller = PipedCaller::connect().await;
    // A body that ends in time costs the caller nothing.
    for _ in 0..2 {
        caller.say(head).await;
        assert!(caller.hear("{}").await.starts_with("HTTP/1.1 403"));
        caller.say("1\r\n{\r\n0\r\n\r\n").await;
        sleep(Duration::from_secs(5)).await;
    }
    caller.lap();
    caller.say(head).await;
    caller.hear("{}").await;
    let mut chunks = 0;
    while caller.stream.write_all(b"1\r\nx\r\n").await.is_ok() {
        chunks += 1;
        sleep(Duration::from_millis(100)).await;
    }
    assert!((9..=12).contains(&chunks) && caller.lap() == 1, "{chunks}");
}

#[actix_web::test]
async fn refused_body_drains_to_limit() {
    tokio::time::pause();
    let mut caller = PipedCaller::connect().await;
    caller.say("POST /refuse HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    caller.hear("{}").await;
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let mut taken = 0;
    while caller.stream.write_all(chunk.as_bytes()).await.is_ok() {
        taken += chunk.len();
    }
    assert!((16 << 20..(16 << 20) + 4 * PIPE).contains(&taken), "{taken}");
    assert_eq!(caller.lap(), 1, "the caller has time to read the answer");
}

#[actix_web::test]
async fn unread_answer_closes_connection() {
    tokio::time::pause();
    let mut caller = PipedCaller::connect().await;
    caller.say("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // A slow reader takes some of the answer in time.
    for _ in 0..5 {
        sleep(Duration::from_secs(25)).await;
        caller.stream.read_exact(&mut vec![0; PIPE]).await.expect("it goes on");
    }
    caller.lap();
    caller.served.await.expect("no panic");
    assert_eq!(caller.began.elapsed().as_secs(), 30);
}
