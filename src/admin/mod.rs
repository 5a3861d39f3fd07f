//! The API for operators and their tools: health and metrics without a token, `/admin/v1` with it.
//!
//! Reads return bounded pages. Changes go through actors or the journal, like all others, and are logged with the
//! caller's address. Every response names the gateway. Peers and traces have the same form as for the messenger.

mod answer;
mod backup_jobs;
pub mod certificates;
pub mod config;
mod contexts;
pub mod health;
mod messages;
pub mod messenger;
pub mod metrics;
mod peer_commands;
mod peers;
mod quarantine;
mod queue;
mod release;
pub mod server_header;
mod store;

use std::sync::Arc;

use actix_web::guard::fn_guard;
use actix_web::middleware::from_fn;
use actix_web::{Resource, web};
use actors::gateway::Gateway;
use actors::ports::StoreInspector;

use crate::admin::backup_jobs::BackupJobs;
use crate::admin::config::config_reloader::ConfigReloader;
use crate::http::bearer::{self, BearerToken};
use crate::http::error::ApiError;
use crate::http::json_error;
use crate::http::responses::{no_route, wrong_method};
use crate::messenger::messages::pdu_id_generator::PduIdGenerator;
use crate::messenger::push::PushHandle;
use crate::settings::LiveSettings;
use crate::store::Store;
use crate::telemetry::peer_clocks::PeerClocks;
use crate::wire::pdu::relay_judge::RelayJudge;

/// Maximum bytes of a call's body: it only contains a number or a word.
const BODY_MAX: usize = 64 * 1024;

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

    /// Adds the push of the feed, to which released events are handed.
    #[must_use]
    pub fn pushing(self, push: Option<PushHandle>) -> Self {
        Self { push, ..self }
    }
}

/// Adds the routes of `/admin/v1`, which need the token.
pub fn configure(config: &mut web::ServiceConfig, api: AdminApi, token: BearerToken) {
    config.service(
        web::scope("/admin/v1")
            .app_data(web::Data::new(api))
            .app_data(web::Data::new(token))
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .app_data(
                web::JsonConfig::default()
                    .limit(BODY_MAX)
                    .content_type_required(false)
                    .error_handler(|error, _| json_error::body(&error).into()),
            )
            .wrap(from_fn(bearer::require))
            .wrap(from_fn(server_header::server_header_middleware))
            .service(call("/peers", "GET").route(web::get().to(peers::list)))
            .service(call("/peers/{server}", "GET").route(web::get().to(peers::get)))
            .service(call("/messages/{id}", "GET").route(web::get().to(messages::get)))
            .service(call("/messages/{id}/retry", "POST").route(web::post().to(messages::retry)))
            .service(call("/messages/{id}/drop", "POST").route(web::post().to(messages::drop)))
            .service(call("/peers/{server}/suspend", "POST").route(web::post().to(peer_commands::suspend)))
            .service(call("/peers/{server}/resume", "POST").route(web::post().to(peer_commands::resume)))
            .service(call("/peers/{server}/retry", "POST").route(web::post().to(peer_commands::retry)))
            .service(call("/peers/{server}/expect", "POST").route(web::post().to(peer_commands::expect)))
            .service(call("/peers/{server}/renumber", "POST").route(web::post().to(peer_commands::renumber)))
            .service(call("/contexts", "GET").route(web::get().to(contexts::list)))
            .service(call("/contexts/{context}", "GET").route(web::get().to(contexts::show)))
            .service(call("/contexts/{context}/merge", "POST").route(web::post().to(contexts::merge)))
            .service(call("/queue", "GET").route(web::get().to(queue::shape)))
            .service(call("/queue/{server}", "GET").route(web::get().to(queue::show)))
            .service(call("/reload", "POST").route(web::post().to(config::reload)))
            .service(call("/store", "GET").route(web::get().to(store::stats)))
            .service(
                call("/store/backup", "GET, POST")
                    .route(web::get().to(store::progress))
                    .route(web::post().to(store::backup)),
            )
            .service(of_messenger("/quarantine", "GET").route(web::get().to(messenger::refused_events::list)))
            .service(
                of_messenger("/quarantine/{position}/release", "POST")
                    .route(web::post().to(messenger::refused_events::release)),
            )
            .service(
                of_messenger("/quarantine/{position}/drop", "POST")
                    .route(web::post().to(messenger::refused_events::drop)),
            )
            .service(call("/quarantine", "GET").route(web::get().to(quarantine::list)))
            .service(call("/quarantine/{server}/release", "POST").route(web::post().to(release::release_all)))
            .service(call("/quarantine/{server}/drop", "POST").route(web::post().to(release::drop_all)))
            .service(call("/quarantine/{server}/{id}", "GET").route(web::get().to(quarantine::show)))
            .service(call("/quarantine/{server}/{id}/release", "POST").route(web::post().to(release::release)))
            .service(call("/quarantine/{server}/{id}/drop", "POST").route(web::post().to(release::drop)))
            .default_service(web::to(missing)),
    );
}

/// Returns a resource for a path, which responds to other methods with an error.
fn call(path: &'static str, allowed: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || async move { wrong_method(allowed) }))
}

/// Returns a resource for a path, for calls about the messenger's quarantine alone.
fn of_messenger(path: &'static str, allowed: &'static str) -> Resource {
    call(path, allowed).guard(fn_guard(messenger::refused_events::is_of_messenger))
}

async fn missing() -> Result<&'static str, ApiError> {
    Err(no_route())
}
