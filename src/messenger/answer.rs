//! Answers of the messenger API that mean "no": words for people, a code for programs; and times as it writes them.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use actix_web::error::PayloadError;
use actix_web::http::{StatusCode, header};
use actix_web::{Error, HttpResponse, ResponseError};
use actors::model::{Millis, Position, Refusal};
use actors::ports::{ArchiveError, Lost};
use serde::Serialize;

/// A request that is not done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    status: StatusCode,
    code: &'static str,
    words: String,
    retry_after: Option<Duration>,
    oldest: Option<Position>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<u64>,
}

impl Refused {
    /// With this status and code.
    pub(super) fn new(status: StatusCode, code: &'static str, words: impl Into<String>) -> Self {
        Self { status, code, words: words.into(), retry_after: None, oldest: None }
    }

    /// The request cannot be read: 400.
    pub(super) fn malformed(code: &'static str, words: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, words)
    }

    /// The request can be read and cannot be done as it stands: 422.
    pub(super) fn unsound(code: &'static str, words: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, words)
    }

    /// There is no such thing: 404.
    pub(super) fn unknown(code: &'static str, words: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, words)
    }

    /// What is asked for is no longer kept: 410, with the oldest position that is.
    pub(super) fn gone(oldest: Position) -> Self {
        let words = format!("events before {oldest} are no longer kept");
        Self { oldest: Some(oldest), ..Self::new(StatusCode::GONE, "GONE", words) }
    }

    /// Another process owns what this call is about; it has the answer.
    pub(super) fn not_ours() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_OURS", "another process owns the feed").after(SHORTLY)
    }

    /// The caller may come again after `wait`; nothing was taken.
    #[must_use]
    pub(super) fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

/// When to come again where nothing says more: the header knows no shorter time than a second.
pub(super) const SHORTLY: Duration = Duration::from_secs(1);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(wait) = self.retry_after {
            // Rounded up: coming early costs a second refusal.
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        response.json(Body { error: &self.words, code: self.code, oldest: self.oldest.map(|position| position.0) })
    }
}

/// When to come again to a full outbox: its peer has been away for long, and is seldom back within a second.
const OUTBOX_WAIT: Duration = Duration::from_secs(10);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        let words = refusal.to_string();
        match refusal {
            // One peer's own backlog: everything else still goes, so the caller is asked to slow down, and not told that the
            // gateway is in trouble.
            Refusal::OutboxFull { .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "OUTBOX_FULL", words).after(OUTBOX_WAIT)
            }
            Refusal::Busy { wait, .. } => Self::new(UNAVAILABLE, "BUSY", words).after(wait),
            Refusal::UnknownPeer(_) => Self::unsound("NOT_A_PEER", words),
            Refusal::Faulty(_) => Self::new(UNAVAILABLE, "FAULTY", words),
            Refusal::OutcomeUnknown => Self::new(UNAVAILABLE, "OUTCOME_UNKNOWN", words).after(SHORTLY),
            Refusal::Stopping => Self::new(UNAVAILABLE, "STOPPING", words).after(SHORTLY),
            Refusal::PushTooLong { .. } | Refusal::Misnumbered { .. } => Self::unsound("BAD_PUSH", words),
        }
    }
}

impl From<Lost> for Refused {
    fn from(_: Lost) -> Self {
        Refusal::OutcomeUnknown.into()
    }
}

impl From<ArchiveError> for Refused {
    fn from(error: ArchiveError) -> Self {
        tracing::error!(%error, "a messenger's call was refused");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "STORE_UNREADABLE", error.to_string()).after(SHORTLY)
    }
}

/// The body did not arrive whole.
pub(super) fn unreadable_body(error: &Error, body_max: usize) -> Refused {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => Refused::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "TOO_LARGE",
            format!("the body is larger than a request may be ({body_max} bytes)"),
        ),
        _ => Refused::malformed("BAD_BODY", format!("the body cannot be read: {error}")),
    }
}

/// No such route.
pub(super) fn no_route() -> Refused {
    Refused::unknown("NO_ROUTE", "there is no such call")
}

/// The route exists; the method is another one.
pub(super) fn wrong_method(allowed: &'static str) -> HttpResponse {
    let refused = Refused::new(StatusCode::METHOD_NOT_ALLOWED, "WRONG_METHOD", format!("this call is {allowed}"));
    let mut response = refused.error_response();
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    response
}

/// A moment as this API writes it: RFC 3339, UTC, milliseconds.
pub(super) fn rfc3339(moment: Millis) -> String {
    // The end of the year 9999, after which the format has no words.
    const LAST: u64 = 253_402_300_799_999;
    let since_1970 = Duration::from_millis(moment.0.min(LAST));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_1970).to_string()
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    async fn shown(refused: Refused) -> (u16, Option<String>, String) {
        let response = refused.error_response();
        let wait = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().expect("ascii").to_owned());
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body()).await.expect("in memory");
        (status, wait, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[actix_web::test]
    async fn a_full_outbox_asks_one_caller_to_slow_down_and_a_full_journal_everybody() {
        let outbox = Refusal::OutboxFull { server: "blue".parse().expect("valid"), limit: 3 };
        let words = r#"{"error":"blue has 3 items waiting, the most it may (outbox_items)","code":"OUTBOX_FULL"}"#;
        assert_eq!(shown(outbox.into()).await, (429, Some("10".into()), words.into()));
        let journal = Refusal::Busy { limit: "store.queue_rows", value: 9, wait: Duration::from_millis(2_001) };
        assert_eq!(
            shown(journal.into()).await,
            (503, Some("3".into()), r#"{"error":"store.queue_rows is reached (9)","code":"BUSY"}"#.into())
        );
    }

    #[actix_web::test]
    async fn what_is_gone_says_where_to_go_on() {
        assert_eq!(
            shown(Refused::gone(Position(41))).await,
            (410, None, r#"{"error":"events before 41 are no longer kept","code":"GONE","oldest":41}"#.into())
        );
    }

    #[test]
    fn times_are_rfc_3339_with_milliseconds_whatever_the_clock_says() {
        assert_eq!(rfc3339(Millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Millis(1_718_454_896_007)), "2024-06-15T12:34:56.007Z");
        assert_eq!(rfc3339(Millis(u64::MAX)), "9999-12-31T23:59:59.999Z");
    }
}
