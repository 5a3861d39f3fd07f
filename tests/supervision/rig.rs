//! A gateway without a wire: the core and its store, and short ways to ask them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actors::gateway::Gateway;
use actors::limits::{BackoffLimits, PeerLimits};
use actors::model::{
    Ack, BatchId, Digest, FeedItem, InboundPush, Index, Millis, OutboundBatch, PeerStatus, Position, PushFailure,
    PushResponse, Refusal, Seq, ServerName, StrongBody, StrongUpdate, Submission, SubmittedContent,
};
use actors::ports::{Clock, FeedPage, Journal, Ports, StoreReader};
use actors::router::{ActorRegistry, Router};
use actors::testkit::{AllowAllPeers, PlainText, ScriptedTransport, TestClock, TestDisk};
use bytes::Bytes;
use fernpost::json::reader::digest;
use fernpost::store::{Store, StoreLocation, StoreOptions};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use crate::disk::Disk;

/// Wall time at the start of a test: not zero, so that a date that was forgotten shows.
pub(crate) const BASE: Millis = Millis(1_700_000_000_000);

/// Run one life of a core. What it started is dropped where it stands, as by the end of a process.
pub(crate) async fn life<T>(body: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(body).await
}

/// Returns when nothing can run any more: only then does a paused clock move. A held sync keeps the clock still.
pub(crate) async fn at_rest() {
    seconds(1).await;
}

/// The same while a sync is held, where no clock tells: each task hands on to few others, so this many turns are plenty.
pub(crate) async fn all_has_run() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

/// So much virtual time passes.
pub(crate) async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

pub(crate) fn server(name: &str) -> ServerName {
    name.parse().unwrap()
}

pub(crate) fn red() -> ServerName {
    server("red.example")
}

pub(crate) fn green() -> ServerName {
    server("green.example")
}

/// The compiled-in limits without chance.
pub(crate) fn limits() -> PeerLimits {
    let backoff = BackoffLimits { jitter: 0.0, ..PeerLimits::default().backoff };
    PeerLimits { backoff, ..PeerLimits::default() }
}

/// A gateway named `blue.example`.
pub(crate) struct Rig {
    pub(crate) gateway: Gateway,
    pub(crate) store: Store,
    pub(crate) clock: Arc<TestClock>,
}

/// What a call on the gateway will answer.
pub(crate) type Asked<T> = JoinHandle<Result<T, Refusal>>;

impl Rig {
    /// On an empty disk, with a peer that answers nothing.
    pub(crate) fn new() -> Self {
        Self::start(&Disk::new(), |_| {})
    }

    /// On this disk; `change` puts in other surroundings.
    pub(crate) fn start(disk: &Disk, change: impl FnOnce(&mut Ports)) -> Self {
        Self::with_clock(disk, Arc::new(TestClock::new(BASE)), change)
    }

    /// Under a clock that ran before.
    pub(crate) fn with_clock(disk: &Disk, clock: Arc<TestClock>, change: impl FnOnce(&mut Ports)) -> Self {
        let options = StoreOptions { cache: 1 << 20, ..StoreOptions::new(StoreLocation::backend(disk.clone()), own()) };
        let routes = ActorRegistry::default();
        let wakes = routes.clone();
        // A clock of its own: the one that tests break is the actors'.
        let stamps: Arc<dyn Clock> = Arc::new(TestClock::new(clock.now()));
        let store = Store::open(options, stamps, Arc::new(move |woken| wakes.notify_outbox_grown(woken))).unwrap();
        let shared = Arc::new(store.clone());
        let mut ports = Ports {
            journal: shared.clone(),
            archive: shared.clone(),
            transport: Arc::new(ScriptedTransport::new(|_| Box::pin(std::future::pending()))),
            roster: Arc::new(AllowAllPeers(Arc::new(limits()))),
            ownership: shared,
            disk: Arc::new(TestDisk::default()),
            clock: clock.clone(),
            text: Arc::new(PlainText),
            us: own(),
        };
        change(&mut ports);
        Router::launch(ports.clone(), &routes, |_| {});
        Self { gateway: Gateway::new(routes, ports), store, clock }
    }

    /// One update under this number comes from a peer.
    pub(crate) async fn push(&self, from: &ServerName, seq: u64) -> Result<Ack, Refusal> {
        self.gateway.accept(from, pushed(seq, 1)).await.map(|receipt| receipt.ack)
    }

    /// The same, not yet awaited; it is in the actor's mailbox before anything that is asked later.
    pub(crate) fn begin_push(&self, from: &ServerName, seq: u64) -> Asked<Ack> {
        let (gateway, from) = (self.gateway.clone(), from.clone());
        spawn_local(async move { gateway.accept(&from, pushed(seq, 1)).await.map(|receipt| receipt.ack) })
    }

    /// What came of the attempts to deliver anything to a peer, oldest first.
    pub(crate) async fn attempts(&self, peer: &ServerName) -> Vec<String> {
        self.store.barrier().committed().await.unwrap();
        let attempts = self.store.attempts(peer, Index(1), Index(u64::MAX)).await.unwrap();
        attempts.into_iter().map(|attempt| attempt.result).collect()
    }

    /// The messenger submits updates `<id>.0`, `<id>.1` ...
    pub(crate) async fn submit(&self, id: &str, servers: &[ServerName], updates: u64) -> Result<(), Refusal> {
        self.gateway.submit(submission(id, servers, updates)).await
    }

    /// The same, not yet awaited.
    pub(crate) fn begin_submit(&self, id: &str, servers: &[ServerName]) -> Asked<()> {
        let (gateway, submission) = (self.gateway.clone(), submission(id, servers, 1));
        spawn_local(async move { gateway.submit(submission).await })
    }

    pub(crate) async fn status(&self, server: &ServerName) -> PeerStatus {
        self.gateway.peer(server).await.unwrap()
    }

    /// The updates of a peer in the feed, as (n, number); their bytes are those that were pushed.
    pub(crate) async fn fed(&self, from: &ServerName) -> Vec<(u64, u64)> {
        self.updates(from).await.into_iter().map(|(n, seq, bytes)| (n, checked(seq, &bytes))).collect()
    }

    /// The updates of a peer in the feed, as (n, number, bytes).
    pub(crate) async fn updates(&self, from: &ServerName) -> Vec<(u64, u64, Bytes)> {
        let page = self.store.feed_after(Position(0), 100_000, u64::MAX).await.unwrap();
        let FeedPage::Entries(entries) = page else { panic!("nothing is ever trimmed here") };
        let updates = entries.into_iter().filter_map(|entry| match entry.item {
            FeedItem::Update { from: sender, n, seq, bytes, .. } if sender == *from => Some((n, seq.0, bytes)),
            _ => None,
        });
        updates.collect()
    }

    /// Everything ever queued for a peer, as far as it is on disk.
    pub(crate) async fn outbox(&self, server: &ServerName) -> Vec<Bytes> {
        let rows = self.store.outbox_from(server, Index(1), 100_000, u64::MAX).await.unwrap();
        assert!(rows.iter().map(|row| row.index.0).eq(1..=rows.len() as u64), "the outbox has gaps");
        rows.into_iter().map(|row| row.item.bytes().clone()).collect()
    }

    /// All that was handed over is on disk.
    pub(crate) async fn settled(&self) {
        self.store.barrier().committed().await.unwrap();
    }
}

fn own() -> ServerName {
    server("blue.example")
}

fn update(seq: u64) -> Bytes {
    Bytes::from(format!(r#"{{"seq":{seq}}}"#))
}

fn checked(seq: u64, bytes: &Bytes) -> u64 {
    assert_eq!(*bytes, update(seq), "another update was sent under {seq}");
    seq
}

/// A push of `count` updates, the last of which has the number `seq`.
pub(crate) fn pushed(seq: u64, count: u64) -> InboundPush {
    let first = seq + 1 - count;
    let strong =
        (first..=seq).map(update).map(|bytes| StrongUpdate { digest: digest(&bytes), bytes, body: StrongBody::Plain });
    InboundPush { from_seq: Some(Seq(first)), seq: Seq(seq), strong: strong.collect(), weak: 0, verified: "network" }
}

pub(crate) fn submission(id: &str, servers: &[ServerName], updates: u64) -> Submission {
    Submission {
        id: id.parse().unwrap(),
        digest: Digest([7; 16]),
        accepted: BASE,
        servers: servers.to_vec(),
        left_out: vec![],
        what: SubmittedContent::Updates((0..updates).map(|n| Bytes::from(format!(r#"{{"id":"{id}.{n}"}}"#))).collect()),
    }
}

/// What a peer says that has taken a frame.
pub(crate) fn taken(frame: &OutboundBatch) -> Result<PushResponse, PushFailure> {
    let BatchId::SeqRange { last, .. } = frame.label else { panic!("updates are numbered") };
    Ok(PushResponse { ack: Ack::Ok(last), window: Some(100), refused: vec![], reason: None })
}

/// What a peer says that wants to be left alone.
pub(crate) fn wait(seconds: u64) -> Result<PushResponse, PushFailure> {
    Ok(PushResponse { ack: Ack::Wait(Duration::from_secs(seconds)), window: Some(100), refused: vec![], reason: None })
}

pub(crate) fn unreachable() -> Result<PushResponse, PushFailure> {
    Err(PushFailure::Unreachable("nobody listens".to_owned()))
}
