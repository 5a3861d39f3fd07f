//! A gateway core on the real store in memory, and short calls of it. A test replaces the ports that matter to it:
//!
//! ```
//! # use std::sync::Arc;
//! # use actors::testkit::{ScriptedTransport, TestPeers};
//! # use fixtures::{disk::FaultyDisk, gateway::GatewayFixture, peers::{limits, red}, time::{at_rest, world}};
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
//! # runtime.block_on(world(async {
//! let peer = Arc::new(ScriptedTransport::replies([]));
//! let core = GatewayFixture::start(&FaultyDisk::new(), |ports| {
//!     ports.transport = peer.clone();
//!     ports.roster = Arc::new(TestPeers::everybody(limits()));
//! });
//! core.submit("s1", &[red()], 1).await.unwrap();
//! at_rest().await;
//! assert_eq!(core.status(&red()).await.backlog, 0);
//! assert_eq!(peer.carried().len(), 1);
//! # }));
//! ```

use std::sync::Arc;

use actors::change::Change;
use actors::errors::{BatchError, SubmitError};
use actors::gateway::Gateway;
use actors::model::{
    Ack, Digest, FeedItem, InboundPush, Index, PeerCommand, PeerReceipts, PeerStatus, Position, Seq, ServerName,
    StrongBody, StrongUpdate, Submission, SubmittedContent,
};
use actors::ports::{
    CommitPriority, FeedPage, FeedReader, Journal, NoEphemeralReader, PeerReader, Ports, StoreReaders,
};
use actors::router::{ActorRegistry, Router};
use actors::testkit::{PlainText, ScriptedTransport, TestClock, TestDisk, TestPeers};
use bytes::Bytes;
use fernpost::json::reader::digest;
use fernpost::store::{Store, StoreLocation, StoreOptions};
use tokio::task::{JoinHandle, spawn_local};

use crate::disk::FaultyDisk;
use crate::peers::{limits, server};
use crate::time::BASE;

/// A gateway whose store is open and whose actors have not started. Its ports may still be replaced.
pub struct UnlaunchedGateway {
    /// Its store.
    pub store: Arc<Store>,
    /// Its ports; until a test replaces them, every server is a peer that does not respond.
    pub ports: Ports,
    clock: Arc<TestClock>,
    registry: ActorRegistry,
}

impl UnlaunchedGateway {
    /// Opens the store.
    pub fn open(options: StoreOptions, clock: Arc<TestClock>) -> Self {
        let us = options.server.clone();
        let registry = ActorRegistry::default();
        let wakes = registry.clone();
        // The store has a clock of its own, because the one that tests break is the actors'.
        let stamps = Arc::new(clock.unbroken());
        let store = Store::open(options, stamps, Arc::new(move |grown| wakes.notify_outbox_grown(grown))).unwrap();
        let store = Arc::new(store);
        let ports = Ports {
            journal: store.clone(),
            archive: StoreReaders::of(&store),
            transport: Arc::new(ScriptedTransport::silent()),
            roster: Arc::new(TestPeers::everybody(limits())),
            ownership: store.clone(),
            disk: Arc::new(TestDisk::default()),
            clock: clock.clone(),
            ephemeral: Arc::new(NoEphemeralReader),
            text: Arc::new(PlainText),
            us,
        };
        Self { store, ports, clock, registry }
    }

    /// Opens the store on this disk, with a small cache.
    pub fn on_disk(us: ServerName, disk: &FaultyDisk, clock: Arc<TestClock>) -> Self {
        let options = StoreOptions::new(StoreLocation::backend(disk.clone()), us);
        Self::open(StoreOptions { cache: 1 << 20, ..options }, clock)
    }

    /// Starts its actors on this thread.
    pub fn launch(self) -> GatewayFixture {
        self.launch_until(|_| {})
    }

    /// Starts its actors on this thread. `ended` is called when the router ends, with whether a panic ended it.
    pub fn launch_until(self, ended: impl FnOnce(bool) + Send + 'static) -> GatewayFixture {
        let Self { store, ports, clock, registry } = self;
        Router::launch(ports.clone(), &registry, ended);
        let gateway = Gateway::new(registry, ports);
        GatewayFixture { gateway, store: (*store).clone(), clock }
    }
}

/// A running gateway core, without a network.
#[derive(Clone)]
pub struct GatewayFixture {
    /// The calls into it.
    pub gateway: Gateway,
    /// Its store.
    pub store: Store,
    /// The clock of its actors.
    pub clock: Arc<TestClock>,
}

/// The pending response of a call on the gateway.
pub type PendingAnswer<T, E> = JoinHandle<Result<T, E>>;

impl GatewayFixture {
    /// Starts `blue.example` on an empty disk, with peers that do not respond.
    pub fn new() -> Self {
        Self::start(&FaultyDisk::new(), |_| {})
    }

    /// Starts `blue.example` on this disk; `change` replaces ports.
    pub fn start(disk: &FaultyDisk, change: impl FnOnce(&mut Ports)) -> Self {
        Self::with_clock(disk, Arc::new(TestClock::new(BASE)), change)
    }

    /// Starts `blue.example` with a clock that ran before.
    pub fn with_clock(disk: &FaultyDisk, clock: Arc<TestClock>, change: impl FnOnce(&mut Ports)) -> Self {
        let mut core = UnlaunchedGateway::on_disk(server("blue"), disk, clock);
        change(&mut core.ports);
        core.launch()
    }

    /// Returns its ports.
    pub fn ports(&self) -> &Ports {
        self.gateway.ports()
    }

    /// Pushes one update with this number from a peer.
    pub async fn push(&self, from: &ServerName, seq: u64) -> Result<Ack, BatchError> {
        self.gateway.accept(from, pushed(seq, 1)).await.map(|receipt| receipt.ack)
    }

    /// Starts a push without awaiting it; it is in the actor's mailbox before any later request.
    pub fn begin_push(&self, from: &ServerName, seq: u64) -> PendingAnswer<Ack, BatchError> {
        let (gateway, from) = (self.gateway.clone(), from.clone());
        spawn_local(async move { gateway.accept(&from, pushed(seq, 1)).await.map(|receipt| receipt.ack) })
    }

    /// Returns the results of the delivery attempts to a peer, oldest first.
    pub async fn attempts(&self, peer: &ServerName) -> Vec<String> {
        self.store.barrier().committed().await.unwrap();
        let attempts = self.store.attempts(peer, Index(1), Index(u64::MAX)).await.unwrap();
        attempts.into_iter().map(|attempt| attempt.result).collect()
    }

    /// Submits the updates `<id>.0`, `<id>.1` ...
    pub async fn submit(&self, id: &str, servers: &[ServerName], updates: u64) -> Result<(), SubmitError> {
        self.gateway.submit(submission(id, servers, updates)).await
    }

    /// Starts a submission without awaiting it.
    pub fn begin_submit(&self, id: &str, servers: &[ServerName]) -> PendingAnswer<(), SubmitError> {
        let (gateway, submission) = (self.gateway.clone(), submission(id, servers, 1));
        spawn_local(async move { gateway.submit(submission).await })
    }

    /// Starts the actor of a peer, by a command that changes nothing for an idle one. To ask for the status starts none.
    pub async fn start_peer(&self, server: &ServerName) {
        self.gateway.order(server, PeerCommand::Retry).await.unwrap();
    }

    /// Returns the status of a peer.
    pub async fn status(&self, server: &ServerName) -> PeerStatus {
        self.gateway.peer(server).await.unwrap()
    }

    /// Returns the updates of a peer in the feed as (n, number); their bytes are those that were pushed.
    pub async fn fed(&self, from: &ServerName) -> Vec<(u64, u64)> {
        self.updates(from).await.into_iter().map(|(n, seq, bytes)| (n, checked(seq, &bytes))).collect()
    }

    /// Returns the updates of a peer in the feed as (n, number, bytes).
    pub async fn updates(&self, from: &ServerName) -> Vec<(u64, u64, Bytes)> {
        let page = self.store.feed_after(Position(0), 100_000, u64::MAX).await.unwrap();
        let FeedPage::Entries(entries) = page else { panic!("nothing is ever trimmed here") };
        let updates = entries.into_iter().filter_map(|entry| match entry.item {
            FeedItem::Update { from: sender, n, seq, bytes, .. } if sender == *from => Some((n, seq.0, bytes)),
            _ => None,
        });
        updates.collect()
    }

    /// Returns every item ever queued for a peer, as far as it is on disk.
    pub async fn outbox(&self, server: &ServerName) -> Vec<Bytes> {
        let rows = self.store.outbox_from(server, Index(1), 100_000, u64::MAX).await.unwrap();
        assert!(rows.iter().map(|row| row.index.0).eq(1..=rows.len() as u64), "the outbox has gaps");
        rows.into_iter().map(|row| row.item.bytes().clone()).collect()
    }

    /// Commits what an actor might have handed over.
    pub async fn commit(&self, changes: Vec<Change>) {
        let fence = self.ports().ownership.claim_feed().expect("alone");
        self.ports().journal.submit(fence, changes, CommitPriority::Now).committed().await.expect("a sound store");
    }

    /// Waits until everything submitted is on disk.
    pub async fn settled(&self) {
        self.store.barrier().committed().await.unwrap();
    }
}

impl Default for GatewayFixture {
    fn default() -> Self {
        Self::new()
    }
}

fn update(seq: u64) -> Bytes {
    Bytes::from(format!(r#"{{"seq":{seq}}}"#))
}

fn checked(seq: u64, bytes: &Bytes) -> u64 {
    assert_eq!(*bytes, update(seq), "another update was sent under {seq}");
    seq
}

/// Returns a push of `count` updates, the last of which has the number `seq`.
pub fn pushed(seq: u64, count: u64) -> InboundPush {
    let first = seq + 1 - count;
    let strong =
        (first..=seq).map(update).map(|bytes| StrongUpdate { digest: digest(&bytes), bytes, body: StrongBody::Plain });
    InboundPush {
        from_seq: Some(Seq(first)),
        seq: Seq(seq),
        strong: strong.collect(),
        weak: 0,
        ephemeral: vec![],
        verified: "network",
        receipts: PeerReceipts::NONE,
        nonce: None,
    }
}

/// Returns a submission of the updates `<id>.0`, `<id>.1` ...
pub fn submission(id: &str, servers: &[ServerName], updates: u64) -> Submission {
    Submission {
        id: id.parse().unwrap(),
        digest: Digest([7; 16]),
        accepted: BASE,
        servers: servers.to_vec(),
        left_out: vec![],
        receipt: false,
        what: SubmittedContent::Updates((0..updates).map(|n| Bytes::from(format!(r#"{{"id":"{id}.{n}"}}"#))).collect()),
    }
}
