//! Requests over TLS: HTTP/2 where the peer offers it, and bodies that are slow or too long.

use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::tls::certificate::tests::{TestAuthority, TestLeaf, at};
use crate::tls::live_roots::LiveRoots;
use crate::tls::provider::provider;

type AnswerBody = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// The answer of a server to each request.
#[derive(Clone, Copy)]
enum ServedAnswer {
    /// `{}`.
    Object,
    /// A redirect to another server.
    Redirect,
    /// A body without an end.
    Endless,
    /// A body that stops after its first byte.
    Stopping,
}

impl ServedAnswer {
    fn response(self) -> Response<AnswerBody> {
        let response = Response::builder();
        let body = |frames: futures_util::stream::BoxStream<'static, _>| StreamBody::new(frames).boxed_unsync();
        let frame = |bytes: &'static [u8]| Ok(Frame::data(Bytes::from_static(bytes)));
        let made = match self {
            Self::Object => response.body(Full::new(Bytes::from_static(b"{}")).boxed_unsync()),
            Self::Redirect => response
                .status(308)
                .header("location", "https://green.example/")
                .body(Full::new(Bytes::new()).boxed_unsync()),
            Self::Endless => {
                response.body(body(Box::pin(futures_util::stream::repeat_with(move || frame(&[b'x'; 4096])))))
            }
            Self::Stopping => {
                let start = futures_util::stream::iter([frame(b"{")]);
                let rest = futures_util::stream::pending();
                response.body(body(Box::pin(futures_util::StreamExt::chain(start, rest))))
            }
        };
        made.expect("a response")
    }
}

/// A server for `blue.example`, and what it has seen.
struct TlsPeer {
    url: String,
    authority: TestAuthority,
    requests: mpsc::UnboundedReceiver<(Version, String)>,
    connections: Arc<AtomicUsize>,
}

async fn tls_peer(protocols: &[&str], answer: ServedAnswer) -> TlsPeer {
    let authority = TestAuthority::new();
    let pair = authority.issue_pair(&TestLeaf::named("blue.example"));
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let mut config = builder.with_single_cert(pair.certificate.chain().to_vec(), pair.key).expect("a pair");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("bound"));
    let (seen, requests) = mpsc::unbounded_channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let (acceptor, seen) = (acceptor.clone(), seen.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(move |request: Request<Incoming>| {
                    let seen = seen.clone();
                    async move {
                        let host = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default().to_owned());
                        let target = format!("{} {}", host.unwrap_or_default(), request.uri());
                        seen.send((request.version(), target)).ok();
                        request.into_body().collect().await.ok();
                        Ok::<_, std::convert::Infallible>(answer.response())
                    }
                });
                let io = TokioIo::new(stream);
                if is_http2 {
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(io, service)
                        .await
                        .ok();
                } else {
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service).await.ok();
                }
            });
        }
    });
    TlsPeer { url, authority, requests, connections }
}

impl TlsPeer {
    fn gate(&self) -> EgressClient {
        let urls = std::slice::from_ref(&self.url);
        let roots = Some(LiveRoots::new(self.authority.roots()));
        let options = EgressOptions { answer_max: LIMIT, roots, ..EgressOptions::default() };
        let us = "red.example".parse().expect("valid");
        let addresses = urls.iter().map(|url| url.parse().expect("an address")).collect();
        let service = PeerService { name: "_actor-server._tcp", default_port: 9880 };
        let book = Book { route: Arc::new(PeerRoute::new(addresses, service)), loopback: false };
        EgressClient::new(&us, Arc::new(book), Arc::new(TestClock::fixed(at(10))), options)
    }
}

#[tokio::test]
async fn requests_share_one_http2_connection() {
    let mut peer = tls_peer(&["h2", "http/1.1"], ServedAnswer::Object).await;
    let gate = peer.gate();
    gate.send(&blue(), push(), PATIENT).await.expect("an answer");
    let server = blue();
    let both = tokio::join!(gate.send(&server, push(), PATIENT), gate.send(&server, push(), PATIENT));
    assert_eq!(both, (Ok(Bytes::from_static(b"{}")), Ok(Bytes::from_static(b"{}"))));
    for _ in 0..3 {
        let (version, target) = peer.requests.recv().await.expect("a request");
        assert_eq!((version, target.as_str()), (Version::HTTP_2, "blue.example https://blue.example/http/v1/updates"));
    }
    assert_eq!(peer.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn raw_get_over_tls_needs_http1() {
    let mut peer = tls_peer(&["h2", "http/1.1"], ServedAnswer::Object).await;
    let request = EgressRequest::get("/state/#room/", EgressAnswer::Needed).raw();
    assert_eq!(peer.gate().send(&blue(), request, PATIENT).await, Ok(Bytes::from_static(b"{}")));
    let (version, target) = peer.requests.recv().await.expect("a request");
    // The server's library ends the target at its `#`.
    assert_eq!((version, target.as_str()), (Version::HTTP_11, "blue.example /state/"));
}

#[tokio::test]
async fn answers_over_tls_are_limited() {
    for protocols in [&["h2"][..], &["http/1.1"]] {
        for (answer, deadlines, failure) in [
            (ServedAnswer::Redirect, PATIENT, PushFailure::Redirected { status: 308 }),
            (ServedAnswer::Endless, PATIENT, too_large()),
            (ServedAnswer::Stopping, HASTY_BODY, PushFailure::TimedOut),
        ] {
            let peer = tls_peer(protocols, answer).await;
            assert_eq!(peer.gate().send(&blue(), push(), deadlines).await, Err(failure), "{protocols:?}");
        }
    }
}

/// Enough for a handshake, and not for an endless wait.
const HASTY_BODY: RequestDeadlines =
    RequestDeadlines { connect: Duration::from_secs(5), total: Duration::from_secs(1) };
