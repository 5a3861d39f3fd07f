//! Responses to a push as bytes: read, refused, written.

use std::time::Duration;

use actors::model::{
    Ack, BatchId, DeadLetterReason, DialectSpec, Item, ItemObjection, OutboundBatch, PeerReceipts, PushFailure,
    PushNovelty, PushResponse, Receipt, RequestDeadlines, Seq,
};
use bytes::Bytes;
use fernpost::wire::updates::answer::{decode, encode};
use proptest::prelude::*;

fn ok(seq: u64) -> Ack {
    Ack::Ok(Seq(seq))
}

fn hole(expected: u64, conflict: bool) -> Ack {
    Ack::Hole { expected: Seq(expected), conflict }
}

fn wait(seconds: u64) -> Ack {
    Ack::Wait(Duration::from_secs(seconds))
}

#[test]
fn reasons_of_waits_are_kept() {
    let read = |body: &str| decode(&frame(), &Bytes::copy_from_slice(body.as_bytes())).expect("readable").reason;
    let why = |reason: &str| read(&format!(r#"{{"receive":"wait","wait":1,"reason":{reason}}}"#));
    assert_eq!(why(r#""peers.rate is reached (1)""#).as_deref(), Some("peers.rate is reached (1)"));
    assert_eq!(why(r#""a\nb\u001b[1m""#).as_deref(), Some("a b [1m"), "one line without control characters");
    assert_eq!(why(&format!("\"{}\"", "x".repeat(500))).map(|why| why.len()), Some(200));
    assert_eq!((why("7"), why("null"), read(r#"{"receive":"wait","wait":1}"#)), (None, None, None));
    assert_eq!(read(r#"{"receive":"ok","seq":7,"reason":"none"}"#), None);
}

/// A response and its window.
type Read = (Ack, Option<u32>);

/// Returns a batch of three updates in flight, numbered 5, 6 and 7.
fn frame() -> OutboundBatch {
    let second = Duration::from_secs(1);
    OutboundBatch {
        receipts: PeerReceipts::NONE,
        to: "blue.example".parse().expect("a name"),
        dialect: DialectSpec::UPDATES,
        label: BatchId::SeqRange { first: Some(Seq(5)), last: Seq(7) },
        items: vec![Item::Update(Bytes::from_static(b"{}")); 3],
        weak: vec![],
        traces: vec![],
        deadlines: RequestDeadlines { connect: second, total: second },
    }
}

fn read(body: &[u8]) -> Option<Read> {
    match decode(&frame(), &Bytes::copy_from_slice(body)) {
        Ok(PushResponse { ack, window, .. }) => Some((ack, window)),
        Err(PushFailure::Unreadable(_)) => None,
        Err(other) => panic!("{other} for {}", String::from_utf8_lossy(body)),
    }
}

#[test]
fn published_answers_are_read() {
    assert_eq!(read(include_bytes!("golden/ok.json")), Some((ok(234_234), None)));
    assert_eq!(read(include_bytes!("golden/hole.json")), Some((hole(234_234, false), None)));
    assert_eq!(read(include_bytes!("golden/wait.json")), Some((wait(123), None)));
}

#[test]
fn answers_have_one_written_form() {
    assert_eq!(encode(&ok(5).into(), 100), r#"{"receive":"ok","seq":5,"window":100}"#);
    assert_eq!(encode(&hole(5, false).into(), 100), r#"{"receive":"hole_detected","seq":5,"window":100}"#);
    assert_eq!(encode(&hole(5, true).into(), 1), r#"{"receive":"hole_detected","seq":5,"conflict":true,"window":1}"#);
    for (millis, seconds) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (120_000, 120)] {
        let expected = format!(r#"{{"receive":"wait","wait":{seconds}}}"#);
        assert_eq!(encode(&Ack::Wait(Duration::from_millis(millis)).into(), 100), expected);
    }
}

#[test]
fn odd_answers_parse_exactly_or_fail() {
    let cases: &[(&[u8], Option<Read>)] = &[
        (br#"{"receive":"ok","seq":0}"#, Some((ok(0), None))),
        (br#"{"receive":"ok","seq":9223372036854775807,"window":1}"#, Some((ok(i64::MAX as u64), Some(1)))),
        (br#"{"receive":"ok","seq":3,"wait":9,"x":[{}]}"#, Some((ok(3), None))),
        (br#"{"receive":"hole_detected","seq":3,"conflict":true,"window":50}"#, Some((hole(3, true), Some(50)))),
        (br#"{"receive":"hole_detected","seq":3,"conflict":false}"#, Some((hole(3, false), None))),
        (br#"{"receive":"hole_detected","seq":3,"conflict":"true"}"#, Some((hole(3, false), None))),
        (br#"{"receive":"hole_detected","seq":3,"conflict":null}"#, Some((hole(3, false), None))),
        (br#"{"receive":"wait","wait":0}"#, Some((wait(0), None))),
        (br#"{"receive":"wait","wait":1.2}"#, Some((wait(2), None))),
        (br#"{"receive":"wait","wait":1e300}"#, Some((wait(u64::from(u32::MAX)), None))),
        (br#"{"receive":"wait","wait":18446744073709551615}"#, Some((wait(u64::from(u32::MAX)), None))),
        (br#"{"receive":"wait","wait":5,"seq":null}"#, Some((wait(5), None))),
        (br#"{"receive":"ok","seq":3,"window":0}"#, Some((ok(3), None))),
        (br#"{"receive":"ok","seq":3,"window":"9"}"#, Some((ok(3), None))),
        (br#"{"receive":"ok","seq":3,"window":-1}"#, Some((ok(3), None))),
        (br#"{"receive":"ok","seq":3,"window":2.5}"#, Some((ok(3), None))),
        (br#"{"receive":"ok","seq":3,"window":null}"#, Some((ok(3), None))),
        (br#"{"receive":"ok","seq":3,"window":9999999999}"#, Some((ok(3), Some(u32::MAX)))),
        (b"", None),
        (b"ok", None),
        (b"null", None),
        (b"{}", None),
        (b"[]", None),
        (b"<html>200 OK</html>", None),
        (br#"{"receive":"ok"}"#, None),
        (br#"{"receive":"ok","seq":null}"#, None),
        (br#"{"receive":"ok","seq":"3"}"#, None),
        (br#"{"receive":"ok","seq":-3}"#, None),
        (br#"{"receive":"ok","seq":3.0}"#, None),
        (br#"{"receive":"ok","seq":9223372036854775808}"#, None),
        (br#"{"receive":"ok","seq":3,"seq":4}"#, None),
        (br#"{"receive":"OK","seq":3}"#, None),
        (br#"{"receive":"okay","seq":3}"#, None),
        (br#"{"receive":null,"seq":3}"#, None),
        (br#"{"receive":1,"seq":3}"#, None),
        (br#"{"seq":3}"#, None),
        (br#"{"receive":"hole_detected"}"#, None),
        (br#"{"receive":"hole_detected","seq":-1}"#, None),
        (br#"{"receive":"wait"}"#, None),
        (br#"{"receive":"wait","wait":null}"#, None),
        (br#"{"receive":"wait","wait":"5"}"#, None),
        (br#"{"receive":"wait","wait":-1}"#, None),
        (br#"{"receive":"wait","wait":-0.001}"#, None),
        (br#"{"receive":"wait","wait":NaN}"#, None),
        (br#"{"receive":"wait","wait":true}"#, None),
        (br#"{"receive":"ok","seq":3} trailing"#, None),
        (b"{\"receive\":\"ok\",\"seq\":3,\"x\":\"\xff", None),
    ];
    for (body, expected) in cases {
        assert_eq!(read(body), *expected, "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(read("[".repeat(60_000).as_bytes()), None);
    let deep = format!(r#"{{"receive":"ok","seq":3,"window":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(read(deep.as_bytes()), None);
}

#[test]
fn long_answer_never_fills_log() {
    let body = format!(r#"{{"receive":"{}"}}"#, "x".repeat(60_000));
    let Err(PushFailure::Unreadable(words)) = decode(&frame(), &Bytes::from(body)) else { panic!("read") };
    assert!(words.len() < 100, "{words}");
}

/// Regression: parked updates counted as acknowledged, and the trace never showed that the peer had parked them.
#[test]
fn parked_updates_are_told_by_number() {
    let parked = vec![(Seq(5), "NOT_A_PARTICIPANT"), (Seq(7), "BAD_PDU")];
    let written =
        encode(&Receipt { ack: ok(7), parked, receipts: PeerReceipts::NONE, novelty: PushNovelty::Empty }, 100);
    assert_eq!(written, r#"{"receive":"ok","seq":7,"window":100,"parked":[[5,"NOT_A_PARTICIPANT"],[7,"BAD_PDU"]]}"#);
    let read = |body: &str| decode(&frame(), &Bytes::from(body.to_owned())).expect("an answer").refused;
    let parked =
        |place, reason: &str| ItemObjection { place, fate: DeadLetterReason::ParkedByPeer, reason: reason.to_owned() };
    assert_eq!(read(&written), [parked(0, "NOT_A_PARTICIPANT"), parked(2, "BAD_PDU")]);
    let long = "X".repeat(1000);
    for (list, expected) in [
        (
            r#"[[4,"A"],[8,"A"],[-1,"A"],[6.5,"A"],["6","A"],[6],[6,7],6,null,{"6":"A"},[18446744073709551615,"A"]]"#,
            vec![],
        ),
        (r#"[[6,"A\nB","more"]]"#, vec![parked(1, "A B")]),
        (r#""6""#, vec![]),
        ("null", vec![]),
        (&format!(r#"[[6,"{long}"]]"#), vec![parked(1, &long[..40])]),
    ] {
        assert_eq!(read(&format!(r#"{{"receive":"ok","seq":7,"parked":{list}}}"#)), expected, "{list}");
    }
    assert_eq!(read(r#"{"receive":"hole_detected","seq":7,"parked":[[5,"A"]]}"#), []);
}

proptest! {
    #[test]
    fn push_answer_reader_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&frame(), &Bytes::from(body));
    }

    #[test]
    fn push_answer_round_trips(seq in 0..=i64::MAX.cast_unsigned(), conflict: bool, window in 1_u32.., seconds in 1..1_000_000_u64) {
        for (ack, window_told) in [(ok(seq), Some(window)), (hole(seq, conflict), Some(window)), (wait(seconds), None)] {
            prop_assert_eq!(read(encode(&ack.into(), window).as_bytes()), Some((ack, window_told)));
        }
    }
}
