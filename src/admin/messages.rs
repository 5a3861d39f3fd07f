//! `/admin/v1/messages`: the delivery of submissions to their peers, and the operator's commands for one of them.

pub(super) mod list;
mod trace_by_id;

use actix_web::{HttpResponse, web};
use actors::errors::UnavailableError;
use actors::model::{DeadLetter, DeadLetterReason, Index, PeerCommand, ServerName, SubmissionId, SubmissionRecord};
use actors::ports::{Direction, QuarantineKey};
use schemars::JsonSchema;
use serde::Deserialize;

use super::AdminApi;
use super::answer::OperatorCall;
use crate::api::messages::{MessageCommandResult, RecipientResult};
use crate::http::error::ApiError;
use crate::http::query;

/// Returns the trace of a submission in the form that the messenger gets, or how the item of an event came in.
pub(super) async fn get(api: web::Data<AdminApi>, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    trace_by_id::answer(&api, &path).await
}

/// The selection of recipients.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageCommandQuery {
    /// Peer to act on; if it is absent, all peers.
    server: Option<String>,
    /// `true`: a drop changes nothing and reports what it would do.
    #[serde(default)]
    dry_run: bool,
}

/// Requeues the dead letters of a submission, queues it for recipients whose outbox had no room, and starts an attempt
/// at once for peers whose queue contains it.
pub(super) async fn retry(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
    asked: query::QueryParams<MessageCommandQuery>,
) -> Result<HttpResponse, ApiError> {
    let done = each(&api, &path, &asked, async |message, server, found| {
        let FoundItems { left_out, letters, queued } = found;
        let away = match left_out || !letters.is_empty() {
            true => api.gateway.retry_message(message, Some(server)).await?,
            false => 0,
        };
        if queued + away > 0 {
            api.gateway.order(server, PeerCommand::Retry).await?;
        }
        Ok(RecipientResult { server: server.to_string(), parked: away, queued, taken_out: None, stays: None })
    });
    let done = done.await;
    operator.log_action("message.retry", &*path, done.as_ref().map(|_| ()));
    Ok(HttpResponse::Ok().json(MessageCommandResult { id: path.into_inner(), dry_run: None, peers: done? }))
}

/// Turns the pending items of a submission into dead letters, and deletes the items that peers refused before.
///
/// A dead letter that an earlier drop made is not deleted, so a second request changes nothing. Items that a peer
/// accepted cannot be dropped.
pub(super) async fn drop(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
    asked: query::QueryParams<MessageCommandQuery>,
) -> Result<HttpResponse, ApiError> {
    let dry_run = asked.dry_run;
    let done = each(&api, &path, &asked, async |message, server, found| {
        let refused: Vec<&DeadLetter> = found.letters.iter().filter(|letter| is_refused(letter)).collect();
        let before = found.count(DeadLetterReason::Dropped);
        let (mut queued, mut after) = (found.queued, before);
        if !dry_run {
            if found.queued > 0 {
                api.gateway.drop_message(message, Some(server)).await?;
                // The peer may have acknowledged some items meanwhile, so the new dead letters are counted.
                after = find(&api, &record(&api, message).await?, server).await?.count(DeadLetterReason::Dropped);
                queued = after.saturating_sub(before);
            }
            for letter in &refused {
                let place = QuarantineKey { server: server.clone(), direction: Direction::Out, number: letter.index.0 };
                api.gateway.forget_parked(&place).await?;
            }
        }
        let (server, parked, taken_out) = (server.to_string(), refused.len() as u64, Some(after));
        let stays = found.letters.iter().find(|letter| letter.fate == DeadLetterReason::ParkedByPeer);
        Ok(RecipientResult { server, parked, queued, taken_out, stays: stays.map(|letter| letter.reason.clone()) })
    });
    let done = done.await;
    if !dry_run {
        operator.log_action("message.drop", &*path, done.as_ref().map(|_| ()));
    }
    Ok(HttpResponse::Ok().json(MessageCommandResult { id: path.into_inner(), dry_run: Some(dry_run), peers: done? }))
}

/// The items of a submission for one peer.
#[derive(Default)]
struct FoundItems {
    /// True if the outbox was full when the message was submitted.
    left_out: bool,
    /// Dead letters of the message.
    letters: Vec<DeadLetter>,
    /// Number of pending items.
    queued: u64,
}

impl FoundItems {
    fn count(&self, fate: DeadLetterReason) -> u64 {
        self.letters.iter().filter(|letter| letter.fate == fate).count() as u64
    }
}

/// Returns whether the peer refused the item, or the item expired in the queue.
const fn is_refused(letter: &DeadLetter) -> bool {
    match letter.fate {
        DeadLetterReason::Parked | DeadLetterReason::Expired | DeadLetterReason::Refused => true,
        DeadLetterReason::Dropped | DeadLetterReason::ParkedByPeer | DeadLetterReason::Rejected => false,
    }
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found("UNKNOWN_ID", format!("there is no submission {id:?}"))
}

async fn record(api: &AdminApi, id: &SubmissionId) -> Result<SubmissionRecord, ApiError> {
    api.gateway.ports().archive.submissions.submission(id).await?.ok_or_else(|| unknown(id.as_str()))
}

/// Finds the items of a submission for one peer. Pending items are counted by their rows: some may have been removed
/// from the middle of the queue, so indexes alone would count too many.
async fn find(api: &AdminApi, record: &SubmissionRecord, server: &ServerName) -> Result<FoundItems, ApiError> {
    let acked = super::queue::acked(api, server).await?;
    // The peer's actor may have changes in flight to the disk.
    let ports = api.gateway.ports();
    ports.journal.barrier().committed().await.map_err(|_| UnavailableError::OutcomeUnknown)?;
    let mut found = FoundItems::default();
    for (first, last) in record.runs(server) {
        found.letters.extend(ports.archive.peers.dead_letters(server, first, last).await?);
        let after = acked.max(Index(first.0.saturating_sub(1)));
        let most = u32::try_from(last.since(after)).unwrap_or(u32::MAX);
        if most > 0 {
            let rows = api.inspect.queued(server, after, most).await?;
            found.queued += rows.iter().filter(|row| row.index <= last).count() as u64;
        }
    }
    Ok(found)
}

/// Calls `act` with the found items for each selected peer.
async fn each(
    api: &AdminApi,
    id: &str,
    asked: &MessageCommandQuery,
    act: impl AsyncFn(&SubmissionId, &ServerName, FoundItems) -> Result<RecipientResult, ApiError>,
) -> Result<Vec<RecipientResult>, ApiError> {
    let known: SubmissionId = id.parse().map_err(|_| unknown(id))?;
    let record = record(api, &known).await?;
    let is_meant = |server: &ServerName| asked.server.as_ref().is_none_or(|name| *name == server.as_str());
    let mut peers = Vec::new();
    for (server, _) in record.queued.iter().filter(|(server, _)| is_meant(server)) {
        peers.push(act(&known, server, find(api, &record, server).await?).await?);
    }
    for server in record.left_out.iter().filter(|server| is_meant(server)) {
        let done = act(&known, server, FoundItems { left_out: true, ..FoundItems::default() }).await;
        // An error must not hide what was already done for the other peers.
        peers.push(match done {
            Ok(leg) => leg,
            Err(problem) if asked.server.is_some() => return Err(problem),
            Err(problem) => RecipientResult {
                server: server.to_string(),
                parked: 0,
                queued: 0,
                taken_out: None,
                stays: Some(problem.to_string()),
            },
        });
    }
    match (&asked.server, peers.is_empty()) {
        (Some(name), true) => Err(ApiError::not_found("UNKNOWN_LEG", format!("{name} is not a recipient of {id}"))),
        _ => Ok(peers),
    }
}
