//! The cost of a message in a context with a long history: as many rows as in one with a short history.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::limits::PeerLimits;
use actors::model::{ContextRecord, Delivery, FeedFlags, Head, Millis, Pdu, PduProof, PduRef, PduState, StoredPdu};
use actors::ports::{CommitPriority, ContextReader, Journal, Ownership};
use fernpost::egress::{EgressAnswer as Wanted, EgressRequest};
use fernpost::store::{BlockingExecutor, RowCounts};
use fixtures::messenger::{at, context};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{millis, world};

use crate::missing::asking::{pdu, send, verdicts};

/// Number of PDUs per commit while a context is prepared.
const AT_ONCE: u64 = 1000;

fn said(n: u64) -> PduRef {
    at(&format!("red/old{n:06}"))
}

/// Returns a delivered PDU of red that names the one before it.
fn delivered(n: u64) -> Change {
    let prev: Vec<PduRef> = (n > 1).then(|| said(n - 1)).into_iter().collect();
    let names: Vec<String> = prev.iter().map(fixtures::messenger::named).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bytes = pdu("red", said(n).id.as_str(), "garden", &names).into();
    let delivery = Delivery { position: i64::try_from(n).unwrap(), depth: n, shown: Some(FeedFlags::default()) };
    let pdu = Pdu {
        reference: said(n),
        context: context("garden"),
        prev,
        depth: None,
        kind: "m.text".into(),
        state: None,
        to: None,
        bytes,
        proof: PduProof::Sender,
    };
    let standing = PduState::Delivered(delivery);
    let (sender, received) = (Some(server("red")), Millis(7));
    Change::PduStored(Box::new(StoredPdu { pdu, sender, verified: "network", received, standing }))
}

/// Returns blue in a context with red and green that has this many PDUs.
async fn garden(length: u64) -> (Arc<TestNetwork>, Rc<TestNode>) {
    let network = TestNetwork::new(1, CALM);
    // Red and green are not gateways. If they were retried while rows are counted, reads of their queues would be counted
    // too.
    let rarely = |limits: &mut PeerLimits| limits.backoff_min = Duration::from_secs(3600);
    let book = usual_peers("blue").with_peer("red", rarely).with_peer("green", rarely);
    // Commits run on this thread: with a second one, the number of batches per commit would be random, and rows that
    // several batches replace are written once per commit.
    let lane = BlockingExecutor::Inline(Arc::new(|| Duration::ZERO));
    let blue = TestNode::built(&network, "blue", book, Rc::new(|_, _| {}), lane);
    blue.begin().await;
    let store = blue.store();
    let fence = store.claim_context(&context("garden")).unwrap();
    for first in (1..=length).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let some = (first..(first + AT_ONCE).min(length + 1)).map(delivered).collect();
        store.submit(fence, some, CommitPriority::Now).committed().await.unwrap();
    }
    let mut record = ContextRecord::new(context("garden"), vec![server("red"), server("green")], false);
    record.heads = vec![Head::of(said(length), length, None)];
    (record.depth, record.next) = (length, length + 1);
    let moved = vec![Change::ContextRecordUpdated(Box::new(record))];
    store.submit(fence, moved, CommitPriority::Now).committed().await.unwrap();
    (network, blue)
}

/// Returns rows written, rows read, and lookups.
fn spent(before: RowCounts, after: RowCounts) -> [u64; 3] {
    [after.rows_written - before.rows_written, after.rows_read - before.rows_read, after.lookups - before.lookups]
}

/// Returns the costs of loading the context, sending, accepting, and serving older messages.
async fn costs(length: u64) -> [[u64; 3]; 4] {
    let (network, blue) = garden(length).await;
    let (store, count) = (blue.store(), || blue.store().counters());
    let mut marks = vec![count()];
    assert_eq!(store.context(&context("garden")).await.unwrap().unwrap().record.depth, length);
    marks.push(count());
    for n in 0..10 {
        blue.say("garden", &format!("mine{n}")).await;
        millis(50).await;
    }
    marks.push(count());
    for n in 0..10 {
        let parent = if n == 0 { "red/old000001".to_owned() } else { format!("red/new{}", n - 1) };
        let taken =
            send(&network, "red", &n.to_string(), &[pdu("red", &format!("new{n}"), "garden", &[&parent])]).await;
        assert_eq!(verdicts(&taken), [format!("new{n} accepted")]);
        millis(50).await;
    }
    marks.push(count());
    let newest = said(length);
    let path = format!("/matrix/federation/v1/backfill/garden/?limit=50&v={},red.example", newest.id);
    let asked = EgressRequest::get(path, Wanted::Needed);
    let answer = network.knock((server("green"), server("blue")), asked).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let given: Vec<&str> =
        answer["pdus"].as_array().unwrap().iter().map(|pdu| pdu["pdu_id"].as_str().unwrap()).collect();
    let expected: Vec<PduRef> = (0..50).map(|back| said(length - back)).collect();
    assert!(given.iter().copied().eq(expected.iter().map(|pdu| pdu.id.as_str())), "{given:?}");
    marks.push(count());
    std::array::from_fn(|step| spent(marks[step], marks[step + 1]))
}

/// Regression: contexts became slow with age.
#[tokio::test(start_paused = true)]
async fn message_cost_ignores_context_length() {
    world(async {
        let short = costs(200).await;
        let long = costs(20_000).await;
        assert_eq!(short, long, "loading, sending, accepting and serving, in rows written, rows read and lookups");
        println!("load, say 10, take 10, serve 50: {short:?}");
    })
    .await;
}
