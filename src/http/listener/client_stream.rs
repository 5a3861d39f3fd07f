//! The connection of a caller: plain or by TLS, over TCP or a Unix socket, with what is known about it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::rt::net::{TcpStream, UnixStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::http::listener::connection_progress::ConnectionProgress;
use crate::http::listener::connection_table::OpenConnection;
use crate::http::listener::watched_socket::{BlockedWrites, WatchedSocket};
use crate::tls::certificate::PresentedCertificate;
use crate::tls::certificate_fault::CertificateFault;

/// The facts about a connection that requests are judged by.
#[derive(Debug, Clone, Default)]
pub struct ConnectionFacts {
    /// Address of the other end; `None` for a Unix socket.
    pub address: Option<IpAddr>,
    /// True if the connection is by TLS.
    pub is_tls: bool,
    /// Client certificate of the handshake, or why it cannot be read; `None`: none was presented.
    pub certificate: Option<Result<Arc<PresentedCertificate>, CertificateFault>>,
    /// Entry in the table of connections, if the listener has one.
    pub entry: Option<Arc<OpenConnection>>,
    /// Its requests so far.
    pub progress: Arc<ConnectionProgress>,
}

/// The bytes of a connection.
#[derive(Debug)]
enum SocketStream {
    Tcp(WatchedSocket<TcpStream>),
    Unix(WatchedSocket<UnixStream>),
    TlsTcp(Box<TlsStream<WatchedSocket<TcpStream>>>),
    TlsUnix(Box<TlsStream<WatchedSocket<UnixStream>>>),
}

/// A connection with its facts. It fails once the table of connections closes it.
pub struct ClientStream {
    transport: SocketStream,
    facts: ConnectionFacts,
    closed: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// A socket that a listener accepts.
pub(crate) trait AcceptedSocket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Returns the address of the other end; `None` for a Unix socket.
    fn other_end(&self) -> Option<SocketAddr>;
    /// Returns whether there is something to read, or the other end has closed its side.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Sends small writes at once.
    fn send_at_once(&self);
    /// Returns the plain stream.
    fn plain(self, facts: ConnectionFacts) -> ClientStream;
    /// Returns the stream of a finished handshake.
    fn by_tls(stream: TlsStream<WatchedSocket<Self>>, facts: ConnectionFacts) -> ClientStream
    where
        Self: Sized;
}

impl AcceptedSocket for TcpStream {
    fn other_end(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn send_at_once(&self) {
        // A failure only costs latency.
        let _ = self.set_nodelay(true);
    }

    fn plain(self, facts: ConnectionFacts) -> ClientStream {
        ClientStream::new(SocketStream::Tcp(WatchedSocket::new(self)), facts)
    }

    fn by_tls(stream: TlsStream<WatchedSocket<Self>>, facts: ConnectionFacts) -> ClientStream {
        ClientStream::new(SocketStream::TlsTcp(Box::new(stream)), facts)
    }
}

impl AcceptedSocket for UnixStream {
    fn other_end(&self) -> Option<SocketAddr> {
        None
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn send_at_once(&self) {}

    fn plain(self, facts: ConnectionFacts) -> ClientStream {
        ClientStream::new(SocketStream::Unix(WatchedSocket::new(self)), facts)
    }

    fn by_tls(stream: TlsStream<WatchedSocket<Self>>, facts: ConnectionFacts) -> ClientStream {
        ClientStream::new(SocketStream::TlsUnix(Box::new(stream)), facts)
    }
}

impl ClientStream {
    fn new(transport: SocketStream, facts: ConnectionFacts) -> Self {
        let closed = facts.entry.as_ref().map(|entry| Box::pin(entry.closed().clone().cancelled_owned()));
        Self { transport, facts, closed }
    }

    /// Returns the facts about the connection.
    pub fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    /// Returns an error once the table has closed the connection.
    fn check_open(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(closed) = &mut self.closed
            && closed.as_mut().poll(cx).is_ready()
        {
            let why = "the connection made room for another one";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        }
        Ok(())
    }
}

/// Calls a method of the transport's stream.
macro_rules! on_transport {
    ($self:expr, $io:ident => $call:expr) => {
        match &mut $self.transport {
            SocketStream::Tcp($io) => $call,
            SocketStream::Unix($io) => $call,
            SocketStream::TlsTcp($io) => $call,
            SocketStream::TlsUnix($io) => $call,
        }
    };
}

impl BlockedWrites for ClientStream {
    fn blocked_since(&self) -> Option<Instant> {
        match &self.transport {
            SocketStream::Tcp(io) => io.blocked_since(),
            SocketStream::Unix(io) => io.blocked_since(),
            SocketStream::TlsTcp(io) => io.get_ref().0.blocked_since(),
            SocketStream::TlsUnix(io) => io.get_ref().0.blocked_since(),
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_open(cx)?;
        let before = buf.filled().len();
        let read = on_transport!(this, io => Pin::new(io).poll_read(cx, buf));
        if buf.filled().len() > before
            && let Some(entry) = &this.facts.entry
        {
            entry.touch();
        }
        read
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_open(cx)?;
        on_transport!(this, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_open(cx)?;
        on_transport!(this, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            SocketStream::Tcp(io) => io.is_write_vectored(),
            SocketStream::Unix(io) => io.is_write_vectored(),
            SocketStream::TlsTcp(io) => io.is_write_vectored(),
            SocketStream::TlsUnix(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_transport!(self.get_mut(), io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_transport!(self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
    }
}
