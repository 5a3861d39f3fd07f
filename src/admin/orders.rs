//! `POST /admin/v1/peers/{server}/..`: the operator's commands for a peer. The response is the peer's status
//! afterwards.

use actix_web::{HttpResponse, web};
use actors::model::{Order, Seq};
use serde::Deserialize;

use super::AdminApi;
use super::answer::{Operator, peer};
use crate::http::refusal::Problem;
use crate::messenger::peers::{Peer, aged};

/// Suspends the peer until it is resumed.
pub(super) async fn suspend(
    api: web::Data<AdminApi>,
    operator: Operator,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    give(&api, &operator, &path, Order::Suspend, "suspend").await
}

/// Ends the suspension of the peer.
pub(super) async fn resume(
    api: web::Data<AdminApi>,
    operator: Operator,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    give(&api, &operator, &path, Order::Resume, "resume").await
}

/// Starts an attempt at once.
pub(super) async fn retry(
    api: web::Data<AdminApi>,
    operator: Operator,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    give(&api, &operator, &path, Order::Retry, "retry").await
}

/// A number, and whether one far above the number in use is meant.
#[derive(Deserialize)]
pub(super) struct Number {
    seq: u64,
    #[serde(default)]
    yes: bool,
}

/// Sets the number of the peer's next new strong update.
pub(super) async fn expect(
    api: web::Data<AdminApi>,
    operator: Operator,
    path: web::Path<String>,
    number: web::Json<Number>,
) -> Result<HttpResponse, Problem> {
    let server = peer(&api.gateway, &path)?;
    let before = api.gateway.peer(&server).await?.expected_seq;
    tracing::info!(peer = %server, %before, after = number.seq, "an operator orders the number that comes next");
    let order = Order::Expect { number: Seq(number.seq), yes: number.yes };
    give(&api, &operator, &path, order, "expect").await
}

/// Our first item that it has not acknowledged carries this number.
pub(super) async fn renumber(
    api: web::Data<AdminApi>,
    operator: Operator,
    path: web::Path<String>,
    number: web::Json<Number>,
) -> Result<HttpResponse, Problem> {
    let server = peer(&api.gateway, &path)?;
    let Some(before) = api.gateway.peer(&server).await?.next_seq else {
        let words = format!("{server} is written to in transactions, which have no numbers");
        return Err(Problem::unprocessable("DIALECT", words));
    };
    tracing::info!(peer = %server, %before, after = number.seq, "an operator orders the number of our next item");
    let order = Order::Renumber { number: Seq(number.seq), yes: number.yes };
    give(&api, &operator, &path, order, "renumber").await
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
    // A peer whose actor was given up takes no commands; the error says that it is faulty, and the log has the reason.
    let done = status.map_err(Problem::from);
    operator.did(what, &server, done.as_ref().map(|_| ()));
    Ok(HttpResponse::Ok().json(Peer::from(aged(&api.gateway, done?).await)))
}
