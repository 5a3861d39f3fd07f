//! Converts the errors of the core to HTTP responses, one conversion per error type. A dialect with its own form of "not
//! now" converts such errors itself.

use std::time::Duration;

use actix_web::http::StatusCode;
use actors::errors::{
    AdmissionError, BatchError, CommandError, ComposeError, ContextError, DraftError, OutboxFullError, PeerError,
    SubmitError, UnavailableError,
};
use actors::limits::STRANGERS_ROWS_MAX;

use crate::http::error::{ApiError, FAULTY_WAIT, RESTART_WAIT};

/// Time to retry after for a full outbox: its peer has been away for long and is unlikely to return within a second.
const OUTBOX_WAIT: Duration = Duration::from_secs(10);

fn unavailable(code: &'static str, words: String, wait: Duration) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, words).retry_after(wait)
}

impl From<AdmissionError> for ApiError {
    fn from(error: AdmissionError) -> Self {
        let (words, wait) = (error.to_string(), error.wait());
        match error {
            AdmissionError::LimitReached { limit: STRANGERS_ROWS_MAX, .. } => {
                unavailable("STRANGERS_ROWS", words, wait).by_limit(STRANGERS_ROWS_MAX)
            }
            AdmissionError::LimitReached { limit, .. } => unavailable("BUSY", words, wait).by_limit(limit),
            AdmissionError::DiskLow { .. } => unavailable("DISK_LOW", words, wait).by_limit(error.limit()),
        }
    }
}

impl From<UnavailableError> for ApiError {
    fn from(error: UnavailableError) -> Self {
        let words = error.to_string();
        match error {
            UnavailableError::Admission(error) => error.into(),
            UnavailableError::OutcomeUnknown => unavailable("OUTCOME_UNKNOWN", words, RESTART_WAIT),
            UnavailableError::Stopping => unavailable("STOPPING", words, RESTART_WAIT),
        }
    }
}

impl From<PeerError> for ApiError {
    fn from(error: PeerError) -> Self {
        let words = error.to_string();
        match error {
            PeerError::Unavailable(error) => error.into(),
            PeerError::UnknownPeer(_) => Self::unprocessable("NOT_A_PEER", words),
            PeerError::Denied(_) => Self::unprocessable("DENIED", words),
        }
    }
}

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        let words = error.to_string();
        match error {
            BatchError::Peer(error) => error.into(),
            BatchError::Faulty(_) => unavailable("FAULTY", words, FAULTY_WAIT),
            BatchError::TooManyItems { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PUSH_TOO_LONG", words).by_limit("peers.intake_items")
            }
            BatchError::Misnumbered { .. } => Self::bad_request("MISNUMBERED", words),
        }
    }
}

impl From<OutboxFullError> for ApiError {
    /// Only this peer's queue is full and everything else works, so the caller is asked to slow down with a 429.
    fn from(error: OutboxFullError) -> Self {
        let full = Self::new(StatusCode::TOO_MANY_REQUESTS, "OUTBOX_FULL", error.to_string());
        full.retry_after(OUTBOX_WAIT).by_limit(error.key)
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Peer(error) => error.into(),
            SubmitError::OutboxFull(error) => error.into(),
        }
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let words = error.to_string();
        match error {
            CommandError::Peer(error) => error.into(),
            CommandError::Faulty(_) => unavailable("FAULTY", words, FAULTY_WAIT),
            CommandError::OutboxFull(error) => error.into(),
            CommandError::NumberFarAbove { .. } => {
                Self::unprocessable("RENUMBER_MAX", words).by_limit("peers.renumber_max")
            }
            CommandError::NumberOutOfRange { .. } => Self::unprocessable("BAD_SEQ", words),
            CommandError::UnknownSubmission(_) => Self::not_found("UNKNOWN_ID", words),
        }
    }
}

impl From<ContextError> for ApiError {
    fn from(error: ContextError) -> Self {
        let words = error.to_string();
        match error {
            ContextError::Unavailable(error) => error.into(),
            ContextError::UnknownPeer(_) => Self::unprocessable("NOT_A_PEER", words),
            ContextError::Denied(_) => Self::unprocessable("DENIED", words),
            ContextError::UnknownContext(_) => Self::not_found("UNKNOWN_CONTEXT", words),
            ContextError::Faulty(_) => unavailable("FAULTY", words, FAULTY_WAIT),
            ContextError::TooManyParticipants { .. } => {
                Self::unprocessable("TOO_MANY_PARTICIPANTS", words).by_limit("contexts.participants_max")
            }
        }
    }
}

impl From<DraftError> for ApiError {
    fn from(error: DraftError) -> Self {
        let words = error.to_string();
        match error {
            DraftError::NotAParticipant { .. } => Self::unprocessable("NOT_A_PARTICIPANT", words),
            DraftError::ToNotHonoured { .. } => Self::unprocessable("TO_NOT_HONOURED", words),
            DraftError::StateNarrowed(_) => Self::unprocessable("STATE_NARROWED", words),
            DraftError::PowerTooLow { .. } => Self::new(StatusCode::FORBIDDEN, "POWER_TOO_LOW", words),
        }
    }
}

impl From<ComposeError> for ApiError {
    fn from(error: ComposeError) -> Self {
        match error {
            ComposeError::Context(error) => error.into(),
            ComposeError::Draft(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use actix_web::http::header::RETRY_AFTER;
    use actors::model::{ContextId, Seq, ServerName};

    use super::*;
    use crate::http::error::RefusedByLimit;
    use crate::openapi::refusals::{COMMAND, CONTEXT, DRAFT, OUTBOX, PEER, contains};

    fn red() -> ServerName {
        "red.example".parse().expect("valid")
    }

    fn room() -> ContextId {
        "#room".parse().expect("valid")
    }

    #[test]
    fn core_error_maps_to_status() {
        let (limit, value) = ("peers.intake_max", 4);
        let busy = AdmissionError::LimitReached { limit, value, wait: Duration::from_millis(1500) };
        let low = AdmissionError::DiskLow { free: 9, min_free: 10, wait: Duration::from_secs(10) };
        let (number, unnamed) = (Seq(9), "m".parse().expect("valid"));
        let full = OutboxFullError { server: red(), key: "peers.outbox_items", limit: 3 };
        let table: [(ApiError, u16, &str, Option<&str>); 23] = [
            (busy.clone().into(), 503, "BUSY", Some("2")),
            (BatchError::from(busy).into(), 503, "BUSY", Some("2")),
            (low.into(), 503, "DISK_LOW", Some("10")),
            (BatchError::Faulty(red()).into(), 503, "FAULTY", Some("60")),
            (CommandError::Faulty(red()).into(), 503, "FAULTY", Some("60")),
            (ContextError::Faulty(room()).into(), 503, "FAULTY", Some("60")),
            (UnavailableError::OutcomeUnknown.into(), 503, "OUTCOME_UNKNOWN", Some("1")),
            (UnavailableError::Stopping.into(), 503, "STOPPING", Some("1")),
            (BatchError::TooManyItems { count: 9, max: 4 }.into(), 413, "PUSH_TOO_LONG", None),
            (BatchError::Misnumbered { from_seq: None, seq: Seq(1), count: 2 }.into(), 400, "MISNUMBERED", None),
            (
                CommandError::NumberFarAbove { server: red(), number, above: 8, max: 4 }.into(),
                422,
                "RENUMBER_MAX",
                None,
            ),
            (CommandError::NumberOutOfRange { number: Seq(0), count: 1 }.into(), 422, "BAD_SEQ", None),
            (PeerError::UnknownPeer(red()).into(), 422, "NOT_A_PEER", None),
            (PeerError::Denied(red()).into(), 422, "DENIED", None),
            (ContextError::Denied(red()).into(), 422, "DENIED", None),
            (ContextError::UnknownContext(room()).into(), 404, "UNKNOWN_CONTEXT", None),
            (CommandError::UnknownSubmission(unnamed).into(), 404, "UNKNOWN_ID", None),
            (DraftError::NotAParticipant { server: red(), context: room() }.into(), 422, "NOT_A_PARTICIPANT", None),
            (DraftError::ToNotHonoured { server: red() }.into(), 422, "TO_NOT_HONOURED", None),
            (DraftError::StateNarrowed(room()).into(), 422, "STATE_NARROWED", None),
            (DraftError::PowerTooLow { own: 1, current: 50 }.into(), 403, "POWER_TOO_LOW", None),
            (ContextError::TooManyParticipants { count: 9, max: 4 }.into(), 422, "TOO_MANY_PARTICIPANTS", None),
            (full.into(), 429, "OUTBOX_FULL", Some("10")),
        ];
        for (problem, status, code, retry_after) in table {
            let response = problem.error_response();
            let told = response.headers().get(RETRY_AFTER).map(|value| value.to_str().expect("ascii").to_owned());
            assert_eq!((response.status().as_u16(), problem.code()), (status, code), "{problem}");
            assert_eq!(told.as_deref(), retry_after, "{problem}");
            let described = [PEER, OUTBOX, COMMAND, CONTEXT, DRAFT].iter().any(|set| contains(set, status, code));
            assert!(described || ["PUSH_TOO_LONG", "MISNUMBERED"].contains(&code), "{code} is in no set of refusals");
            let limit = match code {
                "BUSY" => Some("peers.intake_max"),
                "DISK_LOW" => Some("store.min_free"),
                "PUSH_TOO_LONG" => Some("peers.intake_items"),
                "RENUMBER_MAX" => Some("peers.renumber_max"),
                "TOO_MANY_PARTICIPANTS" => Some("contexts.participants_max"),
                "OUTBOX_FULL" => Some("peers.outbox_items"),
                _ => None,
            };
            let counted = response.extensions().get().map(|RefusedByLimit(limit)| *limit);
            assert_eq!((problem.limit(), counted), (limit, limit), "{problem}");
            assert_eq!(response.headers().get("content-type").map(|v| v.as_bytes()), Some(&b"application/json"[..]));
        }
    }
}
