//! Responses to a transaction as bytes: written, and read from servers with any response.

use std::time::Duration;

use actors::model::{
    Ack, BatchId, DeadLetterReason, DialectSpec, Item, ItemObjection, Millis, OutboundBatch, PduVerdict, PeerReceipts,
    PushResponse, RequestDeadlines,
};
use bytes::Bytes;
use fernpost::wire::transactions::answer::{AnnouncedLimits, PduIdentity, decode, encode};
use proptest::prelude::*;

use crate::circle::{name, reference};

#[test]
fn verdicts_have_one_written_form() {
    let named = |id: &str| PduIdentity { id: Some(id.to_owned()), origin: Some("red".to_owned()) };
    let refused = |code, reason: &str| PduVerdict::Refused { code, reason: reason.to_owned() };
    let entries = [
        (named("a"), PduVerdict::Accepted),
        (named("b"), PduVerdict::Held),
        (named("c"), PduVerdict::Duplicate),
        (named("d"), PduVerdict::Parked { code: "NOT_A_PARTICIPANT" }),
        (named("e"), refused("OWN_ORIGIN_UNKNOWN", "a \"word\"")),
        (PduIdentity { id: None, origin: None }, refused("NOT_AN_OBJECT", "a PDU is a JSON object, this is not one")),
    ];
    let limits = AnnouncedLimits { pdus: 100, bytes: 8 << 20 };
    let written = encode(entries.iter().map(|(named, verdict)| (named, verdict)), limits);
    let expected = include_str!("golden/transactions/answer.json").trim_end();
    assert_eq!(String::from_utf8(written).expect("text"), expected);
}

/// Returns a batch of three PDUs in flight: red/a, red/b, green/a.
fn frame() -> OutboundBatch {
    let second = Duration::from_secs(1);
    let items = [("red", "a"), ("red", "b"), ("green", "a")];
    OutboundBatch {
        receipts: PeerReceipts::NONE,
        to: name("blue"),
        dialect: DialectSpec::TRANSACTIONS,
        label: BatchId::Transaction { id: 1, prev: None, ts: Millis(1) },
        items: items.map(|(origin, id)| Item::Pdu(reference(origin, id), Bytes::from_static(b"{}"))).to_vec(),
        weak: vec![],
        traces: vec![],
        deadlines: RequestDeadlines { connect: second, total: second },
    }
}

fn refused(body: &[u8]) -> Vec<(String, String)> {
    let PushResponse { ack, window, refused, .. } = decode(&frame(), &Bytes::copy_from_slice(body));
    let is_json = body.is_empty() || serde_json::from_slice::<serde_json::Value>(body).is_ok();
    assert_eq!((ack, window), (if is_json { Ack::Taken } else { Ack::AcceptedUnparsedBody }, None));
    let named = |ItemObjection { place, fate, reason }| {
        let Item::Pdu(reference, _) = &frame().items[place] else { panic!("all items are PDUs") };
        let word = if fate == DeadLetterReason::ParkedByPeer { "parked as " } else { "" };
        (reference.to_string(), format!("{word}{reason}"))
    };
    refused.into_iter().map(named).collect()
}

#[test]
fn any_transaction_answer_means_accepted() {
    for body in [
        &b""[..],
        b"null",
        b"[]",
        b"{}",
        b"\"\"",
        b"<html>",
        b"\xff",
        br#"{"pdus":null}"#,
        br#"{"pdus":{}}"#,
        br#"{"pdus":[{},{},{}]}"#,
        br#"[{},{},{}]"#,
        br#"{"pdus":[1,null,"x",[]]}"#,
        br#"{"pdus":[{"pdu_id":"a","origin":"red","status":"Parked","code":"X"}]}"#,
        br#"{"pdus":[{"pdu_id":"z","origin":"red","status":"parked","code":"X"}]}"#,
        br#"{"pdus":[{"pdu_id":"a","origin":"red","error":null}]}"#,
        br#"{"pdus":[{"pdu_id":"z","origin":"red","error":"not ours"}]}"#,
        br#"{"pdus":[{"error":"which one?"}]}"#,
        br#"{"error":"all of it","code":"X"}"#,
    ] {
        assert_eq!(refused(body), [], "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn refusals_match_by_name_or_index() {
    let pair = |reference: &str, why: &str| (reference.to_owned(), why.to_owned());
    let named = br#"{"pdus":[{"pdu_id":"a","origin":"GREEN","error":"no","code":"BAD_TS"},{"pdu_id":"a","origin":"red","status":"held"}]}"#;
    assert_eq!(refused(named), [pair("green/a", "BAD_TS: no")]);
    let listed = br#"[{},{"error":"no\nroom"},{"error":{"deep":1}}]"#;
    assert_eq!(refused(listed), [pair("red/b", "no room"), pair("green/a", "{\"deep\":1}")]);
    let long = format!(r#"[{{}},{{}},{{"error":"{}"}}]"#, "x".repeat(500));
    assert_eq!(refused(long.as_bytes()), [pair("green/a", &"x".repeat(200))]);
}

/// Regression: parked PDUs counted as acknowledged, and the trace never showed that the peer had parked them.
#[test]
fn parked_pdus_carry_their_codes() {
    let pair = |reference: &str, why: &str| (reference.to_owned(), why.to_owned());
    let named = br#"{"pdus":[{"pdu_id":"a","origin":"green","status":"parked","code":"NOT_A_PARTICIPANT"}]}"#;
    assert_eq!(refused(named), [pair("green/a", "parked as NOT_A_PARTICIPANT")]);
    let listed = br#"[{"status":"parked","code":"BAD\nCODE"},{"status":"parked"},{"status":"parked","error":"no"}]"#;
    let parked = [pair("red/a", "parked as BAD CODE"), pair("red/b", "parked as PARKED"), pair("green/a", "no")];
    assert_eq!(refused(listed), parked);
}

proptest! {
    #[test]
    fn transaction_answer_reader_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&frame(), &Bytes::from(body));
    }
}
