//! A peer that refuses some items for good: they become dead letters, everything else arrives, and no crash changes that.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::change::Change;
use actors::limits::PeerLimits;
use actors::model::{
    Ack, BatchId, DeadLetter, DeadLetterReason, DialectSpec, FeedItem, Index, OutboundBatch, PeerReceipts, PeerState,
    Position, PushFailure, PushResponse, Seq,
};
use actors::ports::{CommitPriority, FeedPage, FeedReader, Journal, Ownership, PeerReader};
use actors::testkit::{ScriptedTransport, TestPeers};
use bytes::Bytes;
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use fixtures::gateway::{GatewayFixture, submission};
use fixtures::peers::{limits, red};
use fixtures::time::{at_rest, seconds, world};

/// Indexes of the submitted items that the peer refuses.
const BAD: [u64; 4] = [3, 4, 6, 9];

/// A receiver that outlives the sender.
#[derive(Clone, Default)]
struct RejectingReceiver(Arc<Mutex<Vec<Bytes>>>);

impl RejectingReceiver {
    /// Accepts new items, as a receiver that follows the numbering rules.
    fn answer(&self, frame: &OutboundBatch) -> Result<PushResponse, PushFailure> {
        let items: Vec<Bytes> = frame.items.iter().map(|item| item.bytes().clone()).collect();
        if items.iter().any(|item| BAD.iter().any(|&n| *item == text(n))) {
            return Err(PushFailure::Refused { status: 400, reason: "no such thing".to_owned() });
        }
        let mut held = self.0.lock().unwrap();
        let ack = match frame.label {
            BatchId::SeqRange { last, .. } => {
                let first = usize::try_from(last.0).unwrap() - items.len();
                if first > held.len() {
                    Ack::Hole { expected: Seq(held.len() as u64 + 1), conflict: false }
                } else {
                    let known = (held.len() - first).min(items.len());
                    assert_eq!(items[..known], held[first..first + known], "another item arrived under a used number");
                    held.extend_from_slice(&items[known..]);
                    Ack::Ok(last)
                }
            }
            BatchId::Transaction { .. } => {
                let fresh: Vec<Bytes> = items.into_iter().filter(|item| !held.contains(item)).collect();
                held.extend(fresh);
                Ack::Taken
            }
        };
        Ok(PushResponse { ack, window: Some(100), refused: vec![], receipts: PeerReceipts::NONE, reason: None })
    }

    fn core(&self, disk: &FaultyDisk, dialect: DialectSpec) -> GatewayFixture {
        GatewayFixture::start(disk, |ports| {
            let fussy = self.clone();
            ports.transport = Arc::new(ScriptedTransport::new(move |frame| {
                let answer = fussy.answer(&frame);
                Box::pin(async move { answer })
            }));
            ports.roster = Arc::new(TestPeers::everybody(PeerLimits { dialect, ..limits() }));
        })
    }
}

/// Returns item `n` of the submissions `s1` to `s3`, of four updates each.
fn text(n: u64) -> Bytes {
    Bytes::from(format!(r#"{{"id":"s{}.{}"}}"#, (n - 1) / 4 + 1, (n - 1) % 4))
}

/// Returns the feed's events about parked items.
async fn told(core: &GatewayFixture) -> Vec<String> {
    let page = core.store.feed_after(Position(0), 1_000, u64::MAX).await.unwrap();
    let FeedPage::Entries(entries) = page else { panic!("nothing is ever trimmed here") };
    let news = entries.into_iter().map(|entry| match entry.item {
        FeedItem::Delivery { message, server, state, reason } => {
            format!("{message} at {server}: {state}, {}", reason.unwrap_or_default())
        }
        other => panic!("{other:?}"),
    });
    news.collect()
}

fn letter(n: u64, reason: &str) -> DeadLetter {
    DeadLetter { index: Index(n), fate: DeadLetterReason::Parked, reason: reason.to_owned() }
}

/// Checks that all other items arrived once and in order; that the refused ones, and only these, are parked and reported.
async fn assert_parked(core: &GatewayFixture, fussy: &RejectingReceiver, context: &str) {
    let wanted: Vec<Bytes> = (1..=12).filter(|n| !BAD.contains(n)).map(text).collect();
    assert_eq!(*fussy.0.lock().unwrap(), wanted, "{context}");
    let status = core.status(&red()).await;
    assert_eq!((status.state, status.backlog, status.acked), (PeerState::Idle, 0, Index(12)), "{context}");
    core.settled().await;
    let no = "refused with status 400: no such thing";
    let parked = core.store.dead_letters(&red(), Index(1), Index(12)).await.unwrap();
    assert_eq!(parked, BAD.map(|n| letter(n, no)), "{context}");
    let news = ["s1", "s1", "s2", "s3"].map(|id| format!("{id} at red.example: parked, {no}"));
    assert_eq!(told(core).await, news, "{context}");
}

#[tokio::test(start_paused = true)]
async fn refused_items_are_dead_lettered_alone() {
    for dialect in [DialectSpec::UPDATES, DialectSpec::TRANSACTIONS] {
        let (disk, fussy) = (FaultyDisk::new(), RejectingReceiver::default());
        let context = format!("{dialect:?}");
        world(async {
            let core = fussy.core(&disk, dialect);
            for id in ["s1", "s2", "s3"] {
                core.submit(id, &[red()], 4).await.unwrap();
            }
            at_rest().await;
            assert_parked(&core, &fussy, &context).await;
        })
        .await;
        let disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Synced));
        world(async {
            let core = fussy.core(&disk, dialect);
            seconds(10_000).await;
            assert!(core.store.peers_with_backlog(vec![]).await.unwrap().is_empty());
            assert_parked(&core, &fussy, &context).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn crash_before_commit_repeats_dead_letters() {
    for dialect in [DialectSpec::UPDATES, DialectSpec::TRANSACTIONS] {
        for k in 1.. {
            let (disk, fussy) = (FaultyDisk::new(), RejectingReceiver::default());
            let context = format!("{dialect:?}, sync {k} failed");
            let failed = world(async {
                let core = fussy.core(&disk, dialect);
                let all = ["s1", "s2", "s3"].map(|id| Change::Submitted(submission(id, &[red()], 4)));
                let fence = core.store.claim(&red()).unwrap();
                core.store.submit(fence, all.into(), CommitPriority::Now).committed().await.unwrap();
                // From here on only batches of the peer's actor are lost.
                disk.fail_at(k);
                at_rest().await;
                tokio::time::timeout(Duration::ZERO, core.store.failed()).await.is_ok()
            })
            .await;
            let disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Synced));
            world(async {
                let core = fussy.core(&disk, dialect);
                seconds(10).await;
                assert_parked(&core, &fussy, &context).await;
            })
            .await;
            if !failed {
                assert!(k > 5, "{dialect:?}: it has only {k} syncs");
                break;
            }
        }
    }
}
