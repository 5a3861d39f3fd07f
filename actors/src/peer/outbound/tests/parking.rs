//! Traces of a peer that refuses items: the refused item is found and dead-lettered, and the others are sent.

use super::leaving::drop_items;
use super::*;

#[test]
fn push_bisection_finds_poison_item() {
    let mut bench = Bench::new(|limits, _| limits.batch_items = 4);
    bench.queue(4).fail(refused(413)).fail(refused(400)).fail(refused(400)).ok(1).ok(3).check(&[
        "   0s sending     push 1..=4 (4)",
        "   0s sending     push 1..=2 (2)",
        "   0s sending     push 1..=1 (1)",
        "   0s sending     commit park 1+event(m1 parked: refused with status 400: no)+peer; push 1..=1 (1) settled",
        "   0s sending     note trim<=2+peer; push 2..=3 (2)",
        "   0s idle        note peer",
    ]);
    let record = bench.machine.record().outbound;
    assert_eq!((record.acked, record.segments), (Index(4), vec![NumberSegment { first: Index(2), number: Seq(1) }]));
}

#[test]
fn oversized_item_is_dead_lettered() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(6));
    bench.queue(1).fail(refused(413)).queue(1).ok(7).check(&[
        "   0s sending     push 7..=7 (1)",
        "   0s idle        commit park 7+event(m7 parked: refused with status 413: no)+peer",
        "   0s sending     push 7..=7 (1) settled",
        "   0s idle        note trim<=8+peer",
    ]);
}

#[test]
fn peer_refusal_suspends_without_dead_letter() {
    for status in [401, 403, 404, 409, 301] {
        let mut bench = Bench::new(|_, _| ());
        bench.queue(1).fail(refused(status)).check(&[
            "   0s sending     push 1..=1 (1)",
            "   0s suspended   commit event(suspended refused)+peer; arm 3600s",
        ]);
    }
}

#[test]
fn crash_before_dead_letter_repeats_it() {
    let life = || {
        let mut bench = Bench::new(|_, _| ());
        bench
            .step(PeerEvent::Woken { tail: Index(2), queued_bytes: 0, rows: vec![] })
            .load(1, 2)
            .fail(refused(422))
            .fail(refused(422));
        bench
    };
    let first = life();
    // Nothing of it was committed: the record and the rows are unchanged.
    let mut second = life();
    assert_eq!(second.trace, first.trace);
    second.ok(1).check(&[
        "   0s sending     load 1",
        "   0s sending     push 1..=2 (2)",
        "   0s sending     push 1..=1 (1)",
        "   0s sending     commit park 1+event(m1 parked: refused with status 422: no)+peer; push 1..=1 (1) settled",
        "   0s idle        note trim<=2+peer",
    ]);
}

#[test]
fn ephemeral_refusal_never_blames_item() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(7));
    typing(&mut bench).fail(refused(400)).check(&[
        "   0s sending     push 8..=7 (0+1 weak)",
        // The refused item is ephemeral, so it is dropped and the peer is not paused.
        "   0s idle        ",
    ]);
    bench.trace.clear();
    bench.queue(1);
    typing(typing(&mut bench)).queue(1).ok(8).fail(refused(400)).ok(9).check(&[
        "   0s sending     push 8..=8 (1)",
        "   0s sending     ",
        "   0s sending     ",
        "   0s sending     ",
        "   0s sending     note trim<=8+peer; push 9..=9 (1+2 weak)",
        "   0s sending     push 9..=9 (1)",
        "   0s idle        note peer",
    ]);
}

#[test]
fn rewind_skips_dead_letter() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(4));
    bench.queue(1).fail(refused(400)).queue(2).ok(6).hole(3);
    bench.trace.clear();
    bench.queue(1).hole(3);
    let rows: Vec<_> = bench.rows(3, 8).into_iter().filter(|row| row.index != Index(5)).collect();
    bench.step(PeerEvent::Loaded { from: Index(3), rows: Ok(rows) }).ok(4).ok(7).check(&[
        "   0s sending     push 7..=7 (1)",
        "   0s sending     load 3",
        "   0s sending     push 3..=4 (2)",
        "   0s sending     note peer; push 5..=7 (3)",
        "   0s idle        note peer",
    ]);
}

#[test]
fn rewind_to_trailing_dead_letter_renumbers() {
    let mut bench = Bench::new(|_, record| {
        record.outbound.acked = Index(5);
        // A renumbering from below leaves this state: 5 was parked, and no segment shows it any more.
        record.outbound.segments = vec![NumberSegment { first: Index(1), number: Seq(1) }];
    });
    bench.queue(1).hole(5);
    let rows = bench.rows(6, 6);
    bench.step(PeerEvent::Loaded { from: Index(5), rows: Ok(rows) }).load(6, 6).ok(5).check(&[
        "   0s sending     push 6..=6 (1)",
        "   0s sending     load 5",
        "   0s sending     commit gap 5..=5+notice+peer; load 6",
        "   0s sending     push 5..=5 (1) settled",
        "   0s idle        note trim<=6+peer",
    ]);
}

#[test]
fn dead_letter_ends_probe_suspension() {
    let mut bench = Bench::new(|limits, _| limits.failures_to_suspend = 1);
    bench
        .queue(1)
        .unreachable()
        .at(3600)
        .step(PeerEvent::TimerFired)
        .load(1, 1)
        .fail(refused(400))
        .hole(1)
        .load(1, 1)
        .check(&[
            "   0s sending     push 1..=1 (1)",
            "   0s suspended   note event(suspended unreachable)+peer; arm 3600s",
            "3600s sending     load 1",
            "3600s sending     push 1..=1 (1)",
            "3600s sending     push 4..=3 (0)",
            "3600s sending     load 1",
            "3600s idle        commit park 1+event(m1 parked: refused with status 400: no)+event(sending )+peer",
        ]);
    assert_eq!(bench.machine.failures(), 0);
}

#[test]
fn dead_lettered_transaction_gets_new_id() {
    let mut bench = transactions();
    bench.at(1000).queue(2).fail(refused(400)).fail(refused(400));
    taken(&mut bench).check(&[
        "1000s sending     commit peer; push #1000000 after none (2) settled",
        "1000s sending     push #1000001 after none (1)",
        "1000s sending     commit park 1+event(m1 parked: refused with status 400: no)+peer; push #1000002 after none (1) settled",
        "1000s idle        note sent #1000002 2..=2+trim<=2+peer",
    ]);
    bench.queue(1);
    taken(&mut bench);
    assert_eq!(
        bench.trace[4..],
        ["1000s sending     push #1000003 after 1000002 (1)", "1000s idle        note sent #1000003 3..=3+peer"]
    );
}

#[test]
fn refusing_peer_is_suspended_queue_kept() {
    let mut bench = Bench::new(|limits, _| limits.batch_items = 100);
    bench.queue(150).fail(refused(400));
    for _ in 0..100 {
        bench.fail(refused(400));
        assert_eq!(bench.machine.state(), PeerState::Sending);
    }
    bench.fail(refused(400));
    let status = bench.machine.status();
    assert_eq!((status.state, status.backlog), (PeerState::Suspended(SuspendReason::Refused), 50));
}

#[test]
fn unconfirmed_item_is_not_duplicated() {
    let mut bench = Bench::new(|_, _| ());
    bench
        .queue(3)
        .fail(PushFailure::TimedOut)
        .at(1)
        .step(PeerEvent::TimerFired)
        .load(1, 3)
        .fail(refused(413))
        .ok(3)
        .ok(2)
        .ok(3);
    bench.check(&[
        "   0s sending     push 1..=3 (3)",
        "   0s backing_off note peer; arm 1s",
        "   1s sending     load 1",
        "   1s sending     push 1..=1 (1)",
        "   1s sending     push 4..=3 (0)",
        "   1s sending     note event(m1 refused: refused with status 413: no; it may have been taken before, when no answer came)+peer; push 2..=2 (1)",
        "   1s sending     note trim<=2+peer; push 3..=3 (1)",
        "   1s idle        note peer",
    ]);
}

#[test]
fn confirmed_missing_item_is_dead_lettered() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(2).fail(PushFailure::TimedOut).at(1).step(PeerEvent::TimerFired).load(1, 2).fail(refused(413)).hole(1);
    bench.load(1, 2).ok(1).check(&[
        "   0s sending     push 1..=2 (2)",
        "   0s backing_off note peer; arm 1s",
        "   1s sending     load 1",
        "   1s sending     push 1..=1 (1)",
        "   1s sending     push 4..=3 (0)",
        "   1s sending     load 1",
        "   1s sending     commit park 1+event(m1 parked: refused with status 413: no)+peer; push 1..=1 (1) settled",
        "   1s idle        note trim<=2+peer",
    ]);
}

#[test]
fn refused_confirmation_probe_dead_letters() {
    let mut bench = Bench::new(|_, _| ());
    bench
        .queue(2)
        .fail(PushFailure::TimedOut)
        .at(1)
        .step(PeerEvent::TimerFired)
        .load(1, 2)
        .fail(refused(413))
        .fail(refused(413));
    bench.ok(1).check(&[
        "   0s sending     push 1..=2 (2)",
        "   0s backing_off note peer; arm 1s",
        "   1s sending     load 1",
        "   1s sending     push 1..=1 (1)",
        "   1s sending     push 4..=3 (0)",
        "   1s sending     commit park 1+event(m1 parked: refused with status 413: no)+peer; push 1..=1 (1) settled",
        "   1s idle        note trim<=2+peer",
    ]);
}

#[test]
fn failed_confirmation_probe_resends_item() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(2).fail(PushFailure::TimedOut).at(1).step(PeerEvent::TimerFired).load(1, 2).fail(refused(413));
    bench.fail(PushFailure::TimedOut).at(10).step(PeerEvent::TimerFired).check(&[
        "   0s sending     push 1..=2 (2)",
        "   0s backing_off note peer; arm 1s",
        "   1s sending     load 1",
        "   1s sending     push 1..=1 (1)",
        "   1s sending     push 4..=3 (0)",
        "   1s backing_off note peer; arm 3s",
        "  10s sending     load 1",
    ]);
}

#[test]
fn restart_makes_all_items_unconfirmed() {
    let mut bench = Bench::queued(2, |_, _| ());
    bench.step(PeerEvent::Started).load(1, 2).fail(refused(413)).fail(refused(413)).ok(3).ok(2).check(&[
        "   0s sending     load 1",
        "   0s sending     push 1..=2 (2)",
        "   0s sending     push 1..=1 (1)",
        "   0s sending     push 4..=3 (0)",
        "   0s sending     note event(m1 refused: refused with status 413: no; it may have been taken before, when no answer came)+peer; push 2..=2 (1)",
        "   0s idle        note trim<=2+peer",
    ]);
}

/// A hole that was answered once and is repeated is an error, unless it answers our own probe.
#[test]
fn repeated_probe_hole_dead_letters() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(2).hole(1).load(1, 2).fail(PushFailure::TimedOut).at(1).step(PeerEvent::TimerFired).load(1, 2);
    bench.fail(refused(413)).hole(1).load(1, 2).ok(1).check(&[
        "   0s sending     push 1..=2 (2)",
        "   0s sending     load 1",
        "   0s sending     push 1..=2 (2)",
        "   0s backing_off note peer; arm 1s",
        "   1s sending     load 1",
        "   1s sending     push 1..=1 (1)",
        "   1s sending     push 4..=3 (0)",
        "   1s sending     load 1",
        "   1s sending     commit park 1+event(m1 parked: refused with status 413: no)+peer; push 1..=1 (1) settled",
        "   1s idle        note trim<=2+peer",
    ]);
}

#[test]
fn probe_runs_after_successor_dropped() {
    let mut bench = Bench::queued(2, |_, _| ());
    bench.step(PeerEvent::Started).load(1, 2).fail(refused(413));
    bench.order(drop_items(2, 2)).fail(refused(413)).hole(1).load(1, 1).check(&[
        "   0s sending     load 1",
        "   0s sending     push 1..=2 (2)",
        "   0s sending     push 1..=1 (1)",
        "   0s sending     commit dropped 2+event(m parked: taken out by an operator)+peer; report",
        "   0s sending     push 4..=3 (0) settled",
        "   0s sending     load 1",
        "   0s sending     commit park 1+event(m1 parked: refused with status 413: no)+peer; load 2",
    ]);
}

#[test]
fn missing_successor_rows_stay_unacknowledged() {
    let mut bench = Bench::queued(2, |_, _| ());
    bench.step(PeerEvent::Started).load(1, 1).fail(refused(413)).hole(1).load(1, 1).check(&[
        "   0s sending     load 1",
        "   0s sending     push 1..=1 (1)",
        "   0s sending     push 4..=3 (0)",
        "   0s sending     load 1",
        "   0s sending     commit park 1+event(m1 parked: refused with status 413: no)+peer; load 2",
    ]);
}

/// Regression: the item counted as acknowledged, and it was never reported that the peer had parked it.
#[test]
fn item_parked_by_peer_is_told() {
    let parked =
        |place| ItemObjection { place, fate: DeadLetterReason::ParkedByPeer, reason: "NOT_A_PARTICIPANT".to_owned() };
    let mut bench = Bench::new(|_, _| ());
    bench.queue(3);
    // The last index is not in the batch.
    let refused = vec![parked(1), parked(3)];
    let outcome = Ok(PushResponse {
        ack: Ack::Ok(Seq(3)),
        window: Some(100),
        refused,
        receipts: PeerReceipts::NONE,
        reason: None,
    });
    bench.step(PeerEvent::Replied { attempt: 1, outcome }).check(&[
        "   0s sending     push 1..=3 (3)",
        "   0s idle        note parked_by_peer 2+event(m2 parked: NOT_A_PARTICIPANT: it lies in the quarantine of blue)\
         +trim<=3+peer",
    ]);
    assert_eq!(bench.machine.status().acked, Index(3), "its number is taken");
}
