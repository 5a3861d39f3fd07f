//! A peer that answers only holes for ten minutes: it causes few requests and commits, and receives everything afterwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::change::Change;
use actors::model::{Ack, FeedItem, PeerState, Position, PushFailure, Seq};
use actors::ports::{CommitPriority, CommitTicket, FeedPage, FeedReader, Fence, Journal, QueueDepth, Transport};
use actors::testkit::transport::acknowledged;
use actors::testkit::{ScriptedTransport, TestClock};
use bytes::Bytes;
use fixtures::disk::FaultyDisk;
use fixtures::gateway::{GatewayFixture, UnlaunchedGateway};
use fixtures::listener::PeerListener;
use fixtures::network::{CALM, LinkFaults, TestNetwork};
use fixtures::network_transport::NetworkTransport;
use fixtures::peers::{green, server};
use fixtures::time::{BASE, seconds, world};
use tokio::time::Instant;

/// Time for which the peer is hostile, in seconds.
const HOSTILE: u64 = 600;

/// Number of updates that it accepts before that.
const BEFORE: u64 = 50;

/// Maximum number of pushes: with more, the test has failed and ends soon.
const PUSHES_MAX: u64 = 1_000;

/// A wire without losses.
const FAST: LinkFaults = LinkFaults { delay_max: Duration::from_millis(1), ..CALM };

/// A peer whose responses are made up for a while; before and afterwards they are those of the real peer.
#[derive(Clone, Default)]
struct HostilePeer {
    until: Arc<Mutex<Option<Instant>>>,
    pushes: Arc<AtomicU64>,
}

impl HostilePeer {
    /// The way to the peer. `answer` is given how many answers it has made up.
    fn transport(&self, wire: NetworkTransport, answer: fn(u64) -> Ack) -> ScriptedTransport {
        let peer = self.clone();
        ScriptedTransport::new(move |batch| {
            if peer.until.lock().unwrap().is_none_or(|until| until <= Instant::now()) {
                return wire.push(batch);
            }
            let nth = peer.pushes.fetch_add(1, Ordering::SeqCst);
            if nth >= PUSHES_MAX {
                return Box::pin(async { Err(PushFailure::Unreachable("it is tired".into())) });
            }
            let ack = answer(nth);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(acknowledged(ack))
            })
        })
    }
}

/// A journal that counts the batches that are neither submissions nor items accepted from the peer.
struct CountingJournal {
    journal: Arc<dyn Journal>,
    batches: Arc<AtomicU64>,
}

impl Journal for CountingJournal {
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: CommitPriority) -> CommitTicket {
        if !changes.iter().any(|change| matches!(change, Change::Submitted(_) | Change::InboundDigestsStored { .. })) {
            self.batches.fetch_add(1, Ordering::SeqCst);
        }
        self.journal.submit(fence, changes, urgency)
    }

    fn barrier(&self) -> CommitTicket {
        self.journal.barrier()
    }

    fn pressure(&self) -> QueueDepth {
        self.journal.pressure()
    }
}

/// Returns the feed's events, except updates of the peer and deliveries.
async fn told(core: &GatewayFixture) -> Vec<String> {
    let FeedPage::Entries(entries) = core.store.feed_after(Position(0), 100_000, u64::MAX).await.unwrap() else {
        panic!("nothing is trimmed here")
    };
    let expected = |item: &FeedItem| matches!(item, FeedItem::Update { .. } | FeedItem::Delivery { .. });
    let told = entries.into_iter().filter(|entry| !expected(&entry.item));
    told.map(|entry| format!("{:?}", entry.item)).collect()
}

async fn endures(answer: fn(u64) -> Ack) {
    let network = TestNetwork::new(1, FAST);
    let mut peer = UnlaunchedGateway::on_disk(green(), &FaultyDisk::new(), Arc::new(TestClock::new(BASE)));
    peer.ports.transport = Arc::new(NetworkTransport::of(&network, &peer.ports));
    let peer = peer.launch();
    PeerListener::join(&peer.gateway, &network).await;
    let hostile = HostilePeer::default();
    let batches = Arc::new(AtomicU64::new(0));
    let core = GatewayFixture::start(&FaultyDisk::new(), |ports| {
        ports.transport = Arc::new(hostile.transport(NetworkTransport::of(&network, ports), answer));
        ports.journal = Arc::new(CountingJournal { journal: ports.journal.clone(), batches: batches.clone() });
    });
    PeerListener::join(&core.gateway, &network).await;
    core.submit("before", &[green()], BEFORE).await.unwrap();
    seconds(1).await;
    assert_eq!(core.status(&green()).await.backlog, 0);

    *hostile.until.lock().unwrap() = Some(Instant::now() + Duration::from_secs(HOSTILE));
    let before = batches.load(Ordering::SeqCst);
    for round in 0..HOSTILE / 10 {
        core.submit(&format!("m{round}"), &[green()], 1).await.unwrap();
        // The peer sends to us all the while, which brings our attempts forward.
        core.push(&green(), round + 1).await.unwrap();
        seconds(10).await;
    }
    let (pushes, commits) = (hostile.pushes.load(Ordering::SeqCst), batches.load(Ordering::SeqCst) - before);
    // Delays double from a second on: ten of them in ten minutes, each of which contact may shorten once.
    assert!((5..=22).contains(&pushes), "{pushes} pushes");
    assert!(commits <= pushes + 1, "{commits} commits for {pushes} pushes");
    let events = told(&core).await;
    assert!(events.len() <= 2, "{events:#?}");

    // Every item arrives once and in order, although its number was changed.
    seconds(24 * 60 * 60).await;
    let status = core.status(&green()).await;
    assert_eq!((status.state, status.backlog, status.failures), (PeerState::Idle, 0, 0), "{:?}", status.last_error);
    let ids = (0..BEFORE).map(|n| format!("before.{n}")).chain((0..HOSTILE / 10).map(|round| format!("m{round}.0")));
    let sent: Vec<Bytes> = ids.map(|id| Bytes::from(format!(r#"{{"id":"{id}"}}"#))).collect();
    let arrived: Vec<Bytes> = peer.updates(&server("blue")).await.into_iter().map(|(_, _, bytes)| bytes).collect();
    assert_eq!(arrived, sent);
    assert!(told(&core).await.len() <= 4, "{:#?}", told(&core).await);
}

fn hole(expected: u64, conflict: bool) -> Ack {
    Ack::Hole { expected: Seq(expected), conflict }
}

#[tokio::test(start_paused = true)]
async fn holes_for_ten_minutes_cost_little() {
    world(endures(|n| hole(1 + n % BEFORE, false))).await;
}

#[tokio::test(start_paused = true)]
async fn conflicts_for_ten_minutes_cost_little() {
    world(endures(|n| hole(1_000 + 37 * n, true))).await;
}

#[tokio::test(start_paused = true)]
async fn numbers_above_ours_cost_little() {
    world(endures(|n| hole(100 * (n + 1), false))).await;
}

#[tokio::test(start_paused = true)]
async fn all_kinds_of_holes_cost_little() {
    world(endures(|n| hole([1, 90, 5_000, 60, 20, 100_000][(n % 6) as usize], n % 3 == 0))).await;
}
