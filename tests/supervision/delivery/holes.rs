//! A peer that answers only holes for ten minutes: it causes few requests and commits, and receives everything afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actors::change::Change;
use actors::model::{
    Ack, BadPdu, FeedItem, FetchRequest, OutboundBatch, Pdu, PeerState, Position, PushFailure, PushResponse,
    RequestDeadlines, Seq, ServerName,
};
use actors::ports::{CommitPriority, CommitTicket, FeedPage, FeedReader, Fence, Journal, QueueDepth, Task, Transport};
use bytes::Bytes;
use fixtures::disk::Disk;
use tokio::time::Instant;

use crate::fixtures::network::{Network, Weather};
use crate::fixtures::rig::{Rig, green, life, seconds, server};

/// Time for which the peer is hostile, in seconds.
const HOSTILE: u64 = 600;

/// Number of updates that it accepts before that.
const BEFORE: u64 = 50;

/// Maximum number of pushes: with more, the test has failed and ends soon.
const PUSHES_MAX: u64 = 1_000;

const CALM: Weather = Weather { requests_lost: 0.0, answers_lost: 0.0, delay_max: Duration::from_millis(1) };

/// A transport whose first responses, or responses for a while, are made up; afterwards it reaches the real peer.
struct Hostile {
    wire: Arc<dyn Transport>,
    hostile: std::sync::Mutex<Option<Instant>>,
    /// Returns the n-th response.
    answer: fn(u64) -> Ack,
    pushes: AtomicU64,
}

impl Transport for Hostile {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        let until = *self.hostile.lock().unwrap();
        if until.is_none_or(|until| until <= Instant::now()) {
            return self.wire.push(frame);
        }
        let nth = self.pushes.fetch_add(1, Ordering::SeqCst);
        if nth >= PUSHES_MAX {
            return Box::pin(async { Err(PushFailure::Unreachable("it is tired".to_owned())) });
        }
        let ack = (self.answer)(nth);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(PushResponse { ack, window: Some(100), refused: vec![], reason: None })
        })
    }

    fn fetch(
        &self,
        _: &ServerName,
        _: FetchRequest,
        _: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        Box::pin(async { Ok(vec![]) })
    }
}

/// A journal that counts the batches that are neither submissions nor items accepted from the peer.
struct Counting {
    journal: Arc<dyn Journal>,
    batches: Arc<AtomicU64>,
}

impl Journal for Counting {
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
async fn told(rig: &Rig) -> Vec<String> {
    let FeedPage::Entries(entries) = rig.store.feed_after(Position(0), 100_000, u64::MAX).await.unwrap() else {
        panic!("nothing is trimmed here")
    };
    let expected = |item: &FeedItem| matches!(item, FeedItem::Update { .. } | FeedItem::Delivery { .. });
    let told = entries.into_iter().filter(|entry| !expected(&entry.item));
    told.map(|entry| format!("{:?}", entry.item)).collect()
}

async fn endures(answer: fn(u64) -> Ack) {
    let blue = server("blue.example");
    let network = Network::new(1, CALM);
    let peer = Rig::start(&Disk::new(), |ports| ports.transport = network.wire(green()));
    network.join(green(), peer.gateway.clone());
    let hostile = Arc::new(Hostile {
        wire: network.wire(blue.clone()),
        hostile: std::sync::Mutex::default(),
        answer,
        pushes: AtomicU64::new(0),
    });
    let batches = Arc::new(AtomicU64::new(0));
    let rig = Rig::start(&Disk::new(), |ports| {
        ports.transport = hostile.clone();
        ports.journal = Arc::new(Counting { journal: ports.journal.clone(), batches: batches.clone() });
    });
    rig.submit("before", &[green()], BEFORE).await.unwrap();
    seconds(1).await;
    assert_eq!(rig.status(&green()).await.backlog, 0);

    *hostile.hostile.lock().unwrap() = Some(Instant::now() + Duration::from_secs(HOSTILE));
    let before = batches.load(Ordering::SeqCst);
    for round in 0..HOSTILE / 10 {
        rig.submit(&format!("m{round}"), &[green()], 1).await.unwrap();
        // The peer sends to us all the while, which brings our attempts forward.
        rig.push(&green(), round + 1).await.unwrap();
        seconds(10).await;
    }
    let (pushes, commits) = (hostile.pushes.load(Ordering::SeqCst), batches.load(Ordering::SeqCst) - before);
    // Delays double from a second on: ten of them in ten minutes, each of which contact may shorten once.
    assert!((5..=22).contains(&pushes), "{pushes} pushes");
    assert!(commits <= pushes + 1, "{commits} commits for {pushes} pushes");
    let events = told(&rig).await;
    assert!(events.len() <= 2, "{events:#?}");

    // Every item arrives once and in order, although its number was changed.
    seconds(24 * 60 * 60).await;
    let status = rig.status(&green()).await;
    assert_eq!((status.state, status.backlog, status.failures), (PeerState::Idle, 0, 0), "{:?}", status.last_error);
    let ids = (0..BEFORE).map(|n| format!("before.{n}")).chain((0..HOSTILE / 10).map(|round| format!("m{round}.0")));
    let sent: Vec<Bytes> = ids.map(|id| Bytes::from(format!(r#"{{"id":"{id}"}}"#))).collect();
    let arrived: Vec<Bytes> = peer.updates(&blue).await.into_iter().map(|(_, _, bytes)| bytes).collect();
    assert_eq!(arrived, sent);
    assert!(told(&rig).await.len() <= 4, "{:#?}", told(&rig).await);
}

fn hole(expected: u64, conflict: bool) -> Ack {
    Ack::Hole { expected: Seq(expected), conflict }
}

#[tokio::test(start_paused = true)]
async fn holes_for_ten_minutes_cost_little() {
    life(endures(|n| hole(1 + n % BEFORE, false))).await;
}

#[tokio::test(start_paused = true)]
async fn conflicts_for_ten_minutes_cost_little() {
    life(endures(|n| hole(1_000 + 37 * n, true))).await;
}

#[tokio::test(start_paused = true)]
async fn numbers_above_ours_cost_little() {
    life(endures(|n| hole(100 * (n + 1), false))).await;
}

#[tokio::test(start_paused = true)]
async fn all_kinds_of_holes_cost_little() {
    life(endures(|n| hole([1, 90, 5_000, 60, 20, 100_000][(n % 6) as usize], n % 3 == 0))).await;
}
