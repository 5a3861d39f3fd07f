//! The API for operators and their tools: health and metrics without a token, `/admin/v1` with it.
//!
//! Reads return bounded pages. Changes go through actors or the journal, like all others, and are logged with the
//! caller's address. Every response names the gateway. Peers and traces have the same form as for the messenger.

mod answer;
mod backup_jobs;
pub mod certificates;
pub mod config;
mod contexts;
pub mod dashboard;
pub mod health;
pub mod manual;
mod messages;
pub mod messenger;
pub mod metrics;
mod operations;
mod peer_commands;
pub mod peers;
mod quarantine;
mod queue;
mod release;
pub mod server_header;
pub mod status;
mod store;

use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::{Scope, web};
use actors::gateway::Gateway;
use actors::ports::StoreInspector;
use serde_json::Value;

use crate::admin::answer::BODY_MAX;
use crate::admin::backup_jobs::BackupJobs;
use crate::admin::config::config_reloader::ConfigReloader;
use crate::admin::peers::reach_asker::ReachAsker;
use crate::admin::status::status_sources::StatusSources;
use crate::comparison::ContextVerifier;
use crate::http::bearer::operator_tokens::{OperatorTokens, require_operator};
use crate::http::error::ApiError;
use crate::http::responses::no_route;
use crate::messenger::messages::pdu_id_generator::PduIdGenerator;
use crate::messenger::push::PushHandle;
use crate::openapi::routes::{TrailingSlash, resources};
use crate::openapi::served_document;
use crate::settings::LiveSettings;
use crate::store::Store;
use crate::telemetry::flow_history::FlowHistory;
use crate::telemetry::peer_clocks::PeerClocks;
use crate::wire::pdu::relay_judge::RelayJudge;

/// The state that all calls share. Clones share one.
#[derive(Clone)]
pub struct AdminApi {
    gateway: Gateway,
    inspect: Arc<dyn StoreInspector>,
    store: Store,
    backups: BackupJobs,
    pdu_ids: Arc<PduIdGenerator>,
    /// Links and limits of the configured peers.
    settings: Option<LiveSettings>,
    /// Takes over a changed configuration.
    reloader: Option<Arc<dyn ConfigReloader>>,
    /// Clocks of the peers.
    clocks: PeerClocks,
    /// The push of the feed, if push mode is on.
    push: Option<PushHandle>,
    /// Judge of released PDUs that are not of their sender.
    judge: Arc<dyn RelayJudge>,
    /// Parts of the status that the core does not know.
    status: StatusSources,
    /// Flow of items over the last day.
    flow: FlowHistory,
    /// Comparisons of histories with peers.
    verifier: Option<ContextVerifier>,
    /// Asks peers to look this server up.
    asker: Option<ReachAsker>,
}

impl AdminApi {
    /// Returns the API of a running gateway and its store.
    pub fn new(gateway: Gateway, store: Store, judge: Arc<dyn RelayJudge>) -> Self {
        Self {
            gateway,
            inspect: Arc::new(store.clone()),
            store,
            backups: BackupJobs::default(),
            pdu_ids: Arc::new(PduIdGenerator::new()),
            settings: None,
            reloader: None,
            clocks: PeerClocks::default(),
            push: None,
            judge,
            status: StatusSources::default(),
            flow: FlowHistory::default(),
            verifier: None,
            asker: None,
        }
    }

    /// Adds the configuration of the peers and their clocks, which are part of a peer's details.
    #[must_use]
    pub fn describing(self, settings: LiveSettings, clocks: PeerClocks) -> Self {
        Self { settings: Some(settings), clocks, ..self }
    }

    /// Adds the reload of the configuration.
    #[must_use]
    pub fn reloading(self, reloader: Arc<dyn ConfigReloader>) -> Self {
        Self { reloader: Some(reloader), ..self }
    }

    /// Adds the parts of the status that the core does not know.
    #[must_use]
    pub fn reporting(self, status: StatusSources) -> Self {
        Self { status, ..self }
    }

    /// Adds the flow of items.
    #[must_use]
    pub fn flowing(self, flow: FlowHistory) -> Self {
        Self { flow, ..self }
    }

    /// Adds the comparisons of histories.
    #[must_use]
    pub fn verifying(self, verifier: ContextVerifier) -> Self {
        Self { verifier: Some(verifier), ..self }
    }

    /// Adds the calls by which peers are asked to look this server up.
    #[must_use]
    pub fn asking(self, asker: ReachAsker) -> Self {
        Self { asker: Some(asker), ..self }
    }

    /// Adds the push of the feed, to which released events are handed.
    #[must_use]
    pub fn pushing(self, push: Option<PushHandle>) -> Self {
        Self { push, ..self }
    }
}

/// Adds the routes of `/admin/v1`, which need a token with the role of each.
pub fn configure(config: &mut web::ServiceConfig, api: AdminApi, tokens: OperatorTokens) {
    let scope = web::scope("/admin/v1")
        .app_data(web::Data::new(api))
        .app_data(web::Data::new(tokens))
        .app_data(web::PayloadConfig::new(BODY_MAX))
        .wrap(from_fn(require_operator))
        .wrap(from_fn(server_header::server_header_middleware));
    let resources = resources(&operations::operations(), TrailingSlash::Counts);
    let scope = resources.into_iter().fold(scope, Scope::service);
    config.service(scope.default_service(web::to(missing)));
}

/// Adds `/openapi.json`, which describes the API and needs no token.
pub fn configure_document(config: &mut web::ServiceConfig) {
    served_document::configure(config, operations::SERVED);
}

/// Returns the description of the API, in OpenAPI.
pub fn document() -> Value {
    operations::document()
}

async fn missing() -> Result<&'static str, ApiError> {
    Err(no_route())
}
