//! A hand-written GET for a target that the URL library would change.
//!
//! Each connection has one request and ends with the response; otherwise the rules of all requests apply: the gate for
//! connections, deadlines, a limited response.

use std::io;
use std::time::Duration;

use actors::model::PushFailure;
use bytes::{Buf, Bytes, BytesMut};
use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use crate::egress::{AnswerLimit, EgressAnswer, REASON_BYTES_MAX, classify_status, seconds, shown};

/// Maximum bytes of a head, and below, of the line before a chunk.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 96;
const CHUNK_LINE_MAX: usize = 1024;
const READ_BYTES: usize = 8 * 1024;

/// The limit of an error's body. Reaching it is no failure.
const REASON_LIMIT: AnswerLimit = AnswerLimit { key: "the reason of an error", bytes_max: REASON_BYTES_MAX };
const HEAD_LIMIT: AnswerLimit = AnswerLimit { key: "64 KiB of headers", bytes_max: HEAD_BYTES_MAX };

/// A GET to send.
pub(crate) struct RawGet<'a> {
    /// Target, sent exactly as written.
    pub(crate) target: &'a str,
    /// Header lines, each with its line end.
    pub(crate) headers: &'a str,
    /// Part of the response that matters.
    pub(crate) answer: EgressAnswer,
    /// Maximum size of the body.
    pub(crate) limit: AnswerLimit,
}

/// Sends the request and reads its whole response; only the body of a 200 is a success.
pub(crate) async fn exchange<S>(io: S, get: &RawGet<'_>, deadline: Instant) -> Result<Bytes, PushFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if !get.target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(PushFailure::Unreachable(
            "the request target contains characters that no request line may contain".into(),
        ));
    }
    let head = format!("GET {} HTTP/1.1\r\n{}Connection: close\r\n\r\n", get.target, get.headers);
    let mut reader = ResponseReader { io, buffer: BytesMut::new(), deadline };
    settled(timeout_at(deadline, reader.io.write_all(head.as_bytes())).await)?;
    let ResponseHead { status, retry_after, framing } = reader.head().await?;
    if status == StatusCode::OK {
        let (body, end) = match framing {
            ResponseFraming::Length(length) if length > get.limit.bytes_max as u64 => {
                (Bytes::new(), Err(get.limit.exceeded()))
            }
            framing => reader.body(framing, get.limit).await,
        };
        return match get.answer {
            EgressAnswer::Needed => end.map(|()| body),
            EgressAnswer::StatusDecides => Ok(end.map(|()| body).unwrap_or_default()),
        };
    }
    // An unreadable reason is ignored, because the status alone decides.
    let (reason, _) = reader.body(framing, REASON_LIMIT).await;
    Err(classify_status(status, shown(&reason), retry_after))
}

/// The head of a response.
struct ResponseHead {
    status: StatusCode,
    retry_after: Option<Duration>,
    framing: ResponseFraming,
}

/// The end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseFraming {
    Length(u64),
    Chunks,
    UntilClose,
}

fn unreadable(why: &str) -> PushFailure {
    PushFailure::Unreadable(why.to_owned())
}

fn settled<T>(done: Result<io::Result<T>, Elapsed>) -> Result<T, PushFailure> {
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(PushFailure::Broken(error.to_string())),
        Err(_elapsed) => Err(PushFailure::TimedOut),
    }
}

/// A reader of one response.
struct ResponseReader<S> {
    io: S,
    /// Bytes that were received and not processed yet.
    buffer: BytesMut,
    deadline: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ResponseReader<S> {
    /// Reads more bytes; returns `false` at the end of the stream.
    async fn more(&mut self) -> Result<bool, PushFailure> {
        self.buffer.reserve(READ_BYTES);
        let count = settled(timeout_at(self.deadline, self.io.read_buf(&mut self.buffer)).await)?;
        Ok(count > 0)
    }

    /// Reads more bytes; the end of the stream is an error.
    async fn must_more(&mut self) -> Result<(), PushFailure> {
        let broken_off = || PushFailure::Broken("the response is incomplete".to_owned());
        self.more().await?.then_some(()).ok_or_else(broken_off)
    }

    async fn head(&mut self) -> Result<ResponseHead, PushFailure> {
        loop {
            let (parsed, head) = parsed(&self.buffer)?;
            self.buffer.advance(parsed);
            match head {
                // An informational head precedes the actual one.
                Some(head) if head.status.is_informational() => {}
                Some(head) => return Ok(head),
                None if self.buffer.len() > HEAD_BYTES_MAX => {
                    return Err(HEAD_LIMIT.exceeded());
                }
                None => self.must_more().await?,
            }
        }
    }

    /// Reads the body; the second value is an error if it is incomplete.
    async fn body(&mut self, framing: ResponseFraming, limit: AnswerLimit) -> (Bytes, Result<(), PushFailure>) {
        let mut body = BytesMut::new();
        let end = match framing {
            ResponseFraming::Length(length) => self.data(length, &mut body, limit).await,
            ResponseFraming::Chunks => self.chunks(&mut body, limit).await,
            ResponseFraming::UntilClose => self.rest(&mut body, limit).await,
        };
        (body.freeze(), end)
    }

    /// Reads this many bytes of data.
    async fn data(&mut self, mut length: u64, body: &mut BytesMut, limit: AnswerLimit) -> Result<(), PushFailure> {
        loop {
            let here = usize::try_from(length).unwrap_or(usize::MAX).min(self.buffer.len());
            self.take(here, body, limit)?;
            length -= here as u64;
            if length == 0 {
                return Ok(());
            }
            self.must_more().await?;
        }
    }

    async fn rest(&mut self, body: &mut BytesMut, limit: AnswerLimit) -> Result<(), PushFailure> {
        loop {
            self.take(self.buffer.len(), body, limit)?;
            if !self.more().await? {
                return Ok(());
            }
        }
    }

    async fn chunks(&mut self, body: &mut BytesMut, limit: AnswerLimit) -> Result<(), PushFailure> {
        let bad = || unreadable("the chunks of the response cannot be read");
        loop {
            match httparse::parse_chunk_size(&self.buffer).map_err(|_| bad())? {
                httparse::Status::Complete((_, 0)) => return Ok(()),
                httparse::Status::Complete((line, size)) => {
                    self.buffer.advance(line);
                    self.data(size, body, limit).await?;
                    while self.buffer.len() < 2 {
                        self.must_more().await?;
                    }
                    if self.buffer.split_to(2) != b"\r\n"[..] {
                        return Err(bad());
                    }
                }
                httparse::Status::Partial if self.buffer.len() > CHUNK_LINE_MAX => return Err(bad()),
                httparse::Status::Partial => self.must_more().await?,
            }
        }
    }

    /// Moves bytes into the body, up to its maximum.
    fn take(&mut self, count: usize, body: &mut BytesMut, limit: AnswerLimit) -> Result<(), PushFailure> {
        let fits = count.min(limit.bytes_max - body.len());
        body.extend_from_slice(&self.buffer.split_to(fits));
        if fits < count { Err(limit.exceeded()) } else { Ok(()) }
    }
}

/// Parses the head and returns its length; `None` if it is not complete yet.
fn parsed(bytes: &[u8]) -> Result<(usize, Option<ResponseHead>), PushFailure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let whole =
        response.parse(bytes).map_err(|error| PushFailure::Broken(format!("the response is not HTTP: {error}")))?;
    let httparse::Status::Complete(length) = whole else { return Ok((0, None)) };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| unreadable("the response has no status"))?;
    let named = |name: &'static str| {
        let values = response.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        values.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim()).collect::<Vec<_>>()
    };
    let retry_after = named("retry-after").first().and_then(|value| seconds(value));
    let framing = match (&named("transfer-encoding")[..], &named("content-length")[..]) {
        _ if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED => Some(ResponseFraming::Length(0)),
        ([], []) => Some(ResponseFraming::UntilClose),
        ([coding], []) => coding.eq_ignore_ascii_case("chunked").then_some(ResponseFraming::Chunks),
        ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().ok().map(ResponseFraming::Length)
        }
        _ => None,
    };
    let framing = framing.ok_or_else(|| unreadable("the end of the response is ambiguous"))?;
    Ok((length, Some(ResponseHead { status, retry_after, framing })))
}

#[cfg(test)]
mod tests;
