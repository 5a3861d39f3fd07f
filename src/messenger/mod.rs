//! The API of the existing messenger: it submits what is to be delivered and reads what was.
//!
//! One file a call. Everything here is under `/v1`; who may call is settled before a request gets here. A refusal is JSON
//! (`{"error","code"}`), an answer that says "done" is given after the commit it rests on.

mod ack;
mod answer;
pub(crate) mod contexts;
mod ephemeral;
mod event;
mod event_pdu;
mod events;
mod history;
pub mod housekeeping;
mod inflight;
mod join;
mod json;
mod lists;
mod message_body;
mod messages;
mod messages_batch;
mod object;
pub(crate) mod pdu_ids;
pub(crate) mod peers;
mod say;
mod state;
mod submission;
#[cfg(test)]
mod tests;
pub(crate) mod trace;
mod updates;
mod updates_body;

use std::sync::Arc;

use actix_web::{Resource, web};
use actors::gateway::Gateway;
use actors::model::ServerName;
use tokio::sync::{Semaphore, watch};

use crate::http::refusal::Problem;
use crate::settings::Peers;
use inflight::Inflight;
use pdu_ids::PduIds;

/// What bounds the messenger's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessengerLimits {
    /// Submissions being worked on at once; one more is told to come again.
    pub submissions_max: usize,
    /// Reads waiting for an event at once.
    pub reads_max: usize,
    /// Bytes of a request's body.
    pub body_max: usize,
}

/// What every call works with. Clones share one set of submissions in flight, so all workers get clones of one.
#[derive(Clone)]
pub struct MessengerApi {
    gateway: Gateway,
    us: ServerName,
    limits: MessengerLimits,
    inflight: Arc<Inflight>,
    /// One for each read that waits.
    reads: Arc<Semaphore>,
    pdu_ids: Arc<PduIds>,
    /// How peers are reached, and what bounds them.
    peers: Arc<Peers>,
    /// Turns true when the gateway stops: reads that wait for events end then, or they would hold the stop up.
    stopping: watch::Receiver<bool>,
}

impl MessengerApi {
    /// Over a running gateway whose name is `us`.
    pub fn new(gateway: Gateway, us: ServerName, limits: MessengerLimits, stopping: watch::Receiver<bool>) -> Self {
        let inflight = Inflight::new(limits.submissions_max);
        let reads = Arc::new(Semaphore::new(limits.reads_max.min(Semaphore::MAX_PERMITS)));
        let (pdu_ids, peers) = (Arc::new(PduIds::new()), Arc::default());
        Self { gateway, us, limits, inflight, reads, pdu_ids, peers, stopping }
    }

    /// The same, which shows of a peer what these settings say of it.
    #[must_use]
    pub fn describing(self, peers: Arc<Peers>) -> Self {
        Self { peers, ..self }
    }
}

/// The routes.
pub fn configure(config: &mut web::ServiceConfig, api: MessengerApi) {
    let body_max = api.limits.body_max;
    config
        .service(
            web::scope("/v1")
                .app_data(web::Data::new(api))
                .app_data(web::PayloadConfig::new(body_max))
                .service(call(["/updates/{id}", "/updates/{id}/"], "PUT").route(web::put().to(updates::put)))
                .service(call(["/messages", "/messages/"], "POST").route(web::post().to(messages_batch::post)))
                .service(
                    call(["/messages/{id}", "/messages/{id}/"], "GET, PUT")
                        .route(web::get().to(trace::get))
                        .route(web::put().to(messages::put)),
                )
                .service(web::resource(["/contexts", "/contexts/"]).to(contexts::nameless))
                .service(
                    call(["/contexts/{context}", "/contexts/{context}/"], "GET, PUT")
                        .route(web::get().to(contexts::get))
                        .route(web::put().to(contexts::put)),
                )
                .service(
                    call(["/contexts/{context}/state", "/contexts/{context}/state/"], "GET")
                        .route(web::get().to(state::get)),
                )
                .service(
                    call(["/contexts/{context}/history", "/contexts/{context}/history/"], "GET")
                        .route(web::get().to(history::get)),
                )
                .service(
                    call(["/contexts/{context}/join", "/contexts/{context}/join/"], "POST")
                        .route(web::post().to(join::post)),
                )
                .service(call(["/ephemeral", "/ephemeral/"], "PUT").route(web::put().to(ephemeral::put)))
                .service(call(["/events", "/events/"], "GET").route(web::get().to(events::get)))
                .service(call(["/events/ack", "/events/ack/"], "POST").route(web::post().to(ack::post)))
                .service(call(["/peers", "/peers/"], "GET").route(web::get().to(peers::list)))
                .service(call(["/peers/{server}", "/peers/{server}/"], "GET").route(web::get().to(peers::get)))
                .default_service(web::to(no_route)),
        )
        .default_service(web::to(no_route));
}

/// A path with and without a slash at its end, and an answer to methods it does not have.
fn call(paths: [&'static str; 2], allowed: &'static str) -> Resource {
    web::resource(paths).default_service(web::to(move || async move { answer::wrong_method(allowed) }))
}

async fn no_route() -> Result<&'static str, Problem> {
    Err(answer::no_route())
}
