//! `/admin/v1/contexts`: lists contexts, returns their status, and merges their heads.

pub(super) mod context_verify;

use actix_web::{HttpResponse, web};
use actors::errors::ComposeError;
use actors::model::{ContextId, PduDraft, SubmissionId};
use actors::ports::ContextSummary;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin::AdminApi;
use crate::admin::answer::{OperatorCall, page};
use crate::api::contexts::{ContextPage, ContextPageRow, MergeResult};
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::responses::rfc3339;
use crate::json::reader::digest;
use crate::messenger::contexts::context::{known, shown};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextListQuery {
    /// Context after which the page begins.
    after: Option<String>,
    /// Number of rows, 100 if it is absent. More than 1,000 are 1,000.
    limit: Option<u32>,
}

/// Returns a page of contexts, ordered by id.
pub(super) async fn list(
    api: web::Data<AdminApi>,
    asked: query::QueryParams<ContextListQuery>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(listed(&api, asked.after.as_deref(), page(asked.limit)).await?))
}

/// Returns at most `limit` contexts after this one.
pub(super) async fn listed(api: &AdminApi, after: Option<&str>, limit: u32) -> Result<ContextPage, ApiError> {
    let after = after.map(known).transpose()?;
    let page = api.inspect.contexts(after, limit).await?;
    let us = &api.gateway.ports().us;
    let listing = |row: ContextSummary| ContextPageRow {
        context: row.record.context.to_string(),
        participants: std::iter::once(us).chain(&row.record.participants).map(ToString::to_string).collect(),
        heads: row.heads,
        depth: row.record.depth,
        held: row.held,
        gaps: row.gaps,
        last: row.last.map(rfc3339),
    };
    let next = page.next.map(|next| next.to_string());
    Ok(ContextPage { contexts: page.rows.into_iter().map(listing).collect(), next })
}

/// Returns the status of a context in the form that the messenger gets.
pub(super) async fn show(api: web::Data<AdminApi>, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    shown(&api.gateway, &path).await
}

/// Merges the heads by composing messages. The feed omits these, as it omits all messages of this server.
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
            receipt: false,
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
    let [heads, left, said] = [heads, left, said].map(|count| count as u64);
    Ok(MergeResult { context: context.to_string(), heads, left, said })
}
