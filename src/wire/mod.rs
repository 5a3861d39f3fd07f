//! The dialects of the federation protocol, and what they share.
//!
//! A dialect defines its routes, how a request is written, how its response is read, and its name in the configuration.
//! A new one is a folder here, an entry in [`DIALECTS`] and a kind of batch id in the core.
//!
//! # Map
//! - [`transactions`]: PDUs and ephemeral items in transactions, by HTTP PUT; and the GETs.
//! - [`updates`]: numbered pushes.
//! - [`pdu`]: PDUs as JSON, the same in all dialects. [`json`](crate::json::reader): helpers for all readers.
//! - [`intake`](crate::wire::core_api), [`acquaintance`](crate::wire::pdu::reference_context): what dialects need from the core. [`transport`]: sends the core's requests to peers.

pub mod core_api;
pub mod pdu;
pub mod transactions;
pub mod transport;
pub mod updates;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Resource};
use actors::limits::InteropQuirks;
use actors::model::{BatchId, OutboundBatch, PushFailure, PushResponse, ServerName};
use bytes::Bytes;

use crate::egress::EgressRequest;
use crate::http::authentication::{PeerAuthPolicy, VerifiedCaller};
use crate::http::body::BodyLimit;
use crate::http::error::ApiError;
pub use crate::wire::core_api::FederationCore;

/// A dialect of the federation protocol.
pub trait Dialect: Send + Sync + 'static {
    /// Returns its name, as in `peers.*.dialect`.
    fn name(&self) -> &'static str;

    /// Adds its routes. Their handlers find the shared services in the application's data.
    fn routes(&self, config: &mut ServiceConfig);

    /// Writes a push to a peer with these interop quirks.
    fn encode_push(
        &self,
        us: &ServerName,
        frame: &OutboundBatch,
        habits: InteropQuirks,
    ) -> Result<EgressRequest, PushFailure>;

    /// Returns the response to a request for this path while the gateway drains, in the dialect's form of "not now".
    /// `None`: the request is served, because the path is not the dialect's or because a refusal might be taken as
    /// final.
    fn draining_response(&self, path: &str) -> Option<HttpResponse>;

    /// Reads the body of a 200 response to a push.
    fn decode_answer(&self, frame: &OutboundBatch, body: &Bytes) -> Result<PushResponse, PushFailure>;
}

/// All dialects, the default first.
pub const DIALECTS: &[&dyn Dialect] = &[&updates::UpdatesDialect, &transactions::TransactionsDialect];

/// Returns the dialect of a batch id. The numbering of a batch decides its form, whatever the peer's configuration says
/// when it is sent.
pub fn dialect_of(label: &BatchId) -> &'static dyn Dialect {
    match label {
        BatchId::SeqRange { .. } => &updates::UpdatesDialect,
        BatchId::Transaction { .. } => &transactions::TransactionsDialect,
    }
}

/// The services that the routes of all dialects use.
#[derive(Clone)]
pub struct DialectServices {
    /// Core that accepts the peers' requests.
    pub intake: Arc<dyn FederationCore>,
    /// Policy that decides who may call.
    pub admission: Arc<dyn PeerAuthPolicy>,
    /// Limit of a request's body.
    pub body: BodyLimit,
}

/// Returns the response to a peer's request while the gateway drains; `None`: the request is served.
pub fn later(path: &str) -> Option<HttpResponse> {
    DIALECTS.iter().find_map(|dialect| dialect.draining_response(path))
}

/// Adds the routes of every dialect to the peer listener. A peer may use any dialect, whichever one we use towards it.
pub fn routes(gate: &DialectServices, config: &mut ServiceConfig) {
    config.app_data(Data::from(Arc::clone(&gate.intake)));
    config.app_data(Data::from(Arc::clone(&gate.admission)));
    config.app_data(gate.body);
    paths(config);
}

/// Adds the same routes without the services, which each request then brings along: a test that starts thousands of
/// gateways compiles the paths once.
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

/// Answers unknown paths. The caller must be authenticated here too, because strangers must not learn which paths exist.
async fn unknown_path(_: VerifiedCaller) -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found("NOT_FOUND", "no such endpoint"))
}

async fn unknown_method(_: VerifiedCaller) -> Result<HttpResponse, ApiError> {
    let words = "method not allowed";
    Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", words))
}
