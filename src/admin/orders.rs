//! `POST /admin/v1/peers/{server}/..`: what an operator orders about a peer. The answer is the peer as it stands then.

use actix_web::{HttpResponse, web};
use actors::model::{Order, Seq};
use serde::Deserialize;

use super::AdminApi;
use super::answer::{Operator, peer};
use crate::http::refusal::Problem;
use crate::messenger::peers::{Peer, aged};

/// Leave it alone until it is resumed.
pub(super) async fn suspend(
    api: web::Data<AdminApi>,
    operator: Operator,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    give(&api, &operator, &path, Order::Suspend, "suspend").await
}

/// End its suspension.
pub(super) async fn resume(
    api: web::Data<AdminApi>,
    operator: Operator,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    give(&api, &operator, &path, Order::Resume, "resume").await
}

/// Try it now.
pub(super) async fn retry(
    api: web::Data<AdminApi>,
    operator: Operator,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    give(&api, &operator, &path, Order::Retry, "retry").await
}

#[derive(Deserialize)]
pub(super) struct Expected {
    seq: u64,
}

/// Its next new strong update carries this number.
pub(super) async fn expect(
    api: web::Data<AdminApi>,
    operator: Operator,
    path: web::Path<String>,
    expected: web::Json<Expected>,
) -> Result<HttpResponse, Problem> {
    if expected.seq == 0 {
        return Err(Problem::unprocessable("BAD_SEQ", "the numbers of updates begin with 1"));
    }
    let server = peer(&api.gateway, &path)?;
    let before = api.gateway.peer(&server).await?.expected_seq;
    tracing::info!(peer = %server, %before, after = expected.seq, "an operator sets the number that comes next");
    give(&api, &operator, &path, Order::Expect(Seq(expected.seq)), "expect").await
}

async fn give(
    api: &AdminApi,
    operator: &Operator,
    name: &str,
    order: Order,
    what: &'static str,
) -> Result<HttpResponse, Problem> {
    let server = peer(&api.gateway, name)?;
    let status = api.gateway.order(&server, order).await;
    // One that was given up takes no orders; that it is faulty is what there is to tell, and the reason is in the log.
    let done = status.map_err(Problem::from);
    operator.did(what, &server, done.as_ref().map(|_| ()));
    Ok(HttpResponse::Ok().json(Peer::from(aged(&api.gateway, done?).await)))
}
