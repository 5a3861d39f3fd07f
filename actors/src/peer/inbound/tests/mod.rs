//! Pushes in, answers and feed entries out.

use bytes::Bytes;

use crate::errors::BatchError;
use crate::model::{Ack, FeedItem, InboundPush, ParkedCode, Pdu, PduProof, PduRef, Seq, StrongBody, StrongUpdate};
use crate::peer::inbound::*;
use crate::reply_token::ReplyToken;

fn inbound(limits: PeerLimits) -> Inbound {
    Inbound::new("red".parse().expect("valid"), Arc::new(limits), &InboundRecord::default(), vec![], vec![])
}

fn push(seq: u64, texts: &[&str]) -> InboundPush {
    let strong = |text: &&str| {
        let mut digest = [0; 16];
        digest[..text.len()].copy_from_slice(text.as_bytes());
        StrongUpdate {
            bytes: Bytes::from(text.to_string()),
            digest: Digest(digest),
            body: if text.starts_with('{') {
                StrongBody::Plain
            } else {
                StrongBody::Unsound(ParkedCode::NotAnObject, "not an object")
            },
        }
    };
    let from_seq = Some(Seq(seq + 1 - texts.len() as u64));
    InboundPush {
        from_seq,
        seq: Seq(seq),
        strong: texts.iter().map(strong).collect(),
        weak: 0,
        ephemeral: vec![],
        verified: "network",
        receipts: PeerReceipts::NONE,
        nonce: None,
    }
}

/// Returns the answer, and the entries of the feed and of quarantine.
fn take(inbound: &mut Inbound, push: InboundPush) -> (Result<Ack, BatchError>, Vec<String>) {
    let mut out = EffectCollector::default();
    inbound.accept(InboundBatch::Push(push, ReplyToken::new(1)), UnknownContexts::default(), &mut out);
    let Some(PeerEffect::Answer(BatchReply::Push(_, answer))) = out.effects.pop() else {
        panic!("each push is answered")
    };
    let told = out.changes.iter().filter_map(|change| match change {
        Change::FeedAppended(FeedItem::Update { n, seq, bytes, .. }) => Some(format!("#{n} {seq} {}", text(bytes))),
        Change::Quarantined { parked, .. } => Some(format!("parked {:?} {}", parked.what, text(&parked.bytes))),
        Change::FeedAppended(other) => Some(format!("{other:?}")),
        _ => None,
    });
    (answer.map(|receipt| receipt.ack), told.collect())
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).expect("test data")
}

#[test]
fn repeated_push_is_acknowledged_only() {
    let mut inbound = inbound(PeerLimits::default());
    let (answer, told) = take(&mut inbound, push(2, &["{a}", "{b}"]));
    assert_eq!((answer, told), (Ok(Ack::Ok(Seq(2))), vec!["#1 1 {a}".to_owned(), "#2 2 {b}".to_owned()]));
    assert_eq!(take(&mut inbound, push(2, &["{a}", "{b}"])), (Ok(Ack::Ok(Seq(2))), vec![]));
    let (answer, told) = take(&mut inbound, push(3, &["{b}", "{c}"]));
    assert_eq!((answer, told), (Ok(Ack::Ok(Seq(3))), vec!["#3 3 {c}".to_owned()]));
}

#[test]
fn hole_accepts_nothing_names_expected() {
    let mut inbound = inbound(PeerLimits::default());
    let expected = Seq(1);
    assert_eq!(take(&mut inbound, push(7, &["{g}"])), (Ok(Ack::Hole { expected, conflict: false }), vec![]));
    assert_eq!(inbound.record(), InboundRecord::default());
}

#[test]
fn bad_update_is_quarantined_alone() {
    let mut inbound = inbound(PeerLimits::default());
    let (answer, told) = take(&mut inbound, push(3, &["{a}", "7", "{c}"]));
    assert_eq!(answer, Ok(Ack::Ok(Seq(3))));
    assert_eq!(told, ["#1 1 {a}", "parked Update(2) 7", "#2 3 {c}"]);
}

#[test]
fn push_over_window_is_refused() {
    let mut inbound = inbound(PeerLimits { intake_items: 1, ..PeerLimits::default() });
    let (answer, told) = take(&mut inbound, push(2, &["{a}", "{b}"]));
    assert_eq!((answer, told), (Err(BatchError::TooManyItems { count: 2, max: 1 }), vec![]));
}

#[test]
fn restored_unranged_sender_is_accepted() {
    let mut inbound = inbound(PeerLimits::default());
    for (seq, text) in [(1, "{a}"), (2, "{b}"), (3, "{c}")] {
        let _ = take(&mut inbound, InboundPush { from_seq: None, ..push(seq, &[text]) });
    }
    let (answer, told) = take(&mut inbound, InboundPush { from_seq: None, ..push(2, &["{x}"]) });
    assert_eq!(answer, Ok(Ack::Ok(Seq(2))));
    assert!(told[0].contains("restored from a backup"), "{told:?}");
    assert_eq!(told[1], "#4 2 {x}", "the count of what was taken never goes back");
    let (answer, told) = take(&mut inbound, InboundPush { from_seq: None, ..push(3, &["{y}"]) });
    assert_eq!((answer, told), (Ok(Ack::Ok(Seq(3))), vec!["#5 3 {y}".to_owned()]));
}

#[test]
fn conflict_is_announced_once() {
    let mut inbound = inbound(PeerLimits::default());
    let _ = take(&mut inbound, push(2, &["{a}", "{b}"]));
    let hole = |expected| Ok(Ack::Hole { expected: Seq(expected), conflict: true });
    let (answer, told) = take(&mut inbound, push(2, &["{x}"]));
    assert_eq!((answer, told.len()), (hole(3), 1));
    assert!(
        told[0].contains("reused number 2 for a different update") && told[0].contains("with number 3"),
        "{told:?}"
    );
    assert_eq!(take(&mut inbound, push(2, &["{x}"])), (hole(3), vec![]), "a repeat is no other conflict");
    let _ = take(&mut inbound, push(3, &["{x}"]));
    let (answer, told) = take(&mut inbound, push(3, &["{y}"]));
    assert_eq!((answer, told.len()), (hole(4), 1), "another conflict is");
}

#[test]
fn ranged_replay_beyond_digests_conflicts() {
    let mut inbound = inbound(PeerLimits::default());
    for n in 1..=1_100 {
        let _ = take(&mut inbound, push(n, &[&format!("{{{n}}}")]));
    }
    let (answer, told) = take(&mut inbound, push(5, &["{5}"]));
    assert_eq!((answer, told.len()), (Ok(Ack::Hole { expected: Seq(1_101), conflict: true }), 1));
}

#[test]
fn unranged_replay_beyond_digests_dropped() {
    let mut inbound = inbound(PeerLimits::default());
    for n in 1..=1_100 {
        let _ = take(&mut inbound, push(n, &[&format!("{{{n}}}")]));
    }
    let unranged = |n: u64| InboundPush { from_seq: None, ..push(n, &["{x}"]) };
    let (answer, told) = take(&mut inbound, unranged(5));
    assert_eq!((answer, told.len()), (Ok(Ack::Ok(Seq(5))), 1));
    assert!(told[0].contains("dropped"), "{told:?}");
    assert_eq!(take(&mut inbound, unranged(6)), (Ok(Ack::Ok(Seq(6))), vec![]));
    assert_eq!(inbound.record().expected, Seq(1_101));
}

#[test]
fn learned_push_numbering_survives_restart() {
    let mut inbound = inbound(PeerLimits::default());
    let unranged = |seq: u64, texts: &[&str]| {
        let push = push(seq + texts.len() as u64, texts);
        InboundPush { from_seq: None, seq: Seq(seq), ..push }
    };
    let (answer, told) = take(&mut inbound, unranged(1, &["{a}", "{b}"]));
    assert_eq!((answer, told), (Ok(Ack::Ok(Seq(1))), vec!["#1 1 {a}".to_owned(), "#2 1 {b}".to_owned()]));
    assert!(inbound.record().numbers_pushes);
    assert_eq!(take(&mut inbound, unranged(1, &["{a}", "{b}"])), (Ok(Ack::Ok(Seq(1))), vec![]), "a repeat");
    assert_eq!(take(&mut inbound, unranged(2, &[])), (Ok(Ack::Ok(Seq(2))), vec![]));
    let record = inbound.record();
    let digests = (1..record.expected.0).filter_map(|number| inbound.pushes.sequence.digest(number)).collect();
    let limits = Arc::new(PeerLimits::default());
    let mut again = Inbound::new("red".parse().expect("valid"), limits, &record, digests, vec![]);
    assert_eq!(take(&mut again, unranged(2, &[])), (Ok(Ack::Ok(Seq(2))), vec![]));
    assert_eq!(take(&mut again, unranged(3, &["{c}"])), (Ok(Ack::Ok(Seq(3))), vec!["#3 3 {c}".to_owned()]));
    // The push has two updates under the numbers 4 and 5, so this sender counts updates after all.
    let (answer, told) = take(&mut again, unranged(5, &["{d}", "{e}"]));
    assert_eq!((answer, told), (Ok(Ack::Ok(Seq(5))), vec!["#4 4 {d}".to_owned(), "#5 5 {e}".to_owned()]));
    assert!(!again.record().numbers_pushes);
}

#[test]
fn repeated_empty_push_is_accepted() {
    let mut inbound = inbound(PeerLimits::default());
    let weak = |seq| InboundPush { from_seq: None, ..push(seq, &[]) };
    let hole = Ok(Ack::Hole { expected: Seq(1), conflict: false });
    assert_eq!(take(&mut inbound, InboundPush { seq: Seq(1), ..weak(0) }), (hole, vec![]));
    assert_eq!(take(&mut inbound, InboundPush { seq: Seq(1), ..weak(0) }), (Ok(Ack::Ok(Seq(1))), vec![]));
    let record = InboundRecord { expected: Seq(2), taken: 0, numbers_pushes: true, ..InboundRecord::default() };
    assert_eq!(inbound.record(), record);
}

/// Returns a digest that a test names by a letter.
pub(super) fn letter_digest(letter: char) -> Digest {
    Digest([letter as u8; 16])
}

/// Returns a PDU of red without parents, in one context.
pub(super) fn red_pdu(id: &str) -> Pdu {
    Pdu {
        reference: PduRef { origin: "red".parse().expect("valid"), id: id.parse().expect("valid") },
        context: "#room".parse().expect("valid"),
        prev: vec![],
        depth: None,
        kind: "m.text".into(),
        state: None,
        to: None,
        bytes: Bytes::from_static(b"{}"),
        proof: PduProof::Sender,
    }
}

/// Returns a push of the updates that these letters name, numbered up to `seq`.
pub(crate) fn letter_push(from_seq: Option<u64>, seq: u64, letters: &str) -> InboundPush {
    let strong = |letter| StrongUpdate { bytes: Bytes::new(), digest: letter_digest(letter), body: StrongBody::Plain };
    InboundPush {
        from_seq: from_seq.map(Seq),
        seq: Seq(seq),
        strong: letters.chars().map(strong).collect(),
        weak: 0,
        ephemeral: vec![],
        verified: "network",
        receipts: PeerReceipts::NONE,
        nonce: None,
    }
}
