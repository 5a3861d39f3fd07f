//! A socket that remembers since when the other end takes no byte. It is below TLS, whose buffers would hide that.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// A stream whose writes may be blocked.
pub trait BlockedWrites {
    /// Returns the time since which no byte was taken although some are waiting.
    fn blocked_since(&self) -> Option<Instant>;
}

/// A socket with the start of its blocked write.
#[derive(Debug)]
pub struct WatchedSocket<T> {
    io: T,
    blocked_since: Option<Instant>,
}

impl<T> WatchedSocket<T> {
    /// Wraps a socket.
    pub fn new(io: T) -> Self {
        Self { io, blocked_since: None }
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => _ = self.blocked_since.get_or_insert_with(Instant::now),
            Poll::Ready(_) => self.blocked_since = None,
        }
        written
    }
}

impl<T> BlockedWrites for WatchedSocket<T> {
    fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WatchedSocket<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WatchedSocket<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note(written)
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
