//! Golden vectors. `golden/protobuf/*.hex` were written by Google's Python implementation from `config/fernpost.proto`; the JSON of
//! the same name is the same message.

use std::time::Duration;

use actors::model::{
    Ack, BatchId, DialectSpec, Edu, InboundPush, Item, OutboundBatch, PeerReceipts, PushNovelty, Receipt, ReceiptItem,
    RejectedItem, RequestDeadlines, Seq, StrongBody,
};
use actors::testkit::at_once;
use bytes::Bytes;
use fernpost::http::body::encoded_errors::ErrorMessage;
use fernpost::json::nesting::BodyNestingLimit;
use fernpost::rpc::call_message::CallMessage;
use fernpost::wire::pdu::PduReader;
use fernpost::wire::updates::envelope::{self, BadPush};
use fernpost::wire::updates::{answer, protobuf};
use fixtures::keys::TrustingRelayJudge;
use proptest::prelude::*;
use prost::Message;

use crate::circle::{Circle, name};

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("a byte")).collect()
}

/// Returns a golden message: the Protobuf bytes and the JSON text.
macro_rules! vector {
    ($name:literal) => {
        (
            Bytes::from(from_hex(include_str!(concat!("../golden/protobuf/", $name, ".hex")))),
            Bytes::from_static(
                include_str!(concat!("../golden/protobuf/", $name, ".json")).trim_ascii_end().as_bytes(),
            ),
        )
    };
}

fn read(body: &Bytes) -> Result<InboundPush, BadPush> {
    let (circle, blue) = (Circle::default(), name("blue"));
    let reader = PduReader::new(&blue, &circle, &TrustingRelayJudge);
    at_once(protobuf::push::decode(body, 3, &BodyNestingLimit::default(), &reader, "network"))
}

fn read_json(body: &Bytes) -> InboundPush {
    let (circle, blue) = (Circle::default(), name("blue"));
    let reader = PduReader::new(&blue, &circle, &TrustingRelayJudge);
    at_once(envelope::decode(body, 3, &reader, "network")).expect("a push")
}

fn batch(label: BatchId, strong: &[&str], weak: &[&str]) -> OutboundBatch {
    let second = Duration::from_secs(1);
    let content = |text: &&str| Bytes::copy_from_slice(text.as_bytes());
    OutboundBatch {
        receipts: PeerReceipts::NONE,
        to: name("blue"),
        dialect: DialectSpec::UPDATES,
        label,
        items: strong.iter().map(content).map(Item::Update).collect(),
        weak: weak.iter().map(content).map(|content| Edu { kind: "typing".to_owned(), content }).collect(),
        traces: vec![],
        deadlines: RequestDeadlines { connect: second, total: second },
    }
}

#[test]
fn pushes_read_as_their_json() {
    for (binary, json) in [vector!("push"), vector!("numbered"), vector!("empty")] {
        let (one, other) = (read(&binary).expect("a push"), read_json(&json));
        assert_eq!((one.seq, one.from_seq, one.weak), (other.seq, other.from_seq, other.weak));
        assert_eq!(one.ephemeral, other.ephemeral);
        let items = |push: &InboundPush| push.strong.iter().map(|s| (s.bytes.clone(), s.digest)).collect::<Vec<_>>();
        assert_eq!(items(&one), items(&other));
    }
    let (binary, _) = vector!("push");
    let range = binary.as_ptr_range();
    assert!(range.contains(&read(&binary).expect("a push").strong[0].bytes.as_ptr()), "an update is not copied");
}

#[test]
fn batches_encode_to_golden_bytes() {
    let typing = r#"{"update":"typing","user_id":"uid","peer":{"type":"group","id":11223344}}"#;
    let hello = concat!(
        r#"{"update":"message","peer":{"type":"group","id":11223344},"#,
        r#""content":{"type":"text","text":"Hello Wordl!"}}"#
    );
    let exact = "{\"n\":123456789012345678901234567890,\"x\":-0.0,\"\u{e9}\":\"\\ud83d\\ude00\"}";
    let label = |first: Option<u64>, last| BatchId::SeqRange { first: first.map(Seq), last: Seq(last) };
    for ((binary, json), batch) in [
        (vector!("push"), batch(label(None, 234_234), &[hello], &[typing])),
        (vector!("numbered"), batch(label(Some(7), 8), &["{}", exact], &[])),
        (vector!("empty"), batch(label(Some(0), 0), &[], &[])),
    ] {
        assert_eq!(protobuf::push::encode(&batch), binary);
        assert_eq!(envelope::encode(&batch), json);
    }
}

#[test]
fn answers_have_one_encoded_form() {
    let receipt = |ack| Receipt { ack, parked: vec![], receipts: PeerReceipts::NONE, novelty: PushNovelty::Empty };
    let parked = Receipt {
        ack: Ack::Ok(Seq(7)),
        parked: vec![(Seq(6), "TOO_DEEP")],
        receipts: PeerReceipts::NONE,
        novelty: PushNovelty::Empty,
    };
    let hole = |expected, conflict| receipt(Ack::Hole { expected: Seq(expected), conflict });
    let sent = batch(BatchId::SeqRange { first: Some(Seq(5)), last: Seq(7) }, &["{}"; 3], &[]);
    for ((binary, json), receipt, window) in [
        (vector!("answer-ok"), receipt(Ack::Ok(Seq(7))), 100),
        (vector!("answer-parked"), parked, 100),
        (vector!("answer-hole"), hole(5, false), 100),
        (vector!("answer-conflict"), hole(5, true), 1),
        (vector!("answer-wait"), receipt(Ack::Wait(Duration::from_secs(30))), 1),
    ] {
        assert_eq!(protobuf::answer::encode(&receipt, window), binary);
        assert_eq!(answer::encode(&receipt, window).as_bytes(), json);
        assert!(protobuf::answer::is_protobuf(&binary) && !protobuf::answer::is_protobuf(&json));
        assert_eq!(protobuf::answer::decode(&sent, &binary), answer::decode(&sent, &json));
    }
    for json in ["\n{}", "\r\n {}", "{}", "", "busy"] {
        assert!(!protobuf::answer::is_protobuf(json.as_bytes()), "{json:?}");
    }
}

#[test]
fn receipts_have_golden_bytes() {
    let number = |seq| ReceiptItem::Number(Seq(seq));
    let rejected = vec![RejectedItem { item: number(4), reason: "unknown user".to_owned() }];
    let receipts = |ranges: &[(u64, u64)]| {
        let numbers = ranges.iter().map(|(first, last)| (Seq(*first), Seq(*last))).collect();
        PeerReceipts { numbers, pdus: vec![], rejected: rejected.clone() }
    };
    let (binary, json) = vector!("push-receipts");
    let label = BatchId::SeqRange { first: Some(Seq(8)), last: Seq(8) };
    let sent = receipts(&[(1, 3), (91, 91), (1 << 40, 1 << 41)]);
    let batch = OutboundBatch { receipts: sent.clone(), ..batch(label, &["{}"], &[]) };
    assert_eq!((protobuf::push::encode(&batch), envelope::encode(&batch)), (binary.clone(), json.clone()));
    assert_eq!((read(&binary).expect("a push").receipts, read_json(&json).receipts), (sent.clone(), sent));

    let (binary, json) = vector!("answer-receipts");
    let (told, novelty) = (receipts(&[(1, 3), (91, 91)]), PushNovelty::Empty);
    let receipt = Receipt { ack: Ack::Ok(Seq(7)), parked: vec![], receipts: told.clone(), novelty };
    assert_eq!(protobuf::answer::encode(&receipt, 100), binary);
    assert_eq!(answer::encode(&receipt, 100).as_bytes(), json);
    let read = protobuf::answer::decode(&batch, &binary).expect("an answer");
    assert_eq!((&read.receipts, &read), (&told, &answer::decode(&batch, &json).expect("an answer")));
}

#[test]
fn calls_and_errors_have_golden_bytes() {
    for (binary, json) in [vector!("rpc"), vector!("rpc-answer")] {
        assert_eq!(CallMessage { json: json.clone() }.encode_to_vec(), binary);
        assert_eq!(CallMessage::decode(binary).expect("a message").json, json);
    }
    let error = |error: &str, code: &str, wait| ErrorMessage { error: error.to_owned(), code: code.to_owned(), wait };
    assert_eq!(error("the body is not JSON", "NOT_JSON", 0).encode_to_vec(), vector!("error").0);
    assert_eq!(error("busy", "RPC_BUSY", 2).encode_to_vec(), vector!("error-wait").0);
}

fn verdict(body: &[u8]) -> String {
    match read(&Bytes::copy_from_slice(body)) {
        Err(BadPush::NotProtobuf(_)) => "not Protobuf".to_owned(),
        Err(BadPush::NotAPush(_)) => "no push".to_owned(),
        Err(BadPush::TooDeep(_)) => "too deep".to_owned(),
        Err(BadPush::TooLong { count, max }) => format!("too long {count}/{max}"),
        Err(BadPush::NotJson(_)) => "not JSON".to_owned(),
        Ok(push) => {
            let sound = |body: &StrongBody| if matches!(body, StrongBody::Plain) { '+' } else { '-' };
            let from = push.from_seq.map(|from| format!(" from {from}")).unwrap_or_default();
            let strong: String = push.strong.iter().map(|update| sound(&update.body)).collect();
            format!("seq {}{from} strong [{strong}] weak {} shown {}", push.seq, push.weak, push.ephemeral.len())
        }
    }
}

#[test]
fn broken_bodies_get_their_verdicts() {
    let deep = [&b"\x12\x91\x01"[..], &[b'['; 145]].concat();
    let cases: &[(&[u8], &str)] = &[
        (b"", "seq 0 strong [] weak 0 shown 0"),
        (b"\x18\x07", "seq 7 strong [] weak 0 shown 0"),
        (b"\x18\x07\x18\x08", "seq 8 strong [] weak 0 shown 0"),
        (b"\x18\x03\x20\x01\x12\x02{}\x12\x02{}\x12\x02{}", "seq 3 from 1 strong [+++] weak 0 shown 0"),
        (b"\x12\x04 {} ", "seq 0 strong [+] weak 0 shown 0"),
        // Strong updates that are no JSON object are refused alone; weak ones are dropped.
        (b"\x12\x01x\x12\x02{}\x12\x02[]", "seq 0 strong [-+-] weak 0 shown 0"),
        (b"\x12\x00\x12\x03{}}\x12\x02\xff\xfe", "seq 0 strong [---] weak 0 shown 0"),
        (b"\x0a\x01x\x0a\x02{}\x0a\x01\xff\x0a\x02[]", "seq 0 strong [] weak 4 shown 1"),
        // Unknown fields are skipped, also those that are groups.
        (b"\x7a\x02ab\x18\x01\x80\x01\x05", "seq 1 strong [] weak 0 shown 0"),
        (b"\x7b\x7c\x18\x01", "seq 1 strong [] weak 0 shown 0"),
        // Cut messages and wrong wire types.
        (b"\x12\x05{}", "not Protobuf"),
        (b"\x12", "not Protobuf"),
        (b"\x18", "not Protobuf"),
        (b"\x18\x80", "not Protobuf"),
        (b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "not Protobuf"),
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "not Protobuf"),
        (b"\x10\x01", "not Protobuf"),
        (b"\x1a\x01x", "not Protobuf"),
        (b"\x22\x01x", "not Protobuf"),
        (b"\x7b", "not Protobuf"),
        (b"\x00\x01", "not Protobuf"),
        (br#"{"seq":1}"#, "not Protobuf"),
        // Limits.
        (b"\x12\x02{}\x12\x02{}\x12\x02{}\x12\x02{}", "too long 4/3"),
        (b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "seq 9223372036854775807 strong [] weak 0 shown 0"),
        (b"\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "no push"),
        (b"\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "no push"),
        (&deep, "too deep"),
    ];
    for (body, expected) in cases {
        assert_eq!(verdict(body), *expected, "{}", body.escape_ascii());
    }
}

#[test]
fn brackets_in_framing_are_no_nesting() {
    // 91 is the length of each update and the code of an opening bracket.
    let update = format!("{{\"a\":\"{}\"}}", "x".repeat(83));
    let binary = [b"\x12\x5b", update.as_bytes()].concat().repeat(3);
    assert_eq!((update.len(), verdict(&binary).as_str()), (91, "seq 0 strong [+++] weak 0 shown 0"));
}

#[test]
fn broken_item_is_kept_as_string() {
    let push = read(&Bytes::from_static(b"\x12\x03a\"\xff")).expect("a push");
    assert_eq!(push.strong[0].bytes, "\"a\\\"\u{fffd}\"");
}

proptest! {
    #[test]
    fn batches_read_back_as_written(first in 1_u64..1 << 60, texts in proptest::collection::vec("[a-z\"\\\\é]{0,20}", 0..3)) {
        let updates: Vec<String> = texts.iter().map(|text| serde_json::json!({ "t": text }).to_string()).collect();
        let strong: Vec<&str> = updates.iter().map(String::as_str).collect();
        let last = first + strong.len() as u64 - u64::from(!strong.is_empty());
        let label = BatchId::SeqRange { first: Some(Seq(first)), last: Seq(last) };
        let push = read(&protobuf::push::encode(&batch(label, &strong, &strong))).expect("a push");
        prop_assert_eq!((push.from_seq, push.seq), (Some(Seq(first)), Seq(last)));
        let read: Vec<&[u8]> = push.strong.iter().map(|update| &update.bytes[..]).collect();
        prop_assert_eq!(read, strong.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
        prop_assert_eq!(push.ephemeral, strong.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect::<Vec<_>>());
    }
}
