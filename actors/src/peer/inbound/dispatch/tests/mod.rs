//! Traces of the inbound machine: batches on their way through their contexts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::change::Change;
use crate::errors::{AdmissionError, BatchError, PeerError, UnavailableError};
use crate::limits::PeerLimits;
use crate::model::{
    Ack, BadPdu, Digest, InboundPush, InboundRecord, InboundTransaction, Millis, ParkedItem, Pdu, PduProof,
    PeerReceipts, PullResponse, PushFailure, Receipt, Seq, StrongBody, StrongUpdate,
};
use crate::peer::effect::{BatchReply, EffectCollector, PeerEffect, Pull, PushReply, TransactionReply};
use crate::peer::inbound::catch_up::PULL_PAGES_MAX;
use crate::peer::inbound::dispatch::*;
use crate::peer::inbound::{Inbound, InboundBatch};
use crate::peer::outbound::StepInput;
use crate::reply_token::ReplyToken;

fn pdu(id: &str, context: &str) -> Pdu {
    Pdu {
        reference: PduRef { origin: "red".parse().expect("valid"), id: id.parse().expect("valid") },
        context: context.parse().expect("valid"),
        prev: vec![],
        depth: None,
        kind: "m.text".into(),
        state: None,
        to: None,
        bytes: Bytes::from(format!("{{\"pdu_id\":\"{id}\"}}")),
        proof: PduProof::Sender,
    }
}

fn transaction(id: &str, pdus: Vec<Result<Pdu, BadPdu>>) -> InboundBatch {
    let mut digest = [0; 16];
    digest[0] = u8::try_from(pdus.len()).expect("few");
    let (id, digest, edus, relay_to, receipts) = (id.to_owned(), Digest(digest), vec![], vec![], PeerReceipts::NONE);
    let prev_ids = vec![];
    let transaction =
        InboundTransaction { id, digest, prev_ids, pdus, edus, relay_to, receipts, verified: "network", nonce: None };
    InboundBatch::Transaction(transaction, ReplyToken::new(0))
}

/// Returns a transaction without PDUs that names earlier ones.
fn after(id: &str, prev_ids: &[&str]) -> InboundBatch {
    let InboundBatch::Transaction(transaction, token) = transaction(id, vec![]) else { panic!("it is one") };
    let prev_ids = prev_ids.iter().map(|id| (*id).to_owned()).collect();
    InboundBatch::Transaction(InboundTransaction { prev_ids, ..transaction }, token)
}

/// An inbound machine whose effects are printed.
struct Bench {
    inbound: Inbound,
    trace: Vec<String>,
    tokens: u64,
    now: Millis,
    /// Ids of the messages of groups that were passed on.
    ids: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        Self::under(PeerLimits::default())
    }

    fn under(limits: PeerLimits) -> Self {
        let server = "red".parse().expect("valid");
        let limits = Arc::new(limits);
        let inbound = Inbound::new(server, limits, &InboundRecord::default(), vec![], vec![]);
        Self { inbound, trace: vec![], tokens: 0, now: Millis(0), ids: vec![] }
    }

    /// Returns a machine of a restored store whose newest transaction is this one.
    fn restored(newest: u64) -> Self {
        let record = InboundRecord { catch_up: Some(newest), restored: 1, ..InboundRecord::default() };
        let inbound =
            Inbound::new("red".parse().expect("valid"), Arc::new(PeerLimits::default()), &record, vec![], vec![]);
        Self { inbound, ..Self::new() }
    }

    /// Restarts the machine, with the digests of the last updates.
    fn restart(&mut self, digests: Vec<Digest>) {
        let (server, limits) = ("red".parse().expect("valid"), Arc::new(PeerLimits::default()));
        self.inbound = Inbound::new(server, limits, &self.inbound.record(), digests, vec![]);
    }

    fn accept(&mut self, frame: InboundBatch) -> &mut Self {
        self.accept_strange(frame, UnknownContexts::default())
    }

    fn accept_strange(&mut self, frame: InboundBatch, strange: UnknownContexts) -> &mut Self {
        self.tokens += 1;
        let batch = match frame {
            InboundBatch::Push(push, _) => InboundBatch::Push(push, ReplyToken::new(self.tokens)),
            InboundBatch::Transaction(transaction, _) => {
                InboundBatch::Transaction(transaction, ReplyToken::new(self.tokens))
            }
            InboundBatch::Forwarded(push, _) => InboundBatch::Forwarded(push, Some(ReplyToken::new(self.tokens))),
            pulled @ InboundBatch::Pulled(..) => pulled,
        };
        self.step(&format!("accept {}", self.tokens), |inbound, out| inbound.accept(batch, strange, out))
    }

    fn pulled(&mut self, after: u64, page: u32, pulled: PullResponse) -> &mut Self {
        self.step("pulled", |inbound, out| {
            inbound.pulled(Pull { after, page, catch_up: false }, Ok(pulled), UnknownContexts::default(), out);
        })
    }

    fn back(&mut self, context: &str, places: &[usize], outcome: Result<Vec<PduVerdict>, DispatchError>) -> &mut Self {
        let group =
            ContextGroup { context: context.parse().expect("valid"), places: places.to_vec(), is_bridged: false };
        self.step(&format!("{context} is back"), |inbound, out| inbound.dispatched(&group, outcome, out))
    }

    fn step(&mut self, cause: &str, step: impl FnOnce(&mut Inbound, &mut EffectCollector)) -> &mut Self {
        let mut out = EffectCollector::default();
        self.inbound.begin_step(StepInput { now: self.now, jitter_roll: 0.5 });
        step(&mut self.inbound, &mut out);
        let changes = out.changes.iter().map(|change| match change {
            Change::Quarantined { parked: ParkedItem { code, bytes, .. }, .. } => {
                format!("park {} {}", code.as_str(), String::from_utf8_lossy(bytes))
            }
            Change::TransactionSeen { seen, .. } => format!("seen {}", seen.id),
            Change::InboundDigestsStored { first, digests, .. } => format!("taken {first}+{}", digests.len()),
            Change::FeedAppended(_) => "feed".to_owned(),
            Change::Staged { context, pdus, .. } => format!("stage {} for {context}", pdus.len()),
            other => panic!("{other:?}"),
        });
        let ids = out.effects.iter().filter_map(|effect| match effect {
            PeerEffect::DispatchMessages { messages, .. } => {
                Some(messages.iter().map(|message| message.id.to_string()))
            }
            _ => None,
        });
        self.ids.extend(ids.flatten());
        let effects = out.effects.iter().map(|effect| match effect {
            PeerEffect::DispatchMessages { group, .. } => format!("messages to {} {:?}", group.context, group.places),
            PeerEffect::Dispatch { group, after_staged, .. } => {
                format!("to {} {:?}{}", group.context, group.places, if *after_staged { " after staged" } else { "" })
            }
            PeerEffect::TellStaged(context) => format!("tell {context}"),
            PeerEffect::Answer(reply) => print(reply),
            PeerEffect::Pull(Pull { after, page, catch_up }) => {
                format!("pull after {after}, page {page}{}", if *catch_up { ", to catch up" } else { "" })
            }
            other => panic!("{other:?}"),
        });
        self.trace.push(format!("{cause}: {}", changes.chain(effects).collect::<Vec<_>>().join("; ")));
        self
    }

    fn check(&self, expected: &[&str]) {
        assert_eq!(self.trace, expected, "\n{}", self.trace.join("\n"));
    }
}

fn print(reply: &BatchReply) -> String {
    match reply {
        BatchReply::Push(token, reply) => format!("answer {} {}", token.number(), print_push(reply)),
        BatchReply::Transaction(token, reply) => format!("answer {} {}", token.number(), print_transaction(reply)),
    }
}

fn print_push(reply: &PushReply) -> String {
    match reply {
        Ok(Receipt { ack: Ack::Ok(seq), parked, .. }) if parked.is_empty() => format!("ok {seq}"),
        Ok(Receipt { ack: Ack::Ok(seq), parked, .. }) => {
            let parked = parked.iter().map(|(number, code)| format!("{number} {code}")).collect::<Vec<_>>();
            format!("ok {seq}, parked {}", parked.join(" and "))
        }
        Ok(Receipt { ack, .. }) => format!("{ack:?}"),
        Err(error) => print_error(error),
    }
}

fn print_transaction(reply: &TransactionReply) -> String {
    let word = |verdict: &PduVerdict| match verdict {
        PduVerdict::Parked { code } | PduVerdict::Refused { code, .. } => (*code).to_owned(),
        other => format!("{other:?}").to_lowercase(),
    };
    match reply {
        Ok(receipt) => receipt.verdicts.iter().map(word).collect::<Vec<_>>().join(","),
        Err(error) => print_error(error),
    }
}

fn print_error(error: &BatchError) -> String {
    match error {
        BatchError::Peer(PeerError::Unavailable(UnavailableError::OutcomeUnknown)) => "unknown".to_owned(),
        other => other.to_string(),
    }
}

const OK: PduVerdict = PduVerdict::Accepted;

#[test]
fn transaction_reply_waits_for_all_contexts() {
    let bad = BadPdu { id: None, origin: None, code: "NO_CONTEXT", reason: "context is missing".into() };
    let mut bench = Bench::new();
    bench.accept(transaction("1", vec![Ok(pdu("a", "#x")), Err(bad), Ok(pdu("b", "#y")), Ok(pdu("c", "#x"))]));
    bench.back("#y", &[2], Ok(vec![PduVerdict::Held])).back("#x", &[0, 3], Ok(vec![OK, PduVerdict::Duplicate])).check(
        &[
            "accept 1: to #x [0, 3]; to #y [2]",
            "#y is back: ",
            "#x is back: seen 1; answer 1 accepted,NO_CONTEXT,held,duplicate",
        ],
    );
}

#[test]
fn repeated_transaction_gets_same_verdicts() {
    let mut bench = Bench::new();
    bench.accept(transaction("1", vec![Ok(pdu("a", "#x"))])).back("#x", &[0], Ok(vec![OK]));
    bench.accept(transaction("1", vec![Ok(pdu("a", "#x"))]));
    // The same id with other PDUs is another transaction.
    bench.accept(transaction("1", vec![Ok(pdu("b", "#x")), Ok(pdu("c", "#x"))]));
    bench.check(&[
        "accept 1: to #x [0]",
        "#x is back: seen 1; answer 1 accepted",
        "accept 2: answer 2 accepted",
        "accept 3: to #x [0, 1]",
    ]);
}

#[test]
fn concurrent_duplicate_batch_runs_once() {
    let mut bench = Bench::new();
    bench.accept(transaction("1", vec![Ok(pdu("a", "#x"))])).accept(transaction("1", vec![Ok(pdu("a", "#x"))]));
    bench.back("#x", &[0], Ok(vec![OK])).check(&[
        "accept 1: to #x [0]",
        "accept 2: ",
        "#x is back: seen 1; answer 1 accepted; answer 2 accepted",
    ]);
}

#[test]
fn empty_transaction_records_its_id() {
    Bench::new().accept(transaction("9", vec![])).check(&["accept 1: seen 9; answer 1 "]);
}

#[test]
fn pdu_crashing_twice_is_quarantined() {
    let batch = || transaction("1", vec![Ok(pdu("a", "#x")), Ok(pdu("b", "#x")), Ok(pdu("c", "#y"))]);
    let mut bench = Bench::new();
    bench.accept(batch()).back("#x", &[0, 1], Err(DispatchError::Died)).back("#y", &[2], Ok(vec![OK]));
    bench.accept(batch()).back("#y", &[2], Ok(vec![PduVerdict::Duplicate]));
    bench.back("#x", &[0], Ok(vec![OK])).back("#x", &[1], Err(DispatchError::Died));
    bench.accept(transaction("2", vec![Ok(pdu("b", "#x"))])).check(&[
        "accept 1: to #x [0, 1]; to #y [2]",
        "#x is back: ",
        "#y is back: answer 1 unknown",
        // The second time, suspects are dispatched one by one after the rest.
        "accept 2: to #y [2]",
        "#y is back: to #x [0]",
        "#x is back: to #x [1]",
        "#x is back: park POISON {\"pdu_id\":\"b\"}; seen 1; answer 2 accepted,POISON,duplicate",
        // The PDU is in quarantine and crashes no actor any more.
        "accept 3: seen 2; answer 3 POISON",
    ]);
}

#[test]
fn late_context_blames_no_pdu() {
    let batch = || transaction("1", vec![Ok(pdu("a", "#x"))]);
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.accept(batch()).back("#x", &[0], Err(DispatchError::Late));
    }
    bench.check(&[
        "accept 1: to #x [0]",
        "#x is back: answer 1 unknown",
        "accept 2: to #x [0]",
        "#x is back: answer 2 unknown",
        "accept 3: to #x [0]",
        "#x is back: answer 3 unknown",
    ]);
}

#[test]
fn faulty_context_spares_other_contexts() {
    let mut bench = Bench::new();
    bench.accept(transaction("1", vec![Ok(pdu("a", "#x")), Ok(pdu("b", "#y"))]));
    bench.back("#x", &[0], Err(DispatchError::Faulty)).back("#y", &[1], Ok(vec![OK])).check(&[
        "accept 1: to #x [0]; to #y [1]",
        "#x is back: ",
        "#y is back: park CONTEXT_FAULTY {\"pdu_id\":\"a\"}; seen 1; answer 1 CONTEXT_FAULTY,accepted",
    ]);
}

#[test]
fn busy_context_rejects_whole_batch() {
    let busy = AdmissionError::LimitReached { limit: "contexts.intake_max", value: 64, wait: Duration::from_secs(1) };
    let mut bench = Bench::new();
    bench.accept(transaction("1", vec![Ok(pdu("a", "#x"))]));
    bench
        .back("#x", &[0], Err(DispatchError::Busy(busy)))
        .check(&["accept 1: to #x [0]", "#x is back: answer 1 contexts.intake_max is reached (64)"]);
}

fn slow(count: u64, staged: &[&str]) -> Result<Vec<PduVerdict>, DispatchError> {
    let reference = |id: &&str| pdu(id, "#x").reference;
    Err(DispatchError::Slow(PeerStage { count, max: 3, staged: staged.iter().map(reference).collect() }))
}

/// Only the PDUs of a busy context wait for it, and the next ones are staged after them at once.
#[test]
fn pdus_of_slow_context_are_staged() {
    let mut bench = Bench::new();
    bench.accept(transaction("1", vec![Ok(pdu("a", "#x")), Ok(pdu("b", "#y"))]));
    bench.back("#y", &[1], Ok(vec![OK])).back("#x", &[0], slow(0, &[]));
    bench.accept(transaction("2", vec![Ok(pdu("a", "#x")), Ok(pdu("c", "#x"))])).back("#x", &[0, 1], slow(1, &["a"]));
    bench.accept(transaction("3", vec![Ok(pdu("d", "#x"))])).back("#x", &[0], Ok(vec![OK]));
    bench.accept(transaction("4", vec![Ok(pdu("e", "#x"))])).check(&[
        "accept 1: to #x [0]; to #y [1]",
        "#y is back: ",
        "#x is back: stage 1 for #x; seen 1; tell #x; answer 1 held,accepted",
        "accept 2: to #x [0, 1] after staged",
        "#x is back: stage 1 for #x; seen 2; tell #x; answer 2 duplicate,held",
        "accept 3: to #x [0] after staged",
        "#x is back: seen 3; answer 3 accepted",
        "accept 4: to #x [0]",
    ]);
}

#[test]
fn full_stage_gives_batch_back() {
    let batch = || transaction("1", ["a", "b"].map(|id| Ok(pdu(id, "#x"))).into());
    let mut bench = Bench::new();
    bench.accept(batch()).back("#x", &[0, 1], slow(2, &[]));
    bench.accept(batch()).back("#x", &[0, 1], slow(2, &["a"]));
    bench.check(&[
        "accept 1: to #x [0, 1]",
        "#x is back: answer 1 contexts.stage_max is reached (3)",
        "accept 2: to #x [0, 1] after staged",
        "#x is back: stage 1 for #x; seen 1; tell #x; answer 2 duplicate,held",
    ]);
}

/// Otherwise a batch larger than the stage could never be accepted.
#[test]
fn an_empty_stage_takes_any_batch() {
    let mut bench = Bench::new();
    bench.accept(transaction("1", ["a", "b", "c", "d"].map(|id| Ok(pdu(id, "#x"))).into()));
    bench.back("#x", &[0, 1, 2, 3], slow(0, &[])).check(&[
        "accept 1: to #x [0, 1, 2, 3]",
        "#x is back: stage 4 for #x; seen 1; tell #x; answer 1 held,held,held,held",
    ]);
}

/// PDUs that were to be dispatched one by one to a context that crashed on them are staged with the rest, once the context
/// is slow.
#[test]
fn suspects_of_slow_context_are_staged() {
    let batch = || transaction("1", ["a", "b", "c"].map(|id| Ok(pdu(id, "#x"))).into());
    let mut bench = Bench::new();
    bench.accept(batch()).back("#x", &[0, 1, 2], Err(DispatchError::Died));
    bench.accept(batch()).back("#x", &[0], Ok(vec![OK])).back("#x", &[1], slow(0, &[])).check(&[
        "accept 1: to #x [0, 1, 2]",
        "#x is back: answer 1 unknown",
        "accept 2: to #x [0]",
        "#x is back: to #x [1]",
        "#x is back: stage 2 for #x; seen 1; tell #x; answer 2 accepted,held,held",
    ]);
}

fn push(seq: u64, bodies: Vec<StrongBody>) -> InboundBatch {
    let strong = |(n, body)| {
        let mut digest = [7; 16];
        digest[0] = u8::try_from(seq).expect("small");
        digest[1] = n;
        StrongUpdate { bytes: Bytes::from(format!("update {n}")), digest: Digest(digest), body }
    };
    let strong: Vec<StrongUpdate> = (0u8..).zip(bodies).map(strong).collect();
    InboundBatch::Push(
        InboundPush {
            from_seq: None,
            seq: Seq(seq),
            strong,
            weak: 0,
            ephemeral: vec![],
            verified: "network",
            receipts: PeerReceipts::NONE,
            nonce: None,
        },
        ReplyToken::new(0),
    )
}

#[test]
fn plain_updates_commit_with_pdus() {
    let mut bench = Bench::new();
    let bodies = || vec![StrongBody::Plain, StrongBody::Pdu(Box::new(pdu("a", "#x")))];
    bench.accept(push(2, bodies())).accept(push(3, vec![StrongBody::Plain]));
    bench.back("#x", &[1], Ok(vec![PduVerdict::Held])).accept(push(2, bodies())).check(&[
        "accept 1: to #x [1]",
        "accept 2: ",
        "#x is back: taken 1+2; feed; taken 3+1; feed; answer 1 ok 2; answer 2 ok 3",
        "accept 3: answer 3 ok 2",
    ]);
}

#[test]
fn refused_push_pdu_consumes_its_number() {
    let bad = BadPdu { id: None, origin: None, code: "NO_CONTEXT", reason: "context is missing".into() };
    let refused = PduVerdict::Refused { code: "SELF_PARENT", reason: "it names itself".into() };
    let mut bench = Bench::new();
    bench.accept(push(2, vec![StrongBody::BadPdu(bad), StrongBody::Pdu(Box::new(pdu("a", "#x")))]));
    bench.back("#x", &[1], Ok(vec![refused])).check(&[
        "accept 1: to #x [1]",
        "#x is back: taken 1+2; park BAD_PDU update 0; park BAD_PDU update 1; answer 1 ok 2, parked 1 BAD_PDU and 2 BAD_PDU",
    ]);
}

/// Regression: PDUs that their context quarantined were answered like delivered ones.
#[test]
fn push_is_told_what_is_parked() {
    let stranger = |id: &str| StrongBody::Pdu(Box::new(pdu(id, "#x")));
    let strong = |seq, bodies| match push(seq, bodies) {
        InboundBatch::Push(push, _) => push.strong,
        other => panic!("{other:?}"),
    };
    let first = || strong(2, vec![stranger("a"), StrongBody::Plain]);
    let longer =
        || [first(), strong(4, vec![stranger("b"), StrongBody::Unsound(ParkedCode::NotAnObject, "a number")])].concat();
    let frame = |strong: Vec<StrongUpdate>| {
        let seq = Seq(strong.len() as u64);
        InboundBatch::Push(
            InboundPush {
                from_seq: Some(Seq(1)),
                seq,
                strong,
                weak: 0,
                ephemeral: vec![],
                verified: "network",
                receipts: PeerReceipts::NONE,
                nonce: None,
            },
            ReplyToken::new(0),
        )
    };
    let parked = PduVerdict::Parked { code: "NOT_A_PARTICIPANT" };
    let mut bench = Bench::new();
    bench.accept(frame(first())).back("#x", &[0], Ok(vec![parked]));
    // No answer arrived: the same push is repeated to a restarted process, with more updates.
    bench.accept(frame(first()));
    bench.restart(first().iter().map(|strong| strong.digest).collect());
    bench.accept(frame(first())).accept(frame(longer()));
    bench.back("#x", &[2], Ok(vec![OK])).accept(push(5, vec![StrongBody::Plain])).check(&[
        "accept 1: to #x [0]",
        "#x is back: taken 1+2; feed; answer 1 ok 2, parked 1 NOT_A_PARTICIPANT",
        "accept 2: answer 2 ok 2, parked 1 NOT_A_PARTICIPANT",
        "accept 3: answer 3 ok 2, parked 1 NOT_A_PARTICIPANT",
        "accept 4: to #x [2]",
        "#x is back: taken 1+4; park NOT_AN_OBJECT update 1; answer 4 ok 4, parked 1 NOT_A_PARTICIPANT and 4 NOT_AN_OBJECT",
        "accept 5: taken 5+1; feed; answer 5 ok 5",
    ]);
}

#[test]
fn adopted_contexts_per_peer_are_bounded() {
    let strange = |contexts: &[&str]| UnknownContexts {
        contexts: contexts.iter().map(|id| id.parse().expect("valid")).collect(),
        most: 2,
    };
    let mut bench = Bench::new();
    bench.accept_strange(transaction("1", vec![Ok(pdu("a", "#x")), Ok(pdu("b", "#x"))]), strange(&["#x"]));
    bench.back("#x", &[0, 1], Ok(vec![OK, PduVerdict::Held]));
    assert_eq!(bench.inbound.record().contexts_created, 1);
    let refused = PduVerdict::Refused { code: "BAD", reason: String::new() };
    bench.accept_strange(transaction("2", vec![Ok(pdu("c", "#none"))]), strange(&["#none"]));
    bench.back("#none", &[0], Ok(vec![refused]));
    assert_eq!(bench.inbound.record().contexts_created, 1, "nothing was begun");
    let three = vec![Ok(pdu("d", "#y")), Ok(pdu("e", "#z")), Ok(pdu("f", "#x"))];
    bench.accept_strange(transaction("3", three), strange(&["#y", "#z"]));
    bench.back("#y", &[0], Ok(vec![OK])).back("#x", &[2], Ok(vec![OK]));
    bench.accept_strange(transaction("4", vec![Ok(pdu("g", "#z"))]), strange(&["#z"]));
    bench.check(&[
        "accept 1: to #x [0, 1]",
        "#x is back: seen 1; answer 1 accepted,held",
        "accept 2: to #none [0]",
        "#none is back: seen 2; answer 2 BAD",
        "accept 3: to #y [0]; to #x [2]",
        "#y is back: ",
        "#x is back: seen 3; answer 3 accepted,ADOPT_MAX,accepted",
        "accept 4: seen 4; answer 4 ADOPT_MAX",
    ]);
    assert_eq!(bench.inbound.record().contexts_created, 2);
}

mod messages;
mod pulls;
