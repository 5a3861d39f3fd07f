//! The disk fails at the k-th sync, for every k: everything acknowledged before is found afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use actors::change::Change;
use actors::errors::UnavailableError;
use actors::model::{Ack, BatchId, Item, OutboundBatch, Position, Seq, ServerName};
use actors::ports::{CommitPriority, FeedReader, Journal, Ownership, PeerReader, SubmissionReader};
use actors::testkit::ScriptedTransport;
use bytes::Bytes;
use fernpost::http::error::ApiError;
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use fixtures::gateway::{GatewayFixture, pushed};
use fixtures::peers::{green, red};
use fixtures::time::{at_rest, world};

const ROUNDS: u64 = 3;

/// The items and commands that were acknowledged, so they must be found again.
#[derive(Default)]
struct Answered {
    /// All numbers of red up to this one.
    taken: u64,
    submissions: Vec<String>,
    feed: u64,
    failed: bool,
}

impl Answered {
    /// Records whether the call succeeded. No call may succeed after one has failed.
    fn note<T: std::fmt::Debug, E: Clone + Into<ApiError> + std::fmt::Debug>(
        &mut self,
        outcome: &Result<T, E>,
    ) -> bool {
        match outcome {
            Ok(_) => assert!(!self.failed, "{outcome:?} after the journal had failed"),
            Err(error) => {
                let problem: ApiError = error.clone().into();
                assert_eq!(problem.code(), "OUTCOME_UNKNOWN", "{problem}");
                self.failed = true;
            }
        }
        outcome.is_ok()
    }
}

/// Plays pushes from two peers with repeats and holes, submissions, and the acknowledgements of the peers and of the
/// messenger.
async fn play(core: &GatewayFixture) -> Answered {
    let mut answered = Answered::default();
    for round in 1..=ROUNDS {
        let last = 2 * round;
        let fresh = core.gateway.accept(&red(), pushed(last, 2)).await.map(|receipt| receipt.ack);
        if answered.note(&fresh) {
            assert_eq!(fresh, Ok(Ack::Ok(Seq(last))));
            answered.taken = last;
        }
        let repeat = core.push(&red(), last).await;
        if answered.note(&repeat) {
            assert_eq!(repeat, Ok(Ack::Ok(Seq(last))));
        }
        let hole = core.push(&red(), last + 5).await;
        if answered.note(&hole) {
            assert_eq!(hole, Ok(Ack::Hole { expected: Seq(last + 1), conflict: false }));
        }

        let id = format!("s{round}");
        if answered.note(&core.submit(&id, &[red(), green()], 2).await) {
            answered.submissions.push(id);
        }
        let fence = core.store.claim_feed().unwrap();
        let acked = vec![Change::FeedAcked { upto: Position(answered.taken) }];
        let acked = core.store.submit(fence, acked, CommitPriority::Now).committed().await;
        if answered.note(&acked.map_err(|_| UnavailableError::OutcomeUnknown)) {
            answered.feed = answered.taken;
        }
        // The two peers acknowledge; these deferred changes are committed alone or with the next round.
        if round != 2 {
            at_rest().await;
        }
    }
    // Two at the same time, and a repeat of one of them while it is in progress.
    let asked = [core.begin_push(&red(), 7), core.begin_push(&red(), 7), core.begin_push(&green(), 1)];
    for (asked, seq) in asked.into_iter().zip([7, 7, 1]) {
        let outcome = asked.await.unwrap();
        answered.failed |= outcome == Err(UnavailableError::OutcomeUnknown.into());
        if outcome.is_ok() {
            assert_eq!(outcome, Ok(Ack::Ok(Seq(seq))));
            answered.taken = answered.taken.max(seq);
        }
    }
    at_rest().await;
    answered
}

/// Adds every update that a peer was sent, by number.
fn sent(frames: &[OutboundBatch], to: &ServerName, into: &mut BTreeMap<u64, Bytes>) {
    for frame in frames.iter().filter(|frame| frame.to == *to) {
        let BatchId::SeqRange { last, .. } = frame.label else { panic!("updates are numbered") };
        let first = last.0 + 1 - frame.items.len() as u64;
        for (number, bytes) in (first..).zip(frame.items.iter().map(Item::bytes)) {
            let before = into.insert(number, bytes.clone());
            assert!(before.is_none_or(|before| before == bytes), "{to} saw two updates under number {number}");
        }
    }
}

/// Checks that everything acknowledged is there; then both sides repeat, and everything must have happened once.
async fn check(disk: &FaultyDisk, answered: &Answered, before: &ScriptedTransport, context: &str) {
    let peer = Arc::new(ScriptedTransport::replies([]));
    let core = GatewayFixture::start(disk, |ports| ports.transport = peer.clone());
    let load = core.store.peer(&red()).await.unwrap();
    let expected = load.record.as_ref().map_or(1, |record| record.inbound.expected.0);
    assert!(expected > answered.taken, "{context}: {} was acknowledged, {expected} is expected", answered.taken);
    let numbers: Vec<_> = (1..expected).map(|n| (n, n)).collect();
    assert_eq!(core.fed(&red()).await, numbers, "{context}");
    assert!(core.store.feed_bounds().borrow().acked.0 >= answered.feed, "{context}");

    let queued: Vec<Bytes> = core.outbox(&red()).await;
    assert_eq!(core.outbox(&green()).await, queued, "{context}: one submission, two peers, one commit");
    for id in &answered.submissions {
        let record = core.store.submission(&id.parse().unwrap()).await.unwrap().expect(id);
        for (server, first) in &record.queued {
            let updates = core.store.outbox_from(server, *first, record.items, u64::MAX).await.unwrap();
            let updates: Vec<_> = updates.into_iter().map(|row| row.item.bytes().clone()).collect();
            let submitted = [format!(r#"{{"id":"{id}.0"}}"#), format!(r#"{{"id":"{id}.1"}}"#)];
            assert_eq!(updates, submitted, "{context}: {server}");
        }
    }

    at_rest().await;
    for server in [red(), green()] {
        let mut seen = BTreeMap::new();
        sent(&before.carried(), &server, &mut seen);
        let known = seen.len();
        assert!(known <= queued.len(), "{context}: {server} was sent items that are not on disk");
        sent(&peer.carried(), &server, &mut seen);
        assert!(seen.keys().copied().eq(1..=queued.len() as u64), "{context}: {server} saw {:?}", seen.keys());
        assert!(seen.values().eq(&queued), "{context}: {server}");
    }
    for seq in 1..=7 {
        assert_eq!(core.push(&red(), seq).await, Ok(Ack::Ok(Seq(seq))), "{context}");
    }
    assert_eq!(core.fed(&red()).await, (1..=7).map(|n| (n, n)).collect::<Vec<_>>(), "{context}");
}

#[tokio::test(start_paused = true)]
async fn acknowledgement_never_precedes_commit() {
    for k in 1.. {
        let disk = FaultyDisk::new();
        let peer = Arc::new(ScriptedTransport::replies([]));
        let transport: Arc<ScriptedTransport> = peer.clone();
        let answered = world(async {
            let core = GatewayFixture::start(&disk, |ports| ports.transport = transport);
            disk.fail_at(k);
            let answered = play(&core).await;
            if answered.failed {
                assert!(core.store.failed().await.to_string().contains("check the disk"));
                assert_eq!(
                    core.push(&red(), 1).await,
                    Err(UnavailableError::OutcomeUnknown.into()),
                    "even a repeat is refused"
                );
            }
            answered
        })
        .await;
        for survives in [SurvivingBytes::Synced, SurvivingBytes::Written] {
            let context = format!("sync {k} failed, {survives:?}");
            world(check(&FaultyDisk::with(disk.survivors(survives)), &answered, &peer, &context)).await;
        }
        if !answered.failed {
            assert_eq!((answered.taken, answered.submissions.len()), (7, ROUNDS as usize));
            assert!(k > 10, "the scenario has only {k} syncs");
            return;
        }
    }
}
