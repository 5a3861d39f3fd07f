//! The composition root: builds a gateway from its settings, and stops it in reverse order.
//!
//! The core (router, actors, the journal's writer) runs on one thread of its own, an actix arbiter, so that a message
//! from an actor to the journal needs no thread switch. HTTP workers reach it through [`Gateway`].

mod certificate_renewal;
mod configured_keys;
mod configured_peers;
mod core_probe;
mod data_folder;
mod directory_source;
mod item_traces;
mod listeners;
mod peer_calls;
pub(crate) mod peer_explainer;
mod reloader;
mod servers;
mod start_error;
mod start_options;
mod strangers;
mod system_clock;

use std::sync::Arc;
use std::time::Duration;

use actix::{Arbiter, ArbiterHandle};
use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use actors::gateway::Gateway;
use actors::model::ServerName;
use actors::ports::{PeerConfig, Ports, StoreReaders};
use actors::router::{ActorRegistry, Router};
use tokio::sync::{oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::admin::health::{self, ReadinessReport};
use crate::app::certificate_renewal::CertificateRenewal;
use crate::app::configured_keys::relay_judge;
use crate::app::configured_peers::{ConfiguredAddresses, peer_clocks};
use crate::app::directory_source::EgressDirectories;
use crate::app::listeners::ListenerCertificates;
use crate::app::peer_calls::compare_line::PeerCompareLine;
use crate::app::reloader::ReloadedParts;
use crate::app::servers::{ServedParts, signature_judge, start_servers};
use crate::app::start_options::{delivery_log, egress_options, store_options};
use crate::app::strangers::{OpenRoster, StrangersBook};
use crate::comparison::{ContextVerifier, NightlyVerifier};
use crate::egress::EgressClient;
use crate::egress::signer::RequestSigner;
use crate::http::drain::DrainSignal;
use crate::identity::key_ring::LiveKeyRing;
use crate::json::nesting::BodyNestingLimit;
use crate::maintenance::feed_and_submissions;
use crate::maintenance::history_retention;
use crate::maintenance::scheduled_backup::BackupSchedule;
use crate::messenger::ephemeral_feed::EphemeralFeed;
use crate::messenger::push::PushSetup;
use crate::rpc::CallRegister;
use crate::runtime::free_space::FolderDisk;
use crate::settings::{LiveSettings, LoadedSettings};
use crate::store::Store;
use crate::telemetry::deliveries::{DeliveryObserver, ObservedJournal, ObservedTransport};
use crate::telemetry::flow_history::FlowHistory;
use crate::telemetry::limit_counts::LimitCounts;
use crate::telemetry::logging_journal::LoggingJournal;
use crate::telemetry::spans::ItemSpans;
use crate::tls::{file_watch, own_certificate};
use crate::wire::pdu::ContentText;
use crate::wire::pdu::reference_context::StoreReferenceContext;
use crate::wire::pdu::relay_judge::RelayJudge;
use crate::wire::pdu::signer::PduSigner;
use crate::wire::transport::PeerTransport;
use crate::wire::updates::{kept_forwards, kept_group_messages};

pub use crate::app::core_probe::CoreProbe;
pub use crate::app::listeners::Listeners;
pub use crate::app::reloader::SettingsReloader;
pub use crate::app::start_error::StartError;
pub(crate) use crate::app::system_clock::SystemClock;

/// State of the data folder that a gateway accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataDir {
    /// A store with its marker, or nothing at all.
    Whole,
    /// The folder in any state, because the operator confirmed it.
    AsFound,
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
    reloader: Arc<SettingsReloader>,
    deliveries: DeliveryObserver,
    spans: ItemSpans,
    _tasks: [AbortOnDropHandle<()>; 4],
    /// Renewal of the federation listener's certificate, if it is on.
    renewal: Option<CertificateRenewal>,
    /// Task of push mode, if it is on.
    push_task: Option<AbortOnDropHandle<()>>,
    /// Counts the rows of strangers, with the store open.
    row_watch: AbortOnDropHandle<()>,
    /// Looks again at kept forwards and at kept messages of groups, takes backups, and verifies contexts, with the store open.
    kept_items: AbortOnDropHandle<()>,
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
    pub async fn start(loaded: LoadedSettings, listeners: Listeners, found: DataDir) -> Result<Self, StartError> {
        let settings = &loaded.settings;
        certificate_renewal::prepare_files(settings)?;
        let certificates = ListenerCertificates::load(settings)?;
        let push = settings.messenger.push.as_ref();
        let push =
            push.map(|push| PushSetup::new(push, settings.peers.unlisted(&settings.server.name).jitter)).transpose()?;
        let keys = LiveKeyRing::from(Arc::new(data_folder::signing_keys(settings)?));
        let live = LiveSettings::new(settings.clone());
        let us = &settings.server.name;
        let (counts, clocks) = (LimitCounts::default(), peer_clocks(&settings.peers));
        let strangers = Arc::new(StrangersBook::new(counts.clone()));
        let peers = Arc::new(ConfiguredAddresses::new(live.clone(), strangers.clone()));
        let signer = RequestSigner::new(us.clone(), keys.clone(), peers.clone(), Arc::new(SystemClock));
        let options = egress_options(settings, &certificates);
        let client = EgressClient::new(us, peers.clone(), Arc::new(SystemClock), options);
        let egress = Arc::new(client.signed_by(signer).measuring(clocks.clone()));
        let directories = EgressDirectories { egress: egress.clone(), addresses: peers }.begin();
        let nesting = BodyNestingLimit::new(settings.federation.json_depth, counts.clone());
        let core = Arbiter::new();
        let (gone, router_gone) = oneshot::channel();
        let signer = PduSigner::new(keys.clone(), Arc::new(SystemClock));
        let relays = relay_judge(&live, keys.clone(), directories.clone()).map_err(StartError::Threads)?;
        let clock = Arc::new(SystemClock);
        let live_roster = Arc::new(live.clone());
        let ephemeral = Arc::new(EphemeralFeed::new(live_roster, clock, settings.feed.ends.clone()));
        let deliveries = DeliveryObserver::new(Arc::new(SystemClock), delivery_log(settings)?);
        let spans = item_traces::start(&live)?;
        let ends = CoreEnds {
            spans: spans.clone(),
            deliveries: deliveries.clone(),
            egress: egress.clone(),
            signer,
            relays: relays.clone(),
            ephemeral: ephemeral.clone(),
            strangers: strangers.clone(),
            nesting: nesting.clone(),
        };
        let GatewayCore { gateway, store } = start_core(&core.handle(), &live, found, ends, gone).await?;
        let (stopping, stops) = watch::channel(false);
        let readiness = ReadinessReport::default();
        if let Some(overload) = gateway.overload() {
            actix::spawn(health::follow(readiness.clone(), overload));
        }
        let closing = DrainSignal::default();
        let judge = signature_judge(settings, &store, listeners.federation_address()).await?.with_fetched(directories);
        let line = push.as_ref().map(|push| push.line(Arc::new(SystemClock)));
        let (push, push_task) =
            push.map(|push| push.start(gateway.ports(), (&ephemeral, spans.clone()), stops.clone())).unzip();
        let table = live.clone();
        let rows = strangers::watch_rows(store.clone(), Arc::new(move || table.peers()), strangers.clone()).await;
        let judge = Data::new(judge.measuring(clocks.clone()));
        let reloader = Arc::new(SettingsReloader::new(
            loaded.clone(),
            ReloadedParts {
                live: live.clone(),
                certificates: certificates.clone(),
                keys: keys.clone(),
                egress: egress.clone(),
                judge: judge.clone(),
                gateway: gateway.clone(),
                deliveries: deliveries.log().cloned(),
            },
        ));
        let forwards = kept_forwards::run(gateway.clone(), Arc::new(store.clone()), relays.clone());
        let messages = kept_group_messages::run(gateway.clone(), Arc::new(store.clone()));
        let table = live.clone();
        let rules = Arc::new(move || table.current().store.backup.clone());
        let backups = BackupSchedule::new(rules, Arc::new(SystemClock));
        let taken = backups.clone().run(store.clone(), us.to_string());
        let calls = Arc::new(CallRegister::new(live.clone()));
        let peers = PeerCompareLine {
            gateway: gateway.clone(),
            egress: egress.clone(),
            calls: calls.clone(),
            nesting: nesting.clone(),
        };
        let verifier = ContextVerifier::new(gateway.clone(), Arc::new(peers));
        let nights = NightlyVerifier::new(verifier.clone(), Arc::new(store.clone()), &settings.server.data_dir).run();
        let kept_items = AbortOnDropHandle::new(actix::spawn(async move {
            tokio::join!(forwards, messages, taken, nights);
        }));
        let flow = FlowHistory::default();
        let parts = ServedParts {
            live,
            keys,
            judge,
            relays,
            push,
            line,
            egress: egress.clone(),
            gateway: &gateway,
            store: &store,
            reloader: &reloader,
            ephemeral: ephemeral.clone(),
            strangers,
            counts,
            nesting,
            clocks,
            deliveries: deliveries.clone(),
            backups,
            calls,
            verifier,
            flow: flow.clone(),
            spans: spans.clone(),
        };
        let servers = start_servers(parts, (listeners, &certificates), &readiness, (stops, &closing))?;
        let watch = file_watch::watch(certificates.watched());
        let ends = own_certificate::warn_of_ends(certificates.all(), Arc::new(SystemClock));
        let flow = flow.follow(deliveries.clone(), Arc::new(SystemClock));
        let tasks = [tokio::spawn(watch), tokio::spawn(ends), tokio::spawn(ephemeral.run()), tokio::spawn(flow)]
            .map(AbortOnDropHandle::new);
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
            reloader,
            deliveries,
            spans,
            _tasks: tasks,
            renewal: certificate_renewal::start(settings)?,
            push_task,
            row_watch: AbortOnDropHandle::new(tokio::spawn(rows)),
            kept_items,
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

    /// Returns the handle that makes the gateway take over a changed configuration.
    pub fn reloader(&self) -> Arc<SettingsReloader> {
        Arc::clone(&self.reloader)
    }

    /// Returns the handle that shows whether the core's thread runs.
    pub fn core_probe(&self) -> CoreProbe {
        CoreProbe(self.core.handle())
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
        if let Some(renewal) = self.renewal.take() {
            renewal.stop().await;
        }
        let (admin, doors) = self.servers.split_last().expect("three are served");
        let stops: Vec<_> = doors.iter().map(|server| server.stop(finished)).collect();
        for stopped in stops {
            stopped.await;
        }
        admin.stop(false).await;
        let left = self.unsent().await;
        self.store.close().await;
        let spans = self.spans.clone();
        self.end().await;
        spans.flush(SPANS_END).await;
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
        let Self { core, gateway, store, row_watch, kept_items, deliveries, .. } = self;
        for task in [row_watch, kept_items] {
            task.abort();
            // It was cancelled, so there is no result.
            let _ = task.await;
        }
        core.stop();
        let lane = store.lane();
        drop((gateway, store));
        // Joining the arbiter thread stops all actors; a blocking read may still hold the store open, so the store's
        // threads are waited for too.
        let ended = move || {
            let joined = core.join();
            lane.end(READS_END);
            // After the actors, because they tell it their last changes.
            if let Some(log) = deliveries.log() {
                log.flush(RECORDS_END);
            }
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

/// Maximum time that a stop waits for the last records of the log of deliveries, because a disk may never respond.
const RECORDS_END: Duration = Duration::from_secs(1);

/// Maximum time that a stop waits for the last spans, because a collector may never respond.
const SPANS_END: Duration = Duration::from_secs(2);

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
    spans: ItemSpans,
    deliveries: DeliveryObserver,
    egress: Arc<EgressClient>,
    signer: PduSigner,
    relays: Arc<dyn RelayJudge>,
    ephemeral: Arc<EphemeralFeed>,
    strangers: Arc<StrangersBook>,
    nesting: BodyNestingLimit,
}

async fn start_core(
    core: &ArbiterHandle,
    live: &LiveSettings,
    found: DataDir,
    CoreEnds { spans, deliveries, egress, signer, relays, ephemeral, strangers, nesting }: CoreEnds,
    gone: oneshot::Sender<bool>,
) -> Result<GatewayCore, StartError> {
    let settings = live.current();
    let options = store_options(&settings, found == DataDir::AsFound)?;
    let (table, us) = (live.clone(), settings.server.name.clone());
    let book = strangers.clone();
    let peers = Arc::new(OpenRoster { table: Arc::new(move || table.peers()), strangers });
    let (retain, keep) = (settings.feed.retain, settings.messenger.submissions_keep);
    let disk = Arc::new(FolderDisk(settings.server.data_dir.clone()));
    let (done, started) = oneshot::channel();
    core.spawn(async move {
        let routes = ActorRegistry::default();
        let wakes = routes.clone();
        let clock = Arc::new(SystemClock);
        let opened = Store::open(options, clock.clone(), Arc::new(move |woken| wakes.notify_outbox_grown(woken)));
        if let Ok(store) = &opened {
            match store.kept_dialects().await {
                Ok(kept) => book.remember(kept),
                Err(error) => tracing::error!(%error, "the dialects of strangers cannot be read; they are sent to in the default one"),
            }
        }
        let built = opened.map(|store| {
            let shared = Arc::new(store.clone());
            let past = shared.clone();
            let knowledge = StoreReferenceContext { us: us.clone(), contexts: shared.clone(), roster: peers.clone() };
            let logging = Arc::new(LoggingJournal::new(shared.clone()));
            let transport =
                PeerTransport::new(egress, us.clone(), Arc::new(knowledge), relays).nested_within(nesting);
            let ports = Ports {
                journal: spans.journal(Arc::new(ObservedJournal::new(logging, deliveries.clone()))),
                archive: StoreReaders::of(&shared),
                transport: spans.transport(Arc::new(ObservedTransport::new(Arc::new(transport), deliveries))),
                roster: peers,
                ownership: shared,
                disk,
                clock,
                ephemeral,
                text: Arc::new(ContentText::signed_by(signer)),
                us,
            };
            Router::launch(ports.clone(), &routes, move |crashed| {
                // The receiver is gone if the gateway was stopped on purpose.
                let _ = gone.send(crashed);
            });
            actix::spawn(feed_and_submissions::run(ports.clone(), retain, keep));
            let roster = ports.roster.clone();
            actix::spawn(history_retention::run(ports.clone(), past, move || roster.contexts().history.keep));
            GatewayCore { gateway: Gateway::new(routes, ports), store }
        });
        // The starting task waits for this; if it is gone, the process is ending.
        let _ = done.send(built);
    });
    Ok(started.await.map_err(|_| StartError::Core)??)
}
