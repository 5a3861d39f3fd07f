//! `PUT /v1/messages/{id}`: submits one message to a context; a repeat has no effect.

use actix_web::{Error, HttpResponse, web};
use actors::errors::UnavailableError;
use bytes::Bytes;

use crate::http::error::ApiError;
use crate::http::json_error;
use crate::messenger::MessengerApi;
use crate::messenger::answer::unreadable_body;
use crate::messenger::messages::body::MessageBody;
use crate::messenger::messages::submit::{SubmittedMessage, submit_messages};
use crate::messenger::submission;
use crate::messenger::submission::accepted;

/// Submits a message, and responds after its commit.
pub(crate) async fn put(
    api: web::Data<MessengerApi>,
    path: web::Path<String>,
    body: Result<Bytes, Error>,
) -> Result<HttpResponse, ApiError> {
    let id = submission::id(&path)?;
    let body = body.map_err(|error| unreadable_body(&error, api.limits.body_max))?;
    let members = serde_json::from_slice(&body).map_err(|error| {
        ApiError::bad_request("BAD_JSON", format!("the body is not a JSON object: {}", json_error::words(&error)))
    })?;
    let message = SubmittedMessage { id, body: MessageBody::decode(&body, members)? };
    // The call runs in a task of its own, because it must not end with the connection while its id is locked; see the
    // submission of updates.
    let task = actix_web::rt::spawn(async move { take(&api, message).await });
    task.await.unwrap_or_else(|_panicked| Err(UnavailableError::OutcomeUnknown.into()))
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
