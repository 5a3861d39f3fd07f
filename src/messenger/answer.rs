//! Helpers for the messenger API's responses, in addition to those of all private listeners.

use actix_web::Error;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actors::model::CountedNoun;

use crate::http::error::ApiError;
pub(super) use crate::http::responses::{RETRY_AFTER_DEFAULT, no_route, rfc3339};

/// Returns the error for a call whose data another process owns.
pub(super) fn not_ours() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_OURS", "another process owns the feed")
        .retry_after(RETRY_AFTER_DEFAULT)
}

/// Returns the error for a body that did not arrive completely.
pub(super) fn unreadable_body(error: &Error, body_max: usize) -> ApiError {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "TOO_LARGE",
            format!("the body exceeds messenger.body_max ({})", CountedNoun(body_max as u64, "byte")),
        )
        .by_limit("messenger.body_max"),
        _ => ApiError::bad_request("BAD_BODY", format!("the body cannot be read: {error}")),
    }
}
