//! Reads responses of peers within a size limit and a deadline, and classifies their status for the sender.

use std::time::{Duration, UNIX_EPOCH};

use actors::model::{Millis, PushFailure};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{DATE, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::egress::EgressAnswer;
use crate::egress::error_words::{in_words, shown};

/// Maximum bytes of an error body that are read: more than is shown, because a character may take four bytes.
pub(crate) const REASON_BYTES_MAX: usize = 1024;

/// The maximum size of the body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnswerLimit {
    /// Configuration key of the limit.
    pub(crate) key: &'static str,
    /// The limit in bytes.
    pub(crate) bytes_max: usize,
}

impl AnswerLimit {
    /// Returns the failure of an answer that is larger.
    pub(crate) fn exceeded(self) -> PushFailure {
        PushFailure::AnswerTooLarge { limit: self.key, bytes_max: self.bytes_max }
    }
}

/// A response that was read.
pub(super) struct ReadResponse {
    /// Body of a 200, or the failure.
    pub(super) outcome: Result<Bytes, PushFailure>,
    /// True if nothing of the response is left on the connection.
    pub(super) is_whole: bool,
}

/// Reads the body of a 200, or the failure.
pub(super) async fn read(
    response: Response<Incoming>,
    deadline: Instant,
    answer: EgressAnswer,
    limit: AnswerLimit,
) -> ReadResponse {
    let status = response.status();
    if status == StatusCode::OK {
        let body = timeout_at(deadline, whole(response.into_body(), limit)).await;
        let body = body.unwrap_or(Err(PushFailure::TimedOut));
        let is_whole = body.is_ok();
        let outcome = match answer {
            EgressAnswer::Needed => body,
            EgressAnswer::StatusDecides => Ok(body.unwrap_or_default()),
        };
        return ReadResponse { outcome, is_whole };
    }
    let retry_after = retry_after(&response);
    let (reason, is_whole) = reason(response.into_body(), deadline).await;
    ReadResponse { outcome: Err(classify_status(status, reason, retry_after)), is_whole }
}

/// Classifies a status other than 200.
pub(crate) fn classify_status(status: StatusCode, reason: String, retry_after: Option<Duration>) -> PushFailure {
    let code = status.as_u16();
    match status {
        status if status.is_success() || status.is_informational() => {
            PushFailure::Unreadable(format!("status {code} instead of 200"))
        }
        // The peer did not receive our body in time: the line is slow, so this is a timeout, whose remedy is a smaller
        // push.
        StatusCode::REQUEST_TIMEOUT => PushFailure::TimedOut,
        StatusCode::TOO_MANY_REQUESTS => PushFailure::Troubled { status: code, reason, retry_after },
        status if status.is_server_error() => PushFailure::Troubled { status: code, reason, retry_after },
        status if status.is_redirection() => PushFailure::Redirected { status: code },
        _ => PushFailure::Refused { status: code, reason },
    }
}

pub(super) fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    seconds(response.headers().get(RETRY_AFTER)?.to_str().ok()?)
}

/// Returns the time that the head of an answer states, in whole seconds.
pub(crate) fn stated_time(headers: &HeaderMap) -> Option<Millis> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    Some(Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

/// Parses the seconds of a `Retry-After`; a date is ignored.
pub(crate) fn seconds(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Reads a whole body within a limit.
pub(super) async fn whole(mut incoming: Incoming, limit: AnswerLimit) -> Result<Bytes, PushFailure> {
    if incoming.size_hint().lower() > limit.bytes_max as u64 {
        return Err(limit.exceeded());
    }
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|broken| PushFailure::Broken(in_words(&broken)))?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > limit.bytes_max {
            return Err(limit.exceeded());
        }
        body.extend_from_slice(&data);
    }
    Ok(body.freeze())
}

/// Returns the start of an error's body, and whether that is all of it. If it cannot be read it is empty, because the status
/// alone decides.
async fn reason(mut incoming: Incoming, deadline: Instant) -> (String, bool) {
    let mut start = BytesMut::new();
    let mut is_whole = false;
    while start.len() < REASON_BYTES_MAX {
        match timeout_at(deadline, incoming.frame()).await {
            Ok(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                start.extend_from_slice(&data[..data.len().min(REASON_BYTES_MAX - start.len())]);
            }
            Ok(None) => {
                is_whole = true;
                break;
            }
            _ => break,
        }
    }
    (shown(&start), is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_reason_is_one_short_line() {
        assert_eq!(shown(b" a\r\nb\x1b[31mc\0 "), "a  b [31mc");
        assert_eq!(shown(&[0xff, b'x']), "\u{fffd}x");
        assert_eq!(shown("\u{e9}".repeat(400).as_bytes()).chars().count(), 200);
        assert_eq!(shown(b""), "");
    }

    #[test]
    fn status_maps_to_push_failure() {
        let wait = Some(Duration::from_secs(7));
        for (status, expected) in [
            (408, "time-out"),
            (429, "troubled"),
            (500, "troubled"),
            (503, "troubled"),
            (599, "troubled"),
            (301, "redirected"),
            (399, "redirected"),
            (400, "refused"),
            (401, "refused"),
            (403, "refused"),
            (404, "refused"),
            (413, "refused"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let kind = match classify_status(status, String::new(), wait) {
                PushFailure::TimedOut => "time-out",
                PushFailure::Troubled { retry_after, .. } if retry_after == wait => "troubled",
                PushFailure::Refused { .. } => "refused",
                PushFailure::Redirected { .. } => "redirected",
                _ => "other",
            };
            assert_eq!(kind, expected, "{status}");
        }
    }
}
