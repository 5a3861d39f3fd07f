//! `PUT /v1/messages/{id}`: submits one message to a context; a repeat has no effect.

use actix_web::{Error, HttpResponse, web};
use actors::errors::UnavailableError;
use actors::model::SubmissionId;
use bytes::Bytes;

use crate::http::error::ApiError;
use crate::http::json_error;
use crate::json::canonical::split_object;
use crate::messenger::MessengerApi;
use crate::messenger::answer::unreadable_body;
use crate::messenger::messages::body::MessageBody;
use crate::messenger::messages::submit::{SubmittedMessage, submit_messages};
use crate::messenger::submission;
use crate::messenger::submission::accepted;
use crate::messenger::uncancelled_call::UncancelledCall;

/// Submits a message, and responds after its commit.
pub(crate) async fn put(
    api: web::Data<MessengerApi>,
    path: web::Path<String>,
    body: Result<Bytes, Error>,
) -> Result<HttpResponse, ApiError> {
    submit(api, submission::id(&path)?, body).await
}

/// Submits a message under an id that was read already.
pub(crate) async fn submit(
    api: web::Data<MessengerApi>,
    id: SubmissionId,
    body: Result<Bytes, Error>,
) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(|error| unreadable_body(&error, api.limits.body_max))?;
    let members = split_object(&body).map_err(|error| {
        ApiError::bad_request("BAD_JSON", format!("the body is not a JSON object: {}", json_error::words(&error)))
    })?;
    let message = SubmittedMessage { id, body: MessageBody::decode(&body, members, None)? };
    UncancelledCall::new(async move { take(&api, message).await }).await
}

async fn take(api: &MessengerApi, message: SubmittedMessage) -> Result<HttpResponse, ApiError> {
    let id = message.id.clone();
    let _turn = submission::turns(api, vec![id.clone()]).await?;
    let composed = submit_messages(api, vec![message])
        .await
        .pop()
        .unwrap_or_else(|| Err(UnavailableError::OutcomeUnknown.into()))?;
    Ok(accepted(&id, Some(&composed.reference), &composed.peers))
}
