//! The updates dialect: numbered pushes to `/http/v1/updates`, answered with `ok`, `hole_detected` or `wait`, and calls of
//! messengers to `/http/v1/rpc`.

pub mod answer;
mod content;
pub mod envelope;
pub mod forward;
pub(crate) mod group_message;
pub mod kept_forwards;
pub mod kept_group_messages;
pub mod protobuf;
mod push;
mod rpc;
mod scanned_push;
mod strong;

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, ResponseError};
use actors::errors::UnavailableError;
use actors::limits::InteropQuirks;
use actors::model::{DialectSpec, OutboundBatch, PushFailure, PushResponse, ServerName};
use bytes::Bytes;

use super::{Dialect, resource};
use crate::egress::{EgressAnswer, EgressRequest, PeerService};
use crate::http::body::encoded::{BodyEncoding, PROTOBUF_TYPE};
use crate::http::body::encoded_errors::EncodedPaths;
use crate::http::error::RESTART_WAIT;
use crate::http::error_middleware::direct_routes::{DirectHandler, handled};
use crate::rpc::RPC_PATH;

/// Path to which peers push updates.
pub const UPDATES_PATH: &str = "/http/v1/updates";

/// Beginning of the paths of the dialect.
const PATH_PREFIX: &str = "/http/v1/";

/// The dialect of numbered updates.
pub struct UpdatesDialect;

impl Dialect for UpdatesDialect {
    fn spec(&self) -> DialectSpec {
        DialectSpec::UPDATES
    }

    fn path_prefix(&self) -> &'static str {
        PATH_PREFIX
    }

    fn service(&self) -> PeerService {
        PeerService { name: "_actor-server._tcp", default_port: 9880 }
    }

    fn routes(&self, config: &mut ServiceConfig) {
        config.app_data(EncodedPaths(PATH_PREFIX));
        config.service(
            resource(vec![UPDATES_PATH.to_owned(), format!("{UPDATES_PATH}/")])
                .route(web::post().to(push::post_updates)),
        );
        config
            .service(resource(vec![RPC_PATH.to_owned(), format!("{RPC_PATH}/")]).route(web::post().to(rpc::post_rpc)));
    }

    fn push_handler(&self, method: &Method, path: &str) -> Option<DirectHandler> {
        (method == Method::POST && path == UPDATES_PATH).then_some(|request| {
            Box::pin(async {
                handled(request, async |(caller, body, intake, judge)| {
                    push::post_updates(caller, body, intake, judge).await
                })
                .await
            })
        })
    }

    fn encode_push(
        &self,
        _: &ServerName,
        frame: &OutboundBatch,
        habits: InteropQuirks,
    ) -> Result<EgressRequest, PushFailure> {
        // A PDU that is named by its identity has no field in Protobuf; a receiver tells the encodings apart.
        Ok(match habits.protobuf && !frame.receipts.names_pdus() {
            false => EgressRequest::post(UPDATES_PATH, envelope::encode(frame), EgressAnswer::Needed),
            true => EgressRequest::post(UPDATES_PATH, protobuf::push::encode(frame), EgressAnswer::Needed)
                .of_type(PROTOBUF_TYPE),
        })
    }

    fn draining_response(&self, path: &str, encoding: BodyEncoding) -> Option<HttpResponse> {
        let words = UnavailableError::Stopping.to_string();
        if path.starts_with(UPDATES_PATH) {
            let body = push::encode_wait(encoding, RESTART_WAIT, &words);
            return Some(HttpResponse::Ok().content_type(encoding.content_type()).body(body));
        }
        path.starts_with(RPC_PATH).then(|| rpc::stopping(words).error_response())
    }

    fn answers_in_json(&self, body: &[u8]) -> bool {
        !protobuf::answer::is_protobuf(body)
    }

    fn decode_answer(&self, frame: &OutboundBatch, body: &Bytes) -> Result<PushResponse, PushFailure> {
        match self.answers_in_json(body) {
            true => answer::decode(frame, body),
            false => protobuf::answer::decode(frame, body),
        }
    }
}
