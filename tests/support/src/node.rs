//! One gateway with its real store, actors and handlers, which can be ended and started again, and its messenger.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use actors::gateway::Gateway;
use actors::model::{FeedEntry, Position, ServerName};
use actors::ports::Ports;
use actors::testkit::{TestClock, TestPeers};
use fernpost::maintenance::history_retention;
use fernpost::store::{BlockingExecutor, Store, StoreLocation, StoreOptions};
use fernpost::wire::pdu::ContentText;
use fernpost::wire::pdu::relay_judge::RelayJudge;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use crate::disk::{DiskBytes, FaultyDisk, SurvivingBytes};
use crate::gateway::{GatewayFixture, UnlaunchedGateway};
use crate::keys::{TrustingRelayJudge, judge_of, sign_pdus};
use crate::listener::PeerListener;
use crate::network::TestNetwork;
use crate::network_transport::NetworkTransport;
use crate::peers::{server, usual_peers};
use crate::time::BASE;

/// A function that replaces ports of a gateway, called at each of its starts.
pub type PortsChange = Rc<dyn Fn(&mut Ports, &Arc<TestClock>)>;

/// A gateway, and its messenger, which outlives it.
pub struct TestNode {
    /// Its name.
    pub name: ServerName,
    /// The clock of its actors, which tests break.
    pub clock: Arc<TestClock>,
    network: Arc<TestNetwork>,
    peers: RefCell<Arc<TestPeers>>,
    change: PortsChange,
    judge: RefCell<Arc<dyn RelayJudge>>,
    lane: BlockingExecutor,
    disk: RefCell<FaultyDisk>,
    life: RefCell<Option<GatewayRun>>,
    router_panic: RefCell<Option<oneshot::Receiver<()>>>,
    /// All events that the messenger has read.
    pub heard: RefCell<Vec<FeedEntry>>,
    /// The messenger reads after this position if it has recorded less: it remembers events that its gateway has lost.
    pub cursor: Cell<Position>,
}

/// One process of a gateway.
#[derive(Clone)]
struct GatewayRun {
    core: GatewayFixture,
    task: Rc<AbortOnDrop>,
}

/// Everything that a gateway runs; dropping it ends the gateway at once.
pub struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl TestNode {
    /// Starts a gateway with the usual configuration.
    pub async fn usual(network: &Arc<TestNetwork>, name: &str) -> Rc<Self> {
        Self::start(network, name, usual_peers(name)).await
    }

    /// Starts a gateway with this configuration on an empty disk.
    pub async fn start(network: &Arc<TestNetwork>, name: &str, peers: TestPeers) -> Rc<Self> {
        Self::changed(network, name, peers, Rc::new(|_, _| {})).await
    }

    /// Starts a gateway with replaced ports.
    pub async fn changed(network: &Arc<TestNetwork>, name: &str, peers: TestPeers, change: PortsChange) -> Rc<Self> {
        let node = Self::built(network, name, peers, change, BlockingExecutor::Common);
        node.begin().await;
        node
    }

    /// Returns a gateway that is not started.
    pub fn built(
        network: &Arc<TestNetwork>,
        name: &str,
        peers: TestPeers,
        change: PortsChange,
        lane: BlockingExecutor,
    ) -> Rc<Self> {
        Rc::new(Self {
            name: server(name),
            clock: Arc::new(TestClock::new(BASE)),
            network: network.clone(),
            peers: RefCell::new(Arc::new(peers)),
            change,
            judge: RefCell::new(Arc::new(TrustingRelayJudge)),
            lane,
            disk: RefCell::new(FaultyDisk::new()),
            life: RefCell::default(),
            router_panic: RefCell::default(),
            heard: RefCell::default(),
            cursor: Cell::default(),
        })
    }

    /// Starts a gateway that signs its PDUs, and takes those of others as their signatures and its policies say.
    pub async fn signing(network: &Arc<TestNetwork>, name: &str, peers: TestPeers) -> Rc<Self> {
        let change: PortsChange = Rc::new(|ports, clock| sign_pdus(ports, clock.clone()));
        let node = Self::built(network, name, peers, change, BlockingExecutor::Common);
        node.verify_relays();
        node.begin().await;
        node
    }

    /// From its next start on it takes PDUs of others as their signatures and its policies say; before, it takes every server's
    /// word.
    pub fn verify_relays(&self) {
        self.judge.replace(judge_of(&self.name));
    }

    /// Returns the judge of PDUs that others pass on to it.
    pub fn judge(&self) -> Arc<dyn RelayJudge> {
        self.judge.borrow().clone()
    }

    /// Starts it on its disk.
    pub async fn begin(&self) {
        let set = LocalSet::new();
        let (built, ready) = oneshot::channel();
        let (panicked, router_panic) = oneshot::channel();
        self.router_panic.replace(Some(router_panic));
        let (door, calls) = mpsc::unbounded_channel();
        let build = Build {
            name: self.name.clone(),
            clock: self.clock.clone(),
            network: self.network.clone(),
            peers: self.peers.borrow().clone(),
            change: self.change.clone(),
            judge: self.judge.borrow().clone(),
            lane: self.lane.clone(),
            disk: self.disk.borrow().clone(),
        };
        set.spawn_local(async move {
            let core = build.build(panicked);
            let listener = PeerListener::of(&core.gateway, build.judge).await;
            let _ = built.send(core);
            listener.serve(calls).await;
        });
        let task = Rc::new(AbortOnDrop(spawn_local(set)));
        let core = ready.await.unwrap();
        self.life.replace(Some(GatewayRun { core, task }));
        self.network.open(self.name.clone(), door);
    }

    /// Ends it as a power cut or the end of the process would: the disk keeps what survives that.
    pub async fn end(&self, survives: SurvivingBytes) {
        self.network.close(&self.name);
        let Some(life) = self.life.take() else { return };
        // The process reaches its disk no more from here on. Its threads may still run, and a commit that they made later would be
        // acknowledged although nothing of it survives.
        let disk = self.disk();
        disk.fail_at(1);
        disk.fail_write_at(1);
        self.disk.replace(FaultyDisk::with(disk.survivors(survives)));
        drop(life);
        // The tasks are dropped when the runtime polls them next.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    /// Ends it and starts it again at once.
    pub async fn restart(&self, survives: SurvivingBytes) {
        self.end(survives).await;
        self.begin().await;
    }

    /// Returns a copy of its store, made while it runs.
    pub async fn backup(&self) -> FaultyDisk {
        let copy = FaultyDisk::new();
        self.store().backup_into(copy.clone(), |_| {}).await.unwrap();
        copy
    }

    /// Replaces its lost disk by a backup.
    pub async fn restore(&self, backup: &FaultyDisk) {
        self.end(SurvivingBytes::Synced).await;
        self.disk.replace(FaultyDisk::with(backup.survivors(SurvivingBytes::Written)));
        self.begin().await;
    }

    /// Sets the configuration for its next start.
    pub fn configure(&self, peers: TestPeers) {
        self.peers.replace(Arc::new(peers));
    }

    /// Replaces its disk while it is ended.
    pub fn give(&self, bytes: DiskBytes) {
        assert!(self.alive().is_none(), "a disk is changed only under a gateway that has ended");
        self.disk.replace(FaultyDisk::with(bytes));
    }

    /// The disk that it has now.
    pub fn disk(&self) -> FaultyDisk {
        self.disk.borrow().clone()
    }

    /// Returns the calls into it while it runs.
    pub fn alive(&self) -> Option<Gateway> {
        self.life.borrow().as_ref().map(|life| life.core.gateway.clone())
    }

    /// The calls into it; it has to live.
    pub fn gateway(&self) -> Gateway {
        self.alive().expect("it lives")
    }

    /// Returns a weak handle of its process.
    pub fn current_run(&self) -> Weak<AbortOnDrop> {
        self.life.borrow().as_ref().map(|life| Rc::downgrade(&life.task)).unwrap_or_default()
    }

    /// Waits until the router panics, which ends a real process. It never returns if the router ends without a panic.
    pub async fn router_panics(&self) {
        let panic = self.router_panic.take();
        let is_panic = match panic {
            Some(panic) => panic.await.is_ok(),
            None => false,
        };
        if !is_panic {
            std::future::pending::<()>().await;
        }
    }

    /// Its store; it has to live.
    pub fn store(&self) -> Store {
        self.life.borrow().as_ref().expect("it lives").core.store.clone()
    }
}

/// The parts from which one process of a gateway is built.
struct Build {
    name: ServerName,
    clock: Arc<TestClock>,
    network: Arc<TestNetwork>,
    peers: Arc<TestPeers>,
    change: PortsChange,
    judge: Arc<dyn RelayJudge>,
    lane: BlockingExecutor,
    disk: FaultyDisk,
}

impl Build {
    /// Builds the gateway as `app` composes it.
    fn build(&self, panicked: oneshot::Sender<()>) -> GatewayFixture {
        let place = StoreLocation::backend(self.disk.clone());
        let lane = self.lane.clone();
        let options = StoreOptions { cache: 1 << 20, lane, ..StoreOptions::new(place, self.name.clone()) };
        let mut core = UnlaunchedGateway::open(options, self.clock.clone());
        let past = core.store.clone();
        core.ports.roster = self.peers.clone();
        let transport = NetworkTransport::of(&self.network, &core.ports).judged_by(self.judge.clone());
        core.ports.transport = Arc::new(transport);
        core.ports.text = Arc::new(ContentText::default());
        (self.change)(&mut core.ports, &self.clock);
        let core = core.launch_until(move |crashed| {
            if crashed {
                // A test that does not wait for this has dropped the receiver.
                let _ = panicked.send(());
            }
        });
        if let Some(keep) = self.peers.contexts.history.keep {
            spawn_local(history_retention::run(core.ports().clone(), past, move || Some(keep)));
        }
        core
    }
}
