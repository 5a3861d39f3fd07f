//! The servers of the three listeners, with the parts of the gateway that they use.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::ResponseError;
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actors::errors::UnavailableError;
use actors::gateway::Gateway;
use actors::ports::Clock;
use tokio::sync::watch;

use crate::admin::certificates::CertificateEnds;
use crate::admin::dashboard;
use crate::admin::dashboard::dashboard_site::DashboardSite;
use crate::admin::health::{self, ReadinessReport, ShownHealth};
use crate::admin::messenger::health::PushHealth;
use crate::admin::metrics::{self, MetricsRecorder, ObservedParts};
use crate::admin::peers::reach_asker::ReachAsker;
use crate::admin::status::status_sources::StatusSources;
use crate::admin::{self, AdminApi};
use crate::app::configured_peers::ConfiguredAdmission;
use crate::app::listeners::{ListenerCertificates, Listeners};
use crate::app::peer_calls::outside_reach::OutsideReach;
use crate::app::reloader::SettingsReloader;
use crate::app::strangers::StrangersBook;
use crate::app::{StartError, SystemClock};
use crate::comparison::ContextVerifier;
use crate::egress::EgressClient;
use crate::http::authentication::signature_proof::SignatureJudge;
use crate::http::authentication::{self, CallerChecks};
use crate::http::bearer::operator_tokens::OperatorTokens;
use crate::http::bearer::{self, BearerToken};
use crate::http::body::BodyLimit;
use crate::http::drain;
use crate::http::drain::DrainSignal;
use crate::http::error::ApiError;
use crate::http::error_middleware::direct_routes::DirectTable;
use crate::http::head_limit::{self, HeadLimit};
use crate::http::key_directory;
use crate::http::listener::forwarded_requests::ForwardedRequests;
use crate::http::serve::{serve, serve_raw_targets};
use crate::identity::key_ring::LiveKeyRing;
use crate::json::nesting::BodyNestingLimit;
use crate::maintenance::scheduled_backup::BackupSchedule;
use crate::messenger;
use crate::messenger::direct_calls::DirectCalls;
use crate::messenger::ephemeral_feed::EphemeralFeed;
use crate::messenger::push::PushHandle;
use crate::messenger::{MessengerApi, MessengerLimits};
use crate::rpc::{CallRegister, InboundCalls, MessengerLine};
use crate::settings::{LiveSettings, SecretValue, Settings};
use crate::store::Store;
use crate::telemetry::deliveries::DeliveryObserver;
use crate::telemetry::flow_history::FlowHistory;
use crate::telemetry::limit_counts::LimitCounts;
use crate::telemetry::peer_clocks::PeerClocks;
use crate::telemetry::refused_callers::RefusedCallers;
use crate::telemetry::spans::ItemSpans;
use crate::wire::direct_pushes::DirectPushes;
use crate::wire::pdu::relay_judge::RelayJudge;
use crate::wire::{self, DialectServices};

/// The parts of a gateway that its servers use.
pub(super) struct ServedParts<'a> {
    pub(super) live: LiveSettings,
    pub(super) keys: LiveKeyRing,
    pub(super) judge: Data<SignatureJudge>,
    pub(super) relays: Arc<dyn RelayJudge>,
    /// Push of the feed, if push mode is on.
    pub(super) push: Option<PushHandle>,
    /// Way of peers' calls to the messenger, if push mode is on.
    pub(super) line: Option<Arc<dyn MessengerLine>>,
    pub(super) egress: Arc<EgressClient>,
    pub(super) gateway: &'a Gateway,
    pub(super) store: &'a Store,
    pub(super) reloader: &'a Arc<SettingsReloader>,
    /// Ephemeral items of peers, for the streams of the messenger.
    pub(super) ephemeral: Arc<EphemeralFeed>,
    pub(super) strangers: Arc<StrangersBook>,
    pub(super) counts: LimitCounts,
    pub(super) nesting: BodyNestingLimit,
    pub(super) clocks: PeerClocks,
    pub(super) deliveries: DeliveryObserver,
    /// Scheduled backups.
    pub(super) backups: BackupSchedule,
    /// Calls under way, in both directions.
    pub(super) calls: Arc<CallRegister>,
    /// Comparisons of histories.
    pub(super) verifier: ContextVerifier,
    /// Flow of items over the last day.
    pub(super) flow: FlowHistory,
    /// Spans of items.
    pub(super) spans: ItemSpans,
}

fn federation_body(settings: &Settings) -> BodyLimit {
    BodyLimit {
        key: "federation.body_max",
        bytes: settings.federation.body_max,
        time: settings.federation.connections.body_timeout,
        time_key: "federation.body_timeout",
    }
}

/// Returns the judge of signatures, with the nonces that earlier processes have stored.
pub(super) async fn signature_judge(
    settings: &Settings,
    store: &Store,
    listener: Option<SocketAddr>,
) -> Result<SignatureJudge, StartError> {
    let clock = Arc::new(SystemClock);
    let used = store.used_nonces(clock.now()).await.map_err(StartError::Nonces)?;
    let own = (settings.server.name.clone(), listener.map(|address| address.port()));
    Ok(SignatureJudge::new(own, clock, (settings.peers.nonces_max(), used), federation_body(settings)))
}

/// Starts the servers; the admin server is the last.
pub(super) fn start_servers(
    parts: ServedParts<'_>,
    (listeners, certificates): (Listeners, &ListenerCertificates),
    readiness: &ReadinessReport,
    (stops, closing): (watch::Receiver<bool>, &DrainSignal),
) -> Result<Vec<ServerHandle>, StartError> {
    let ServedParts { live, keys, judge, relays, push, gateway, store, reloader, ephemeral, .. } = parts;
    let ServedParts { strangers, counts, nesting, clocks, line, egress, deliveries, backups, flow, spans, .. } = parts;
    let ServedParts { calls: register, verifier, .. } = parts;
    let reach = OutsideReach::new(live.clone(), strangers.clone(), certificates.peer_roots());
    let calls = InboundCalls::new(gateway.ports().clone(), register.clone(), line).reaching(Arc::new(reach));
    let calls = Data::new(calls);
    let settings = live.current();
    let rows = listeners.rows(&settings);
    let proxies = live.clone();
    let is_proxy = move |address| proxies.peers().is_trusted_proxy(address);
    let serving = certificates.federation_limits(&settings, is_proxy, counts.clone())?;
    let gate = DialectServices {
        intake: Arc::new(gateway.clone()),
        admission: Arc::new(ConfiguredAdmission::new(
            live.clone(),
            strangers,
            (certificates.client_roots(), certificates.peer_roots()),
            Arc::new(SystemClock),
        )),
        judge: relays.clone(),
        body: federation_body(&settings),
        nesting: nesting.clone(),
    };
    let forwarded = ForwardedRequests::new(settings.federation.connections.per_address, counts.clone());
    let (door, forwarded) = (closing.door(wire::later), Data::new(forwarded));
    let checks = CallerChecks {
        policy: Data::from(Arc::clone(&gate.admission)),
        signatures: Some(judge.clone()),
        forwarded: Some(forwarded.clone()),
    };
    let head = HeadLimit { key: "federation.headers_max", bytes: settings.federation.connections.headers_max };
    let [federation_counts, messenger_counts, admin_counts] = [(); 3].map(|()| counts.clone());
    let refused_callers = RefusedCallers::default();
    let (federation_callers, federation_spans) = (refused_callers.clone(), spans.clone());
    let federation = serve_raw_targets(listeners.federation, &serving, move |config| {
        config.app_data(federation_counts.clone()).app_data(federation_callers.clone());
        key_directory::configure(config, &keys);
        config.app_data(judge.clone()).app_data(forwarded.clone()).app_data(calls.clone());
        let pushes = DirectPushes::new(&gate, head, checks.clone(), door.clone()).tracing(federation_spans.clone());
        config.app_data(DirectTable(Rc::new(pushes)));
        let scope = web::scope("").app_data(Data::new(door.clone())).wrap(from_fn(drain::count_in_flight));
        // Callers are authenticated before anything else, also while the gateway drains.
        let scope = scope.wrap(from_fn(authentication::meet));
        let scope = scope.app_data(Data::new(head)).wrap(from_fn(head_limit::check_head));
        config.service(scope.configure(|config| wire::routes(&gate, config)));
    });

    let limits = MessengerLimits {
        submissions_max: settings.messenger.submissions_max,
        reads_max: settings.messenger.reads_max,
        keep_alive: settings.messenger.keep_alive,
        body_max: settings.messenger.body_max,
    };
    let api = MessengerApi::new(gateway.clone(), settings.server.name.clone(), limits, ephemeral.clone(), stops)
        .describing(live.clone(), clocks.clone())
        .pushing(push.clone())
        .calling(egress.clone(), register.clone(), nesting)
        .tracing(spans.clone());
    let shown = (api.streams(), ephemeral);
    let token = BearerToken::new("messenger.token", settings.messenger.token.as_ref().map(SecretValue::expose));
    if token.is_open() {
        tracing::warn!(listen = %settings.messenger.listen, "the messenger API requires no token; set \
            messenger.token_file");
    }
    let door = closing.door(|_, _| Some(ApiError::from(UnavailableError::Stopping).error_response()));
    let messenger = serve(listeners.messenger, &certificates.messenger_limits(&settings)?, move |config| {
        config.app_data(messenger_counts.clone());
        messenger::configure_document(config);
        let calls = DirectCalls::new(api.clone(), token.clone(), door.clone());
        config.app_data(DirectTable(Rc::new(calls)));
        let scope = web::scope("").app_data(Data::new(door.clone())).wrap(from_fn(drain::count_in_flight));
        let guarded = scope.app_data(Data::new(token.clone())).wrap(from_fn(bearer::require));
        config.service(guarded.configure(|config| messenger::configure(config, api.clone())));
    });

    let readiness = readiness.clone();
    let one = certificates.admin_limits(&settings)?;
    let ends = CertificateEnds::new(certificates.all(), Arc::new(SystemClock));
    let asking = ReachAsker::new(live.clone(), egress, register.clone());
    let metrics = MetricsRecorder::new(gateway.clone(), ends.clone(), counts, push.clone(), register, shown);
    let table = live.clone();
    let metrics = metrics.observing(ObservedParts {
        observer: deliveries,
        store: store.clone(),
        clocks: clocks.clone(),
        named_max: Arc::new(move || table.current().metric_peers_max),
        refused_callers,
        backups: backups.clone(),
        verify: verifier.metrics().clone(),
        spans: spans.clone(),
        began: SystemClock.now(),
    });
    let push_health = PushHealth::new(push.clone(), gateway.ports().archive.feed.feed_bounds());
    let status = StatusSources {
        started: SystemClock.now(),
        listeners: rows,
        readiness: readiness.clone(),
        ends: ends.clone(),
        push: push_health.clone(),
        backups: backups.clone(),
    };
    let shown_health = ShownHealth { ends, push: push_health, backups };
    let table = live.clone();
    let tokens = OperatorTokens::new(Arc::new(move || table.current().admin.accepted_tokens()));
    let api = AdminApi::new(gateway.clone(), store.clone(), relays)
        .describing(live, clocks)
        .reloading(reloader.clone())
        .reporting(status)
        .asking(asking)
        .flowing(flow)
        .verifying(verifier)
        .pushing(push);
    if tokens.is_open() {
        tracing::warn!(listen = %settings.admin.listen, "the admin API requires no token; set admin.token_file");
    }
    let site = DashboardSite::new(api.clone(), tokens.clone(), settings.admin.tls.is_some());
    let admin = serve(listeners.admin, &one, move |config| {
        config.app_data(admin_counts.clone());
        health::configure(config, readiness.clone(), shown_health.clone());
        metrics::configure(config, metrics.clone());
        admin::manual::configure(config);
        admin::configure_document(config);
        admin::configure(config, api.clone(), tokens.clone());
        dashboard::configure(config, site.clone());
    });

    let mut handles = vec![];
    for server in [federation, messenger, admin] {
        let server = server.map_err(StartError::Serve)?;
        handles.push(server.handle());
        actix::spawn(server);
    }
    Ok(handles)
}
