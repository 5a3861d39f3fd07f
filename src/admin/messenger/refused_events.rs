//! `/admin/v1/quarantine?of=messenger`: the events that the messenger refused.

use actix_web::guard::GuardContext;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use actors::change::Change;
use actors::model::Position;
use actors::ports::{CommitPriority, RefusedRow};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::admin::AdminApi;
use crate::admin::answer::{OperatorCall, page};
use crate::api::quarantine::{RefusedEventPage, RefusedEventResult, RefusedEventRow};
use crate::http::bearer::operator_role::OperatorRole;
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::responses::{RETRY_AFTER_DEFAULT, rfc3339};

/// Maximum bytes of events on a page; a larger event is a page of its own.
const PAGE_BYTES: u64 = 4 << 20;

/// The selection, which each of these calls has in its query.
const OF_MESSENGER: &str = "of=messenger";

/// Returns whether a call is about the messenger's quarantine.
pub(in crate::admin) fn is_of_messenger(call: &GuardContext<'_>) -> bool {
    call.head().uri.query().is_some_and(|query| query.split('&').any(|part| part == OF_MESSENGER))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct RefusedEventsQuery {
    #[serde(rename = "of")]
    _of: String,
    after: Option<String>,
    limit: Option<u32>,
}

/// Returns a page of refused events, by position. The events have the texts of messages, so the role `read` is not enough.
pub(in crate::admin) async fn list(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    asked: query::QueryParams<RefusedEventsQuery>,
) -> Result<HttpResponse, ApiError> {
    operator.check_role(OperatorRole::Operate)?;
    let after = asked.after.as_deref().map_or(Ok(Position(0)), |text| {
        let number = text.parse().map(Position);
        number.map_err(|_| ApiError::bad_request("BAD_AFTER", format!("{text:?} is not the `next` of an earlier page")))
    })?;
    let page = api.inspect.refused_events(after, page(asked.limit), PAGE_BYTES).await?;
    let items = page.rows.into_iter().map(|RefusedRow { event, time }| {
        let text = String::from_utf8_lossy(&event.bytes).into_owned();
        // An event is JSON that this gateway wrote.
        let shown = RawValue::from_string(text).unwrap_or_default();
        RefusedEventRow { position: event.position.0, event: shown, reason: event.reason, time: rfc3339(time) }
    });
    let items = items.collect();
    Ok(HttpResponse::Ok().json(RefusedEventPage { items, next: page.next.map(|next| next.0) }))
}

/// Pushes a refused event again, after all events that the feed has now.
pub(in crate::admin) async fn release(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let push = api.push.as_ref().ok_or_else(push_off)?;
    let position = found(&api, &path).await?;
    let outcome = commit(&api, Change::RefusedEventReleased { position }).await;
    push.look_for_released();
    operator.log_action("quarantine.release", &format_args!("messenger {position}"), outcome.as_ref().copied());
    outcome.map(|()| done(position, "released"))
}

/// Deletes a refused event.
pub(in crate::admin) async fn drop(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let position = found(&api, &path).await?;
    let outcome = commit(&api, Change::RefusedEventDropped { position }).await;
    operator.log_action("quarantine.drop", &format_args!("messenger {position}"), outcome.as_ref().copied());
    outcome.map(|()| done(position, "dropped"))
}

fn done(position: Position, outcome: &'static str) -> HttpResponse {
    HttpResponse::Ok().json(RefusedEventResult { position: position.0, outcome: outcome.into() })
}

fn push_off() -> ApiError {
    let words = "push mode is off (messenger.push.url), so the event cannot be pushed again; the messenger can read it by \
                 its position as long as the feed keeps it";
    ApiError::new(StatusCode::CONFLICT, "PUSH_OFF", words)
}

/// Returns the position of a refused event that a path names.
async fn found(api: &AdminApi, text: &str) -> Result<Position, ApiError> {
    let bad = |_| ApiError::bad_request("BAD_ID", format!("{text:?} is not the position of an event"));
    let position: u64 = text.parse().map_err(bad)?;
    let page = api.inspect.refused_events(Position(position.saturating_sub(1)), 1, 0).await?;
    match page.rows.first() {
        Some(row) if row.event.position.0 == position => Ok(row.event.position),
        _ => {
            let words =
                format!("the messenger has not refused event {position}; see `fernpost quarantine list --messenger`");
            Err(ApiError::not_found("UNKNOWN_ITEM", words))
        }
    }
}

async fn commit(api: &AdminApi, change: Change) -> Result<(), ApiError> {
    let ports = api.gateway.ports();
    let fence = ports.ownership.claim_feed().ok_or_else(|| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_OURS", "another process owns the feed")
            .retry_after(RETRY_AFTER_DEFAULT)
    })?;
    Ok(ports.journal.submit(fence, vec![change], CommitPriority::Now).committed().await?)
}
