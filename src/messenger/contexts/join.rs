//! `POST /v1/contexts/{context}/join`: fetches a context from a participating server.

use actix_web::{Error, HttpResponse, web};
use actors::model::{ContextId, ServerName};
use bytes::Bytes;

use crate::api::contexts::JoinStarted;
use crate::api::requests::JoinRequest;
use crate::http::error::ApiError;
use crate::http::json_error;
use crate::messenger::MessengerApi;
use crate::messenger::answer::unreadable_body;

/// Maximum number of history PDUs that one call may request.
const BACKFILL_MAX: u32 = 100_000;

/// Starts a join, and responds once it is on disk, so that it survives a restart. `GET /v1/contexts/{context}` returns
/// its progress.
pub(crate) async fn post(
    api: web::Data<MessengerApi>,
    path: web::Path<String>,
    body: Result<Bytes, Error>,
) -> Result<HttpResponse, ApiError> {
    let context: ContextId = path.parse().map_err(|why| ApiError::unprocessable("BAD_CONTEXT", format!("{why}")))?;
    let body = body.map_err(|error| unreadable_body(&error, api.limits.body_max))?;
    let JoinRequest { via, backfill } = json_error::object(&body).map_err(|why| {
        ApiError::bad_request("BAD_JSON", format!("the body is not {{\"via\":..,\"backfill\":..}}: {why}"))
    })?;
    let via: ServerName = via.parse().map_err(|why| ApiError::unprocessable("BAD_SERVER", format!("via: {why}")))?;
    if via == api.us {
        return Err(ApiError::unprocessable("BAD_SERVER", "\"via\" must be another server than this one"));
    }
    if backfill > BACKFILL_MAX {
        let words =
            format!("backfill is at most {BACKFILL_MAX}; read older history with GET .../history, page by page");
        return Err(ApiError::unprocessable("BAD_BACKFILL", words));
    }
    api.gateway.join(&context, via.clone(), backfill).await?;
    Ok(HttpResponse::Accepted().json(JoinStarted { context: context.as_str(), via: via.as_str(), backfill }))
}
