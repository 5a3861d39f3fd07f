//! Pushes as bytes: read, refused, written.

use actors::model::{
    BatchId, DialectSpec, InboundPush, Item, OutboundBatch, PeerReceipts, RequestDeadlines, Seq, StrongBody,
};
use actors::testkit::at_once;
use bytes::Bytes;
use fernpost::json::nesting::NESTING_MAX;
use fernpost::json::reader::digest;
use fernpost::wire::pdu::PduReader;
use fernpost::wire::updates::envelope::{BadPush, encode};
use fixtures::keys::TrustingRelayJudge;
use proptest::prelude::*;
use std::time::Duration;

use crate::circle::{Circle, name};

const WINDOW: u32 = 100;

fn frame(strong: Vec<Bytes>, first: Option<u64>, last: u64) -> OutboundBatch {
    let second = Duration::from_secs(1);
    let deadlines = RequestDeadlines { connect: second, total: second };
    let label = BatchId::SeqRange { first: first.map(Seq), last: Seq(last) };
    let items = strong.into_iter().map(Item::Update).collect();
    OutboundBatch {
        receipts: PeerReceipts::NONE,
        to: "blue.example".parse().expect("valid"),
        dialect: DialectSpec::UPDATES,
        label,
        items,
        weak: vec![],
        traces: vec![],
        deadlines,
    }
}

fn decode(body: &Bytes, max: u32, verified: &'static str) -> Result<InboundPush, BadPush> {
    let circle = Circle::default();
    at_once(fernpost::wire::updates::envelope::decode(
        body,
        max,
        &PduReader::new(&name("blue"), &circle, &TrustingRelayJudge),
        verified,
    ))
}

#[test]
fn published_push_keeps_update_bytes() {
    let text = include_str!("golden/push.json");
    let body = Bytes::from_static(text.as_bytes());
    let decoded = decode(&body, WINDOW, "network").expect("the published example");
    assert_eq!((decoded.seq, decoded.from_seq, decoded.weak), (Seq(234_234), None, 1));
    assert_eq!((decoded.strong.len(), decoded.verified), (1, "network"));
    let update = &decoded.strong[0];
    let start = text.find("{\n      \"update\": \"message\"").expect("the strong update");
    let end = text.find("\n  ],\n  \"seq\"").expect("the slice ends with the array");
    assert_eq!(update.bytes, text[start..end]);
    assert!(matches!(update.body, StrongBody::Plain));
    assert_eq!(update.digest, digest(&text.as_bytes()[start..end]));
    assert_eq!(update.bytes.as_ptr(), body[start..].as_ptr(), "the update is a slice of the body, not a copy");
}

/// Returns the result for a body, in one line.
fn verdict(body: &[u8]) -> String {
    match decode(&Bytes::copy_from_slice(body), 3, "network") {
        Err(BadPush::NotJson(_)) => "not JSON".to_owned(),
        Err(BadPush::NotAPush(_)) => "no push".to_owned(),
        Err(bad @ (BadPush::NotProtobuf(_) | BadPush::TooDeep(_))) => panic!("not of JSON: {bad}"),
        Err(BadPush::TooLong { count, max }) => format!("too long {count}/{max}"),
        Ok(push) => {
            let sound = |s: &actors::model::StrongUpdate| if matches!(s.body, StrongBody::Plain) { '+' } else { '-' };
            let from = push.from_seq.map(|from| format!(" from {from}")).unwrap_or_default();
            let strong: String = push.strong.iter().map(sound).collect();
            format!("seq {}{from} strong [{strong}] weak {}", push.seq, push.weak)
        }
    }
}

const PUSHES: &[(&[u8], &str)] = &[
    // Accepted forms.
    (br#"{"seq":0}"#, "seq 0 strong [] weak 0"),
    (br#"{"seq":7,"weak":[],"strong":[]}"#, "seq 7 strong [] weak 0"),
    (br#"{"strong":[{}],"seq":1}"#, "seq 1 strong [+] weak 0"),
    (br#"{"strong":[{},{},{}],"seq":3,"from_seq":1}"#, "seq 3 from 1 strong [+++] weak 0"),
    (br#"{"weak":[{},1,null,"x",[]],"seq":3}"#, "seq 3 strong [] weak 5"),
    (b" \r\n\t{ \"seq\" : 1 } \n", "seq 1 strong [] weak 0"),
    (br#"{"s\u0065q":4}"#, "seq 4 strong [] weak 0"),
    (br#"{"seq":9223372036854775807}"#, "seq 9223372036854775807 strong [] weak 0"),
    (br#"{"seq":1,"from_seq":9223372036854775807}"#, "seq 1 from 9223372036854775807 strong [] weak 0"),
    (br#"{"seq":1,"unknown":{"seq":null,"a":[1e400]},"x":null}"#, "seq 1 strong [] weak 0"),
    (br#"{"seq":1,"SEQ":2,"Strong":5}"#, "seq 1 strong [] weak 0"),
    (br#"{"seq":1,"":1}"#, "seq 1 strong [] weak 0"),
    // The core checks the numbering.
    (br#"{"seq":0,"strong":[{}]}"#, "seq 0 strong [+] weak 0"),
    (br#"{"seq":5,"from_seq":9,"strong":[{}]}"#, "seq 5 from 9 strong [+] weak 0"),
    // Strong updates that are not objects are refused alone.
    (br#"{"strong":[{},1,{}],"seq":3}"#, "seq 3 strong [+-+] weak 0"),
    (br#"{"strong":["{}",[{}],null],"seq":3}"#, "seq 3 strong [---] weak 0"),
    (br#"{"strong":[true,-0.5e-7,123456789012345678901234567890],"seq":3}"#, "seq 3 strong [---] weak 0"),
    // Bytes inside an update are carried unread.
    (br#"{"strong":[{"a":1,"a":2}],"seq":1}"#, "seq 1 strong [+] weak 0"),
    (br#"{"strong":[{"a":"\ud800"}],"seq":1}"#, "seq 1 strong [+] weak 0"),
    (br#"{"strong":[{"n":1e999,"m":-0}],"seq":1}"#, "seq 1 strong [+] weak 0"),
    (br#"{"strong":[{"]":"}\"]\\"}],"seq":1}"#, "seq 1 strong [+] weak 0"),
    ("{\"strong\":[{\"\u{e9}\":\"\u{1f600}\"}],\"seq\":1}".as_bytes(), "seq 1 strong [+] weak 0"),
    // Updates beyond the window are counted and not kept.
    (br#"{"strong":[{},{},{},{}],"seq":4}"#, "too long 4/3"),
    (br#"{"strong":[1,2,3,4,5,6,7],"seq":4}"#, "too long 7/3"),
    // The body is not JSON.
    (b"", "not JSON"),
    (b"   ", "not JSON"),
    (b"{", "not JSON"),
    (b"{}}", "no push"),
    (br#"{"seq":1}}"#, "not JSON"),
    (br#"{"seq":1}{"seq":2}"#, "not JSON"),
    (br#"{"seq":1} x"#, "not JSON"),
    (b"{\"seq\":1}\0", "not JSON"),
    (br#"{"seq":1,}"#, "not JSON"),
    (br#"{seq:1}"#, "not JSON"),
    (br#"{'seq':1}"#, "not JSON"),
    (br#"{"seq":01}"#, "not JSON"),
    (br#"{"seq":+1}"#, "not JSON"),
    (br#"{"seq":.5}"#, "not JSON"),
    (br#"{"seq":NaN}"#, "not JSON"),
    (br#"{"seq":Infinity}"#, "not JSON"),
    (br#"{"seq":1,"strong":[{"a":NaN}]}"#, "not JSON"),
    (br#"{"seq":1,"strong":[{"a":-Infinity}]}"#, "not JSON"),
    (br#"{"seq":1,"x":NaN}"#, "not JSON"),
    (br#"{"seq":1,"strong":[{}"#, "not JSON"),
    (br#"{"seq":1,"strong":[{},]}"#, "not JSON"),
    (br#"{"seq":1,"strong":[{} {}]}"#, "not JSON"),
    (br#"{"seq":1,"strong":[{"a":}]}"#, "not JSON"),
    (br#"{"seq":1,"strong":[{"a":"\x"}]}"#, "not JSON"),
    (br#"{"seq":1,"strong":[{"a":"\u12g4"}]}"#, "not JSON"),
    (b"{\"seq\":1,\"strong\":[{\"a\":\"\n\"}]}", "not JSON"),
    (b"{\"seq\":1,\"strong\":[{\"a\":\"\xff\"}]}", "not JSON"),
    (b"{\"seq\":1,\"x\":\"\xc3\x28\"}", "not JSON"),
    (b"{\"seq\":1,\"weak\":[\"\xed\xa0\x80\"]}", "not JSON"),
    (b"\xef\xbb\xbf{\"seq\":1}", "not JSON"),
    (b"\xff\xfe{\x00}\x00", "not JSON"),
    (br#"/* c */{"seq":1}"#, "not JSON"),
    (br#"{"seq":tru}"#, "not JSON"),
    (br#"{"\ud800":1,"seq":1}"#, "not JSON"),
    (b"weak=1&seq=2", "not JSON"),
    // The body is JSON, but not a push.
    (b"{}", "no push"),
    (b"null", "no push"),
    (b"[]", "no push"),
    (b"1", "no push"),
    (br#""{}""#, "no push"),
    (br#"[{"seq":1}]"#, "no push"),
    (br#"{"strong":[]}"#, "no push"),
    (br#"{"seq":null}"#, "no push"),
    (br#"{"seq":"1"}"#, "no push"),
    (br#"{"seq":-1}"#, "no push"),
    (br#"{"seq":-0}"#, "no push"),
    (br#"{"seq":1.0}"#, "no push"),
    (br#"{"seq":1e2}"#, "no push"),
    (br#"{"seq":true}"#, "no push"),
    (br#"{"seq":[1]}"#, "no push"),
    (br#"{"seq":9223372036854775808}"#, "no push"),
    (br#"{"seq":18446744073709551616}"#, "no push"),
    (br#"{"seq":1,"from_seq":null}"#, "no push"),
    (br#"{"seq":1,"from_seq":-1}"#, "no push"),
    (br#"{"seq":1,"from_seq":"1"}"#, "no push"),
    (br#"{"seq":1,"from_seq":1.5}"#, "no push"),
    (br#"{"seq":1,"strong":null}"#, "no push"),
    (br#"{"seq":1,"strong":{}}"#, "no push"),
    (br#"{"seq":1,"strong":"[]"}"#, "no push"),
    (br#"{"seq":1,"strong":0}"#, "no push"),
    (br#"{"seq":1,"weak":null}"#, "no push"),
    (br#"{"seq":1,"weak":{}}"#, "no push"),
    (br#"{"seq":1,"weak":false}"#, "no push"),
    // Two readers must not see two different pushes in one body.
    (br#"{"seq":1,"seq":1}"#, "no push"),
    (br#"{"seq":1,"s\u0065q":2}"#, "no push"),
    (br#"{"strong":[],"seq":1,"strong":[{}]}"#, "no push"),
    (br#"{"weak":[],"weak":[],"seq":1}"#, "no push"),
    (br#"{"seq":1,"from_seq":1,"from_seq":2}"#, "no push"),
    (br#"{"seq":1,"x":1,"x":1}"#, "no push"),
];

#[test]
fn odd_push_bodies_have_one_verdict() {
    assert!(PUSHES.len() >= 60);
    for (body, expected) in PUSHES {
        assert_eq!(verdict(body), *expected, "{}", String::from_utf8_lossy(body));
    }
}

/// As in CVE-2025-30355: a crafted body must not overflow our stack. Its depth is checked before it is read as a push.
#[test]
fn push_nesting_is_bounded() {
    let nested = |depth: usize| format!(r#"{{"seq":1,"strong":[{}{}]}}"#, "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!(r#"{{"seq":1,"strong":[{}1{}]}}"#, "{\"a\":".repeat(depth), "}".repeat(depth));
    assert_eq!(verdict(nested(1_000_000).as_bytes()), "seq 1 strong [-] weak 0");
    assert_eq!(verdict(objects(NESTING_MAX - 2).as_bytes()), "seq 1 strong [+] weak 0");
    assert_eq!(verdict(objects(NESTING_MAX - 1).as_bytes()), "seq 1 strong [-] weak 0", "too deep for the messenger");
    assert_eq!(verdict(objects(1_000_000).as_bytes()), "seq 1 strong [-] weak 0");
    assert_eq!(verdict("[".repeat(1_000_000).as_bytes()), "no push");
    assert_eq!(verdict("{\"a\":".repeat(1_000_000).as_bytes()), "not JSON");
    let text = format!(r#"{{"seq":1,"strong":[{{"a":"\"{}"}}]}}"#, "[{".repeat(1000));
    assert_eq!(verdict(text.as_bytes()), "seq 1 strong [+] weak 0");
}

#[test]
fn push_is_written_from_raw_updates() {
    let updates = || vec![Bytes::from_static(br#"{"b":1.0, "a":"\u00e9"}"#), Bytes::from_static(br#"{"n":1e2}"#)];
    let body = |strong, first, last| String::from_utf8(encode(&frame(strong, first, last)).to_vec()).expect("text");
    assert_eq!(body(vec![], None, 41), r#"{"strong":[],"seq":41}"#);
    assert_eq!(body(updates(), None, 41), r#"{"strong":[{"b":1.0, "a":"\u00e9"},{"n":1e2}],"seq":41}"#);
    let ranged = body(updates(), Some(40), 41);
    assert_eq!(ranged, r#"{"strong":[{"b":1.0, "a":"\u00e9"},{"n":1e2}],"seq":41,"from_seq":40}"#);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Generates text that is nearly a push, because random bytes do not reach the deep paths of the parser.
fn nearly_a_push() -> impl Strategy<Value = Vec<u8>> {
    let tokens = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"seq\"",
        "\"strong\"",
        "\"weak\"",
        "\"from_seq\"",
        "1",
        "-1",
        "null",
        "\"",
        "\\",
        "\\u12",
        " ",
        "{}",
        "1e9",
        "\u{e9}",
        "tru",
        "true",
        "\u{0}",
    ];
    let some = prop::collection::vec(prop::sample::select(tokens.to_vec()), 0..30);
    some.prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn push_reader_never_panics(body in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), nearly_a_push()]) {
        let _ = decode(&Bytes::from(body), 3, "network");
    }

    #[test]
    fn damaged_push_never_panics(at in 0_usize..400, byte: u8) {
        let mut body = include_bytes!("golden/push.json").to_vec();
        let at = at % body.len();
        body[at] = byte;
        let _ = decode(&Bytes::from(body), 3, "network");
    }

    #[test]
    fn push_round_trips_exactly(
        updates in prop::collection::vec(json(), 0..8),
        last in 0..=i64::MAX.cast_unsigned(),
        first in prop::option::of(0..=i64::MAX.cast_unsigned()),
    ) {
        let strong: Vec<Bytes> = updates.iter().map(|update| update.to_string().into()).collect();
        let decoded = decode(&encode(&frame(strong.clone(), first, last)), WINDOW, "network").expect("our own push");
        prop_assert_eq!(decoded.seq, Seq(last));
        prop_assert_eq!(decoded.from_seq, first.map(Seq));
        prop_assert_eq!(decoded.weak, 0);
        let back: Vec<Bytes> = decoded.strong.iter().map(|strong| strong.bytes.clone()).collect();
        for (strong, update) in decoded.strong.iter().zip(&updates) {
            prop_assert_eq!(matches!(strong.body, StrongBody::Plain), update.is_object());
        }
        prop_assert_eq!(back, strong);
    }
}
