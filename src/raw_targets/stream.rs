//! Raw `#` in the targets of requests that are received: it reaches the HTTP parser as `%23`.
//!
//! A URL ends at its `#`, so the parser drops what follows. The stream between the socket and the parser is the last
//! place where it can be preserved. Only the targets of request lines are changed; [`RequestFraming`] finds the request lines,
//! and changes nothing any more once it is not certain.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::listener::request_framing::RequestFraming;

/// A stream of requests without a raw `#` in any target. Written bytes pass unchanged.
#[derive(Debug)]
pub(crate) struct RawTargets<T> {
    io: T,
    framing: RequestFraming,
    /// Bytes that were read and did not fit, because each `#` became three bytes. They are at most three times one read.
    rest: Bytes,
    /// Positions of the `#` in the latest read; kept to reuse its memory.
    hashes: Vec<usize>,
}

impl<T> RawTargets<T> {
    /// Wraps a stream from its first byte on.
    pub(crate) fn new(io: T) -> Self {
        Self { io, framing: RequestFraming::default(), rest: Bytes::new(), hashes: Vec::new() }
    }
}

impl<T> RawTargets<T> {
    /// Returns the stream that is wrapped.
    pub(crate) fn inner(&self) -> &T {
        &self.io
    }
}

/// Returns the positions of each `#` in a request target of a connection whose bytes were read in these parts.
pub(crate) fn hashes_in(parts: &[&[u8]]) -> Vec<usize> {
    let (mut framing, mut all, mut before) = (RequestFraming::default(), Vec::new(), 0);
    for part in parts {
        let mut found = Vec::new();
        framing.scan(part, |place| found.push(place));
        all.extend(found.into_iter().map(|at| before + at));
        before += part.len();
    }
    all
}

/// Returns the bytes with `%23` at these positions.
fn escaped(bytes: &[u8], hashes: &[usize]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() + 2 * hashes.len());
    let mut from = 0;
    for &hash in hashes {
        out.extend_from_slice(&bytes[from..hash]);
        out.extend_from_slice(b"%23");
        from = hash + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.into()
}

impl<T: AsyncRead + Unpin> AsyncRead for RawTargets<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            this.hashes.clear();
            this.framing.scan(&buf.filled()[before..], |place| this.hashes.push(place));
            if this.hashes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.rest = escaped(&buf.filled()[before..], &this.hashes);
            buf.set_filled(before);
        }
        let fits = this.rest.len().min(buf.remaining());
        buf.put_slice(&this.rest[..fits]);
        this.rest.advance(fits);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for RawTargets<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
