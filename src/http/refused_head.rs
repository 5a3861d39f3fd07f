//! Adds a body with the reason to the responses by which the HTTP library refuses a request head.
//!
//! The library sends such a response, which has no body, before any route is called and offers no hook. So a stream between
//! the socket and the parser remembers the received bytes, up to a limit, until a response is written. If the response is a
//! refusal without a body, which no other code writes, the stream replaces it.

mod reason;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::http::StatusCode;
use actors::model::ShortDuration;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::error::ApiError;
use crate::http::listener::connection_progress::ConnectionProgress;

/// Bytes of a request that are remembered. The reason for a longer head is a general one.
const HEARD_MAX: usize = 4096;

/// Maximum bytes of a refusal of the library.
const REFUSAL_MAX: usize = 512;

/// A stream that adds the reason to refusals of the HTTP library. All other bytes pass unchanged.
#[derive(Debug)]
pub struct RefusedHeads<T> {
    io: T,
    /// Tells whether the head is refused because it is late.
    progress: Arc<ConnectionProgress>,
    /// Start of the bytes received since the last response.
    heard: Vec<u8>,
    /// Rest of a refusal that is being written, and the number of the library's bytes that it replaces.
    refusal: Option<(Bytes, usize)>,
}

impl<T> RefusedHeads<T> {
    /// Wraps a stream from its first byte on.
    pub fn new(io: T, progress: Arc<ConnectionProgress>) -> Self {
        Self { io, progress, heard: Vec::new(), refusal: None }
    }

    /// Returns the stream that is wrapped.
    pub fn inner(&self) -> &T {
        &self.io
    }

    /// Returns the refusal that replaces the library's.
    fn worded(&self, bare: &[u8]) -> Option<Bytes> {
        let problem = match (status(bare)?, self.progress.late_head()) {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, _) => {
                self.progress.count("federation.headers_max");
                let words = "the head of the request is too large; the limits are 96 header lines and 128 KiB";
                ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "HEAD_TOO_LARGE", words)
            }
            (_, Some(limit)) => {
                let words = format!("the head of the request did not arrive within {}", ShortDuration(limit));
                ApiError::new(StatusCode::REQUEST_TIMEOUT, "HEAD_TIMEOUT", words)
            }
            (_, None) => {
                let words = format!("the request cannot be read: {}", reason::reason(&self.heard));
                ApiError::bad_request("BAD_REQUEST", words)
            }
        };
        let json = problem.json();
        let mut added = format!("content-length: {}\r\ncontent-type: application/json\r\n", json.len());
        // The library closes the connection, but says so only in the first answer.
        if find(bare, b"\r\nconnection: close\r\n").is_none() {
            added += "connection: close\r\n";
        }
        let status = format!("HTTP/1.1 {}", problem.status());
        let (line, at) = (find(bare, b"\r\n")?, find(bare, EMPTY)? + 2);
        let rest = &bare[at + EMPTY.len() - 2..];
        Some([status.as_bytes(), &bare[line..at], added.as_bytes(), rest, &json].concat().into())
    }
}

/// The library's header of a response without a body.
const EMPTY: &[u8] = b"\r\ncontent-length: 0\r\n";

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Returns the status of a response that refuses a head; `None` for any other response.
fn status(answer: &[u8]) -> Option<StatusCode> {
    let digits = answer.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    let status = StatusCode::from_bytes(digits).ok()?;
    let refuses = [StatusCode::BAD_REQUEST, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE];
    refuses.contains(&status).then_some(status)
}

/// Returns the start of a refusal without a body at the end of the written bytes.
fn bare_refusal(written: &[u8]) -> Option<usize> {
    if !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = written.len().saturating_sub(REFUSAL_MAX);
    let last = written[from..].windows(7).rposition(|window| window == b"HTTP/1.")?;
    let answer = &written[from + last..];
    let is_one = find(answer, b"\r\n\r\n") == Some(answer.len() - 4) && find(answer, EMPTY).is_some();
    (is_one && status(answer).is_some()).then_some(from + last)
}

impl<T: AsyncRead + Unpin> AsyncRead for RefusedHeads<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let came = &buf.filled()[before..];
        let room = HEARD_MAX.saturating_sub(this.heard.len()).min(came.len());
        this.heard.extend_from_slice(&came[..room]);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for RefusedHeads<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refusal.is_none() {
            match bare_refusal(buf) {
                // An earlier response in the same buffer is written first, unchanged.
                Some(at @ 1..) => return Pin::new(&mut this.io).poll_write(cx, &buf[..at]),
                Some(0) => this.refusal = this.worded(buf).map(|worded| (worded, buf.len())),
                None => {}
            }
        }
        let Some((worded, stands_for)) = &mut this.refusal else {
            let written = ready!(Pin::new(&mut this.io).poll_write(cx, buf))?;
            // The memory is freed, because most connections are idle most of the time.
            this.heard = Vec::new();
            return Poll::Ready(Ok(written));
        };
        // The library's bytes are reported as written only when the whole replacement is: until then the caller retries
        // with the same bytes.
        while worded.has_remaining() {
            match ready!(Pin::new(&mut this.io).poll_write(cx, worded))? {
                0 => return Poll::Ready(Ok(0)),
                written => worded.advance(written),
            }
        }
        let stands_for = *stands_for;
        (this.refusal, this.heard) = (None, Vec::new());
        Poll::Ready(Ok(stands_for))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const BARE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: x\r\n\r\n";
    const OWN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    /// Returns what arrives of `written` after `request` was read, over a socket that accepts `at_once` bytes per write.
    async fn arrives(request: &[u8], written: &[u8], at_once: usize) -> String {
        let (mut outside, inside) = duplex(at_once.max(request.len()));
        outside.write_all(request).await.expect("room");
        let mut stream = RefusedHeads::new(inside, Arc::default());
        stream.read_exact(&mut vec![0; request.len()]).await.expect("all of it");
        let write = async {
            stream.write_all(written).await.expect("it goes");
            drop(stream);
        };
        let mut text = String::new();
        let (read, ()) = tokio::join!(outside.read_to_string(&mut text), write);
        read.expect("text");
        text
    }

    #[tokio::test]
    async fn bare_refusal_gets_body_with_reason() {
        for at_once in [1, 7, 4096] {
            let text = arrives(b"GET / HTTP/1.1\r\n\r\n", BARE, at_once).await;
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert_eq!(body, r#"{"error":"the request cannot be read: it has no Host header","code":"BAD_REQUEST"}"#);
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
            assert!(head.contains("content-type: application/json\r\n") && head.ends_with("date: x"), "{head}");
            assert_eq!(head.matches("content-length").count(), 1, "{head}");
            // The refusal follows the response to an earlier request in one write.
            let both = arrives(b"G", &[OWN, BARE].concat(), at_once).await;
            assert!(both.starts_with("HTTP/1.1 200 OK") && both.ends_with("\"code\":\"BAD_REQUEST\"}"), "{both}");
        }
    }

    #[tokio::test]
    async fn all_other_answers_pass_untouched() {
        let ended = b"HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n";
        let head = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\n";
        let in_body = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nHTTP/1.1 400 x\r\n\r\n";
        for written in [OWN, ended, head, in_body] {
            assert_eq!(arrives(b"GET", written, 5).await.as_bytes(), written);
        }
    }
}
