//! `GET /matrix/federation/v1/state/{context}/`: the current state PDUs, for participants of the context.

use actix_web::{HttpRequest, HttpResponse, web};

use super::read::{self, reply, unreadable};
use crate::http::authentication::VerifiedCaller;
use crate::http::error::ApiError;
use crate::wire::FederationCore;

/// Maximum bytes of PDUs in one response: less than any caller reads. PDUs that do not fit are omitted; the caller fetches
/// it later as the `prev_state` of a following PDU.
const BYTES_MAX: u64 = 8 << 20;

/// Returns the current state. State PDUs that are not current are omitted; if no state was ever set, the list is empty.
pub(super) async fn state(
    caller: VerifiedCaller,
    request: HttpRequest,
    path: web::Path<String>,
    intake: web::Data<dyn FederationCore>,
) -> Result<HttpResponse, ApiError> {
    let context = read::context(&caller, &request, &path, &**intake).await?;
    let pdus = intake.state(&context, BYTES_MAX).await.map_err(|error| unreadable(&error))?;
    Ok(reply(&**intake, &caller.server, pdus))
}
