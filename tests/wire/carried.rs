//! PDUs as strong updates: the same PDU in the other dialect.

use std::time::Duration;

use actors::model::{
    BatchId, DialectSpec, Edu, InboundPush, Item, OutboundBatch, PeerReceipts, RequestDeadlines, Seq, StrongBody,
};
use actors::testkit::at_once;
use bytes::Bytes;
use fernpost::json::reader::digest;
use fernpost::wire::pdu::{PDU_NESTING_MAX, PduReader};
use fernpost::wire::updates::envelope::{decode, encode};
use fixtures::keys::TrustingRelayJudge;

use crate::circle::{Circle, name, reference, text};
use crate::pdus::bad_pdus;

const PDU: &str = r#"{"pdu_id":"i","origin":"blue","context":"c","ts":1,"pdu_type":"t","prev_pdus":[["red","p"]],"is_state":false,"content":{"n": 1e2}}"#;

fn read(body: &Bytes) -> InboundPush {
    let circle = Circle::default();
    at_once(decode(body, 9, &PduReader::new(&name("blue"), &circle, &TrustingRelayJudge), "network")).expect("a push")
}

/// Reads one strong update between two plain ones.
fn between(update: &str) -> InboundPush {
    read(&Bytes::from(format!(r#"{{"strong":[{{"a":1}},{update},{{"b":2}}],"seq":3}}"#)))
}

#[test]
fn strong_update_carries_pdu() {
    for update in [
        format!(r#"{{"update":"pdu","pdu":{PDU}}}"#),
        format!(r#"{{ "pdu" : {PDU} , "x" : [], "up\u0064ate" : "pd\u0075" }}"#),
    ] {
        let push = between(&update);
        let strong = &push.strong[1];
        let StrongBody::Pdu(pdu) = &strong.body else { panic!("{strong:?}") };
        assert_eq!((&pdu.reference, text(&pdu.bytes)), (&reference("blue", "i"), PDU));
        assert_eq!(strong.bytes, update, "the PDU is carried unchanged");
        assert!(matches!((&push.strong[0].body, &push.strong[2].body), (StrongBody::Plain, StrongBody::Plain)));
    }
}

/// A server on the way may rewrite a PDU; the rewritten repeat must not count as a conflict.
#[test]
fn repeated_pdu_matches_by_identity() {
    let digest_of = |update: &str| between(update).strong[1].digest;
    let one = digest_of(&format!(r#"{{"update":"pdu","pdu":{PDU}}}"#));
    let anew = PDU.replace("\"ts\":1,", "\"ts\": 1 ,").replace("1e2", "100");
    assert_eq!(digest_of(&format!(r#"{{"pdu":{anew},"update":"pdu"}}"#)), one);
    assert_ne!(digest_of(&format!(r#"{{"update":"pdu","pdu":{}}}"#, PDU.replace("\"i\"", "\"j\""))), one);
    let other = digest_of(&format!(r#"{{"update":"pdu","pdu":{}}}"#, PDU.replace("blue\",\"c", "red\",\"c")));
    assert_ne!(other, one);
    let bad = r#"{"update":"pdu","pdu":{}}"#;
    assert_eq!(digest_of(bad), digest(bad.as_bytes()), "an update without a valid PDU is identified by its bytes");
}

#[test]
fn bad_carried_pdu_is_refused_alone() {
    let mut table: Vec<(String, &str)> = bad_pdus();
    table.retain(|(pdu, code)| pdu != "null" && *code != "TOO_DEEP");
    let mut table: Vec<_> =
        table.into_iter().map(|(pdu, code)| (format!(r#"{{"update":"pdu","pdu":{pdu}}}"#), code)).collect();
    table.push((r#"{"update":"pdu"}"#.to_owned(), "MISSING_KEY"));
    table.push((r#"{"update":"pdu","pdu":null}"#.to_owned(), "NOT_AN_OBJECT"));
    table.push((format!(r#"{{"update":"pdu","pdu":{PDU},"pdu":{PDU}}}"#), "DUPLICATE_KEY"));
    table.push((format!(r#"{{"update":"pdu","pdu":{PDU},"update":"message"}}"#), "DUPLICATE_KEY"));
    for (update, expected) in table {
        let push = between(&update);
        let StrongBody::BadPdu(bad) = &push.strong[1].body else { panic!("{update}") };
        assert_eq!(bad.code, expected, "{update}");
        assert!(matches!((&push.strong[0].body, &push.strong[2].body), (StrongBody::Plain, StrongBody::Plain)));
    }
}

#[test]
fn other_updates_stay_plain() {
    for update in [
        r#"{"update":"message","pdu":{}}"#,
        r#"{"update":"message","update":"pdu","pdu":{}}"#,
        r#"{"update":["pdu"],"pdu":{}}"#,
        r#"{"Update":"pdu"}"#,
        r#"{"a":{"update":"pdu"}}"#,
        "{}",
    ] {
        let push = between(update);
        assert!(matches!(push.strong[1].body, StrongBody::Plain), "{update}");
        assert_eq!(push.strong[1].digest, digest(update.as_bytes()));
    }
}

#[test]
fn push_encodes_updates_pdus_and_ephemeral() {
    let second = Duration::from_secs(1);
    let typing =
        |n: u8| Edu { kind: "typing".to_owned(), content: format!(r#"{{"update":"typing","n": {n}}}"#).into() };
    let mut frame = OutboundBatch {
        receipts: PeerReceipts::NONE,
        to: name("blue"),
        dialect: DialectSpec::UPDATES,
        label: BatchId::SeqRange { first: Some(Seq(4)), last: Seq(5) },
        items: vec![
            Item::Update(Bytes::from_static(b"{\"a\": 1.0}")),
            Item::Pdu(reference("blue", "i"), Bytes::from_static(PDU.as_bytes())),
        ],
        weak: vec![typing(1), typing(2)],
        traces: vec![],
        deadlines: RequestDeadlines { connect: second, total: second },
    };
    let strong = format!(r#""strong":[{{"a": 1.0}},{{"update":"pdu","pdu":{PDU}}}],"seq":5,"from_seq":4"#);
    let weak = r#""weak":[{"update":"typing","n": 1},{"update":"typing","n": 2}]"#;
    assert_eq!(text(&encode(&frame)), format!("{{{weak},{strong}}}"));
    frame.weak.clear();
    let body = encode(&frame);
    assert_eq!(text(&body), format!("{{{strong}}}"));
    let push = read(&body);
    assert!(matches!(&push.strong[1].body, StrongBody::Pdu(pdu) if text(&pdu.bytes) == PDU));
}

/// A PDU that one dialect accepts must fit the other: a PDU that makes a whole push unreadable would block all items after
/// it.
#[test]
fn deepest_pdu_fits_push() {
    let nested = format!("{}{}", "[".repeat(PDU_NESTING_MAX - 1), "]".repeat(PDU_NESTING_MAX - 1));
    let pdu = PDU.replace("{\"n\": 1e2}", &nested);
    let push = between(&format!(r#"{{"update":"pdu","pdu":{pdu}}}"#));
    assert!(matches!(push.strong[1].body, StrongBody::Pdu(_)));
}
