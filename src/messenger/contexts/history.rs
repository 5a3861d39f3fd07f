//! `GET /v1/contexts/{context}/history`: the PDUs of a context, newest first; older ones are fetched from other
//! servers.

use std::time::Duration;

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::model::{ContextId, FeedPdu};
use actors::ports::ArchiveError;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::http::error::ApiError;
use crate::http::query;
use crate::json::writer::RawObjectWriter;
use crate::messenger::MessengerApi;
use crate::messenger::contexts::context::known;
use crate::messenger::events::render_pdu::PduEvent;

/// Default number of PDUs in a page.
const LIMIT_DEFAULT: u32 = 50;
/// Maximum number of PDUs in a page.
const LIMIT_MAX: u32 = 500;
/// Maximum bytes of PDUs in a page; a larger PDU is a page of its own.
const PAGE_BYTES: u64 = 4 << 20;
/// Maximum wait for PDUs from other servers. Those that arrive later are returned by the next call.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// `next` of the page before.
    before: Option<i64>,
    /// Number of PDUs, 50 if it is absent. More than 500 are 500.
    #[schemars(range(min = 1))]
    limit: Option<u32>,
}

/// Returns a page. `next` is present as long as more may follow.
pub(crate) async fn get(
    api: web::Data<MessengerApi>,
    request: HttpRequest,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let context = known(&path)?;
    let bad = |words: String| ApiError::bad_request("BAD_QUERY", words);
    let HistoryQuery { before, limit } = query::read(request.query_string())?;
    let limit = match limit.unwrap_or(LIMIT_DEFAULT) {
        0 => return Err(bad("limit must be at least 1".to_owned())),
        limit => limit.min(LIMIT_MAX),
    };
    api.gateway.record(&context).await?;
    let archive = &api.gateway.ports().archive;
    let mut page = archive.contexts.timeline(&context, before, limit, PAGE_BYTES).await?;
    let lacking = limit.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
    let bytes: u64 = page.iter().map(|(_, pdu)| pdu.bytes.len() as u64).sum();
    let mut more = lacking == 0 || bytes > PAGE_BYTES / 2;
    if !more {
        // After a timeout the requested PDUs may still arrive, so `more` stays true.
        let asked = tokio::time::timeout(PATIENCE, api.gateway.fetch_older(&context, lacking)).await;
        if let (Ok(Err(refusal)), true) = (&asked, page.is_empty()) {
            return Err(refusal.clone().into());
        }
        more = !matches!(asked, Ok(Ok(0)));
        if matches!(asked, Ok(Ok(1..))) {
            page = archive.contexts.timeline(&context, before, limit, PAGE_BYTES).await?;
        }
    }
    let next = page.last().map(|(position, _)| *position).or(before).filter(|_| more);
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(render(&api, &context, page, next).await?))
}

async fn render(
    api: &MessengerApi,
    context: &ContextId,
    page: Vec<(i64, FeedPdu)>,
    next: Option<i64>,
) -> Result<Vec<u8>, ArchiveError> {
    let mut out = Vec::new();
    let mut body = RawObjectWriter::begin(&mut out);
    body.member("context", context.as_str());
    body.optional("next", next);
    let mut list = Vec::from(*b"[");
    for (_, mut fed) in page {
        if list.len() > 1 {
            list.push(b',');
        }
        if let Some(key) = PduEvent::new(&fed)?.sets() {
            let holder = api.gateway.ports().archive.contexts.state_holder(context, &key).await?;
            fed.shown.current = holder.is_some_and(|holder| holder.reference == fed.reference);
        }
        let event = PduEvent::new(&fed)?;
        let mut entry = RawObjectWriter::begin(&mut list);
        entry.member("kind", event.kind());
        entry.member("id", &fed.reference.to_string());
        event.write(&mut entry);
        entry.end();
    }
    list.push(b']');
    body.raw("history", &list);
    body.end();
    Ok(out)
}
