//! What the answers of the private listeners have in common: failures of the ports as refusals, and times as they are written.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use actors::model::{Millis, Refusal};
use actors::ports::{ArchiveError, Lost};

use super::refusal::Problem;

/// When to come again where nothing says more: the header knows no shorter time than a second.
pub const SHORTLY: Duration = Duration::from_secs(1);

impl From<Lost> for Problem {
    fn from(_: Lost) -> Self {
        Refusal::OutcomeUnknown.into()
    }
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        tracing::error!(%error, "a call was refused");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "STORE_UNREADABLE", error.to_string()).retry_after(SHORTLY)
    }
}

/// No such route.
pub fn no_route() -> Problem {
    Problem::not_found("NO_ROUTE", "there is no such call")
}

/// The route exists; the method is another one.
pub fn wrong_method(allowed: &'static str) -> HttpResponse {
    let refused = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "WRONG_METHOD", format!("this call is {allowed}"));
    let mut response = refused.error_response();
    let allow = allowed.replace("GET", "GET, HEAD");
    let allow = header::HeaderValue::try_from(allow).expect("names of methods");
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// A moment as these APIs write it: RFC 3339, UTC, milliseconds.
pub fn rfc3339(moment: Millis) -> String {
    // The end of the year 9999, after which the format has no words.
    const LAST: u64 = 253_402_300_799_999;
    let since_1970 = Duration::from_millis(moment.0.min(LAST));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_1970).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_with_milliseconds_whatever_the_clock_says() {
        assert_eq!(rfc3339(Millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Millis(1_718_454_896_007)), "2024-06-15T12:34:56.007Z");
        assert_eq!(rfc3339(Millis(u64::MAX)), "9999-12-31T23:59:59.999Z");
    }
}
