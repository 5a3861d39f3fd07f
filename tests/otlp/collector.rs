//! A collector that takes spans by OTLP over HTTP, in Protobuf.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<SpanResource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanResource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<SpanFact>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<WrittenSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct WrittenSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct SpanFact {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<FactValue>,
}

#[derive(Clone, PartialEq, Message)]
struct FactValue {
    #[prost(string, tag = "1")]
    text: String,
}

/// A span as the collector has it.
#[derive(Debug, Clone)]
pub(crate) struct CollectedSpan {
    /// Name of the server that sent it.
    pub(crate) server: String,
    pub(crate) name: String,
    pub(crate) trace: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) parent: Vec<u8>,
}

/// The collector. Clones share what it has.
#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    refuses: Arc<AtomicBool>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (bodies, refuses) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<AtomicBool>::default());
        let collector = Self { address, bodies, refuses };
        let serving = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        collector
    }

    /// Answers with status 500 from now on.
    pub(crate) fn refuse(&self) {
        self.refuses.store(true, Ordering::Relaxed);
    }

    /// Returns whether any request contains these bytes.
    pub(crate) fn contains(&self, bytes: &[u8]) -> bool {
        let bodies = self.bodies.lock().expect("not poisoned");
        bodies.iter().any(|body| body.windows(bytes.len()).any(|part| part == bytes))
    }

    /// Returns the spans so far.
    pub(crate) fn spans(&self) -> Vec<CollectedSpan> {
        let bodies = self.bodies.lock().expect("not poisoned");
        bodies.iter().flat_map(|body| spans(ExportRequest::decode(&body[..]).expect("OTLP"))).collect()
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut read = Vec::new();
        loop {
            let Some(end) = read.windows(4).position(|part| part == b"\r\n\r\n").map(|at| at + 4) else {
                if stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
                    continue;
                }
                return;
            };
            let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
            assert!(head.starts_with("post /v1/traces "), "{head}");
            assert!(head.contains("content-type: application/x-protobuf"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            let whole = end + length.parse::<usize>().expect("a number");
            while read.len() < whole {
                if !stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
                    return;
                }
            }
            let status = if self.refuses.load(Ordering::Relaxed) {
                "400 Bad Request"
            } else {
                self.bodies.lock().expect("not poisoned").push(read[end..whole].to_vec());
                "200 OK"
            };
            read.drain(..whole);
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

fn spans(request: ExportRequest) -> Vec<CollectedSpan> {
    let of_resource = |ResourceSpans { resource, scope_spans }: ResourceSpans| {
        let facts = resource.unwrap_or_default().attributes;
        let server = facts.into_iter().find(|fact| fact.key == "service.instance.id").and_then(|fact| fact.value);
        let server = server.unwrap_or_default().text;
        let spans = scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans
            .map(move |WrittenSpan { trace_id: trace, span_id: id, parent_span_id: parent, name }| CollectedSpan {
                server: server.clone(),
                name,
                trace,
                id,
                parent,
            })
            .collect::<Vec<_>>()
    };
    request.resource_spans.into_iter().flat_map(of_resource).collect()
}
