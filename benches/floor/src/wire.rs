//! One held HTTP/1.1 connection: a call at a time, sized bodies only, nothing a proxy would need.
//!
//! A general client would cost both the relay and the driver several times what is measured here, and on a small
//! machine what the driver spends is taken from the servers.

pub mod tls;

use bytes::{Buf, Bytes, BytesMut};
use std::io::{Error, ErrorKind, Result};
use tls::{TlsIdentity, server_name};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const HEAD_MAX: usize = 16 << 10;
const BODY_MAX: usize = 64 << 20;

/// The answer of a server.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Seconds of `Retry-After`, where the server gave them.
    pub retry_after: Option<u64>,
    /// The whole body.
    pub body: Bytes,
}

/// A socket, or TLS around one.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Stream for T {}

/// A connection kept open between calls. After an error it is in an unknown state: drop it and open another.
#[derive(Debug)]
pub struct Conn {
    stream: Box<dyn Stream>,
    input: BytesMut,
    /// The header lines that are the same for every call.
    fixed: String,
}

impl Conn {
    /// Connects to `base` (`http://host:port`); `token` is sent as a bearer token with every call.
    ///
    /// # Errors
    /// Fails when no server listens there.
    pub async fn open(base: &str, token: Option<&str>) -> Result<Conn> {
        let host = base.strip_prefix("http://").unwrap_or(base).trim_end_matches('/');
        Ok(Conn::new(Box::new(connect(host).await?), host, token))
    }

    /// Connects to `base` (`https://host:port`) as `us`, to the server whose certificate covers `name`.
    ///
    /// # Errors
    /// Fails when no server listens there, or it has another certificate.
    pub async fn open_tls(base: &str, name: &str, us: &TlsIdentity) -> Result<Conn> {
        let host = base.strip_prefix("https://").unwrap_or(base).trim_end_matches('/');
        let stream = us.connector.connect(server_name(name)?, connect(host).await?).await?;
        Ok(Conn::new(Box::new(stream), name, None))
    }

    fn new(stream: Box<dyn Stream>, host: &str, token: Option<&str>) -> Conn {
        let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let fixed = format!("host: {host}\r\n{bearer}content-type: application/json\r\ncontent-length: ");
        Conn { stream, input: BytesMut::with_capacity(HEAD_MAX), fixed }
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    /// Fails when the connection breaks, or the answer is not HTTP/1.1 with a sized body of at most 64 MiB.
    pub async fn call(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        let head = format!("{method} {path} HTTP/1.1\r\n{}{}\r\n\r\n", self.fixed, body.len());
        // Chained, so that head and body leave in one system call and one segment without being copied together.
        self.stream.write_all_buf(&mut Buf::chain(head.as_bytes(), body)).await?;
        self.stream.flush().await?;
        let (head_len, status, length, retry_after) = loop {
            if let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                let (status, length, retry_after) = parse_head(&self.input[..end])?;
                break (end + 4, status, length, retry_after);
            }
            if self.input.len() > HEAD_MAX {
                return Err(malformed("the answer's head is too long"));
            }
            self.fill(HEAD_MAX).await?;
        };
        self.input.advance(head_len);
        while self.input.len() < length {
            self.fill(length - self.input.len()).await?;
        }
        Ok(Answer { status, retry_after, body: self.input.split_to(length).freeze() })
    }

    async fn fill(&mut self, missing: usize) -> Result<()> {
        self.input.reserve(missing);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

async fn connect(host: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn parse_head(head: &[u8]) -> Result<(u16, usize, Option<u64>)> {
    let head = std::str::from_utf8(head).map_err(|_| malformed("the answer's head is not text"))?;
    let (first, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| malformed("the answer is not HTTP/1.1"))?;
    let field = |name: &str| {
        let mut pairs = fields.split("\r\n").filter_map(|line| line.split_once(':'));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let length = match field("content-length") {
        Some(value) => value.parse().map_err(|_| malformed("content-length is no number"))?,
        None if status == 204 => 0,
        None => return Err(malformed("the answer has no content-length")),
    };
    if length > BODY_MAX {
        return Err(malformed("the answer's body is too long"));
    }
    Ok((status, length, field("retry-after").and_then(|value| value.parse().ok())))
}

fn malformed(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::parse_head;

    #[test]
    fn header_names_ignore_case() {
        let head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\nRetry-After: 2";
        assert_eq!(parse_head(head).unwrap(), (503, 12, Some(2)));
    }

    #[test]
    fn status_204_needs_no_length() {
        assert_eq!(parse_head(b"HTTP/1.1 204 No Content").unwrap(), (204, 0, None));
    }

    #[test]
    fn missing_length_is_refused() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").is_err());
    }
}
