//! The API for the local messenger: it submits messages and updates and reads the feed.
//!
//! There is one file per call, and in `operations` the table of them. All paths start with `/v1`; callers are authenticated before a request gets here. An
//! error is JSON (`{"error","code"}`), and a success is reported after its commit.

mod answer;
pub(crate) mod contexts;
pub mod direct_calls;
mod ephemeral;
pub mod ephemeral_feed;
pub(crate) mod events;
mod id_locks;
mod lists;
pub(crate) mod messages;
mod operations;
mod peer_line;
pub(crate) mod peers;
mod ping;
pub mod push;
mod rpc;
mod submission;
#[cfg(test)]
mod tests;
mod uncancelled_call;
pub(crate) mod updates;

use std::sync::Arc;
use std::time::Duration;

use actix_web::{Scope, web};
use actors::gateway::Gateway;
use actors::model::ServerName;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use crate::egress::EgressClient;
use crate::http::error::ApiError;
use crate::json::nesting::BodyNestingLimit;
use crate::messenger::ephemeral_feed::EphemeralFeed;
use crate::messenger::events::ack_cursor::AckCursor;
pub use crate::messenger::events::open_streams::OpenStreams;
use crate::messenger::id_locks::SubmissionLocks;
use crate::messenger::messages::pdu_id_generator::PduIdGenerator;
use crate::messenger::peer_line::PeerLine;
use crate::messenger::push::PushHandle;
use crate::openapi::routes::{TrailingSlash, resources};
use crate::openapi::served_document;
use crate::rpc::CallRegister;
use crate::settings::LiveSettings;
use crate::telemetry::peer_clocks::PeerClocks;
use crate::telemetry::spans::ItemSpans;

/// The limits of the messenger's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessengerLimits {
    /// Maximum number of submissions in progress; further ones are refused and may be retried.
    pub submissions_max: usize,
    /// Maximum number of reads that wait for an event, and of streams.
    pub reads_max: usize,
    /// Time of silence after which a stream gets a comment.
    pub keep_alive: Duration,
    /// Maximum bytes of a request's body.
    pub body_max: usize,
}

/// The state that all calls share. All workers must get clones of one instance, because clones share the submissions in
/// progress.
#[derive(Clone)]
pub struct MessengerApi {
    gateway: Gateway,
    us: ServerName,
    limits: MessengerLimits,
    inflight: Arc<SubmissionLocks>,
    /// Ephemeral items of the peers.
    ephemeral: Arc<EphemeralFeed>,
    /// Newest acknowledgement of the messenger.
    acks: AckCursor,
    /// Permits for reads that wait, and for streams.
    reads: Arc<Semaphore>,
    /// Streams that are open.
    streams: OpenStreams,
    pdu_ids: Arc<PduIdGenerator>,
    /// Addresses and limits of the peers.
    settings: Option<LiveSettings>,
    /// The push of the feed, if push mode is on.
    push: Option<PushHandle>,
    /// Way of calls to peers; `None`: the gateway makes none.
    peer_line: Option<PeerLine>,
    /// Clocks of the peers.
    clocks: PeerClocks,
    /// Spans of submissions.
    spans: ItemSpans,
    /// True when the gateway stops: waiting reads end then, because they would delay the stop.
    stopping: watch::Receiver<bool>,
}

impl MessengerApi {
    /// Returns the API of a running gateway whose name is `us`.
    pub fn new(
        gateway: Gateway,
        us: ServerName,
        limits: MessengerLimits,
        ephemeral: Arc<EphemeralFeed>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let inflight = SubmissionLocks::new(limits.submissions_max);
        let reads = Arc::new(Semaphore::new(limits.reads_max.min(Semaphore::MAX_PERMITS)));
        let pdu_ids = Arc::new(PduIdGenerator::new());
        let (clocks, push, peer_line) = (PeerClocks::default(), None, None);
        let (settings, acks) = (None, AckCursor::default());
        Self {
            gateway,
            us,
            limits,
            inflight,
            ephemeral,
            acks,
            reads,
            streams: OpenStreams::default(),
            pdu_ids,
            settings,
            push,
            peer_line,
            clocks,
            spans: ItemSpans::default(),
            stopping,
        }
    }

    /// Returns the number of streams that are open, now and later.
    pub fn streams(&self) -> OpenStreams {
        self.streams.clone()
    }

    /// Adds the configuration of the peers and their clocks, which are part of a peer's details.
    #[must_use]
    pub fn describing(self, settings: LiveSettings, clocks: PeerClocks) -> Self {
        Self { settings: Some(settings), clocks, ..self }
    }

    /// Adds the way of calls to peers.
    #[must_use]
    pub fn calling(self, egress: Arc<EgressClient>, calls: Arc<CallRegister>, nesting: BodyNestingLimit) -> Self {
        Self { peer_line: Some(PeerLine { egress, calls, nesting }), ..self }
    }

    /// Adds the spans of submissions.
    #[must_use]
    pub fn tracing(self, spans: ItemSpans) -> Self {
        Self { spans, ..self }
    }

    /// Adds the push of the feed, which alone acknowledges from then on.
    #[must_use]
    pub fn pushing(self, push: Option<PushHandle>) -> Self {
        Self { push, ..self }
    }
}

/// Adds the routes below `/v1`.
pub fn configure(config: &mut web::ServiceConfig, api: MessengerApi) {
    let body_max = api.limits.body_max;
    let scope = web::scope("/v1").app_data(web::Data::new(api)).app_data(web::PayloadConfig::new(body_max));
    let scope = scope.service(web::resource(["/contexts", "/contexts/"]).to(contexts::context::nameless));
    let resources = resources(&operations::operations(), TrailingSlash::Ignored);
    let scope = resources.into_iter().fold(scope, Scope::service);
    config.service(scope.default_service(web::to(no_route))).default_service(web::to(no_route));
}

/// Adds `/openapi.json`, which describes the API and needs no token.
pub fn configure_document(config: &mut web::ServiceConfig) {
    served_document::configure(config, operations::SERVED);
}

/// Returns the description of the API, in OpenAPI.
pub fn document() -> Value {
    operations::document()
}

async fn no_route() -> Result<&'static str, ApiError> {
    Err(answer::no_route())
}
