//! `POST /admin/v1/peers/{server}/..`: the operator's commands for a peer. The response is the peer's status
//! afterwards.

use actix_web::{HttpResponse, web};
use actors::model::{PeerCommand, Seq};

use super::AdminApi;
use super::answer::{OperatorBody, OperatorCall, peer};
use crate::api::peers::{PeerDetails, RenumberRequest};
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
    let server = peer(&api.gateway, name)?;
    let status = api.gateway.order(&server, order).await;
    // A peer whose actor was given up takes no commands; the error says that it is faulty, and the log has the reason.
    let done = status.map_err(ApiError::from);
    operator.log_action(what, &server, done.as_ref().map(|_| ()));
    Ok(HttpResponse::Ok().json(PeerDetails::from(with_oldest_age(&api.gateway, done?).await)))
}
