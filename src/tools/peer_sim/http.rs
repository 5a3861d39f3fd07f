//! A minimal HTTP server that can misbehave: requests are read completely, responses can be written byte by byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Maximum bytes of a request's head, and below, of its body.
const HEAD_MAX: usize = 16 * 1024;
const BODY_MAX: usize = 16 * 1024 * 1024;
/// Timeout of an idle connection, and of a request's arrival.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SimRequest {
    pub(super) method: String,
    /// Target with its query.
    pub(super) target: String,
    head: String,
    pub(super) body: Vec<u8>,
}

impl SimRequest {
    /// Returns the value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Returns a value of the query.
    pub(super) fn query(&self, key: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A connection with its read buffer.
pub(super) struct SimConnection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl SimConnection {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, read: vec![] }
    }

    /// Returns the next request; `None` if there is none, or if it is invalid.
    pub(super) async fn request(&mut self) -> Option<SimRequest> {
        timeout(PATIENCE, self.whole()).await.ok()?
    }

    async fn whole(&mut self) -> Option<SimRequest> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if self.read.len() > HEAD_MAX {
                return None;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read[..end].to_vec()).ok()?;
        // A body without a length is never sent by gateways.
        let length: usize = header(&head, "content-length").map_or(Some(0), |text| text.parse().ok())?;
        if length > BODY_MAX || header(&head, "transfer-encoding").is_some() {
            return None;
        }
        while self.read.len() < end + length {
            self.more().await?;
        }
        let body = self.read[end..end + length].to_vec();
        self.read.drain(..end + length);
        let mut line = head.lines().next()?.split(' ');
        let (method, target) = (line.next()?.to_owned(), line.next()?.to_owned());
        Some(SimRequest { method, target, head, body })
    }

    async fn more(&mut self) -> Option<()> {
        match self.stream.read_buf(&mut self.read).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }

    /// Writes bytes; returns whether the other side still accepts them.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Waits until the other side closes the connection, or for this time.
    pub(super) async fn hold(&mut self, most: Duration) {
        let gone = async {
            let mut dropped = [0; 1024];
            while self.stream.read(&mut dropped).await.is_ok_and(|count| count > 0) {}
        };
        // The result does not matter: both are an end.
        let _ = timeout(most, gone).await;
    }
}

/// Returns a response with its head.
pub(super) fn answer(status: u16, body: &str) -> String {
    let retry = if status == 429 { "Retry-After: 1\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status} Simulated\r\nContent-Type: application/json\r\n{retry}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
