//! The dialects peers speak, and what all of them share.
//!
//! A dialect answers four questions: which routes it has, how a request is written, how its answer is read, and what it is
//! called in the configuration. A new one is a folder here, a line in [`DIALECTS`] and a label of the core's.
//!
//! # Map
//! - [`transactions`]: PDUs and ephemeral items in transactions, by HTTP PUT; and the GETs.
//! - [`updates`]: numbered pushes.
//! - [`pdu`]: one PDU as JSON; all dialects carry the same. [`json`]: what every reader here needs.
//! - [`intake`], [`acquaintance`]: what the dialects ask of the core. [`transport`]: what the core asks of them.

pub mod acquaintance;
pub mod intake;
pub mod json;
pub mod pdu;
pub mod transactions;
pub mod transport;
pub mod updates;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Resource};
use actors::limits::Habits;
use actors::model::{Answered, Label, OutFrame, PushFailure, ServerName};
use bytes::Bytes;

use crate::egress::Request;
use crate::http::body::BodyLimit;
use crate::http::identity::{Admission, Caller};
use crate::http::refusal::Problem;
pub use intake::Intake;

/// One way of speaking.
pub trait Dialect: Send + Sync + 'static {
    /// Its name, as `peers.*.dialect` has it.
    fn name(&self) -> &'static str;

    /// Adds its routes; they find [`Gate`]'s parts in the application's data.
    fn routes(&self, config: &mut ServiceConfig);

    /// Writes a request from us to a peer with these habits.
    fn encode_push(&self, us: &ServerName, frame: &OutFrame, habits: Habits) -> Result<Request, PushFailure>;

    /// What a request to this path is told once the gateway finishes only what is under way, in the dialect's word for "not
    /// now". `None`: it is served, where it is not ours, or where any refusal may be taken for good.
    fn later(&self, path: &str) -> Option<HttpResponse>;

    /// Reads the body of a 200 to it.
    fn decode_answer(&self, frame: &OutFrame, body: &Bytes) -> Result<Answered, PushFailure>;
}

/// Every dialect we speak, the default first.
pub const DIALECTS: &[&dyn Dialect] = &[&updates::Updates, &transactions::Transactions];

/// The dialect a label belongs to: how a request is numbered is how it is written, whatever the peer's configuration says by
/// the time it goes out.
pub fn dialect_of(label: &Label) -> &'static dyn Dialect {
    match label {
        Label::Numbers { .. } => &updates::Updates,
        Label::Transaction { .. } => &transactions::Transactions,
    }
}

/// What the routes of all dialects stand on.
#[derive(Clone)]
pub struct Gate {
    /// Takes what peers push.
    pub intake: Arc<dyn Intake>,
    /// Says who may call.
    pub admission: Arc<dyn Admission>,
    /// Bounds a request's body.
    pub body: BodyLimit,
}

/// What peers are told once the gateway finishes only what is under way.
pub fn later(path: &str) -> Option<HttpResponse> {
    DIALECTS.iter().find_map(|dialect| dialect.later(path))
}

/// The routes of every dialect: what the listener for peers serves. A peer may speak any of them to us, whatever we speak to it.
pub fn routes(gate: &Gate, config: &mut ServiceConfig) {
    config.app_data(Data::from(Arc::clone(&gate.intake)));
    config.app_data(Data::from(Arc::clone(&gate.admission)));
    config.app_data(gate.body);
    paths(config);
}

/// The same without what they stand on, which each request then brings with it: a test that starts thousands of gateways compiles
/// the paths once.
pub fn paths(config: &mut ServiceConfig) {
    for dialect in DIALECTS {
        dialect.routes(config);
    }
    config.default_service(web::to(unknown_path));
}

/// The resource under these paths. Methods that it does not have are refused to whom it may be told.
fn resource(paths: Vec<String>) -> Resource {
    web::resource(paths).default_service(web::to(unknown_method))
}

/// Who calls has to be proved on every path: which of them exist is nothing for strangers.
async fn unknown_path(_: Caller) -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("NOT_FOUND", "there is nothing at this path"))
}

async fn unknown_method(_: Caller) -> Result<HttpResponse, Problem> {
    let words = "this path does not take this method";
    Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", words))
}
