//! Helpers for the responses of the private listeners: errors of the core's interfaces, common errors, and the time
//! format.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use actors::errors::UnavailableError;
use actors::model::Millis;
use actors::ports::{ArchiveError, JournalStopped};

use crate::http::error::ApiError;

/// Default of `Retry-After`: the header has no unit below a second.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

impl From<JournalStopped> for ApiError {
    fn from(_: JournalStopped) -> Self {
        UnavailableError::OutcomeUnknown.into()
    }
}

impl From<ArchiveError> for ApiError {
    fn from(error: ArchiveError) -> Self {
        tracing::error!(%error, "request rejected");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "STORE_UNREADABLE", error.to_string())
            .retry_after(RETRY_AFTER_DEFAULT)
    }
}

/// Returns the error for an unknown route.
pub fn no_route() -> ApiError {
    ApiError::not_found("NO_ROUTE", "no such endpoint")
}

/// Returns the response to a request with another method than the route has.
pub fn wrong_method(allowed: &str) -> HttpResponse {
    let refused = ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "WRONG_METHOD",
        format!("method not allowed; use {}", allowed.replace(", ", " or ")),
    );
    let mut response = refused.error_response();
    let allow = allowed.replace("GET", "GET, HEAD");
    let allow = header::HeaderValue::try_from(allow).expect("names of methods");
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// Formats a time as these APIs do: RFC 3339, UTC, milliseconds.
pub fn rfc3339(moment: Millis) -> String {
    // End of the year 9999, the last time that the format can express.
    const LAST: u64 = 253_402_300_799_999;
    let since_1970 = Duration::from_millis(moment.0.min(LAST));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_1970).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc3339_with_milliseconds() {
        assert_eq!(rfc3339(Millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Millis(1_718_454_896_007)), "2024-06-15T12:34:56.007Z");
        assert_eq!(rfc3339(Millis(u64::MAX)), "9999-12-31T23:59:59.999Z");
    }
}
