//! `/admin/v1/contexts`: lists contexts, returns their status, and merges their heads.

use actix_web::{HttpResponse, web};
use actors::errors::ComposeError;
use actors::model::{ContextId, PduDraft, SubmissionId};
use actors::ports::ContextSummary;
use serde::{Deserialize, Serialize};

use crate::admin::AdminApi;
use crate::admin::answer::{OperatorCall, page};
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::responses::rfc3339;
use crate::json::reader::digest;
use crate::messenger::contexts::context::{known, shown};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextListItem {
    /// Context after which the page begins.
    after: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct ContextList {
    contexts: Vec<ContextListQuery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct ContextListQuery {
    context: String,
    /// Participants; this server comes first.
    participants: Vec<String>,
    heads: u64,
    depth: u64,
    held: u64,
    gaps: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
}

/// Returns a page of contexts, ordered by id.
pub(super) async fn list(
    api: web::Data<AdminApi>,
    asked: query::QueryParams<ContextListItem>,
) -> Result<HttpResponse, ApiError> {
    let after = asked.after.as_deref().map(known).transpose()?;
    let page = api.inspect.contexts(after, page(asked.limit)).await?;
    let us = &api.gateway.ports().us;
    let listing = |row: ContextSummary| ContextListQuery {
        context: row.record.context.to_string(),
        participants: std::iter::once(us).chain(&row.record.participants).map(ToString::to_string).collect(),
        heads: row.heads,
        depth: row.record.depth,
        held: row.held,
        gaps: row.gaps,
        last: row.last.map(rfc3339),
    };
    let next = page.next.map(|next| next.to_string());
    Ok(HttpResponse::Ok().json(ContextList { contexts: page.rows.into_iter().map(listing).collect(), next }))
}

/// Returns the status of a context in the form that the messenger gets.
pub(super) async fn show(api: web::Data<AdminApi>, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    shown(&api.gateway, &path).await
}

#[derive(Serialize)]
struct MergeResult {
    context: String,
    /// Number of heads before, and below, after the merge.
    heads: usize,
    left: usize,
    /// Number of messages that were composed.
    said: usize,
}

/// Joins the heads by composing messages. The feed does not contain them, like all messages of this server.
pub(super) async fn merge(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let merged = match known(&path) {
        Ok(context) => merged(&api, &context).await.map_err(ApiError::from),
        Err(problem) => Err(problem),
    };
    operator.log_action("context.merge", &*path, merged.as_ref().map(|_| ()));
    Ok(HttpResponse::Ok().json(merged?))
}

async fn merged(api: &AdminApi, context: &ContextId) -> Result<MergeResult, ComposeError> {
    let clock = &api.gateway.ports().clock;
    let heads = api.gateway.context(context).await?.record.heads.len();
    let said = api.gateway.merge_heads(context, |kind| {
        let accepted = clock.now();
        let id = api.pdu_ids.next(accepted);
        let submission: SubmissionId = format!("merge-{id}").parse().expect("letters, digits and a dash");
        PduDraft {
            digest: digest(submission.as_str().as_bytes()),
            submission,
            accepted,
            id,
            kind: kind.clone(),
            content: "{}".into(),
            state: None,
            to: None,
            extra: vec![],
        }
    });
    let said = said.await?;
    let left = api.gateway.context(context).await?.record.heads.len();
    Ok(MergeResult { context: context.to_string(), heads, left, said })
}
