//! HTTP over one connection to a peer: HTTP/2 if the peer has chosen it, else HTTP/1.1.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::egress::address_book::PeerRoute;
use crate::egress::connection::{PeerConnection, TlsMaterial};
use crate::egress::peer_address::PeerAddress;

/// Maximum bytes of the head of an answer.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Idle time after which we close a connection. It is shorter than the peer's, because a request on a closing socket
/// fails.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// A request to a peer.
pub(super) type PeerRequest = Request<Full<Bytes>>;

/// A connection that carries requests.
pub(super) struct HttpConnection {
    sender: RequestSender,
    usage: Arc<ConnectionUsage>,
    /// The way to the peer when the connection was made: after another configuration it may lead elsewhere.
    pub(super) route: Arc<PeerRoute>,
    /// Address of the configuration that led to the peer, if one did.
    pub(super) configured: Option<PeerAddress>,
    /// Certificate and roots with which the connection was made; `None`: it is plain.
    pub(super) material: Option<TlsMaterial>,
}

enum RequestSender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// Error: a request got no answer.
pub(super) struct SendError {
    /// The error of the connection.
    pub(super) error: hyper::Error,
    /// The request, if none of it was sent: the connection had ended before.
    pub(super) unsent: Option<PeerRequest>,
}

/// When a connection was used.
#[derive(Debug)]
struct ConnectionUsage(Mutex<(usize, Instant)>);

/// One use of a connection, until it is dropped.
pub(super) struct UseGuard(Arc<ConnectionUsage>);

impl ConnectionUsage {
    fn begin(self: &Arc<Self>) -> UseGuard {
        self.0.lock().0 += 1;
        UseGuard(Arc::clone(self))
    }

    /// Returns the time at which the connection has been idle for long enough, if nothing uses it until then.
    fn idle_until(&self) -> Instant {
        match *self.0.lock() {
            (0, ended) => ended + IDLE_FOR,
            (_, _) => Instant::now() + IDLE_FOR,
        }
    }
}

impl Drop for UseGuard {
    fn drop(&mut self) {
        let (users, ended) = &mut *self.0.0.lock();
        (*users, *ended) = (users.saturating_sub(1), Instant::now());
    }
}

impl HttpConnection {
    /// Begins HTTP on a connection.
    pub(super) async fn begin(connection: PeerConnection, route: Arc<PeerRoute>) -> Result<Self, hyper::Error> {
        let PeerConnection { stream, is_http2, configured, material } = connection;
        let usage = Arc::new(ConnectionUsage(Mutex::new((0, Instant::now()))));
        let io = TokioIo::new(stream);
        let sender = if is_http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
            let (sender, connection) = builder.handshake(io).await?;
            tokio::spawn(drive(connection, Arc::clone(&usage)));
            RequestSender::Http2(sender)
        } else {
            let (sender, connection) = http1::Builder::new().max_header_size(HEAD_BYTES_MAX).handshake(io).await?;
            tokio::spawn(drive(connection, Arc::clone(&usage)));
            RequestSender::Http1(sender)
        };
        Ok(Self { sender, usage, route, configured, material })
    }

    /// Returns another handle to the connection, if it carries several requests at once.
    pub(super) fn shared(&self) -> Option<Self> {
        let RequestSender::Http2(sender) = &self.sender else { return None };
        Some(Self {
            sender: RequestSender::Http2(sender.clone()),
            usage: Arc::clone(&self.usage),
            route: Arc::clone(&self.route),
            configured: self.configured.clone(),
            material: self.material.clone(),
        })
    }

    /// Returns whether no request can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            RequestSender::Http1(sender) => sender.is_closed(),
            RequestSender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Marks the connection as used, so that it is not closed as idle.
    pub(super) fn in_use(&self) -> UseGuard {
        self.usage.begin()
    }

    /// Sends a request and reads the head of its answer.
    pub(super) async fn send(&mut self, request: PeerRequest) -> Result<Response<Incoming>, SendError> {
        let whole = request.uri().clone();
        let sent = match &mut self.sender {
            RequestSender::Http1(sender) => match sender.ready().await {
                Ok(()) => sender.try_send_request(with_origin_form(request)).await,
                Err(error) => return Err(SendError { error, unsent: Some(request) }),
            },
            RequestSender::Http2(sender) => match sender.ready().await {
                Ok(()) => sender.try_send_request(request).await,
                Err(error) => return Err(SendError { error, unsent: Some(request) }),
            },
        };
        sent.map_err(|mut failed: TrySendError<PeerRequest>| {
            let unsent = failed.take_message().map(|mut request| {
                *request.uri_mut() = whole;
                request
            });
            SendError { unsent, error: failed.into_error() }
        })
    }
}

/// Returns the request with the path and the query alone as its target, as HTTP/1.1 writes it. HTTP/2 needs scheme and server.
fn with_origin_form(mut request: PeerRequest) -> PeerRequest {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    *request.uri_mut() = parts.path_and_query.map(Uri::from).unwrap_or_default();
    request
}

/// Moves the bytes of a connection, until it ends or has been idle for long enough.
async fn drive(connection: impl Future<Output = Result<(), hyper::Error>>, usage: Arc<ConnectionUsage>) {
    let mut connection = std::pin::pin!(connection);
    loop {
        let until = usage.idle_until();
        tokio::select! {
            // An error reaches whoever waits for an answer.
            _ = &mut connection => return,
            () = sleep_until(until) => if usage.idle_until() <= Instant::now() { return },
        }
    }
}
