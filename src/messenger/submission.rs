//! The common parts of submitting updates and messages: one id space, locking of ids, the response.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actors::model::{PduRef, ServerName, SubmissionId};

use super::MessengerApi;
use super::answer::RETRY_AFTER_DEFAULT;
use crate::api::pdus::PduName;
use crate::api::submissions::AcceptedSubmission;
use crate::http::error::ApiError;
use crate::messenger::id_locks::IdLockGuard;

/// Parses the id in a path or a body.
pub(super) fn id(text: &str) -> Result<SubmissionId, ApiError> {
    text.parse().map_err(|error| ApiError::unprocessable("BAD_ID", format!("{error}")))
}

/// Locks these submission ids and waits for their turn.
pub(super) async fn turns(api: &MessengerApi, ids: Vec<SubmissionId>) -> Result<IdLockGuard, ApiError> {
    api.inflight.lock_ids(ids).await.map_err(|full| {
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_SUBMISSIONS", full.to_string())
            .retry_after(RETRY_AFTER_DEFAULT)
            .by_limit("messenger.submissions_max")
    })
}

/// Returns the error for an id of another submission.
pub(super) fn id_in_use_error(id: &SubmissionId) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "ID_IN_USE", format!("{id} was used for another submission"))
}

/// Returns the response after the commit; `pdu` is given for a message.
pub(super) fn accepted<'a>(
    id: &SubmissionId,
    pdu: Option<&PduRef>,
    servers: impl IntoIterator<Item = &'a ServerName>,
) -> HttpResponse {
    let peers = servers.into_iter().map(ServerName::as_str).collect();
    HttpResponse::Accepted().json(AcceptedSubmission { id: id.as_str(), pdu: pdu.map(PduName::from), peers })
}

/// Reads `receipt` of a submission: whether a delivery event is to report that the recipient's messenger has it.
pub(super) fn wants_receipt(given: Option<&str>) -> Result<bool, ApiError> {
    match given {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::unprocessable("BAD_RECEIPT", "\"receipt\" is neither true nor false")),
    }
}
