//! `POST /admin/v1/queue/{server}/purge`: takes the items that match out of the queue of a peer. They become dead letters, and the
//! messenger is told by a `delivery` event.

use actix_web::{HttpResponse, web};
use actors::errors::CommandError;
use actors::model::{DeadLetterReason, PeerCommand, RemovalFate, ServerName};
use futures_util::StreamExt;
use futures_util::stream;

use crate::admin::AdminApi;
use crate::admin::answer::{OperatorBody, OperatorCall, peer};
use crate::admin::queue::acked;
use crate::admin::queue::selection::{QueuePage, QueueRun};
use crate::api::queue::{QueuePurgeResult, QueueSelection};
use crate::http::error::ApiError;
use crate::http::responses::rfc3339;

/// Reason of the dead letters, and of the events.
const REASON: &str = "purged by an operator";

/// Number of submissions that are taken out at the same time: their changes are committed together.
const AT_ONCE: usize = 32;

/// Takes the items that match out of the queue, or counts them.
pub(in crate::admin) async fn purge(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
    OperatorBody(asked): OperatorBody<QueueSelection>,
) -> Result<HttpResponse, ApiError> {
    let server = peer(&api.gateway, &path)?;
    let page = QueuePage::read(&api, &server, &asked, acked(&api, &server).await?).await?;
    let time = rfc3339(api.gateway.ports().clock.now());
    let mut result = QueuePurgeResult {
        server: server.to_string(),
        time,
        dry_run: asked.dry_run,
        items: 0,
        bytes: 0,
        messages: 0,
        forwards: page.forwards,
        oldest: page.oldest.map(rfc3339),
        next: page.next.map(|next| next.0),
    };
    if asked.dry_run {
        result.items = page.runs.iter().map(|run| run.indexes.len() as u64).sum();
        result.bytes = page.runs.iter().map(|run| run.bytes).sum();
        result.messages = page.runs.len() as u64;
        return Ok(HttpResponse::Ok().json(result));
    }
    let done = take_out(&api, &server, &page.runs).await;
    operator.log_action("queue.purge", &server, done.as_ref().map(|_| ()));
    for run in done? {
        result.items += run.indexes.len() as u64;
        result.bytes += run.bytes;
        result.messages += 1;
    }
    Ok(HttpResponse::Ok().json(result))
}

/// Takes the items of these submissions out, and returns the submissions of which at least one item was taken out. The peer may have
/// acknowledged items meanwhile, so the dead letters decide.
async fn take_out<'r>(
    api: &AdminApi,
    server: &ServerName,
    runs: &'r [QueueRun],
) -> Result<Vec<&'r QueueRun>, ApiError> {
    let orders = runs.iter().map(|run| async move {
        let command = PeerCommand::Drop {
            message: run.submission.clone(),
            first: run.first(),
            last: run.last(),
            fate: RemovalFate::DeadLetter { reason: REASON },
        };
        api.gateway.order(server, command).await.map(|_| ())
    });
    let answers: Vec<Result<(), CommandError>> = stream::iter(orders).buffered(AT_ONCE).collect().await;
    answers.into_iter().collect::<Result<Vec<()>, _>>()?;
    let ranges = runs.iter().map(|run| (server.clone(), run.first(), run.last())).collect();
    let fates = api.inspect.fates(ranges).await?;
    Ok(runs
        .iter()
        .zip(fates)
        .filter(|(_, fate)| *fate == Some(DeadLetterReason::Dropped))
        .map(|(run, _)| run)
        .collect())
}
