//! The rows that each outcome of an attempt leaves in the store, printed.

use std::time::Duration;

use super::*;
use crate::model::Seq;

const UPDATES: u64 = 0;

fn blue() -> ServerName {
    "blue".parse().expect("valid")
}

fn attempts(keep: u32) -> AttemptLog {
    AttemptLog::new(keep, &OutboundRecord::default(), None)
}

fn no_route() -> AttemptError {
    AttemptError { words: "no route".into(), code: Some(FailureCode::Timeout) }
}

fn answered(ack: Ack) -> Result<PushResponse, PushFailure> {
    Ok(PushResponse { ack, window: None, refused: vec![], receipts: crate::model::PeerReceipts::NONE, reason: None })
}

/// Ends an attempt with the items `first` to `last`, as a transaction of this id or as a push.
fn ended(
    attempts: &mut AttemptLog,
    transaction: u64,
    (first, last): (u64, u64),
    outcome: &Result<PushResponse, PushFailure>,
) -> Option<Change> {
    let (first_number, last_number) = (Seq(first), Seq(last));
    let span = IndexSpan { first: Index(first), last: Index(last), first_number, last_number };
    let label = match transaction {
        UPDATES => BatchId::SeqRange { first: Some(first_number), last: last_number },
        id => BatchId::Transaction { id, prev: None, ts: Millis(0) },
    };
    attempts.ended(&blue(), Millis(10 * last), (label, span), outcome)
}

fn printed(change: Option<Change>) -> String {
    match change {
        None => "nothing".to_owned(),
        Some(Change::AttemptFailed { attempt: Attempt { time, first, last, result, code }, keep, .. }) => {
            let code = code.map(|code| format!("{code}: ")).unwrap_or_default();
            format!("{first}..={last} at {}: {code}{result} (of {keep})", time.0)
        }
        Some(Change::Delivered { spans, .. }) => {
            let first = spans.first().expect("never empty");
            let last = spans.last().expect("never empty");
            format!(
                "{} deliveries, {} at {} to {} at {}",
                spans.len(),
                first.first,
                first.time.0,
                last.last,
                last.time.0
            )
        }
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn failed_attempt_written_at_once() {
    let mut blue = attempts(20);
    let hole = Ack::Hole { expected: Seq(3), conflict: false };
    let wait = PushResponse {
        ack: Ack::Wait(Duration::from_secs(9)),
        window: None,
        refused: vec![],
        receipts: crate::model::PeerReceipts::NONE,
        reason: Some("full".into()),
    };
    let outcomes = [
        (UPDATES, answered(hole), "7..=9 at 90: the peer requested number 3 (of 20)"),
        (UPDATES, answered(Ack::Wait(Duration::from_secs(60))), "7..=9 at 90: it asked us to wait 60 s (of 20)"),
        (UPDATES, Ok(wait), "7..=9 at 90: it asked us to wait 9 s: full (of 20)"),
        (
            UPDATES,
            answered(Ack::Ok(Seq(8))),
            "7..=9 at 90: \"ok\" with number 8 is no answer to updates 7 to 9 (of 20)",
        ),
        (5, answered(Ack::Ok(Seq(9))), "7..=9 at 90: \"ok\" with number 9 is no answer to transaction 5 (of 20)"),
        (UPDATES, Err(PushFailure::TimedOut), "7..=9 at 90: TIMEOUT: no answer within the deadline (of 20)"),
        (UPDATES, answered(Ack::Ok(Seq(9))), "nothing"),
        (5, answered(Ack::Taken), "nothing"),
    ];
    for (transaction, outcome, expected) in outcomes {
        assert_eq!(printed(ended(&mut blue, transaction, (7, 9), &outcome)), expected);
    }
    assert_eq!(printed(ended(&mut attempts(0), UPDATES, (1, 1), &Err(PushFailure::TimedOut))), "nothing");
}

#[test]
fn deliveries_share_a_row_of_sixteen() {
    let mut blue = attempts(20);
    for n in 1..=40 {
        let said = printed(ended(&mut blue, UPDATES, (n, n), &answered(Ack::Ok(Seq(n)))));
        let expected = match n {
            16 => "16 deliveries, 1 at 10 to 16 at 160",
            32 => "16 deliveries, 17 at 170 to 32 at 320",
            _ => "nothing",
        };
        assert_eq!(said, expected, "{n}");
    }
    let mut record = OutboundRecord::default();
    blue.keep(&mut record);
    assert_eq!((record.delivered.len(), record.delivered[0].first), (8, Index(33)), "the others are in the record");
}

#[test]
fn open_deliveries_survive_a_restart() {
    let mut before = attempts(20);
    for n in 1..=15 {
        ended(&mut before, 5, (n, n), &answered(if n == 3 { Ack::AcceptedUnparsedBody } else { Ack::Taken }));
    }
    before.succeeded(Millis(150));
    let mut record = OutboundRecord::default();
    before.keep(&mut record);
    let mut after = AttemptLog::new(20, &record, Some(no_route()));
    assert_eq!((after.last_success(), after.last_error(), after.has_unparsed_ack()), (Some(Millis(150)), None, true));
    let said = printed(after.confirmed(&blue(), Millis(999), Index(16), Index(18)));
    assert_eq!(said, "16 deliveries, 1 at 10 to 18 at 999");
    assert_eq!(printed(after.confirmed(&blue(), Millis(999), Index(19), Index(18))), "nothing");
    record.failures = 1;
    let failing = AttemptLog::new(20, &record, Some(no_route()));
    assert_eq!((failing.last_error(), failing.last_code()), (Some("no route"), Some(FailureCode::Timeout)));
}

/// A peer that answers a hole after each success is resent its backlog; the store must not grow by that.
#[test]
fn repeated_deliveries_add_no_span() {
    let mut attempts = attempts(8);
    for round in 0..100 {
        let change = ended(&mut attempts, UPDATES, (1, 1 + round % 4), &answered(Ack::Ok(Seq(1 + round % 4))));
        assert_eq!(printed(change), "nothing");
    }
    assert_eq!(attempts.delivered.len(), 4);
}
