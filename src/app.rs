//! The composition root: builds a gateway from its settings, and stops it in reverse order.
//!
//! The core (router, actors, the journal's writer) runs on one thread of its own, an actix arbiter, so that a message
//! from an actor to the journal needs no thread switch. HTTP workers reach it through [`Gateway`].

mod configured_keys;
mod configured_peers;
mod data_folder;
mod directory_source;
mod listeners;
pub(crate) mod peer_explainer;
mod start_error;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix::{Arbiter, ArbiterHandle};
use actix_web::ResponseError;
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Bytes, Data};
use actors::errors::UnavailableError;
use actors::gateway::Gateway;
use actors::model::{Millis, ServerName};
use actors::ports::{Clock, PeerConfig, Ports, StoreReaders};
use actors::router::{ActorRegistry, Router};
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::admin::certificates::CertificateEnds;
use crate::admin::health::{self, ReadinessReport};
use crate::admin::messenger::health::PushHealth;
use crate::admin::metrics::{self, MetricsRecorder};
use crate::admin::{self, AdminApi};
use crate::app::configured_keys::relay_judge;
use crate::app::configured_peers::{ConfiguredAddresses, ConfiguredAdmission};
use crate::app::directory_source::EgressDirectories;
use crate::app::listeners::ListenerCertificates;
use crate::egress::signer::RequestSigner;
use crate::egress::{EgressClient, EgressOptions};
use crate::http::authentication;
use crate::http::authentication::signature_proof::SignatureJudge;
use crate::http::bearer::{self, BearerToken};
use crate::http::body::BodyLimit;
use crate::http::drain::{self, DrainSignal};
use crate::http::error::ApiError;
use crate::http::head_limit::{self, HeadLimit};
use crate::http::key_directory;
use crate::http::serve::{serve, serve_raw_targets};
use crate::identity::key_directory::key_directory_json;
use crate::identity::key_ring::KeyRing;
use crate::maintenance::feed_and_submissions;
use crate::maintenance::history_retention;
use crate::messenger;
use crate::messenger::push::{PushHandle, PushSetup};
use crate::messenger::{MessengerApi, MessengerLimits};
use crate::runtime::free_space::FolderDisk;
use crate::settings::{SecretValue, Settings};
use crate::store::{self, BlockingExecutor, Store, StoreLocation, StoreOptions};
use crate::telemetry::limit_counts::LimitCounts;
use crate::telemetry::logging_journal::LoggingJournal;
use crate::tls::{file_watch, own_certificate};
use crate::wire::pdu::ContentText;
use crate::wire::pdu::reference_context::StoreReferenceContext;
use crate::wire::pdu::relay_judge::RelayJudge;
use crate::wire::pdu::signer::PduSigner;
use crate::wire::transport::PeerTransport;
use crate::wire::{self, DialectServices};

pub use crate::app::listeners::Listeners;
pub use crate::app::start_error::StartError;

/// State of the data folder that a gateway accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataDir {
    /// A store with its marker, or nothing at all.
    Whole,
    /// The folder in any state, because the operator confirmed it.
    AsFound,
}

/// The system's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter that the ban points to")]
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Millis(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl SystemClock {
    /// Returns the time of the clock in the form of the standard library.
    pub(crate) fn time() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(Self.now().0)
    }
}

/// A running gateway.
pub struct App {
    core: Arbiter,
    gateway: Gateway,
    store: Store,
    egress: Arc<EgressClient>,
    /// Servers of the listeners; the admin server is the last.
    servers: Vec<ServerHandle>,
    readiness: ReadinessReport,
    stopping: watch::Sender<bool>,
    closing: DrainSignal,
    /// Makes the watch look at the files of certificates at once.
    look_now: Arc<Notify>,
    _certificate_tasks: [AbortOnDropHandle<()>; 2],
    /// Task of push mode, if it is on.
    push_task: Option<AbortOnDropHandle<()>>,
    drain: Duration,
    router_gone: oneshot::Receiver<bool>,
}

/// The parts that the core's thread returns once it runs.
struct GatewayCore {
    gateway: Gateway,
    store: Store,
}

impl App {
    /// Starts a gateway on bound listeners. The listeners are served last, so that every response comes from a complete
    /// gateway.
    pub async fn start(settings: &Settings, listeners: Listeners, found: DataDir) -> Result<Self, StartError> {
        let certificates = ListenerCertificates::load(settings)?;
        let push = settings.messenger.push.as_ref();
        let push =
            push.map(|push| PushSetup::new(push, settings.peers.unlisted(&settings.server.name).jitter)).transpose()?;
        let keys = Arc::new(data_folder::signing_keys(settings)?);
        let us = &settings.server.name;
        let peers = Arc::new(ConfiguredAddresses { peers: settings.peers.clone(), network: settings.network.clone() });
        let signer = RequestSigner::new(us.clone(), keys.clone(), peers.clone(), Arc::new(SystemClock));
        let options = egress_options(settings, &certificates);
        let client = EgressClient::new(us, peers.clone(), Arc::new(SystemClock), options);
        let egress = Arc::new(client.signed_by(signer));
        let directories = EgressDirectories { egress: egress.clone(), addresses: peers }.begin();
        let core = Arbiter::new();
        let (gone, router_gone) = oneshot::channel();
        let relays = relay_judge(settings, keys.clone(), directories.clone()).map_err(StartError::Threads)?;
        let signer = PduSigner::new(keys.clone(), Arc::new(SystemClock));
        let ends = CoreEnds { egress: egress.clone(), signer, relays: relays.clone() };
        let GatewayCore { gateway, store } = start_core(&core.handle(), settings, found, ends, gone).await?;
        let (stopping, stops) = watch::channel(false);
        let readiness = ReadinessReport::default();
        if let Some(overload) = gateway.overload() {
            actix::spawn(health::follow(readiness.clone(), overload));
        }
        let closing = DrainSignal::default();
        let judge = signature_judge(settings, &store, listeners.federation_address()).await?.with_fetched(directories);
        let (push, push_task) = push.map(|push| push.start(gateway.ports(), stops.clone())).unzip();
        let parts = (&*keys, Data::new(judge), relays, push);
        let servers = start_servers(
            settings,
            (listeners, &certificates),
            parts,
            (&gateway, &store),
            &readiness,
            (stops, &closing),
        )?;
        let look_now = Arc::new(Notify::new());
        let watch = file_watch::watch(certificates.watched(), Arc::clone(&look_now));
        let ends = own_certificate::warn_of_ends(certificates.all(), Arc::new(SystemClock));
        let certificate_tasks = [tokio::spawn(watch), tokio::spawn(ends)].map(AbortOnDropHandle::new);
        settings.notes.iter().for_each(|note| tracing::warn!(%note, "configuration warning"));
        let drain = settings.server.drain;
        Ok(Self {
            core,
            gateway,
            store,
            egress,
            servers,
            readiness,
            stopping,
            closing,
            look_now,
            _certificate_tasks: certificate_tasks,
            push_task,
            drain,
            router_gone,
        })
    }

    /// Resolves when the gateway cannot continue, with the reason in one line. The process should then exit: everything
    /// acknowledged is on disk.
    pub async fn failed(&mut self) -> String {
        tokio::select! {
            failure = self.store.failed() => failure.to_string(),
            _ = &mut self.router_gone => "the router has ended; see the log above, then start again".to_owned(),
        }
    }

    /// Returns the handle that makes the gateway look at the files of certificates at once, and take over those that changed.
    pub fn certificate_reads(&self) -> Arc<Notify> {
        Arc::clone(&self.look_now)
    }

    /// Returns the handle for calls into the core.
    pub const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Stops gracefully: reports not ready, accepts nothing more, finishes requests in flight and commits everything.
    /// Returns the number of items that stay on disk, and of their peers.
    pub async fn stop(mut self) -> UnsentAtShutdown {
        self.egress.close();
        self.readiness.fail("stopping", "a signal was received");
        self.stopping.send_replace(true);
        self.closing.close();
        // The listeners run meanwhile and tell callers to retry. After the drain time no request is waited for.
        let calls = async {
            self.closing.idle().await;
            // The answer of the messenger to a batch in flight acknowledges it.
            if let Some(task) = &mut self.push_task {
                let _ = task.await;
            }
            // Outbound requests in flight are finished too: if one were aborted, the peer might have accepted it and
            // would get it again. They are drained last, because a call that is being answered may need to send
            // requests.
            self.egress.drain().await;
        };
        let finished = tokio::time::timeout(self.drain, calls).await.is_ok();
        // All servers are told to stop before any is waited for; otherwise each could take the whole drain time. The
        // admin server responds to health checks until the others have stopped, and its own requests are not waited
        // for.
        let (admin, doors) = self.servers.split_last().expect("three are served");
        let stops: Vec<_> = doors.iter().map(|server| server.stop(finished)).collect();
        for stopped in stops {
            stopped.await;
        }
        admin.stop(false).await;
        let left = self.unsent().await;
        self.store.close().await;
        self.end().await;
        left
    }

    /// Stops like a power cut, as far as a process can: no request is finished and no response is sent.
    pub async fn kill(self) {
        for server in &self.servers {
            server.stop(false).await;
        }
        self.end().await;
    }

    async fn unsent(&self) -> UnsentAtShutdown {
        let backlog = self.backlog().await;
        UnsentAtShutdown { peers: backlog.len() as u64, items: backlog.iter().map(|(_, items)| items).sum() }
    }

    /// Returns the peers with unsent items and the number of these.
    pub async fn backlog(&self) -> Vec<(ServerName, u64)> {
        let behind = self.gateway.ports().archive.peers.peers_with_backlog(Vec::new()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the number of pending items cannot be read");
            Vec::new()
        });
        let mut backlog = Vec::new();
        for server in behind {
            // Items of a server that is no longer a peer are not counted, because they are not sent.
            let status = self.gateway.stored_status(&server).await;
            backlog.extend(status.ok().filter(|status| status.backlog > 0).map(|status| (server, status.backlog)));
        }
        backlog
    }

    async fn end(self) {
        let Self { core, gateway, store, .. } = self;
        core.stop();
        let lane = store.lane();
        drop((gateway, store));
        // Joining the arbiter thread stops all actors; a blocking read may still hold the store open, so the store's
        // threads are waited for too.
        let ended = move || {
            let joined = core.join();
            lane.end(READS_END);
            joined
        };
        let joined = tokio::task::spawn_blocking(ended).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the core's thread ended with a failure");
        }
    }
}

/// Maximum time that a stop waits for a running commit or read, because a disk may never respond.
const READS_END: Duration = Duration::from_secs(10);

/// The unsent items that stay on disk when a gateway stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnsentAtShutdown {
    /// Number of peers with unsent items.
    pub peers: u64,
    /// Number of unsent items.
    pub items: u64,
}

/// The adapters through which the core meets the outside.
struct CoreEnds {
    egress: Arc<EgressClient>,
    signer: PduSigner,
    relays: Arc<dyn RelayJudge>,
}

async fn start_core(
    core: &ArbiterHandle,
    settings: &Settings,
    found: DataDir,
    CoreEnds { egress, signer, relays }: CoreEnds,
    gone: oneshot::Sender<bool>,
) -> Result<GatewayCore, StartError> {
    let options = store_options(settings, found)?;
    let (peers, us) = (settings.peers.clone(), settings.server.name.clone());
    let (retain, keep) = (settings.feed.retain, settings.messenger.submissions_keep);
    let history = settings.peers.contexts().history.keep;
    let disk = Arc::new(FolderDisk(settings.server.data_dir.clone()));
    let (done, started) = oneshot::channel();
    core.spawn(async move {
        let routes = ActorRegistry::default();
        let wakes = routes.clone();
        let clock = Arc::new(SystemClock);
        let opened = Store::open(options, clock.clone(), Arc::new(move |woken| wakes.notify_outbox_grown(woken)));
        let built = opened.map(|store| {
            let shared = Arc::new(store.clone());
            let past = shared.clone();
            let knowledge = StoreReferenceContext { us: us.clone(), contexts: shared.clone(), roster: peers.clone() };
            let ports = Ports {
                journal: Arc::new(LoggingJournal::new(shared.clone())),
                archive: StoreReaders::of(&shared),
                transport: Arc::new(PeerTransport::new(egress, us.clone(), Arc::new(knowledge), relays)),
                roster: peers,
                ownership: shared,
                disk,
                clock,
                text: Arc::new(ContentText::signed_by(signer)),
                us,
            };
            Router::launch(ports.clone(), &routes, move |crashed| {
                // The receiver is gone if the gateway was stopped on purpose.
                let _ = gone.send(crashed);
            });
            actix::spawn(feed_and_submissions::run(ports.clone(), retain, keep));
            if let Some(keep) = history {
                actix::spawn(history_retention::run(ports.clone(), past, keep));
            }
            GatewayCore { gateway: Gateway::new(routes, ports), store }
        });
        // The starting task waits for this; if it is gone, the process is ending.
        let _ = done.send(built);
    });
    Ok(started.await.map_err(|_| StartError::Core)??)
}

fn store_options(settings: &Settings, found: DataDir) -> Result<StoreOptions, StartError> {
    let path = &settings.server.data_dir;
    let options = &settings.store;
    Ok(StoreOptions {
        place: StoreLocation::file(path.join(store::FILE)),
        server: settings.server.name.clone(),
        cache: options.cache,
        recent: options.recent as u64,
        group_max: options.group_max,
        group_rows: options.group_rows as u64,
        queue_rows: options.queue_rows,
        quick_repair: options.quick_repair,
        lane: BlockingExecutor::own().map_err(StartError::Threads)?,
        as_found: found == DataDir::AsFound,
    })
}

/// Returns the rules for requests to peers.
fn egress_options(settings: &Settings, certificates: &ListenerCertificates) -> EgressOptions {
    let network = &settings.network;
    EgressOptions {
        requests_max: network.requests_max,
        answer_max: network.answer_max,
        body_max: settings.federation.body_max,
        resolver: network.resolver.clone(),
        roots: Some(certificates.peer_roots()),
        own_pair: certificates.federation_pair(),
    }
}

fn federation_body(settings: &Settings) -> BodyLimit {
    BodyLimit {
        key: "federation.body_max",
        bytes: settings.federation.body_max,
        time: settings.federation.connections.body_timeout,
    }
}

/// Returns the judge of signatures, with the nonces that earlier processes have stored.
async fn signature_judge(
    settings: &Settings,
    store: &Store,
    listener: Option<SocketAddr>,
) -> Result<SignatureJudge, StartError> {
    let clock = Arc::new(SystemClock);
    let used = store.used_nonces(clock.now()).await.map_err(StartError::Nonces)?;
    let own = (settings.server.name.clone(), listener.map(|address| address.port()));
    Ok(SignatureJudge::new(own, clock, (settings.peers.nonces_max(), used), federation_body(settings)))
}

fn start_servers(
    settings: &Settings,
    (listeners, certificates): (Listeners, &ListenerCertificates),
    (keys, judge, relays, push): (&KeyRing, Data<SignatureJudge>, Arc<dyn RelayJudge>, Option<PushHandle>),
    (gateway, store): (&Gateway, &Store),
    readiness: &ReadinessReport,
    (stops, closing): (watch::Receiver<bool>, &DrainSignal),
) -> Result<Vec<ServerHandle>, StartError> {
    let counts = LimitCounts::default();
    let proxies = settings.peers.clone();
    let is_proxy = move |address| proxies.is_trusted_proxy(address);
    let serving = certificates.federation_limits(settings, is_proxy, counts.clone())?;
    let gate = DialectServices {
        intake: Arc::new(gateway.clone()),
        admission: Arc::new(ConfiguredAdmission::new(
            settings.peers.clone(),
            certificates.client_roots(),
            Arc::new(SystemClock),
        )),
        judge: relays.clone(),
        body: federation_body(settings),
    };
    let door = closing.door(wire::later);
    let directory = Bytes::from(key_directory_json(keys));
    let head = HeadLimit {
        key: "federation.headers_max",
        bytes: settings.federation.connections.headers_max,
        counts: counts.clone(),
    };
    let federation = serve_raw_targets(listeners.federation, &serving, move |config| {
        key_directory::configure(config, &directory);
        config.app_data(judge.clone());
        let scope = web::scope("").app_data(Data::new(door.clone())).wrap(from_fn(drain::count_in_flight));
        // Callers are authenticated before anything else, also while the gateway drains.
        let scope = scope.wrap(from_fn(authentication::meet));
        let scope = scope.app_data(Data::new(head.clone())).wrap(from_fn(head_limit::check_head));
        config.service(scope.configure(|config| wire::routes(&gate, config)));
    });

    let limits = MessengerLimits {
        submissions_max: settings.messenger.submissions_max,
        reads_max: settings.messenger.reads_max,
        body_max: settings.messenger.body_max,
    };
    let api = MessengerApi::new(gateway.clone(), settings.server.name.clone(), limits, stops)
        .describing(settings.peers.clone())
        .pushing(push.clone());
    let token = BearerToken::new("messenger.token", settings.messenger.token.as_ref().map(SecretValue::expose));
    if token.is_open() {
        tracing::warn!(listen = %settings.messenger.listen, "the messenger API requires no token; set \
            messenger.token_file");
    }
    let door = closing.door(|_| Some(ApiError::from(UnavailableError::Stopping).error_response()));
    let messenger = serve(listeners.messenger, &certificates.messenger_limits(settings)?, move |config| {
        let scope = web::scope("").app_data(Data::new(door.clone())).wrap(from_fn(drain::count_in_flight));
        let guarded = scope.app_data(Data::new(token.clone())).wrap(from_fn(bearer::require));
        config.service(guarded.configure(|config| messenger::configure(config, api.clone())));
    });

    let readiness = readiness.clone();
    let one = certificates.admin_limits(settings)?;
    let ends = CertificateEnds::new(certificates.all(), Arc::new(SystemClock));
    let metrics = MetricsRecorder::new(gateway.clone(), ends.clone(), counts, push.clone());
    let push_health = PushHealth::new(push.clone(), gateway.ports().archive.feed.feed_bounds());
    let api = AdminApi::new(gateway.clone(), store.clone(), relays).describing(settings.peers.clone()).pushing(push);
    let token = BearerToken::new("admin.token", settings.admin.token.as_ref().map(SecretValue::expose));
    if token.is_open() {
        tracing::warn!(listen = %settings.admin.listen, "the admin API requires no token; set admin.token_file");
    }
    let admin = serve(listeners.admin, &one, move |config| {
        health::configure(config, readiness.clone(), ends.clone(), push_health.clone());
        metrics::configure(config, metrics.clone());
        admin::configure(config, api.clone(), token.clone());
    });

    let mut handles = vec![];
    for server in [federation, messenger, admin] {
        let server = server.map_err(StartError::Serve)?;
        handles.push(server.handle());
        actix::spawn(server);
    }
    Ok(handles)
}
