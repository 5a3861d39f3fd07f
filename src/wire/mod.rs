//! The dialects of the federation protocol, and the code that they share.
//!
//! A dialect defines its name in the configuration, its numbering and its routes; it writes requests and reads responses. A
//! new dialect is a folder here and an entry in [`DIALECTS`]; `tests/support/src/toy_dialect.rs` is an example.
//!
//! # Map
//! - [`transactions`]: PDUs and ephemeral items in transactions, by HTTP PUT; the GET requests for PDUs.
//! - [`updates`]: numbered pushes.
//! - [`pdu`]: PDUs as JSON, the same in all dialects.
//! - [`direct_pushes`]: the way of pushes past the table of routes.
//! - [`core_api`], [`reference_context`](crate::wire::pdu::reference_context): the operations of the
//!   core and the facts that dialects need. [`transport`]: sends the core's requests to peers.

pub mod core_api;
pub mod direct_pushes;
pub mod pdu;
pub mod receipts;
pub mod transactions;
pub mod transport;
pub mod updates;

use std::pin::Pin;
use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Resource};
use actors::limits::InteropQuirks;
use actors::model::{
    BadPdu, DialectSpec, FetchRequest, OutboundBatch, Pdu, PullResponse, PushFailure, PushResponse, ServerName,
};
use bytes::Bytes;

use crate::egress::{EgressRequest, PeerService};
use crate::http::authentication::{PeerAuthPolicy, VerifiedCaller};
use crate::http::body::BodyLimit;
use crate::http::body::encoded::BodyEncoding;
use crate::http::error::ApiError;
use crate::http::error_middleware::direct_routes::DirectHandler;
use crate::json::nesting::BodyNestingLimit;
pub use crate::wire::core_api::FederationCore;
use crate::wire::pdu::PduReader;
use crate::wire::pdu::relay_judge::RelayJudge;
use crate::wire::transactions::fetch;

/// A future that reads a response of a peer; it may look up PDUs.
pub type ResponseRead<'a, T> = Pin<Box<dyn Future<Output = Result<T, PushFailure>> + Send + 'a>>;

/// A dialect of the federation protocol. The requests for PDUs default to the GETs of the transactions dialect, because
/// every gateway serves these to every peer.
pub trait Dialect: Send + Sync + 'static {
    /// Returns the name, as in `peers.*.dialect`, and the numbering, which are all that the core knows of a dialect.
    fn spec(&self) -> DialectSpec;

    /// Returns the service by which servers of the dialect are found in DNS.
    fn service(&self) -> PeerService;

    /// Returns what the paths of its requests begin with.
    fn path_prefix(&self) -> &'static str;

    /// Adds the routes of the dialect. Their handlers find the shared services in the application's data.
    fn routes(&self, config: &mut ServiceConfig);

    /// Returns the handler of a push, if the request is one; `None`: the table of routes is asked.
    fn push_handler(&self, _method: &Method, _path: &str) -> Option<DirectHandler> {
        None
    }

    /// Writes a push to a peer with these interop quirks.
    fn encode_push(
        &self,
        us: &ServerName,
        frame: &OutboundBatch,
        habits: InteropQuirks,
    ) -> Result<EgressRequest, PushFailure>;

    /// Returns the response to a request for this path, in this encoding, while the gateway drains, in the dialect's form of "not
    /// now". `None`: the request is served, because the path belongs to another dialect or the caller might take a refusal as
    /// final.
    fn draining_response(&self, path: &str, encoding: BodyEncoding) -> Option<HttpResponse>;

    /// Returns whether the body of a 200 response to a push is JSON, so that its brackets nest.
    fn answers_in_json(&self, _body: &[u8]) -> bool {
        true
    }

    /// Reads the body of a 200 response to a push.
    fn decode_answer(&self, frame: &OutboundBatch, body: &Bytes) -> Result<PushResponse, PushFailure>;

    /// Writes a request for PDUs to a peer with these interop quirks.
    fn encode_fetch(&self, want: &FetchRequest, habits: InteropQuirks) -> EgressRequest {
        fetch::encode(want, habits)
    }

    /// Reads the body of a 200 response to a request for PDUs.
    fn decode_fetched<'a>(
        &'a self,
        want: &'a FetchRequest,
        body: &'a Bytes,
        reader: &'a PduReader<'a>,
    ) -> ResponseRead<'a, Vec<Result<Pdu, BadPdu>>> {
        Box::pin(fetch::decode(want, body, reader))
    }

    /// Returns whether this status of a response to a request for PDUs means that the peer has none of them.
    fn means_not_found(&self, want: &FetchRequest, status: u16) -> bool {
        fetch::means_not_found(want, status)
    }

    /// Writes a request for the batches of a peer after this id.
    fn encode_pull(&self, us: &ServerName, after: u64) -> EgressRequest {
        fetch::encode_pull(us, after)
    }

    /// Reads the body of a 200 response to a request for batches.
    fn decode_pull<'a>(&'a self, body: &'a Bytes, reader: &'a PduReader<'a>) -> ResponseRead<'a, PullResponse> {
        Box::pin(fetch::decode_pull(body, reader))
    }
}

/// All dialects, the default first.
pub const DIALECTS: DialectList = DialectList(&[&updates::UpdatesDialect, &transactions::TransactionsDialect]);

/// A list of dialects.
#[derive(Clone, Copy)]
pub struct DialectList(pub &'static [&'static dyn Dialect]);

impl DialectList {
    /// Returns the dialect with this name.
    pub fn named(self, name: &str) -> Option<&'static dyn Dialect> {
        self.0.iter().copied().find(|dialect| dialect.spec().name == name)
    }

    /// Returns the dialect with this spec.
    ///
    /// Panics if the spec is not in this list. The core has specs from the configuration only, which takes them from the list. A
    /// fallback to another dialect would send requests that the peer cannot read.
    pub fn of(self, spec: DialectSpec) -> &'static dyn Dialect {
        self.named(spec.name).expect("a spec of the configuration is of the list")
    }

    /// Returns the spec of the dialect that this path of a request belongs to, the default one for an unknown path.
    pub fn of_path(self, path: &str) -> DialectSpec {
        let found = self.0.iter().find(|dialect| path.starts_with(dialect.path_prefix()));
        found.unwrap_or(&self.0[0]).spec()
    }

    /// Adds the routes of every dialect without the services, which each request then brings along. Tests that start
    /// thousands of gateways use it to compile the paths once.
    pub fn paths(self, config: &mut ServiceConfig) {
        for dialect in self.0 {
            dialect.routes(config);
        }
        config.default_service(web::to(unknown_path));
    }
}

/// The services that the routes of all dialects use.
#[derive(Clone)]
pub struct DialectServices {
    /// Core that accepts the peers' requests.
    pub intake: Arc<dyn FederationCore>,
    /// Policy that decides who may call.
    pub admission: Arc<dyn PeerAuthPolicy>,
    /// Judge of the PDUs that are not of their sender.
    pub judge: Arc<dyn RelayJudge>,
    /// Limit of a request's body.
    pub body: BodyLimit,
    /// Limit of its nesting.
    pub nesting: BodyNestingLimit,
}

/// Returns the response to a peer's request while the gateway drains; `None`: the request is served.
pub fn later(path: &str, encoding: BodyEncoding) -> Option<HttpResponse> {
    DIALECTS.0.iter().find_map(|dialect| dialect.draining_response(path, encoding))
}

/// Adds the routes of every dialect to the peer listener. A peer may use any dialect, whichever we use towards it.
pub fn routes(gate: &DialectServices, config: &mut ServiceConfig) {
    config.app_data(Data::from(Arc::clone(&gate.intake)));
    config.app_data(Data::from(Arc::clone(&gate.admission)));
    config.app_data(Data::from(Arc::clone(&gate.judge)));
    config.app_data(gate.body);
    config.app_data(gate.nesting.clone());
    DIALECTS.paths(config);
}

/// Returns the resource under these paths. Only an authenticated caller learns that a method is not allowed.
fn resource(paths: Vec<String>) -> Resource {
    web::resource(paths).default_service(web::to(unknown_method))
}

/// Answers unknown paths. The caller must be authenticated here too, because unknown callers must not learn which paths
/// exist.
async fn unknown_path(_: VerifiedCaller) -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found("NOT_FOUND", "no such endpoint"))
}

async fn unknown_method(_: VerifiedCaller) -> Result<HttpResponse, ApiError> {
    let words = "method not allowed";
    Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", words))
}
