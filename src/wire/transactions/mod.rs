//! The transactions dialect: PDUs and ephemeral items in `PUT /matrix/federation/v1/send/..`, and GET requests for PDUs.

pub mod answer;
mod backfill;
pub mod envelope;
pub mod fetch;
mod prefix;
mod pull;
mod read;
mod send;
mod state;

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actors::limits::InteropQuirks;
use actors::model::{BatchId, DialectSpec, Item, OutboundBatch, PushFailure, PushResponse, ServerName};
use bytes::Bytes;

pub use prefix::PREFIX;

use super::{Dialect, resource};
use crate::egress::{EgressAnswer, EgressRequest, PeerService};
use crate::http::body::encoded::BodyEncoding;
use crate::http::error_middleware::direct_routes::{DirectHandler, handled, is_plain_segment};
use crate::wire::pdu::forward_text::is_forward;

/// Returns the id in the path of a transaction, if nothing in it needs to be decoded.
fn plain_id(path: &str) -> Option<&str> {
    let id = path.strip_prefix(PREFIX)?.strip_prefix("/send/")?;
    let id = id.strip_suffix('/').unwrap_or(id);
    is_plain_segment(id).then_some(id)
}

/// The dialect of transactions, which carry PDUs.
pub struct TransactionsDialect;

impl Dialect for TransactionsDialect {
    fn spec(&self) -> DialectSpec {
        DialectSpec::TRANSACTIONS
    }

    fn path_prefix(&self) -> &'static str {
        PREFIX
    }

    fn service(&self) -> PeerService {
        PeerService { name: "_matrix._tcp", default_port: 8448 }
    }

    fn routes(&self, config: &mut ServiceConfig) {
        let with_and_without_slash = |path: &str| vec![format!("{PREFIX}{path}/"), format!("{PREFIX}{path}")];
        let send = resource(with_and_without_slash("/send/{id}"));
        let pdu = resource(with_and_without_slash("/pdu/{origin}/{id}"));
        config.service(send.route(web::put().to(send::put_transaction)));
        config.service(pdu.route(web::get().to(read::pdu)));
        let pull = resource(with_and_without_slash("/pull"));
        config.service(pull.route(web::get().to(pull::pull)));
        let state = resource(with_and_without_slash("/state/{context}"));
        config.service(state.route(web::get().to(state::state)));
        let names = ["/backfill/{context}", "/paginate/{context}"];
        let backfill = resource(names.into_iter().flat_map(with_and_without_slash).collect());
        config.service(backfill.route(web::get().to(backfill::backfill)));
    }

    fn push_handler(&self, method: &Method, path: &str) -> Option<DirectHandler> {
        (method == Method::PUT && plain_id(path).is_some()).then_some(|request| {
            Box::pin(async {
                let id = plain_id(request.path()).unwrap_or_default().to_owned();
                handled(request, async |(caller, limit, body, admission, intake, judge)| {
                    send::accept(caller, id, limit, body, (admission, intake, judge)).await
                })
                .await
            })
        })
    }

    /// Writes a transaction. An update that was queued while the peer used the updates dialect cannot be written in
    /// this one. It is refused as if the peer had refused it: leaving it out would lose it silently, because the
    /// response to the other items would acknowledge it too.
    fn encode_push(
        &self,
        us: &ServerName,
        frame: &OutboundBatch,
        habits: InteropQuirks,
    ) -> Result<EgressRequest, PushFailure> {
        let is_update = |item: &Item| match item {
            Item::Update(_) => true,
            Item::Forward(_, text) => is_forward(text),
            Item::Pdu(..) => false,
        };
        if frame.items.iter().any(is_update) {
            let reason = "an update without a context cannot go to a peer of the transactions dialect; set its dialect to \
                          \"updates\" until its queue is empty";
            return Err(PushFailure::Refused { status: 422, reason: reason.to_owned() });
        }
        let id = match frame.label {
            BatchId::Transaction { id, .. } => id,
            BatchId::SeqRange { last, .. } => last.0,
        };
        let path = format!("{PREFIX}/send/{id}/");
        Ok(EgressRequest::put(path, envelope::encode(us, frame, habits.pairs), EgressAnswer::StatusDecides))
    }

    /// Returns `None`: servers of 2014 never resend a transaction after any refusal, so it is served while the gateway
    /// drains.
    fn draining_response(&self, _: &str, _: BodyEncoding) -> Option<HttpResponse> {
        None
    }

    /// Accepts any body: servers answer `null`, a list, an object or nothing.
    fn decode_answer(&self, frame: &OutboundBatch, body: &Bytes) -> Result<PushResponse, PushFailure> {
        Ok(answer::decode(frame, body))
    }
}
