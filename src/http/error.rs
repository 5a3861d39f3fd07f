//! Errors of the HTTP APIs: a status, a code for programs, a message for people, and a time to retry after.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use actors::model::{Position, Refusal};
use serde::Serialize;

/// Time to retry after for requests to a faulty actor: it takes an operator, so a second would only be noise.
pub const FAULTY_WAIT: Duration = Duration::from_secs(60);

/// Time to retry after an unknown outcome or during a stop: a restart takes about this long.
pub const RESTART_WAIT: Duration = Duration::from_secs(1);

/// Time to retry after for a full outbox: its peer has been away for long and is unlikely to return within a second.
const OUTBOX_WAIT: Duration = Duration::from_secs(10);

/// Characters of an unknown key that are shown.
const KEY_SHOWN: usize = 80;

/// A refused request; its body is `{"error":"<words>","code":"<SNAKE_CASE>"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    words: Cow<'static, str>,
    retry_after: Option<Duration>,
    oldest: Option<Position>,
    tail: Option<Position>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tail: Option<u64>,
}

impl ApiError {
    /// Returns an error with this status. `code` is in capitals and never changes; `words` are for people.
    pub fn new(status: StatusCode, code: &'static str, words: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, words: words.into(), retry_after: None, oldest: None, tail: None }
    }

    /// Adds a time to retry after.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// 400: the request cannot be read.
    pub fn bad_request(code: &'static str, words: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, words)
    }

    /// 400: a key that has no meaning; the keys that have one are listed.
    pub fn unknown_key(key: &str, what: &str, known: &[&str]) -> Self {
        let shown: String = key.chars().take(KEY_SHOWN).collect();
        Self::bad_request("UNKNOWN_KEY", format!("unknown key {shown:?} of {what}; expected {}", known.join(", ")))
    }

    /// 401: the caller is not authenticated.
    pub fn unauthenticated(words: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", words)
    }

    /// 403: the caller is authenticated and not allowed.
    pub fn forbidden(words: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", words)
    }

    /// 404: the object does not exist.
    pub fn not_found(code: &'static str, words: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, words)
    }

    /// 422: the request is readable, but cannot be carried out.
    pub fn unprocessable(code: &'static str, words: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, words)
    }

    /// 410: the requested events are no longer kept; the body names the oldest position that is.
    pub fn gone(oldest: Position) -> Self {
        let words = format!("events before {oldest} are no longer kept");
        Self { oldest: Some(oldest), ..Self::new(StatusCode::GONE, "GONE", words) }
    }

    /// 422: no event has this position yet; the answer names the newest one that has one.
    pub fn beyond_tail(position: Position, tail: Position) -> Self {
        let words = format!("position {position} is beyond the newest event, {tail}");
        Self { tail: Some(tail), ..Self::unprocessable("BEYOND_TAIL", words) }
    }

    /// The body it is answered with.
    pub fn json(&self) -> Vec<u8> {
        let [oldest, tail] = [self.oldest, self.tail].map(|position| position.map(|position| position.0));
        let wire = ErrorBody { error: &self.words, code: self.code, oldest, tail };
        serde_json::to_vec(&wire).expect("texts and numbers into memory")
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the code for programs.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

/// Returns whole seconds, rounded up and never zero: the unit of `Retry-After` and of the dialects, in which 0 would be
/// a hot loop.
pub fn whole_seconds(wait: Duration) -> u64 {
    let rounded_up = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    rounded_up.max(1)
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(wait) = self.retry_after {
            response.insert_header((RETRY_AFTER, whole_seconds(wait).to_string()));
        }
        response.content_type(ContentType::json()).body(self.json())
    }
}

/// Converts a refusal of the core for a plain HTTP caller. Dialects that have a form of their own for "not now" use
/// that instead.
impl From<&Refusal> for ApiError {
    fn from(refusal: &Refusal) -> Self {
        let unavailable =
            |code, wait| Self::new(StatusCode::SERVICE_UNAVAILABLE, code, refusal.to_string()).retry_after(wait);
        match refusal {
            Refusal::LimitReached { wait, .. } => unavailable("BUSY", *wait),
            Refusal::DiskLow { wait, .. } => unavailable("DISK_LOW", *wait),
            Refusal::Faulty(_) | Refusal::FaultyContext(_) => unavailable("FAULTY", FAULTY_WAIT),
            Refusal::OutcomeUnknown => unavailable("OUTCOME_UNKNOWN", RESTART_WAIT),
            Refusal::Stopping => unavailable("STOPPING", RESTART_WAIT),
            Refusal::PushTooLong { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PUSH_TOO_LONG", refusal.to_string())
            }
            Refusal::Misnumbered { .. } => Self::bad_request("MISNUMBERED", refusal.to_string()),
            Refusal::NumberFarAbove { .. } => Self::unprocessable("RENUMBER_MAX", refusal.to_string()),
            Refusal::NumberOutOfRange { .. } => Self::unprocessable("BAD_SEQ", refusal.to_string()),
            Refusal::UnknownPeer(_) => Self::unprocessable("NOT_A_PEER", refusal.to_string()),
            Refusal::UnknownContext(_) => Self::not_found("UNKNOWN_CONTEXT", refusal.to_string()),
            Refusal::UnknownSubmission(_) => Self::not_found("UNKNOWN_ID", refusal.to_string()),
            Refusal::NotAParticipant { .. } => Self::unprocessable("NOT_A_PARTICIPANT", refusal.to_string()),
            Refusal::ToNotHonoured { .. } => Self::unprocessable("TO_NOT_HONOURED", refusal.to_string()),
            Refusal::StateNarrowed(_) => Self::unprocessable("STATE_NARROWED", refusal.to_string()),
            Refusal::PowerTooLow { .. } => Self::new(StatusCode::FORBIDDEN, "POWER_TOO_LOW", refusal.to_string()),
            Refusal::TooManyParticipants { .. } => Self::unprocessable("TOO_MANY_PARTICIPANTS", refusal.to_string()),
            // Only this peer's queue is full and everything else works, so the caller is asked to slow down with a 429.
            Refusal::OutboxFull { .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "OUTBOX_FULL", refusal.to_string()).retry_after(OUTBOX_WAIT)
            }
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::from(&refusal)
    }
}

#[cfg(test)]
mod tests {
    use actors::model::{ContextId, Seq, ServerName};

    use super::*;

    fn red() -> ServerName {
        "red.example".parse().expect("valid")
    }

    fn room() -> ContextId {
        "#room".parse().expect("valid")
    }

    #[test]
    fn refusal_maps_to_status_and_code() {
        let busy = Refusal::LimitReached { limit: "peers.intake_max", value: 4, wait: Duration::from_millis(1500) };
        let low = Refusal::DiskLow { free: 9, min_free: 10, wait: Duration::from_secs(10) };
        let long = Refusal::PushTooLong { count: 9, max: 4 };
        let misnumbered = Refusal::Misnumbered { from_seq: None, seq: Seq(1), count: 2 };
        let table = [
            (busy, 503, "BUSY", Some("2")),
            (low, 503, "DISK_LOW", Some("10")),
            (Refusal::Faulty(red()), 503, "FAULTY", Some("60")),
            (Refusal::OutcomeUnknown, 503, "OUTCOME_UNKNOWN", Some("1")),
            (Refusal::Stopping, 503, "STOPPING", Some("1")),
            (long, 413, "PUSH_TOO_LONG", None),
            (misnumbered, 400, "MISNUMBERED", None),
            (Refusal::NumberFarAbove { server: red(), number: Seq(9), above: 8, max: 4 }, 422, "RENUMBER_MAX", None),
            (Refusal::NumberOutOfRange { number: Seq(0), count: 1 }, 422, "BAD_SEQ", None),
            (Refusal::UnknownPeer(red()), 422, "NOT_A_PEER", None),
            (Refusal::UnknownContext(room()), 404, "UNKNOWN_CONTEXT", None),
            (Refusal::UnknownSubmission("m".parse().expect("valid")), 404, "UNKNOWN_ID", None),
            (Refusal::NotAParticipant { server: red(), context: room() }, 422, "NOT_A_PARTICIPANT", None),
            (Refusal::ToNotHonoured { server: red() }, 422, "TO_NOT_HONOURED", None),
            (Refusal::StateNarrowed(room()), 422, "STATE_NARROWED", None),
            (Refusal::PowerTooLow { own: 1, current: 50 }, 403, "POWER_TOO_LOW", None),
            (Refusal::TooManyParticipants { count: 9, max: 4 }, 422, "TOO_MANY_PARTICIPANTS", None),
            (Refusal::FaultyContext(room()), 503, "FAULTY", Some("60")),
            (
                Refusal::OutboxFull { server: red(), key: "peers.outbox_items", limit: 3 },
                429,
                "OUTBOX_FULL",
                Some("10"),
            ),
        ];
        for (refusal, status, code, retry_after) in table {
            let problem = ApiError::from(&refusal);
            let response = problem.error_response();
            let told = response.headers().get(RETRY_AFTER).map(|value| value.to_str().expect("ascii").to_owned());
            assert_eq!((response.status().as_u16(), problem.code()), (status, code), "{refusal}");
            assert_eq!(told.as_deref(), retry_after, "{refusal}");
            assert_eq!(response.headers().get("content-type").map(|v| v.as_bytes()), Some(&b"application/json"[..]));
        }
    }

    #[test]
    fn retry_after_rounds_seconds_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
    }
}
