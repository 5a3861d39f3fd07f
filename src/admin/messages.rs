//! `/admin/v1/messages/{id}`: one submission on its way to its peers, and what an operator may do about it there.

use actix_web::{HttpResponse, web};
use actors::model::{Index, Order, ServerName, SubmissionId};
use actors::ports::{Direction, Place};
use serde::{Deserialize, Serialize};

use super::AdminApi;
use super::answer::Operator;
use crate::http::query;
use crate::http::refusal::Problem;
use crate::messenger::trace;

/// How far it has come, as the messenger is told it.
pub(super) async fn get(api: web::Data<AdminApi>, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    trace::answer(&api.gateway, &path).await
}

#[derive(Deserialize)]
pub(super) struct Legs {
    /// On the way to this peer alone.
    server: Option<String>,
}

#[derive(Serialize)]
struct Done {
    id: String,
    peers: Vec<Leg>,
}

/// What was done on the way to one peer.
#[derive(Serialize)]
struct Leg {
    server: String,
    /// Items that the peer had refused, or for which there had been no room, and that were queued again or dropped.
    parked: u64,
    /// Items that waited for it.
    queued: u64,
    /// Why it cannot be queued there now, where it never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    stays: Option<String>,
}

/// Queue again what peers refused of it, queue it where there was no room, and try now those that it waits for.
pub(super) async fn retry(
    api: web::Data<AdminApi>,
    operator: Operator,
    path: web::Path<String>,
    legs: query::Asked<Legs>,
) -> Result<HttpResponse, Problem> {
    let done = each(&api, &path, &legs, async |message, server, Stands { left_out, parked, queued }| {
        let away = match left_out || !parked.is_empty() {
            true => api.gateway.retry_message(message, Some(server)).await?,
            false => 0,
        };
        if queued + away > 0 {
            api.gateway.order(server, Order::Retry).await?;
        }
        Ok(away)
    });
    answer(&operator, "retry a message", &path, done.await)
}

/// Take out of the queues what still waits, which leaves a dead letter each, and forget what peers refused of it before.
pub(super) async fn drop(
    api: web::Data<AdminApi>,
    operator: Operator,
    path: web::Path<String>,
    legs: query::Asked<Legs>,
) -> Result<HttpResponse, Problem> {
    let done = each(&api, &path, &legs, async |message, server, Stands { parked, queued, .. }| {
        if queued > 0 {
            api.gateway.drop_message(message, Some(server)).await?;
        }
        for index in parked {
            let place = Place { server: server.clone(), direction: Direction::Out, number: index.0 };
            api.gateway.forget_parked(&place).await?;
        }
        Ok(parked.len() as u64)
    });
    answer(&operator, "drop a message", &path, done.await)
}

/// What there is of a submission on the way to one peer.
struct Stands<'a> {
    /// There was no room for it when it was said.
    left_out: bool,
    /// Where its dead letters stood.
    parked: &'a [Index],
    /// Items that wait.
    queued: u64,
}

fn answer(
    operator: &Operator,
    what: &'static str,
    id: &str,
    done: Result<Done, Problem>,
) -> Result<HttpResponse, Problem> {
    operator.did(what, &id, done.as_ref().map(|_| ()));
    Ok(HttpResponse::Ok().json(done?))
}

/// Do something on the way to each peer that is meant, with what stands there. Each says how many items were parked, and are no
/// more.
async fn each(
    api: &AdminApi,
    id: &str,
    legs: &Legs,
    act: impl AsyncFn(&SubmissionId, &ServerName, Stands<'_>) -> Result<u64, Problem>,
) -> Result<Done, Problem> {
    let unknown = || Problem::not_found("UNKNOWN_ID", format!("nothing is known of {id:?}"));
    let known: SubmissionId = id.parse().map_err(|_| unknown())?;
    let record = api.gateway.ports().archive.submission(&known).await?.ok_or_else(unknown)?;
    let is_meant = |server: &ServerName| legs.server.as_ref().is_none_or(|name| *name == server.as_str());
    let mut peers = Vec::new();
    for (server, _) in record.queued.iter().filter(|(server, _)| is_meant(server)) {
        let acked = super::queue::acked(api, server).await?;
        let (mut parked, mut queued) = (Vec::new(), 0);
        for (first, last) in record.runs(server) {
            let letters = api.gateway.ports().archive.letters(server, first, last).await?;
            parked.extend(letters.into_iter().map(|letter| letter.index));
            queued += last.since(acked.max(Index(first.0.saturating_sub(1))));
        }
        let parked = act(&known, server, Stands { left_out: false, parked: &parked, queued }).await?;
        peers.push(Leg { server: server.to_string(), parked, queued, stays: None });
    }
    for server in record.left_out.iter().filter(|server| is_meant(server)) {
        let done = act(&known, server, Stands { left_out: true, parked: &[], queued: 0 }).await;
        // What was done on the way to the others is done.
        let (parked, stays) = match done {
            Ok(parked) => (parked, None),
            Err(problem) if legs.server.is_some() => return Err(problem),
            Err(problem) => (0, Some(problem.to_string())),
        };
        peers.push(Leg { server: server.to_string(), parked, queued: 0, stays });
    }
    match (&legs.server, peers.is_empty()) {
        (Some(name), true) => Err(Problem::not_found("UNKNOWN_LEG", format!("{id} does not go to {name}"))),
        _ => Ok(Done { id: id.to_owned(), peers }),
    }
}
