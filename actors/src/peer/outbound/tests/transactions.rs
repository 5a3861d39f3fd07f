//! Traces of a peer that uses transactions.

use super::leaving::drop_items;
use super::*;

#[test]
fn transaction_retry_keeps_id_and_span() {
    let mut bench = transactions();
    bench.at(1000).queue(2).queue(1).unreachable().at(1001).step(PeerEvent::TimerFired).load(1, 3);
    taken(taken(&mut bench)).check(&[
        "1000s sending     commit peer; push #1000000 after none (2) settled",
        "1000s sending     ",
        "1000s backing_off note peer; arm 1001s",
        "1001s sending     load 1",
        "1001s sending     push #1000000 after none (2)",
        "1001s sending     note sent #1000000 1..=2+trim<=2+peer; push #1001000 after 1000000 (1)",
        "1001s idle        note sent #1001000 3..=3+peer",
    ]);
}

/// The peer may have accepted items 1 and 2 under the first id: no other items may ever be sent under it.
#[test]
fn transaction_after_expiry_changes_id() {
    let mut bench = Bench::new(|limits, _| {
        limits.dialect = DialectSpec::TRANSACTIONS;
        limits.keep = Duration::from_secs(1001);
    });
    bench.at(1000).queue(2).fail(PushFailure::TimedOut).at(1001).step(PeerEvent::TimerFired);
    let mut rows = bench.rows(1, 2);
    rows[1].queued = Millis(1_000_000);
    bench.step(PeerEvent::Loaded { from: Index(1), rows: Ok(rows) });
    taken(&mut bench).check(&[
        "1000s sending     commit peer; push #1000000 after none (2) settled",
        "1000s backing_off note peer; arm 1001s",
        "1001s sending     load 1",
        "1001s sending     commit expired 1+event(m1 expired: not taken within 1001 s (keep))+peer; push #1001000 after none (1) settled",
        "1001s idle        note sent #1001000 2..=2+trim<=2+peer",
    ]);
}

#[test]
fn transaction_after_drop_changes_id() {
    let mut bench = transactions();
    bench.at(1000).queue(3).fail(PushFailure::Broken("cut".into())).order(drop_items(1, 1));
    bench.at(1001).step(PeerEvent::TimerFired).load(2, 3);
    taken(&mut bench).check(&[
        "1000s sending     commit peer; push #1000000 after none (3) settled",
        "1000s backing_off note peer; arm 1001s",
        "1000s backing_off commit dropped 1+event(m parked: taken out by an operator)+peer; report",
        "1001s sending     load 2",
        "1001s sending     push #1001000 after none (2) settled",
        "1001s idle        note sent #1001000 2..=3+trim<=3+peer",
    ]);
}

#[test]
fn transaction_413_halves_get_new_ids() {
    let mut bench = transactions();
    bench.at(1000).queue(3).fail(refused(413));
    taken(taken(taken(&mut bench))).check(&[
        "1000s sending     commit peer; push #1000000 after none (3) settled",
        "1000s sending     push #1000001 after none (1)",
        "1000s sending     note sent #1000001 1..=1+trim<=1+peer; push #1000002 after 1000001 (2)",
        "1000s idle        note sent #1000002 2..=3+peer",
        // The reply belongs to an earlier attempt.
        "1000s idle        ",
    ]);
}

#[test]
fn transaction_id_exceeds_crash_reserve() {
    let mut bench = Bench::new(|limits, record| {
        limits.dialect = DialectSpec::TRANSACTIONS;
        record.outbound.transaction_reserved = 2_000_000;
        record.outbound.transaction_last = Some(1_000_000);
    });
    bench.at(1000).queue(1).check(&["1000s sending     commit peer; push #2000001 after 1000000 (1) settled"]);
}

/// Regression: a web server at the peer's address answered 200 to every transaction and discarded it.
#[test]
fn unparsed_ack_counts_and_notifies_once() {
    let mut bench = transactions();
    bench.at(1000).queue(1).reply(Ack::AcceptedUnparsedBody).at(1001).queue(1).reply(Ack::AcceptedUnparsedBody).check(
        &[
            "1000s sending     commit peer; push #1000000 after none (1) settled",
            "1000s idle        note notice+sent #1000000 1..=1+trim<=1+peer",
            "1001s sending     push #1001000 after 1000000 (1)",
            "1001s idle        note sent #1001000 2..=2+peer",
        ],
    );
    let told: Vec<_> = bench.machine.record().outbound.delivered.iter().map(|span| (span.last.0, span.blind)).collect();
    assert_eq!(told, [(1, true), (2, true)]);
}

#[test]
fn wrong_dialect_reply_never_advances() {
    let mut bench = transactions();
    bench.queue(1).ok(1);
    assert_eq!((bench.machine.status().acked, bench.machine.state()), (Index(0), PeerState::BackingOff));
}
