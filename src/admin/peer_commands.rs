//! `POST /admin/v1/peers/{server}/..`: the operator's commands for a peer. The response is the peer's status
//! afterwards.

use actix_web::{HttpResponse, web};
use actors::model::{PeerCommand, PeerStatus, Seq};

use super::AdminApi;
use super::answer::{OperatorBody, OperatorCall, peer};
use crate::api::peers::{PeerDetails, PeerDrain, RenumberRequest};
use crate::http::error::ApiError;
use crate::messenger::peers::with_oldest_age;

/// Suspends the peer until it is resumed.
pub(super) async fn suspend(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    run_command(&api, &operator, &path, PeerCommand::Suspend, "peer.suspend").await
}

/// Ends the suspension of the peer.
pub(super) async fn resume(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    run_command(&api, &operator, &path, PeerCommand::Resume, "peer.resume").await
}

/// Starts an attempt at once.
pub(super) async fn retry(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    run_command(&api, &operator, &path, PeerCommand::Retry, "peer.retry").await
}

/// Makes the next attempt now, and returns what is left to wait for.
pub(super) async fn drain(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let server = peer(&api.gateway, &path)?;
    let done = api.gateway.order(&server, PeerCommand::Retry).await.map_err(ApiError::from);
    operator.log_action("peer.drain", &server, done.as_ref().map(|_| ()));
    Ok(HttpResponse::Ok().json(drain_progress(&api, done?).await?))
}

/// Returns what is left to wait for until the peer has everything and has told what it was asked.
pub(super) async fn get_drain(api: web::Data<AdminApi>, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let server = peer(&api.gateway, &path)?;
    let status = api.gateway.peer(&server).await?;
    Ok(HttpResponse::Ok().json(drain_progress(&api, status).await?))
}

async fn drain_progress(api: &AdminApi, status: PeerStatus) -> Result<PeerDrain, ApiError> {
    let relayed = status.relayed.as_ref().map_or(0, |(_, upto)| upto.0.saturating_sub(status.acked.0));
    // A peer with which none are exchanged never tells any.
    let has_receipts = api.gateway.ports().roster.limits(&status.server).is_some_and(|limits| limits.receipts);
    let receipts_awaited = match has_receipts {
        true => api.inspect.receipts_awaited(&status.server, status.acked).await?,
        false => 0,
    };
    let drained = status.backlog == 0 && receipts_awaited == 0;
    let queued = status.backlog.saturating_sub(relayed);
    let PeerDetails { server, state, reason, .. } = status.into();
    Ok(PeerDrain { server, state, reason, queued, relayed, receipts_awaited, drained })
}

/// Sets the number of the peer's next new strong update.
pub(super) async fn expect(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
    OperatorBody(number): OperatorBody<RenumberRequest>,
) -> Result<HttpResponse, ApiError> {
    let server = peer(&api.gateway, &path)?;
    let before = api.gateway.peer(&server).await?.expected_seq;
    tracing::info!(peer = %server, %before, after = number.seq, "admin request sets the number expected from the peer");
    let order = PeerCommand::Expect { number: Seq(number.seq), yes: number.yes };
    run_command(&api, &operator, &path, order, "peer.expect").await
}

/// Sets the number of our first item that the peer has not acknowledged.
pub(super) async fn renumber(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
    OperatorBody(number): OperatorBody<RenumberRequest>,
) -> Result<HttpResponse, ApiError> {
    let server = peer(&api.gateway, &path)?;
    let Some(before) = api.gateway.peer(&server).await?.next_seq else {
        let words = format!("{server} uses the transactions dialect, which has no sequence numbers");
        return Err(ApiError::unprocessable("DIALECT", words));
    };
    tracing::info!(peer = %server, %before, after = number.seq, "admin request sets the number of our next item");
    let order = PeerCommand::Renumber { number: Seq(number.seq), yes: number.yes };
    run_command(&api, &operator, &path, order, "peer.renumber").await
}

async fn run_command(
    api: &AdminApi,
    operator: &OperatorCall,
    name: &str,
    order: PeerCommand,
    what: &'static str,
) -> Result<HttpResponse, ApiError> {
    let status = commanded(api, operator, name, order, what).await?;
    Ok(HttpResponse::Ok().json(PeerDetails::from(with_oldest_age(&api.gateway, status).await)))
}

/// Runs a command for a peer and logs it; returns the status afterwards.
pub(super) async fn commanded(
    api: &AdminApi,
    operator: &OperatorCall,
    name: &str,
    order: PeerCommand,
    what: &'static str,
) -> Result<PeerStatus, ApiError> {
    let server = peer(&api.gateway, name)?;
    let status = api.gateway.order(&server, order).await;
    // A peer whose actor was given up takes no commands; the error says that it is faulty, and the log has the reason.
    let done = status.map_err(ApiError::from);
    operator.log_action(what, &server, done.as_ref().map(|_| ()));
    done
}
