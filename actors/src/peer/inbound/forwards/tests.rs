//! Traces of forwards: at a server that passes them on, and in the sequence of their origin at their destination.

use std::sync::Arc;

use bytes::Bytes;

use crate::change::Change;
use crate::errors::UnavailableError;
use crate::limits::PeerLimits;
use crate::model::{
    Ack, Digest, ForwardFacts, ForwardProof, ForwardRoute, ForwardedUpdate, InboundPush, InboundRecord, Millis,
    ParkedItem, PeerReceipts, PushNovelty, Receipt, Seq, StrongBody, StrongUpdate,
};
use crate::peer::effect::{BatchReply, EffectCollector, PeerEffect, PushReply};
use crate::peer::inbound::dispatch::UnknownContexts;
use crate::peer::inbound::forwards::forward_run::{RunPlace, forwarded_push};
use crate::peer::inbound::tests::letter_push;
use crate::peer::inbound::{Inbound, InboundBatch};
use crate::reply_token::ReplyToken;

/// The inbound machine of the peer `a` or of a relay, whose effects are printed.
struct Bench {
    inbound: Inbound,
    trace: Vec<String>,
}

impl Bench {
    fn of(server: &str, held_max: u32) -> Self {
        let mut limits = PeerLimits::default();
        limits.relay.held_max = held_max;
        let inbound =
            Inbound::new(server.parse().expect("valid"), Arc::new(limits), &InboundRecord::default(), vec![], vec![]);
        Self { inbound, trace: vec![] }
    }

    fn step(&mut self, cause: &str, step: impl FnOnce(&mut Inbound, &mut EffectCollector)) -> &mut Self {
        let mut out = EffectCollector { now: Millis(1_000_000), ..EffectCollector::default() };
        step(&mut self.inbound, &mut out);
        let changes = out.changes.iter().map(|change| match change {
            Change::ForwardPassedOn { route, id, .. } => format!("queue {id} for {}", route.destination),
            Change::ForwardTaken { origin, id, .. } => format!("remember {origin} {id}"),
            Change::ForwardsHeld { updates, .. } => format!("hold {}", updates.len()),
            Change::HeldForwardsDropped { below, .. } if *below == Seq(u64::MAX) => "drop all".to_owned(),
            Change::HeldForwardsDropped { below, .. } => format!("drop below {below}"),
            Change::Quarantined { parked: ParkedItem { code, what, .. }, .. } => {
                format!("park {} {what:?}", code.as_str())
            }
            Change::InboundDigestsStored { first, digests, .. } => format!("taken {first}+{}", digests.len()),
            Change::FeedAppended(_) => "feed".to_owned(),
            other => panic!("{other:?}"),
        });
        let effects = out.effects.iter().map(|effect| match effect {
            PeerEffect::HandOver(run) => {
                let first = run.push.from_seq.expect("a range");
                format!("to {} {first}..={} from place {}", run.origin, run.push.seq, run.place.first)
            }
            PeerEffect::CountForward(role, result) => format!("{} {result}", role.as_str()),
            PeerEffect::Answer(BatchReply::Push(_, reply)) => print(reply),
            other => panic!("{other:?}"),
        });
        self.trace.push(format!("{cause}: {}", changes.chain(effects).collect::<Vec<_>>().join("; ")));
        self
    }

    fn push(&mut self, cause: &str, push: InboundPush) -> &mut Self {
        let batch = InboundBatch::Push(push, ReplyToken::new(1));
        self.step(cause, |inbound, out| inbound.accept(batch, UnknownContexts::default(), out))
    }

    fn forwarded(&mut self, first: u64, letters: &str) -> &mut Self {
        let strong = letter_push(Some(first), first, letters).strong;
        let batch = InboundBatch::Forwarded(forwarded_push(Seq(first), strong), Some(ReplyToken::new(1)));
        self.step(&format!("{letters} from {first}"), |inbound, out| {
            inbound.accept(batch, UnknownContexts::default(), out);
        })
    }

    fn check(&self, expected: &[&str]) {
        assert_eq!(self.trace, expected, "\n{}", self.trace.join("\n"));
    }
}

fn print(reply: &PushReply) -> String {
    match reply {
        Ok(Receipt { ack: Ack::Ok(seq), parked, .. }) if parked.is_empty() => format!("ok {seq}"),
        Ok(Receipt { ack: Ack::Ok(seq), parked, .. }) => format!("ok {seq}, parked {parked:?}"),
        Ok(Receipt { ack, .. }) => format!("{ack:?}"),
        Err(error) => format!("refused: {error}"),
    }
}

/// A push of the relay `b` with forwards of `a` to `c`, each with its number; `change` makes them what the test needs.
fn relayed(numbers: &[u64], change: impl Fn(&mut ForwardedUpdate)) -> InboundPush {
    let strong = |number: &u64| {
        let update = StrongUpdate {
            bytes: Bytes::from_static(b"{}"),
            digest: Digest([u8::try_from(*number).expect("small"); 16]),
            body: StrongBody::Plain,
        };
        let mut forward = ForwardedUpdate {
            route: ForwardRoute { origin: "a".parse().expect("valid"), destination: "c".parse().expect("valid") },
            id: format!("f{number}").into(),
            hops: 1,
            sent: Millis(1_000_000),
            number: Seq(*number),
            proof: ForwardProof::Signature,
            facts: ForwardFacts { is_allowed: true, is_peer: true, ..ForwardFacts::default() },
            update: Some(Box::new(update)),
            onward: Bytes::from_static(b"{}"),
            is_known: false,
            outcome: None,
        };
        change(&mut forward);
        StrongUpdate {
            bytes: Bytes::from_static(b"{forward}"),
            digest: Digest([100 + u8::try_from(*number).expect("small"); 16]),
            body: StrongBody::Forward(Box::new(forward)),
        }
    };
    let strong: Vec<StrongUpdate> = numbers.iter().map(strong).collect();
    let (from_seq, seq) = (Some(Seq(1)), Seq(strong.len() as u64));
    InboundPush {
        from_seq,
        seq,
        strong,
        weak: 0,
        ephemeral: vec![],
        receipts: PeerReceipts::NONE,
        verified: "network",
        nonce: None,
    }
}

fn for_us(forward: &mut ForwardedUpdate) {
    forward.facts = ForwardFacts { is_for_us: true, ..ForwardFacts::default() };
}

fn ok(seq: u64) -> PushReply {
    Ok(Ack::Ok(Seq(seq)).into())
}

#[test]
fn relay_queues_in_same_commit() {
    let mut bench = Bench::of("b", 9);
    bench.push("accept", relayed(&[7, 8], |forward| forward.is_known = forward.number == Seq(8)));
    bench.push("again", relayed(&[7, 8], |_| ()));
    bench.check(&["accept: taken 1+2; queue f7 for c; relay queued; relay duplicate; ok 2", "again: ok 2"]);
}

#[test]
fn refused_forwards_use_their_numbers() {
    let mut bench = Bench::of("b", 9);
    bench.push(
        "accept",
        relayed(&[1, 2, 3, 4], |forward| match forward.number.0 {
            1 => forward.facts.is_allowed = false,
            2 => forward.hops = 4,
            3 => forward.facts.is_from_us = true,
            _ => forward.facts.is_peer = false,
        }),
    );
    bench.push("again", relayed(&[1], |forward| forward.facts.is_allowed = false));
    bench.check(&[
        "accept: taken 1+4; relay refused; relay refused; relay refused; relay refused; ok 4, parked [(1, \
         \"RELAY_NOT_ALLOWED\"), (2, \"RELAY_HOPS\"), (3, \"RELAY_LOOP\"), (4, \"UNKNOWN_DESTINATION\")]",
        "again: ok 1, parked [(1, \"RELAY_NOT_ALLOWED\")]",
    ]);
}

#[test]
fn forged_forward_goes_to_quarantine() {
    let mut bench = Bench::of("b", 9);
    bench.push(
        "accept",
        relayed(&[1, 2], |forward| {
            for_us(forward);
            forward.proof = match forward.number.0 {
                1 => ForwardProof::Wrong("it is forged".into()),
                _ => ForwardProof::KeysUnknown("no key".into()),
            };
        }),
    );
    bench.check(&[
        "accept: taken 1+2; park BAD_SIGNATURE Forward(1, a); park KEYS_UNKNOWN Forward(2, a); destination refused; \
         destination refused; ok 2, parked [(1, \"BAD_SIGNATURE\"), (2, \"KEYS_UNKNOWN\")]",
    ]);
}

#[test]
fn forwards_for_us_reach_their_origin() {
    let mut bench = Bench::of("b", 9);
    bench.push("accept", relayed(&[4, 5, 9], for_us));
    bench.step("first is back", |inbound, out| inbound.forwarded(RunPlace { batch: 0, first: 0 }, ok(5), out));
    let hole = Ok(Ack::Hole { expected: Seq(6), conflict: false }.into());
    bench.step("second is back", |inbound, out| inbound.forwarded(RunPlace { batch: 0, first: 2 }, hole, out));
    bench.check(&[
        "accept: to a 4..=5 from place 0; to a 9..=9 from place 2",
        "first is back: ",
        "second is back: taken 1+3; remember a f4; remember a f5; destination taken; destination taken; \
         destination refused; ok 3, parked [(3, \"RELAY_NOT_KEPT\")]",
    ]);
}

#[test]
fn busy_origin_gives_batch_back() {
    let mut bench = Bench::of("b", 9);
    bench.push("accept", relayed(&[4], for_us));
    let busy = Err(UnavailableError::OutcomeUnknown.into());
    bench.step("back", |inbound, out| inbound.forwarded(RunPlace { batch: 0, first: 0 }, busy, out));
    assert!(bench.trace[1].starts_with("back: refused"), "{}", bench.trace[1]);
    bench.push("again", relayed(&[4], for_us));
    assert_eq!(bench.trace[2], "again: to a 4..=4 from place 0", "nothing was stored");
}

#[test]
fn overtaking_forwards_wait_their_turn() {
    let mut bench = Bench::of("a", 2);
    bench.forwarded(1, "ab").forwarded(4, "de").forwarded(6, "f").forwarded(2, "b");
    // The missing one comes from its origin itself.
    bench.push("c comes", letter_push(Some(3), 3, "c"));
    bench.push("e again", letter_push(Some(5), 5, "e"));
    bench.check(&[
        "ab from 1: taken 1+2; feed; feed; ok 2",
        "de from 4: hold 2; destination held; destination held; ok 5",
        "f from 6: destination not_kept; Hole { expected: 3, conflict: false }",
        "b from 2: destination duplicate; ok 2",
        "c comes: taken 3+1; feed; taken 4+2; feed; feed; drop below 6; ok 3",
        "e again: ok 5",
    ]);
}

#[test]
fn renumbering_origin_loses_held_forwards() {
    let mut bench = Bench::of("a", 9);
    bench.forwarded(1, "ab").forwarded(4, "d");
    bench.push("another b", letter_push(Some(2), 2, "x"));
    bench.forwarded(2, "x");
    assert_eq!(bench.trace[2], "another b: feed; drop all; Hole { expected: 3, conflict: true }");
    assert_eq!(bench.trace[3], "x from 2: destination differs; ok 2");
}

/// The answer to a forwarded run does not reach its origin, so no receipts may go with it.
#[test]
fn forwarded_answer_takes_no_receipts() {
    let novelty = |forwarded: bool| {
        let (mut bench, mut out) = (Bench::of("a", 9), EffectCollector::default());
        let (push, token) = (letter_push(Some(1), 2, "ab"), ReplyToken::new(1));
        let batch = match forwarded {
            true => InboundBatch::Forwarded(forwarded_push(Seq(1), push.strong), Some(token)),
            false => InboundBatch::Push(push, token),
        };
        bench.inbound.accept(batch, UnknownContexts::default(), &mut out);
        out.effects.iter().find_map(|effect| match effect {
            PeerEffect::Answer(BatchReply::Push(_, Ok(receipt))) => Some(receipt.novelty),
            _ => None,
        })
    };
    assert_eq!((novelty(true), novelty(false)), (Some(PushNovelty::Empty), Some(PushNovelty::New)));
}

/// Two servers pass on to us what each wrote: the actor of each waits for the other, and both go on.
#[test]
fn mutual_forwards_do_not_wait() {
    let mut bench = Bench::of("b", 9);
    bench.push("accept", relayed(&[1], for_us));
    bench.forwarded(3, "x");
    bench.step("back", |inbound, out| inbound.forwarded(RunPlace { batch: 0, first: 0 }, ok(1), out));
    bench.check(&[
        "accept: to a 1..=1 from place 0",
        "x from 3: hold 1; destination held; ok 3",
        "back: taken 1+1; remember a f1; destination taken; ok 1",
    ]);
}
