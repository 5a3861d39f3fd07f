//! A messenger that events are pushed to: it answers as a test tells it, and records what it was sent.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clients::messenger_client::soon;

/// The messenger's answer to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessengerReply {
    /// With this status and this body.
    Status(u16, String),
    /// With status 503 and this `Retry-After`.
    RetryAfter(u64),
    /// With the first bytes of this text, after which the connection ends.
    CutOff(&'static str),
    /// With a 200, after this time.
    Late(Duration),
    /// Never.
    Silent,
}

impl MessengerReply {
    /// Returns the answer that acknowledges a batch.
    pub fn taken() -> Self {
        Self::Status(200, String::new())
    }

    /// Returns an answer without a body.
    pub fn status(status: u16) -> Self {
        Self::Status(status, String::new())
    }
}

/// A call of the gateway.
#[derive(Debug, Clone)]
pub struct ReceivedCall {
    /// Method and path, separated by a blank.
    pub target: String,
    /// Head of the request, without its first line.
    pub head: String,
    /// Body of the request.
    pub body: String,
    /// True once the whole answer was written and had a 2xx.
    pub is_acknowledged: bool,
    /// True once the gateway has closed the connection of a call that gets no answer.
    pub is_abandoned: bool,
}

impl ReceivedCall {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (header, value) = line.split_once(':')?;
            header.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Returns whether it carries events of the feed.
    pub fn is_transaction(&self) -> bool {
        self.target.contains("/transactions/")
    }

    /// Returns whether it is a call of a peer.
    pub fn is_rpc(&self) -> bool {
        self.target.ends_with("/rpc")
    }

    /// Returns its events.
    pub fn events(&self) -> Vec<Value> {
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        body["events"].as_array().expect("a list of events").clone()
    }

    /// Returns the positions of its events.
    pub fn positions(&self) -> Vec<u64> {
        self.events().iter().map(|event| event["position"].as_u64().expect("a position")).collect()
    }
}

type MessengerScript = Box<dyn FnMut(&ReceivedCall) -> MessengerReply + Send>;

struct ReceiverState {
    script: Mutex<MessengerScript>,
    calls: watch::Sender<Vec<ReceivedCall>>,
    /// Transactions that were received and neither answered nor given up by the gateway.
    open: AtomicUsize,
    overlapped: AtomicBool,
}

/// The messenger. It is gone when this is dropped.
pub struct PushReceiver {
    state: Arc<ReceiverState>,
    listeners: JoinSet<()>,
}

impl PushReceiver {
    /// Returns a messenger that answers so and is not reachable yet.
    pub fn answering(script: impl FnMut(&ReceivedCall) -> MessengerReply + Send + 'static) -> Self {
        let state = ReceiverState {
            script: Mutex::new(Box::new(script)),
            calls: watch::Sender::default(),
            open: AtomicUsize::new(0),
            overlapped: AtomicBool::new(false),
        };
        Self { state: Arc::new(state), listeners: JoinSet::new() }
    }

    /// Returns a messenger that takes everything.
    pub fn taking() -> Self {
        Self::answering(|_| MessengerReply::taken())
    }

    /// Listens on a free port of loopback, and returns its address.
    pub async fn listen(&mut self) -> SocketAddr {
        self.listen_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Listens on an address.
    pub async fn listen_at(&mut self, address: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::clone(&self.state);
        self.listeners.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&state)));
            }
        });
        address
    }

    /// Listens on a socket file.
    pub fn listen_on_file(&mut self, path: &Path) {
        let listener = UnixListener::bind(path).expect("a free path");
        let state = Arc::clone(&self.state);
        self.listeners.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&state)));
            }
        });
    }

    /// Serves one connection that was accepted elsewhere, such as one with TLS.
    pub fn serve<S: AsyncRead + AsyncWrite + Send + Unpin>(&self, stream: S) -> impl Future<Output = ()> + use<S> {
        let state = Arc::clone(&self.state);
        serve(stream, state)
    }

    /// Closes all listeners and connections.
    pub async fn stop(&mut self) {
        self.listeners.shutdown().await;
        self.state.open.store(0, Ordering::Relaxed);
    }

    /// Answers otherwise from now on.
    pub fn answer(&self, script: impl FnMut(&ReceivedCall) -> MessengerReply + Send + 'static) {
        *self.state.script.lock().expect("no panic while it is held") = Box::new(script);
    }

    /// Waits until the calls have this property, and returns them.
    pub async fn until(&self, what: &str, is_so: impl Fn(&[ReceivedCall]) -> bool) -> Vec<ReceivedCall> {
        let mut calls = self.state.calls.subscribe();
        let calls = soon(what, calls.wait_for(|calls| is_so(calls))).await;
        calls.expect("this holds the sender").clone()
    }

    /// Waits for so many transactions, and returns them.
    pub async fn transactions(&self, count: usize) -> Vec<ReceivedCall> {
        let is_so = |calls: &[ReceivedCall]| calls.iter().filter(|call| call.is_transaction()).count() >= count;
        let mut calls = self.until("the transactions", is_so).await;
        calls.retain(ReceivedCall::is_transaction);
        calls
    }

    /// Waits for so many calls of peers, and returns them.
    pub async fn rpcs(&self, count: usize) -> Vec<ReceivedCall> {
        let is_so = |calls: &[ReceivedCall]| calls.iter().filter(|call| call.is_rpc()).count() >= count;
        let mut calls = self.until("the calls of peers", is_so).await;
        calls.retain(ReceivedCall::is_rpc);
        calls
    }

    /// Waits until the gateway has given up so many calls that get no answer.
    pub async fn abandoned(&self, count: usize) {
        let is_so = |calls: &[ReceivedCall]| calls.iter().filter(|call| call.is_abandoned).count() >= count;
        self.until("the end of the calls", is_so).await;
    }

    /// Waits until this position was acknowledged, and returns the transactions so far.
    pub async fn acknowledged(&self, position: u64) -> Vec<ReceivedCall> {
        let end = format!("\"position\":{position},");
        let is_so = move |calls: &[ReceivedCall]| {
            calls.iter().any(|call| call.is_acknowledged && call.is_transaction() && call.body.contains(&end))
        };
        let mut calls = self.until(&format!("the acknowledgement of {position}"), is_so).await;
        calls.retain(ReceivedCall::is_transaction);
        calls
    }

    /// Returns whether two transactions were ever in flight at once.
    pub fn overlapped(&self) -> bool {
        self.state.overlapped.load(Ordering::Relaxed)
    }
}

trait ReceiverStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ReceiverStream for S {}

/// Serves the calls of a connection, one after the other.
async fn serve(mut stream: impl ReceiverStream, state: Arc<ReceiverState>) {
    let mut read = vec![];
    while let Some(call) = next_call(&mut stream, &mut read).await {
        let open = call.is_transaction().then(|| PendingTransaction::begin(&state));
        let mut reply = MessengerReply::Silent;
        let mut place = 0;
        state.calls.send_modify(|calls| {
            reply = state.script.lock().expect("no panic while it is held")(&call);
            place = calls.len();
            calls.push(call);
        });
        let text = match &reply {
            MessengerReply::Status(status, body) => {
                format!("HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            MessengerReply::RetryAfter(seconds) => {
                format!("HTTP/1.1 503 Told\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n")
            }
            MessengerReply::CutOff(text) => (*text).to_owned(),
            MessengerReply::Late(delay) => {
                tokio::time::sleep(*delay).await;
                "HTTP/1.1 200 Told\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
            MessengerReply::Silent => {
                // The gateway closes the connection when it gives up.
                let _ = stream.read(&mut [0]).await;
                state.calls.send_modify(|calls| calls[place].is_abandoned = true);
                return;
            }
        };
        drop(open);
        if stream.write_all(text.as_bytes()).await.is_err() || matches!(reply, MessengerReply::CutOff(_)) {
            return;
        }
        if matches!(reply, MessengerReply::Status(200..=299, _) | MessengerReply::Late(_)) {
            state.calls.send_modify(|calls| calls[place].is_acknowledged = true);
        }
    }
}

/// A transaction in flight.
struct PendingTransaction(Arc<ReceiverState>);

impl PendingTransaction {
    fn begin(state: &Arc<ReceiverState>) -> Self {
        if state.open.fetch_add(1, Ordering::Relaxed) > 0 {
            state.overlapped.store(true, Ordering::Relaxed);
        }
        Self(Arc::clone(state))
    }
}

impl Drop for PendingTransaction {
    fn drop(&mut self) {
        let _ = self.0.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| open.checked_sub(1));
    }
}

/// Reads the next call; `None` at the end of the connection.
async fn next_call(stream: &mut impl ReceiverStream, read: &mut Vec<u8>) -> Option<ReceivedCall> {
    let end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, read).await?;
    };
    let head = String::from_utf8(read[..end].to_vec()).expect("a head is ASCII");
    let (first, head) = head.split_once("\r\n").expect("a first line");
    let target = first.trim_end_matches(" HTTP/1.1").to_owned();
    let mut call = ReceivedCall {
        target,
        head: head.to_owned(),
        body: String::new(),
        is_acknowledged: false,
        is_abandoned: false,
    };
    let length = call.header("content-length").map_or(0, |text| text.parse().expect("a number"));
    while read.len() < end + length {
        more(stream, read).await?;
    }
    call.body = String::from_utf8(read[end..end + length].to_vec()).expect("JSON is UTF-8");
    read.drain(..end + length);
    Some(call)
}

async fn more(stream: &mut impl ReceiverStream, read: &mut Vec<u8>) -> Option<()> {
    stream.read_buf(read).await.ok().filter(|count| *count > 0).map(|_| ())
}
