//! A comparison of a conversation with a long history and one with a short history: composing, taking and serving are timed
//! in both, in turns, on real files. `cargo bench --bench history`, or `scripts/history-bench.sh`.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints, and ends where its world does")]

use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::gateway::Gateway;
use actors::limits::PeerLimits;
use actors::model::{
    ContextId, ContextRecord, Delivery, Digest, FeedFlags, Head, InboundTransaction, Millis, Pdu, PduDraft, PduProof,
    PduRef, PduState, PeerReceipts, PushFailure, ServerName, StoredPdu,
};
use actors::ports::{CommitPriority, ContextReader, Journal, Ownership};
use actors::testkit::{ScriptedTransport, TestClock, TestPeers};
use bytes::Bytes;
use fernpost::store::{Store, StoreLocation, StoreOptions};
use fernpost::wire::pdu::ContentText;
use fixtures::gateway::UnlaunchedGateway;
use fixtures::time::BASE;
use tempfile::TempDir;
use tokio::task::LocalSet;
use tokio::time::Instant;

const SHORT: u64 = 200;
const LONG: u64 = 200_000;

/// Messages in one measurement of each kind, and measurements. What comes is spread over transactions.
const MESSAGES: u64 = 500;
const ROUNDS: usize = 7;
const SERVED: u32 = 100;

/// The factor by which the long one may be slower.
const WORSE_MAX: f64 = 1.2;

fn name(text: &str) -> ServerName {
    text.parse().expect("a name")
}

fn room() -> ContextId {
    "garden".parse().expect("an id")
}

fn said(n: u64) -> PduRef {
    PduRef { origin: name("red.example"), id: format!("p{n:09}").parse().expect("an id") }
}

/// Red's, naming the one before it.
fn pdu(n: u64) -> Pdu {
    let prev: Vec<PduRef> = (n > 1).then(|| said(n - 1)).into_iter().collect();
    let names: Vec<[&str; 2]> = prev.iter().map(|prev| [prev.origin.as_str(), prev.id.as_str()]).collect();
    let text = serde_json::json!({
        "pdu_id": said(n).id.as_str(), "origin": "red.example", "context": "garden", "ts": 7, "pdu_type": "m.text",
        "prev_pdus": names, "is_state": false, "content": { "body": "x".repeat(300) },
    });
    let bytes = Bytes::from(text.to_string());
    Pdu {
        reference: said(n),
        context: room(),
        prev,
        depth: None,
        kind: "m.text".into(),
        state: None,
        to: None,
        bytes,
        proof: PduProof::Sender,
    }
}

/// A gateway on a file of its own.
struct World {
    gateway: Gateway,
    store: Arc<Store>,
    /// The newest of red's.
    newest: u64,
    composed: u64,
    transactions: u64,
    _folder: TempDir,
}

impl World {
    async fn with(length: u64) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions::new(StoreLocation::file(folder.path().join("bench.redb")), name("blue.example"));
        let mut core = UnlaunchedGateway::open(options, Arc::new(TestClock::new(BASE)));
        let away = |_: &_| Err(PushFailure::Unreachable("a bench".into()));
        core.ports.transport = Arc::new(ScriptedTransport::answering(away).unrecorded());
        core.ports.roster = Arc::new(TestPeers::everybody(PeerLimits::default()));
        core.ports.text = Arc::new(ContentText::default());
        let store = core.store.clone();
        fill(&store, length).await;
        let gateway = core.launch().gateway;
        Self { gateway, store, newest: length, composed: 0, transactions: 0, _folder: folder }
    }

    async fn compose(&mut self) -> Duration {
        let begun = Instant::now();
        for _ in 0..MESSAGES / 50 {
            let drafts = (0..50).map(|_| self.draft()).collect();
            let outcomes = self.gateway.compose(&room(), drafts).await.expect("taken");
            assert!(outcomes.iter().all(Result::is_ok));
        }
        begun.elapsed()
    }

    fn draft(&mut self) -> PduDraft {
        self.composed += 1;
        let id = format!("m{:09}", self.composed);
        PduDraft {
            receipt: false,
            submission: id.parse().expect("an id"),
            digest: Digest([7; 16]),
            accepted: Millis(7),
            id: id.parse().expect("an id"),
            kind: "m.text".into(),
            content: Bytes::from_static(br#"{"body":"hello"}"#),
            state: None,
            to: None,
            extra: vec![],
        }
    }

    async fn take(&mut self) -> Duration {
        let begun = Instant::now();
        for _ in 0..MESSAGES / 50 {
            let pdus = (1..=50).map(|n| Ok(pdu(self.newest + n))).collect();
            (self.newest, self.transactions) = (self.newest + 50, self.transactions + 1);
            let transaction = InboundTransaction {
                id: self.transactions.to_string(),
                digest: Digest(u128::from(self.transactions).to_be_bytes()),
                prev_ids: vec![],
                pdus,
                edus: vec![],
                relay_to: vec![],
                verified: "network",
                receipts: PeerReceipts::NONE,
                nonce: None,
            };
            let receipt = self.gateway.accept_transaction(&name("red.example"), transaction).await.expect("taken");
            assert_eq!(receipt.verdicts.len(), 50);
        }
        begun.elapsed()
    }

    async fn serve(&mut self) -> Duration {
        let begun = Instant::now();
        for back in 0..MESSAGES / 10 {
            let from = vec![said(self.newest - back)];
            let pdus =
                self.store.backfill(&room(), &name("red.example"), from, SERVED, u64::MAX).await.expect("it reads");
            assert_eq!(pdus.len(), SERVED as usize);
        }
        begun.elapsed()
    }
}

/// Fills the history straight into the store.
async fn fill(store: &Store, length: u64) {
    let fence = store.claim_context(&room()).expect("ours");
    let stored = |n: u64| {
        let delivery =
            Delivery { position: i64::try_from(n).expect("few"), depth: n, shown: Some(FeedFlags::default()) };
        let (sender, standing) = (Some(name("red.example")), PduState::Delivered(delivery));
        let stored = StoredPdu { pdu: pdu(n), sender, verified: "network", received: Millis(7), standing };
        Change::PduStored(Box::new(stored))
    };
    for first in (1..=length).step_by(5_000) {
        let some = (first..(first + 5_000).min(length + 1)).map(stored).collect();
        store.submit(fence, some, CommitPriority::Now).committed().await.expect("a sound disk");
    }
    let mut record = ContextRecord::new(room(), vec![name("red.example"), name("green.example")], false);
    record.heads = vec![Head::of(said(length), length, None)];
    (record.depth, record.next) = (length, length + 1);
    let upto = actors::model::Position(length);
    let changes = vec![Change::ContextRecordUpdated(Box::new(record)), Change::FeedAcked { upto }];
    store.submit(fence, changes, CommitPriority::Now).committed().await.expect("a sound disk");
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

async fn measure() -> bool {
    let (mut short, mut long) = (World::with(SHORT).await, World::with(LONG).await);
    let mut times: [[Vec<Duration>; 2]; 3] = Default::default();
    for round in 0..=ROUNDS {
        for (side, world) in [&mut short, &mut long].into_iter().enumerate() {
            let taken = [world.compose().await, world.take().await, world.serve().await];
            // The first round fills caches.
            if round > 0 {
                taken.into_iter().zip(&mut times).for_each(|(taken, times)| times[side].push(taken));
            }
        }
    }
    println!("{ROUNDS} rounds of {MESSAGES} messages, medians in ms   {SHORT} PDUs   {LONG} PDUs   ratio");
    let mut is_even = true;
    for (what, [short, long]) in ["compose", "take and deliver", "serve backfill"].into_iter().zip(times) {
        let (short, long) = (median(short), median(long));
        is_even &= long <= short * WORSE_MAX;
        println!("{what:<43} {:>8.1} {:>13.1} {:>7.2}", short * 1e3, long * 1e3, long / short);
    }
    is_even
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let is_even = LocalSet::new().block_on(&runtime, measure());
    assert!(is_even, "the long one is slower than {WORSE_MAX} times the short one");
}
