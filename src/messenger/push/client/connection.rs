//! HTTP/1.1 over one connection to the messenger, which is closed on demand and counts what it wrote.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::egress::in_words;
use crate::messenger::push::fault::PushFault;

/// A stream of any kind: TCP, TLS, or a socket file.
pub(crate) trait DuplexStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> DuplexStream for S {}

/// Error: a request got no answer.
#[derive(Debug)]
pub(super) struct NoAnswer {
    error: hyper::Error,
    /// True if nothing of the request was sent.
    is_unsent: bool,
}

impl NoAnswer {
    pub(super) const fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    /// Returns the error in words.
    pub(super) fn words(&self) -> String {
        in_words(&self.error)
    }
}

impl From<hyper::Error> for NoAnswer {
    fn from(error: hyper::Error) -> Self {
        Self { error, is_unsent: false }
    }
}

/// A connection to the messenger.
pub(crate) struct WebhookConnection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// The connection is closed with it.
    driver: AbortOnDropHandle<()>,
    /// Bytes that were written to the stream.
    written: Arc<AtomicU64>,
    /// Bytes that were written before the request in flight.
    written_before: u64,
    last_used: Instant,
    is_reused: bool,
}

impl WebhookConnection {
    /// Begins HTTP on a stream.
    pub(super) async fn begin(stream: Box<dyn DuplexStream>) -> Result<Self, String> {
        let written = Arc::new(AtomicU64::new(0));
        let counted = CountedStream { stream, written: Arc::clone(&written) };
        let (sender, connection) = http1::handshake(TokioIo::new(counted)).await.map_err(|error| in_words(&error))?;
        let driver = tokio::spawn(async move {
            // An error reaches the request that waits for an answer.
            let _ = connection.await;
        });
        let driver = AbortOnDropHandle::new(driver);
        Ok(Self { sender, driver, written, written_before: 0, last_used: Instant::now(), is_reused: false })
    }

    /// Sends a request and returns the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, NoAnswer> {
        self.written_before = self.written.load(Ordering::Relaxed);
        if let Err(error) = self.sender.ready().await {
            return Err(NoAnswer { error, is_unsent: true });
        }
        let sent = self.sender.try_send_request(request).await;
        sent.map_err(|mut failed| {
            let is_unsent = failed.take_message().is_some();
            NoAnswer { error: failed.into_error(), is_unsent }
        })
    }

    /// Returns what the lack of an answer says about the batch. `body` is the size of the request's body.
    pub(super) fn fault(&self, failed: &NoAnswer, body: u64) -> PushFault {
        let words = in_words(&failed.error);
        let written = self.written.load(Ordering::Relaxed).saturating_sub(self.written_before);
        // A text that is no HTTP comes from another service, which knows nothing of the content.
        if failed.is_unsent || written < body || failed.error.is_parse() {
            return PushFault::Unavailable { words: format!("no answer: {words}"), retry_after: None };
        }
        PushFault::Suspect(format!("the answer was cut off: {words}"))
    }

    /// Returns whether a request can be sent.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Returns whether an earlier request was answered on it.
    pub(super) const fn is_reused(&self) -> bool {
        self.is_reused
    }

    pub(super) const fn last_used(&self) -> Instant {
        self.last_used
    }

    /// Records the end of an answer.
    pub(super) const fn used_at(&mut self, ended: Instant) {
        (self.last_used, self.is_reused) = (ended, true);
    }

    /// Closes the connection.
    pub(super) async fn close(self) {
        let Self { sender, mut driver, .. } = self;
        drop(sender);
        driver.abort();
        // The socket is closed when its task is gone, not when that is asked for.
        let _ = (&mut driver).await;
    }
}

/// A stream that counts the bytes written.
struct CountedStream {
    stream: Box<dyn DuplexStream>,
    written: Arc<AtomicU64>,
}

impl AsyncRead for CountedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.written.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts))?;
        self.written.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
