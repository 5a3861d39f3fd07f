//! Errors of the HTTP APIs: a status, a code for programs, a message for people, and a time to retry after.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use actors::model::Position;

use crate::api::errors::ErrorBody;

/// Time to retry after for requests to a faulty actor: it takes an operator, so a second would only be noise.
pub const FAULTY_WAIT: Duration = Duration::from_secs(60);

/// Time to retry after an unknown outcome or during a stop: a restart takes about this long.
pub const RESTART_WAIT: Duration = Duration::from_secs(1);

/// Characters of an unknown key that are shown.
const KEY_SHOWN: usize = 80;

/// A refused request; its body is `{"error":"<words>","code":"<SNAKE_CASE>"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    words: Cow<'static, str>,
    retry_after: Option<Duration>,
    detail: Option<ErrorDetail>,
    limit: Option<&'static str>,
}

/// The value that the body of some errors has beside code and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorDetail {
    /// Oldest position that is kept.
    Oldest(Position),
    /// Newest position of the feed.
    Tail(Position),
    /// Difference of the caller's clock from ours, in milliseconds.
    Skew(i64),
    /// Seconds to retry after, as the header has them.
    Wait(u64),
}

/// The limit that refused a request, by its configuration key, in the extensions of the response. `error_middleware` counts it there,
/// in one place for all refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedByLimit(pub &'static str);

impl ApiError {
    /// Returns an error with this status. `code` never changes, and is in capitals except in answers to the messenger's own calls;
    /// `words` are for people.
    pub fn new(status: StatusCode, code: &'static str, words: impl Into<Cow<'static, str>>) -> Self {
        let words = words.into();
        Self { status, code, words, retry_after: None, detail: None, limit: None }
    }

    /// Returns the same error with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Names the limit that refuses, by its configuration key; it is counted.
    #[must_use]
    pub fn by_limit(mut self, key: &'static str) -> Self {
        self.limit = Some(key);
        self
    }

    /// Adds the difference of the caller's clock from ours, in milliseconds.
    #[must_use]
    pub fn with_skew(mut self, skew_ms: i64) -> Self {
        self.detail = Some(ErrorDetail::Skew(skew_ms));
        self
    }

    /// Adds a time to retry after, in the header and in the body.
    #[must_use]
    pub fn told_to_wait(mut self, wait: Duration) -> Self {
        self.detail = Some(ErrorDetail::Wait(whole_seconds(wait)));
        self.retry_after(wait)
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
        Self { detail: Some(ErrorDetail::Oldest(oldest)), ..Self::new(StatusCode::GONE, "GONE", words) }
    }

    /// 422: no event has this position yet; the body names the newest position.
    pub fn beyond_tail(position: Position, tail: Position) -> Self {
        let words = format!("position {position} is beyond the newest event, {tail}");
        Self { detail: Some(ErrorDetail::Tail(tail)), ..Self::unprocessable("BEYOND_TAIL", words) }
    }

    /// Returns the body of the response.
    pub fn json(&self) -> Vec<u8> {
        let (mut oldest, mut tail, mut skew_ms, mut wait) = (None, None, None, None);
        match self.detail {
            Some(ErrorDetail::Oldest(position)) => oldest = Some(position.0),
            Some(ErrorDetail::Tail(position)) => tail = Some(position.0),
            Some(ErrorDetail::Skew(skew)) => skew_ms = Some(skew),
            Some(ErrorDetail::Wait(seconds)) => wait = Some(seconds),
            None => {}
        }
        let body = ErrorBody { error: &*self.words, code: self.code, oldest, tail, skew_ms, wait };
        serde_json::to_vec(&body).expect("texts and numbers into memory")
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the limit that refuses, by its configuration key.
    pub fn limit(&self) -> Option<&'static str> {
        self.limit
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
        let mut response = response.content_type(ContentType::json()).body(self.json());
        if let Some(limit) = self.limit {
            response.extensions_mut().insert(RefusedByLimit(limit));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_rounds_seconds_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
    }
}
