//! Transactions as bytes: read, refused, written; no item affects its neighbours.

use std::time::Duration;

use actors::limits::InteropQuirks;
use actors::model::{
    BatchId, DialectSpec, Edu, InboundTransaction, Item, Millis, OutboundBatch, PeerReceipts, PushFailure,
    RequestDeadlines,
};
use actors::testkit::at_once;
use bytes::Bytes;
use fernpost::json::reader::digest;
use fernpost::wire::DIALECTS;
use fernpost::wire::pdu::{PairOrder, PduReader};
use fernpost::wire::transactions::envelope::{BadTransaction, TransactionEnvelope, encode, encode_reply};
use fixtures::keys::TrustingRelayJudge;
use proptest::prelude::*;

use crate::circle::{Circle, name, reference, text};
use crate::pdus::bad_pdus;

fn read(body: &[u8], max: u32) -> Result<InboundTransaction, BadTransaction> {
    let envelope = TransactionEnvelope::read(body)?;
    let (origin, circle) = (envelope.origin()?, Circle::default());
    at_once(envelope.transaction(
        "7".to_owned(),
        max,
        &PduReader::new(&origin, &circle, &TrustingRelayJudge),
        "network",
    ))
}

/// Returns the outcome of each PDU: its id, or the code of its refusal.
fn outcome(transaction: &InboundTransaction) -> Vec<&str> {
    let pdus = transaction.pdus.iter();
    pdus.map(|pdu| pdu.as_ref().map_or_else(|bad| bad.code, |pdu| pdu.reference.id.as_str())).collect()
}

#[test]
fn published_and_2014_transactions_are_read() {
    let published = read(include_bytes!("golden/transactions/published.json"), 9).expect("published");
    assert_eq!(
        (published.id.as_str(), published.verified),
        ("7", "network"),
        "the id in the path overrides that in the body"
    );
    assert_eq!(published.prev_ids, ["e1da392e61898be4d2009b9fecce5325"]);
    assert_eq!(outcome(&published), ["a4ecee13e2accdadf56c1025af232176"]);
    let stored = include_str!("golden/pdus/published.stored.json").trim_end();
    assert_eq!(text(&published.pdus[0].as_ref().expect("sound").bytes), stored);

    let old = read(include_bytes!("golden/transactions/old.json"), 9).expect("old");
    assert_eq!((outcome(&old), old.prev_ids.len(), old.edus.len()), (vec!["A2"], 0, 0));
    assert_eq!(old.pdus[0].as_ref().expect("sound").prev, [reference("red", "A1")]);

    let edu = read(include_bytes!("golden/transactions/old_edu.json"), 9).expect("old");
    let content = Bytes::from_static(br#"{"push":[{"state":"online","user_id":"@a:red"}]}"#);
    assert_eq!(edu.edus, [Edu { kind: "m.presence".to_owned(), content }]);
}

#[test]
fn transaction_digest_covers_only_pdus() {
    let of = |body: &str| read(body.as_bytes(), 9).expect("read").digest;
    assert_eq!(of(r#"{"origin":"red","pdus": [1 ,2] }"#), digest(b"[1 ,2]"));
    assert_eq!(of(r#"{"ts":9,"edus":[{}],"pdus":[1 ,2],"origin":"red"}"#), digest(b"[1 ,2]"));
    assert_eq!(of(r#"{"origin":"red"}"#), digest(b"[]"));
    assert_eq!(of(r#"{"origin":"red","pdus":[]}"#), digest(b"[]"));
}

/// Returns the result for a body, in one line.
fn verdict(body: &[u8]) -> String {
    match read(body, 3) {
        Err(BadTransaction::NotJson(_)) => "not JSON".to_owned(),
        Err(BadTransaction::NotATransaction(_)) => "no transaction".to_owned(),
        Err(BadTransaction::TooLong { count, max }) => format!("too long {count}/{max}"),
        Ok(read) => format!("pdus {} edus {} prev {}", read.pdus.len(), read.edus.len(), read.prev_ids.join(" ")),
    }
}

const BODIES: &[(&[u8], &str)] = &[
    // Accepted forms.
    (br#"{"origin":"red"}"#, "pdus 0 edus 0 prev "),
    (b" \n{ \"origin\" : \"red\" , \"pdus\" : [ ] }\t", "pdus 0 edus 0 prev "),
    (br#"{"or\u0069gin":"r\u0065d"}"#, "pdus 0 edus 0 prev "),
    (br#"{"origin":"RED.example:8448","pdus":[1,2,3]}"#, "pdus 3 edus 0 prev "),
    (br#"{"origin":"red","x":{"x":1,"x":[1e999]},"":null}"#, "pdus 0 edus 0 prev "),
    // Any value of these keys is accepted.
    (br#"{"origin":"red","ts":"yesterday","transaction_id":7,"destination":[]}"#, "pdus 0 edus 0 prev "),
    (br#"{"origin":"red","ts":null,"edus":null,"prev_ids":null}"#, "pdus 0 edus 0 prev "),
    (br#"{"origin":"red","edus":{},"prev_ids":{}}"#, "pdus 0 edus 0 prev "),
    (br#"{"origin":"red","edus":"[]","prev_ids":"1"}"#, "pdus 0 edus 0 prev "),
    (br#"{"origin":"red","prev_ids":["1",2,null,"","3",["4"],"\n"]}"#, "pdus 0 edus 0 prev 1 3"),
    // The transaction exceeds the limit.
    (br#"{"origin":"red","pdus":[1,2,3,4]}"#, "too long 4/3"),
    // The body is not JSON.
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (br#"{"origin":"red"}}"#, "not JSON"),
    (br#"{"origin":"red"} x"#, "not JSON"),
    (br#"{"origin":"red",}"#, "not JSON"),
    (br#"{"origin":"red","ts":NaN}"#, "not JSON"),
    (br#"{"origin":"red","pdus":[{"content":NaN}]}"#, "not JSON"),
    (br#"{"origin":"red","pdus":[{"content":-Infinity}]}"#, "not JSON"),
    (br#"{"origin":"red","pdus":[{}"#, "not JSON"),
    (b"{\"origin\":\"red\",\"x\":\"\xff\"}", "not JSON"),
    (b"{\"origin\":\"red\",\"pdus\":[{\"content\":\"\xed\xa0\x80\"}]}", "not JSON"),
    (b"\xef\xbb\xbf{\"origin\":\"red\"}", "not JSON"),
    (b"\xff\xfe{\x00", "not JSON"),
    // The body is JSON, but not a transaction.
    (b"[]", "no transaction"),
    (b"null", "no transaction"),
    (br#""{}""#, "no transaction"),
    (b"{}", "no transaction"),
    (br#"{"pdus":[]}"#, "no transaction"),
    (br#"{"origin":null}"#, "no transaction"),
    (br#"{"origin":7}"#, "no transaction"),
    (br#"{"origin":""}"#, "no transaction"),
    (br#"{"origin":"r d"}"#, "no transaction"),
    (br#"{"origin":["red"]}"#, "no transaction"),
    (br#"{"origin":"red","pdus":null}"#, "no transaction"),
    (br#"{"origin":"red","pdus":{}}"#, "no transaction"),
    (br#"{"origin":"red","pdus":"[]"}"#, "no transaction"),
    (br#"{"origin":"red","pdus":0}"#, "no transaction"),
    // Two readers must not see two different transactions in one body.
    (br#"{"origin":"red","origin":"red"}"#, "no transaction"),
    (br#"{"origin":"red","pdus":[],"pdus":[1]}"#, "no transaction"),
    (br#"{"origin":"red","edus":[],"\u0065dus":[]}"#, "no transaction"),
    (br#"{"origin":"red","x":1,"x":1}"#, "no transaction"),
];

#[test]
fn odd_transaction_bodies_have_one_verdict() {
    for (body, expected) in BODIES {
        assert_eq!(verdict(body), *expected, "{}", String::from_utf8_lossy(body));
    }
}

const LEFT: &str = r#"{"pdu_id":"left","origin":"blue","context":"c","ts":1,"pdu_type":"t","content":{"a":1e2}}"#;
const RIGHT: &str = r#"{"pdu_id":"right","origin":"blue","context":"c","ts":1,"pdu_type":"t","content":[],"prev_pdus":[["left","blue"]]}"#;

/// A server of 2014 answers 500 to the whole batch if it does not understand one item, and the sender discards the whole
/// batch.
#[test]
fn bad_transaction_pdu_is_refused_alone() {
    let table = bad_pdus();
    assert!(table.len() >= 60, "{}", table.len());
    let alone = read(format!(r#"{{"origin":"blue","pdus":[{LEFT},{RIGHT}]}}"#).as_bytes(), 9).expect("sound");
    for (bad, code) in table {
        let edu = r#"{"origin":"blue","edu_type":"typing","content":{}}"#;
        let body = format!(r#"{{"origin":"blue","pdus":[{LEFT},{bad},{RIGHT}],"edus":[{edu}]}}"#);
        let read = read(body.as_bytes(), 9).expect("one bad PDU does not make the transaction bad");
        assert_eq!(outcome(&read), ["left", code, "right"], "{bad}");
        assert_eq!((&read.pdus[0], &read.pdus[2]), (&alone.pdus[0], &alone.pdus[1]), "{bad}");
        assert_eq!(read.edus.len(), 1, "{bad}");
    }
}

#[test]
fn bad_edu_is_dropped_alone() {
    let good = r#"{"origin":"blue","edu_type":"typing","content":{"a":1.0},"destination":"green","x":1}"#;
    let deep = format!(r#"{{"origin":"blue","edu_type":"t","content":{}{}}}"#, "[".repeat(99), "]".repeat(99));
    let long = format!(r#"{{"origin":"blue","edu_type":"{}","content":{{}}}}"#, "x".repeat(256));
    for bad in [
        "null",
        "7",
        "[]",
        "\"edu\"",
        "{}",
        r#"{"edu_type":"typing","content":{}}"#,
        r#"{"origin":null,"edu_type":"typing","content":{}}"#,
        r#"{"origin":7,"edu_type":"typing","content":{}}"#,
        r#"{"origin":"","edu_type":"typing","content":{}}"#,
        r#"{"origin":"green","edu_type":"typing","content":{}}"#,
        r#"{"origin":"blue.example","edu_type":"typing","content":{}}"#,
        r#"{"origin":"blue","content":{}}"#,
        r#"{"origin":"blue","edu_type":null,"content":{}}"#,
        r#"{"origin":"blue","edu_type":7,"content":{}}"#,
        r#"{"origin":"blue","edu_type":"","content":{}}"#,
        r#"{"origin":"blue","edu_type":"a","edu_type":"b","content":{}}"#,
        r#"{"origin":"green","origin":"blue","edu_type":"b","content":{}}"#,
        r#"{"origin":"blue","edu_type":"\ud800","content":{}}"#,
        &deep,
        &long,
    ] {
        let body = format!(r#"{{"origin":"blue","pdus":[{LEFT}],"edus":[{good},{bad},{good}]}}"#);
        let read = read(body.as_bytes(), 9).expect("one bad item does not make the transaction bad");
        let typing = Edu { kind: "typing".to_owned(), content: Bytes::from_static(b"{\"a\":1.0}") };
        assert_eq!(read.edus, [typing.clone(), typing], "{bad}");
        assert_eq!(outcome(&read), ["left"], "{bad}");
    }
}

fn frame(items: Vec<Item>, weak: Vec<Edu>, id: u64, prev: Option<u64>) -> OutboundBatch {
    let second = Duration::from_secs(1);
    let deadlines = RequestDeadlines { connect: second, total: second };
    let label = BatchId::Transaction { id, prev, ts: Millis(1_404_835_423_000) };
    OutboundBatch {
        receipts: PeerReceipts::NONE,
        to: name("blue"),
        dialect: DialectSpec::TRANSACTIONS,
        label,
        items,
        weak,
        traces: vec![],
        deadlines,
    }
}

fn pdu(id: &str, text: &'static str) -> Item {
    Item::Pdu(reference("green", id), Bytes::from_static(text.trim_end().as_bytes()))
}

#[test]
fn transaction_is_written_from_stored_pdus() {
    let items = vec![pdu("a", include_str!("golden/pdus/published.stored.json")), pdu("b", r#"{"n":1e2}"#)];
    let typing = Edu { kind: "typing".to_owned(), content: Bytes::from_static(br#"{"user_id": "uid"}"#) };
    let written = encode(
        &name("red"),
        &frame(items, vec![typing], 1_404_835_423_001, Some(1_404_835_422_999)),
        PairOrder::OriginFirst,
    );
    assert_eq!(text(&written), include_str!("golden/transactions/written.json").trim_end());
    let first = encode(&name("red"), &frame(vec![], vec![], 5, None), PairOrder::OriginFirst);
    let expected =
        r#"{"transaction_id":"5","ts":1404835423000,"origin":"red","destination":"blue","prev_ids":[],"pdus":[]}"#;
    assert_eq!(text(&first), expected);
}

#[test]
fn reply_carries_pdu_depth() {
    let stored = Bytes::from(include_str!("golden/pdus/published.stored.json").trim_end());
    let reply = encode_reply(&name("red"), Millis(1_404_835_423_000), &[(stored, 7)], PairOrder::OriginFirst);
    assert_eq!(text(&reply), include_str!("golden/transactions/reply.json").trim_end());
}

proptest! {
    #[test]
    fn transaction_reader_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&body, 3);
    }

    #[test]
    fn damaged_transaction_never_panics(at in 0_usize..2000, byte: u8, which in 0_usize..3) {
        let mut body = [
            &include_bytes!("golden/transactions/published.json")[..],
            include_bytes!("golden/transactions/old_edu.json"),
            include_bytes!("golden/transactions/written.json"),
        ][which].to_vec();
        let at = at % body.len();
        body[at] = byte;
        let _ = read(&body, 3);
    }

    #[test]
    fn transaction_round_trips_exactly(ids in prop::collection::vec("[a-z]{1,8}", 0..5), content in ".*") {
        let content = serde_json::Value::from(content).to_string();
        let items: Vec<Item> = ids.iter().map(|id| {
            let text = format!(
                r#"{{"pdu_id":"{id}","origin":"red","context":"c","ts":1,"pdu_type":"t","prev_pdus":[],"is_state":false,"content":{content}}}"#
            );
            Item::Pdu(reference("red", id), Bytes::from(text))
        }).collect();
        let typing = Edu { kind: "typing".to_owned(), content: Bytes::from(content) };
        let body = encode(&name("red"), &frame(items.clone(), vec![typing.clone()], 9, Some(8)), PairOrder::OriginFirst);
        let read = read(&body, 9).expect("our own transaction");
        prop_assert_eq!(read.prev_ids, ["8"]);
        prop_assert_eq!(read.edus, [typing]);
        let back: Vec<&Bytes> = read.pdus.iter().map(|pdu| &pdu.as_ref().expect("sound").bytes).collect();
        prop_assert_eq!(back, items.iter().map(Item::bytes).collect::<Vec<_>>());
    }
}

#[test]
fn queued_update_after_dialect_change_refused() {
    let label = BatchId::Transaction { id: 7, prev: None, ts: Millis(0) };
    let items =
        vec![Item::Pdu(reference("red", "a"), Bytes::from_static(b"{}")), Item::Update(Bytes::from_static(b"{}"))];
    let deadlines = RequestDeadlines { connect: Duration::from_secs(1), total: Duration::from_secs(1) };
    let frame = OutboundBatch {
        receipts: PeerReceipts::NONE,
        to: name("green"),
        dialect: DialectSpec::TRANSACTIONS,
        label,
        items,
        weak: vec![],
        traces: vec![],
        deadlines,
    };
    let refused = DIALECTS.of(frame.dialect).encode_push(&name("red"), &frame, InteropQuirks::default());
    assert!(matches!(refused, Err(PushFailure::Refused { status: 422, .. })), "{refused:?}");
}
