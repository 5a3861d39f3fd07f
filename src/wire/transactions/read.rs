//! `GET /matrix/federation/v1/pdu/{origin}/{id}/`: one PDU, for participants of its context.

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::errors::UnavailableError;
use actors::model::{ContextId, PduRef, ServerName};
use actors::ports::{ArchiveError, ServedPdu};
use bytes::Bytes;

use super::envelope::encode_reply;
use crate::http::authentication::VerifiedCaller;
use crate::http::error::ApiError;
use crate::raw_targets::path::readings;
use crate::wire::FederationCore;

/// Returns the PDU. One that the caller may not see is answered like one that does not exist, so its existence is not
/// revealed.
pub(super) async fn pdu(
    caller: VerifiedCaller,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    intake: web::Data<dyn FederationCore>,
) -> Result<HttpResponse, ApiError> {
    for [first, second] in readings(&request, [&path.0, &path.1], intake.habits(&caller.server)) {
        // Servers that read a pair in the wrong order ask for it in that order.
        for (origin, id) in [(&first, &second), (&second, &first)] {
            let (Ok(origin), Ok(id)) = (origin.parse(), id.parse()) else { continue };
            if let Some(pdu) =
                seen_by(&caller.server, &PduRef { origin, id }, &**intake).await.map_err(|error| unreadable(&error))?
            {
                return Ok(reply(&**intake, &caller.server, vec![pdu]));
            }
        }
    }
    Err(nothing_there())
}

/// Returns the context that the path names if the caller participates in it. A context that the caller may not see is
/// reported as not found.
pub(super) async fn context(
    caller: &VerifiedCaller,
    request: &HttpRequest,
    decoded: &str,
    intake: &dyn FederationCore,
) -> Result<ContextId, ApiError> {
    for [name] in readings(request, [decoded], intake.habits(&caller.server)) {
        let Ok(context) = name.parse() else { continue };
        if intake.takes_part(&context, &caller.server).await.map_err(|error| unreadable(&error))? {
            return Ok(context);
        }
    }
    Err(nothing_there())
}

/// Returns PDUs as the response to a GET.
pub(super) fn reply(intake: &dyn FederationCore, asker: &ServerName, pdus: Vec<ServedPdu>) -> HttpResponse {
    let pdus: Vec<(Bytes, u64)> = pdus.into_iter().map(|pdu| (pdu.bytes, pdu.depth)).collect();
    let body = encode_reply(intake.us(), intake.now(), &pdus, intake.habits(asker).pairs);
    HttpResponse::Ok().content_type(ContentType::json()).body(body)
}

/// Returns the common error for what does not exist and for what the caller may not see.
pub(super) fn nothing_there() -> ApiError {
    ApiError::not_found("NOT_FOUND", "not found in any context in which you participate")
}

async fn seen_by(
    asker: &ServerName,
    reference: &PduRef,
    intake: &dyn FederationCore,
) -> Result<Option<ServedPdu>, ArchiveError> {
    let Some(pdu) = intake.pdu(reference).await?.filter(|pdu| pdu.is_for(asker)) else { return Ok(None) };
    Ok(intake.takes_part(&pdu.context, asker).await?.then_some(pdu))
}

/// Returns the error for a failed read. It is not a 404, because the caller would take that as final.
pub(super) fn unreadable(error: &ArchiveError) -> ApiError {
    tracing::error!(%error, "a PDU that a peer requests cannot be read");
    UnavailableError::OutcomeUnknown.into()
}
