//! Releases or drops quarantined items and dead letters: one by its id, or all of a server, a page per call.

use actix_web::{HttpResponse, web};
use actors::model::{Index, ParkedCode, PduVerdict};
use actors::ports::{Direction, ParkedRow, QuarantineItemKind, QuarantineReason};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::AdminApi;
use super::answer::{OperatorBody, OperatorCall, server};
use super::quarantine::{QuarantineId, filter, find, place, written};
use crate::api::quarantine::{BulkReleaseRequest, BulkReleaseResult, KeptItem, ReleaseResult};
use crate::http::error::ApiError;
use crate::http::json_error;
use crate::http::query;
use crate::json::reader;
use crate::json::scanner::ScannedValue;
use crate::wire::pdu::PduReader;
use crate::wire::updates::{kept_forwards, kept_group_messages};

/// Maximum number of items in one call on all of a server: each may be a commit, and the caller waits.
pub(super) const AT_ONCE: u32 = 100;

/// The action on an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuarantineAction {
    Release,
    Drop,
}

impl QuarantineAction {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Release => "quarantine.release",
            Self::Drop => "quarantine.drop",
        }
    }
}

/// Releases one item: an inbound one to its context, an outbound one to its queue.
pub(super) async fn release(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(one(&api, &operator, &path, QuarantineAction::Release).await?))
}

/// Deletes one item from quarantine or from the dead letters.
pub(super) async fn drop(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(one(&api, &operator, &path, QuarantineAction::Drop).await?))
}

/// Releases or drops the item that a path names, and logs it.
pub(super) async fn one(
    api: &AdminApi,
    operator: &OperatorCall,
    path: &(String, String),
    act: QuarantineAction,
) -> Result<ReleaseResult, ApiError> {
    let row = find(api, path).await?;
    let (server, id) = (row.place.server.to_string(), QuarantineId::of(&row.place).to_string());
    let outcome = done(api, row, act).await;
    operator.log_action(act.word(), &format_args!("{server} {id}"), outcome.as_ref().map(|_| ()));
    Ok(ReleaseResult { server, id, outcome: outcome?.into() })
}

/// The query of a call on all items, which has no keys: a misspelt `of=messenger` must not be about a server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BulkReleaseQuery {}

/// Releases all items of a server, in their order. Items that cannot be accepted stay, and the response gives the
/// reasons.
pub(super) async fn release_all(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
    _: query::QueryParams<BulkReleaseQuery>,
    OperatorBody(asked): OperatorBody<BulkReleaseRequest>,
) -> Result<HttpResponse, ApiError> {
    many(&api, &operator, &path, &asked, QuarantineAction::Release).await
}

/// Deletes all items of a server.
pub(super) async fn drop_all(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
    _: query::QueryParams<BulkReleaseQuery>,
    OperatorBody(asked): OperatorBody<BulkReleaseRequest>,
) -> Result<HttpResponse, ApiError> {
    many(&api, &operator, &path, &asked, QuarantineAction::Drop).await
}

async fn many(
    api: &AdminApi,
    operator: &OperatorCall,
    name: &str,
    asked: &BulkReleaseRequest,
    act: QuarantineAction,
) -> Result<HttpResponse, ApiError> {
    let server = server(&api.gateway, name)?;
    let filter = filter(Some(server.clone()), asked.direction.as_deref(), asked.kind.as_deref())?;
    let after = asked.after.as_deref().map(place).transpose()?;
    let page = api.inspect.parked(filter, after, AT_ONCE).await?;
    let (mut count, mut stayed) = (0, Vec::new());
    for listed in page.rows {
        let id = QuarantineId::of(&listed.place).to_string();
        // The item may have been removed since the page was read.
        let Some(row) = api.inspect.parked_row(listed.place).await? else { continue };
        match done(api, row, act).await {
            Ok(_) => count += 1,
            Err(problem) if problem.status().is_server_error() => return Err(problem),
            Err(problem) => stayed.push(KeptItem { id, code: problem.code().into(), reason: problem.to_string() }),
        }
    }
    operator.log_action(act.word(), &format_args!("{server}: {count} done, {} stay", stayed.len()), Ok(()));
    let next = page.next.map(|place| written(&place));
    Ok(HttpResponse::Ok().json(BulkReleaseResult { server: server.to_string(), done: count, stayed, next }))
}

/// Applies the action and returns the result for the item.
pub(super) async fn done(api: &AdminApi, row: ParkedRow, act: QuarantineAction) -> Result<&'static str, ApiError> {
    match (act, row.place.direction) {
        (QuarantineAction::Drop, _) => {
            api.gateway.forget_parked(&row.place).await?;
            Ok("dropped")
        }
        (QuarantineAction::Release, Direction::Out) => {
            api.gateway.requeue(&row.place.server, Index(row.place.number)).await?;
            Ok("queued")
        }
        (QuarantineAction::Release, Direction::In) => {
            let outcome = taken(api, &row).await?;
            api.gateway.forget_parked(&row.place).await?;
            Ok(outcome)
        }
    }
}

/// Submits an inbound item to its context again; it stays in quarantine unless it is accepted.
async fn taken(api: &AdminApi, row: &ParkedRow) -> Result<&'static str, ApiError> {
    let stays = |reason: String| ApiError::unprocessable("STAYS", reason);
    if let QuarantineItemKind::ForwardIn(..) = row.what {
        let settled = kept_forwards::settle(&api.gateway, &*api.judge, row).await.map_err(ApiError::from)?;
        return settled.map_err(stays);
    }
    if row.code != QuarantineReason::Inbound(ParkedCode::NotAnObject)
        && let Some(verdict) = kept_group_messages::settle(&api.gateway, row).await?
    {
        return settled(row, verdict);
    }
    if !row.what.is_pdu() {
        return Err(stays(format!("the messenger could not read it ({}); it can only be dropped", row.reason)));
    }
    let bytes = row.bytes.as_deref().unwrap_or_default();
    let raw: &RawValue = serde_json::from_slice(bytes)
        .map_err(|error| stays(format!("it is not JSON: {}", json_error::words(&error))))?;
    let reader = PduReader::new(&row.place.server, &api.gateway, &*api.judge);
    let read = reader.read_scanned(carried(raw.get()).unwrap_or_else(|| raw.into()));
    let pdu = read.await.map_err(|bad| stays(bad.reason))?;
    settled(row, api.gateway.admit_parked(&row.place.server, pdu).await?)
}

/// Returns the result for an item by the verdict of its context.
fn settled(row: &ParkedRow, verdict: PduVerdict) -> Result<&'static str, ApiError> {
    let stays = |reason: String| ApiError::unprocessable("STAYS", reason);
    match verdict {
        PduVerdict::Accepted => Ok("delivered"),
        PduVerdict::Held => Ok("held"),
        PduVerdict::Duplicate => Ok("known"),
        PduVerdict::Parked { code } => Err(stays(format!("still {code}: {}", row.reason))),
        PduVerdict::Refused { code, reason } => Err(stays(format!("{code}: {reason}"))),
    }
}

/// Returns the PDU in an update that carries one.
fn carried(update: &str) -> Option<ScannedValue<'_>> {
    let members = reader::members(update).ok()?;
    let is_update = reader::has_string_member(update, "update", "pdu") && reader::get(&members, "pdu_id").is_none();
    reader::get(&members, "pdu").filter(|_| is_update)
}
