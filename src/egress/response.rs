//! Reads responses of peers within a size limit and a deadline, and classifies their status for the sender.

use std::time::Duration;

use actors::model::PushFailure;
use bytes::{Bytes, BytesMut};
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::egress::EgressAnswer;
use crate::egress::error_words::{in_words, shown};

/// Maximum bytes of an error body that are read: more than is shown, because a character may take four bytes.
pub(crate) const REASON_BYTES_MAX: usize = 1024;
/// Returns the body of a 200, or the failure.
pub(super) async fn read(response: Response, deadline: Instant, answer: EgressAnswer) -> Result<Bytes, PushFailure> {
    let status = response.status();
    if status == StatusCode::OK {
        let (EgressAnswer::Needed { bytes_max } | EgressAnswer::StatusDecides { bytes_max }) = answer;
        let body = timeout_at(deadline, whole(response, bytes_max)).await.unwrap_or(Err(PushFailure::TimedOut));
        return match answer {
            EgressAnswer::Needed { .. } => body,
            EgressAnswer::StatusDecides { .. } => Ok(body.unwrap_or_default()),
        };
    }
    let retry_after = retry_after(&response);
    let reason = reason(response, deadline).await;
    Err(classify_status(status, reason, retry_after))
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

fn retry_after(response: &Response) -> Option<Duration> {
    seconds(response.headers().get(RETRY_AFTER)?.to_str().ok()?)
}

/// Parses the seconds of a `Retry-After`; a date is ignored.
pub(crate) fn seconds(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

async fn whole(mut response: Response, bytes_max: usize) -> Result<Bytes, PushFailure> {
    let too_long = || PushFailure::Unreadable(format!("the answer has more than {bytes_max} bytes"));
    if response.content_length().is_some_and(|length| length > bytes_max as u64) {
        return Err(too_long());
    }
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > bytes_max => return Err(too_long()),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body.freeze()),
            Err(broken) => return Err(PushFailure::Broken(in_words(&broken.without_url()))),
        }
    }
}

/// Returns the start of an error's body. If it cannot be read it is empty, because the status alone decides.
async fn reason(mut response: Response, deadline: Instant) -> String {
    let mut start = BytesMut::new();
    while start.len() < REASON_BYTES_MAX {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => start.extend_from_slice(&chunk[..chunk.len().min(REASON_BYTES_MAX - start.len())]),
            _ => break,
        }
    }
    shown(&start)
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
