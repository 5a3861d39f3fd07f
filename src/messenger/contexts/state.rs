//! `GET /v1/contexts/{context}/state`: the current state of a context.

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::model::{ContextId, FeedFlags, FeedPdu, StateKey};
use actors::ports::{ArchiveError, StatePage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::error::ApiError;
use crate::http::query;
use crate::json::writer::RawObjectWriter;
use crate::messenger::MessengerApi;
use crate::messenger::contexts::context::known;
use crate::messenger::events::render_pdu::PduEvent;

/// Default number of state PDUs in a page.
const LIMIT_DEFAULT: u32 = 100;
/// Maximum number of state PDUs in a page.
const LIMIT_MAX: u32 = 1_000;
/// Maximum bytes of PDUs in a page; a larger PDU is a page of its own.
const PAGE_BYTES: u64 = 4 << 20;

/// The query. The two parameters for the start of the page belong together: they are the `next` of the page before.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateQuery {
    /// Number of PDUs, 100 if it is absent. More than 1,000 are 1,000.
    #[schemars(range(min = 1))]
    limit: Option<u32>,
    /// `next.after_type` of the page before, together with `after_key`.
    after_type: Option<String>,
    /// `next.after_key` of the page before, together with `after_type`.
    after_key: Option<String>,
}

/// Start of the next page.
#[derive(Serialize)]
struct NextStatePage<'a> {
    after_type: &'a str,
    after_key: &'a str,
}

/// Returns a page of committed state.
pub(crate) async fn get(
    api: web::Data<MessengerApi>,
    request: HttpRequest,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let context = known(&path)?;
    let bad = |words: String| ApiError::bad_request("BAD_QUERY", words);
    let StateQuery { limit, after_type, after_key } = query::read(request.query_string())?;
    let after: Option<StateKey> = match (after_type, after_key) {
        (Some(kind), Some(key)) => Some((kind.into(), key)),
        (None, None) => None,
        _ => return Err(bad("after_type and after_key must be given together".to_owned())),
    };
    let limit = match limit.unwrap_or(LIMIT_DEFAULT) {
        0 => return Err(bad("limit must be at least 1".to_owned())),
        limit => limit.min(LIMIT_MAX),
    };
    api.gateway.record(&context).await?;
    let page = api.gateway.ports().archive.contexts.current_state(&context, after, limit, PAGE_BYTES).await?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(render(&context, page)?))
}

fn render(context: &ContextId, page: StatePage) -> Result<Vec<u8>, ArchiveError> {
    let mut out = Vec::new();
    let mut body = RawObjectWriter::begin(&mut out);
    body.member("context", context.as_str());
    let next = page.state.last().filter(|_| page.more).map(|last| last.key.clone());
    if let Some((kind, key)) = &next {
        body.member("next", &NextStatePage { after_type: kind, after_key: key });
    }
    let mut list = Vec::from(*b"[");
    for state in page.state {
        if list.len() > 1 {
            list.push(b',');
        }
        let fed = FeedPdu {
            reference: state.reference,
            context: context.clone(),
            depth: state.depth,
            sender: state.sender,
            verified: state.verified,
            shown: FeedFlags { current: true, ..FeedFlags::default() },
            bytes: state.bytes,
        };
        let mut entry = RawObjectWriter::begin(&mut list);
        PduEvent::new(&fed)?.write(&mut entry);
        entry.end();
    }
    list.push(b']');
    body.raw("state", &list);
    body.end();
    Ok(out)
}
