//! Records and counts that follow from changes and attempts.

use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::model::{
    Ack, BatchId, DeadLetterReason, Delivery, DeliveryState, DialectSpec, Digest, FeedItem, Index, Item, ItemObjection,
    ItemTrace, Millis, OutboundBatch, ParkedCode, ParkedItem, ParkedWhat, Pdu, PduProof, PduRef, PduState,
    PeerReceipts, PeerRecord, PushFailure, PushResponse, RequestDeadlines, Seq, ServerName, StoredPdu, Submission,
    SubmittedContent,
};
use actors::testkit::TestClock;
use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::telemetry::deliveries::{DeliveryLog, DeliveryLogOutput, DeliveryObserver};

/// Text of every item, which no record may have.
const TEXT: &[u8] = br#"{"text":"a secret"}"#;

/// An observer with a log in a file.
struct Observed {
    observer: DeliveryObserver,
    log: DeliveryLog,
    folder: TempDir,
}

impl Observed {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let output = DeliveryLogOutput::File(folder.path().join("log"));
        let log = DeliveryLog::start(&output).expect("a file");
        let clock = Arc::new(TestClock::fixed(Millis(1_000_000)));
        Self { observer: DeliveryObserver::new(clock, Some(log.clone())), log, folder }
    }

    /// Returns the records so far, without their times.
    fn records(&self) -> Vec<Value> {
        self.log.flush(Duration::from_secs(30));
        let text = std::fs::read_to_string(self.folder.path().join("log")).expect("a file");
        assert!(!text.contains("secret"), "{text}");
        let record = |line: &str| {
            let mut record: Value = serde_json::from_str(line).expect("an object");
            assert_eq!(
                record.as_object_mut().expect("an object").remove("time"),
                Some("1970-01-01T00:16:40.000Z".into())
            );
            record
        };
        text.lines().map(record).collect()
    }

    fn counted(&self, word: &str) -> u64 {
        let metrics = self.observer.metrics();
        let all = metrics.outbound.counts().chain(metrics.attempts.counts());
        all.filter(|(one, _)| *one == word).map(|(_, count)| count).sum()
    }
}

fn server(name: &str) -> ServerName {
    name.parse().expect("a name")
}

fn pdu(id: &str) -> PduRef {
    PduRef { origin: server("red"), id: id.parse().expect("an id") }
}

fn submitted(id: &str) -> Submission {
    let content = SubmittedContent::Pdu(pdu(id), "#a".parse().expect("a context"), Bytes::from_static(TEXT));
    Submission {
        id: format!("m-{id}").parse().expect("an id"),
        digest: Digest([0; 16]),
        accepted: Millis(0),
        servers: vec![server("blue"), server("green")],
        left_out: vec![],
        receipt: false,
        what: content,
    }
}

fn received(id: &str) -> StoredPdu {
    let pdu = Pdu {
        reference: pdu(id),
        context: "#a".parse().expect("a context"),
        prev: vec![],
        depth: None,
        kind: "m.text".into(),
        state: None,
        to: None,
        bytes: Bytes::from_static(TEXT),
        proof: PduProof::Sender,
    };
    let standing = PduState::Delivered(Delivery { position: 1, depth: 0, shown: None });
    StoredPdu { pdu, sender: Some(server("blue")), verified: "mtls", received: Millis(0), standing }
}

/// Returns a batch of two updates.
fn batch() -> OutboundBatch {
    let trace = |id: &str| ItemTrace { submission: id.parse().expect("an id"), context: None, queued: Millis(999_000) };
    OutboundBatch {
        to: server("blue"),
        dialect: DialectSpec::UPDATES,
        label: BatchId::SeqRange { first: Some(Seq(1)), last: Seq(2) },
        items: vec![Item::Update(Bytes::from_static(TEXT)), Item::Pdu(pdu("p"), Bytes::from_static(TEXT))],
        traces: vec![trace("m-1"), trace("m-2")],
        weak: vec![],
        receipts: PeerReceipts::NONE,
        deadlines: RequestDeadlines { connect: Duration::ZERO, total: Duration::ZERO },
    }
}

fn acknowledged(refused: Vec<ItemObjection>) -> Result<PushResponse, PushFailure> {
    Ok(PushResponse { ack: Ack::Ok(Seq(2)), window: None, refused, receipts: PeerReceipts::NONE, reason: None })
}

/// Returns the record of blue with this delivery state.
fn resting(rest: DeliveryState) -> Vec<Change> {
    let mut record = PeerRecord::new(server("blue"));
    record.outbound.rest = rest;
    vec![Change::PeerRecordUpdated(Box::new(record))]
}

#[test]
fn changes_become_records() {
    let observed = Observed::start();
    let context = || "#a".parse().expect("a context");
    let parked = ParkedItem {
        from: server("blue"),
        what: ParkedWhat::Update(Seq(7)),
        code: ParkedCode::ALL[0],
        reason: "a secret".to_owned(),
        verified: None,
        bytes: Bytes::from_static(TEXT),
    };
    let code = parked.code.as_str();
    let (gone, message) = (server("green"), "m-old".parse().expect("an id"));
    let reason = "a secret".to_owned();
    observed.observer.note_changes(&[
        Change::Submitted(submitted("p")),
        Change::PduStored(Box::new(received("q"))),
        Change::Quarantined { parked, keep: 1 },
        Change::FeedAppended(FeedItem::Gap { context: context(), missing: vec![pdu("x")], children: vec![] }),
        Change::FeedAppended(FeedItem::GapFilled { context: context(), missing: vec![pdu("x")], children: vec![] }),
        Change::OutboxDeadLettered {
            server: gone.clone(),
            first: Index(3),
            last: Index(4),
            fate: DeadLetterReason::Expired,
            reason: reason.clone(),
            keep: 1,
        },
        Change::FeedAppended(FeedItem::Delivery { message, server: gone, state: "expired", reason: Some(reason) }),
    ]);
    let of = |kind: &str, keys: Value| {
        let mut record = json!({ "type": kind });
        record.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        record
    };
    let ids = |peer: &str| json!({ "message": "m-p", "pdu": "red/p", "context": "#a", "peer": peer });
    assert_eq!(
        observed.records(),
        [
            of("accepted", json!({ "message": "m-p", "pdu": "red/p", "context": "#a" })),
            of("queued", ids("blue")),
            of("queued", ids("green")),
            of("inbound", json!({ "pdu": "red/q", "context": "#a", "peer": "blue" })),
            of("parked", json!({ "peer": "blue", "code": code, "seq": [7, 7], "direction": "in" })),
            of("gap", json!({ "pdu": "red/x", "context": "#a" })),
            of("gap_filled", json!({ "pdu": "red/x", "context": "#a" })),
            of("expired", json!({ "message": "m-old", "peer": "green", "code": "EXPIRED" })),
        ]
    );
    assert_eq!(["accepted", "queued", "expired"].map(|word| observed.counted(word)), [1, 2, 2]);
}

#[test]
fn failed_attempt_tells_next_time() {
    let observed = Observed::start();
    let send = |outcome: Result<PushResponse, PushFailure>| {
        let sent = observed.observer.begin(&mut batch()).expect("it has items");
        observed.observer.end(sent, Duration::from_millis(30), &outcome);
    };
    let kinds = || -> Vec<(String, Value)> {
        let records = observed.records();
        records.iter().map(|one| (one["type"].as_str().expect("a type").to_owned(), one["attempt"].clone())).collect()
    };
    let both = |kind: &str, attempt: u64| [(kind.to_owned(), json!(attempt)), (kind.to_owned(), json!(attempt))];
    send(Err(PushFailure::TimedOut));
    // Another step of the actor wrote its record first.
    observed.observer.note_changes(&resting(DeliveryState::Ready));
    assert_eq!(kinds(), both("attempt", 1));
    observed.observer.note_changes(&resting(DeliveryState::BackingOff { until: Millis(2_000_000) }));
    observed.observer.note_changes(&resting(DeliveryState::BackingOff { until: Millis(3_000_000) }));
    assert_eq!(kinds(), [both("attempt", 1), both("deferred", 1)].concat());
    let expected = json!({
        "type": "deferred", "message": "m-2", "pdu": "red/p", "peer": "blue", "attempt": 1, "code": "TIMEOUT",
        "latency_ms": 30, "age_ms": 1000, "next_try": "1970-01-01T00:33:20.000Z"
    });
    assert_eq!(observed.records()[3], expected);

    // An attempt of which no time is known is told before the next one.
    send(Err(PushFailure::Unreachable("gone".into())));
    let refusal = ItemObjection { place: 1, fate: DeadLetterReason::Refused, reason: "a secret".to_owned() };
    send(acknowledged(vec![refusal]));
    let last = kinds().split_off(4);
    let delivered = [("delivered".to_owned(), json!(3))];
    assert_eq!(last, [&both("attempt", 2)[..], &both("deferred", 2), &both("attempt", 3), &delivered].concat());
    send(acknowledged(vec![]));
    assert_eq!(kinds().split_off(11)[0], ("attempt".to_owned(), json!(1)), "attempts are counted anew");
    let words = ["timeout", "unreachable", "acknowledged", "delivered"];
    assert_eq!(words.map(|word| observed.counted(word)), [1, 1, 2, 3]);
}

#[test]
fn batch_without_log_is_only_counted() {
    let observer = DeliveryObserver::new(Arc::new(TestClock::fixed(Millis(1_000_000))), None);
    let sent = observer.begin(&mut batch()).expect("it has items");
    observer.end(sent, Duration::from_millis(30), &acknowledged(vec![]));
    let mut times = String::new();
    observer.metrics().acknowledgement.write("t", "Times.", &mut times);
    assert!(times.contains("t_bucket{le=\"0.25\"} 0\nt_bucket{le=\"1\"} 2\n"), "{times}");
    assert!(observer.begin(&mut OutboundBatch { items: vec![], ..batch() }).is_none(), "a probe carries nothing");
}
