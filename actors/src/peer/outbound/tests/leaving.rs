//! Traces of items that are removed unacknowledged, by age or by an operator, and of those that are requeued.

use super::*;
use crate::model::RemovalFate;

const MONTH: u64 = 30 * 86_400;

fn kept_for(secs: u64) -> Bench {
    Bench::new(|limits, _| {
        limits.keep = Duration::from_secs(secs);
        limits.failures_to_suspend = 1;
    })
}

#[test]
fn item_expires_by_age_not_failures() {
    let mut bench = kept_for(100);
    bench.queue(2).unreachable().at(50).queue(1).at(100).step(PeerEvent::TimerFired);
    bench.step(PeerEvent::Loaded { from: Index(1), rows: Ok(bench_rows(&[(1, 0), (2, 0), (3, 50)])) });
    bench
        .at(150)
        .step(PeerEvent::TimerFired)
        .step(PeerEvent::Loaded { from: Index(3), rows: Ok(bench_rows(&[(3, 50)])) });
    bench.check(&[
        "   0s sending     push 1..=2 (2)",
        "   0s suspended   note event(suspended unreachable)+peer; arm 100s",
        "  50s suspended   ",
        " 100s suspended   load 1",
        " 100s suspended   commit expired 1..=2+event(m1 expired: not taken within 100 s (keep))+event(m2 expired: not taken within 100 s (keep))+peer; arm 150s",
        " 150s suspended   load 3",
        " 150s suspended   commit expired 3+event(m3 expired: not taken within 100 s (keep))+peer; arm 3600s",
    ]);
    let record = bench.machine.record().outbound;
    assert_eq!((record.acked, record.segments), (Index(3), vec![NumberSegment { first: Index(4), number: Seq(1) }]));
    assert_eq!((bench.machine.outbox().backlog(), bench.machine.outbox().backlog_bytes()), (0, 0));
}

fn bench_rows(rows: &[(u64, u64)]) -> Vec<OutboxRow> {
    let row = |&(n, queued): &(u64, u64)| OutboxRow {
        index: Index(n),
        queued: Millis(queued * 1000),
        item: Item::Update(Bytes::from_static(b"{}")),
        context: None,
        submission: format!("m{n}").parse().expect("valid"),
        queued_bytes: 2 * n,
        again: false,
    };
    rows.iter().map(row).collect()
}

#[test]
fn failures_never_expire_item() {
    let mut bench = Bench::new(|limits, _| limits.failures_to_suspend = 5);
    bench.queue(1).unreachable();
    for _ in 0..500 {
        let due = bench.machine.status().next_attempt.expect("a clock decides");
        bench.now = due;
        bench.step(PeerEvent::TimerFired).load(1, 1).unreachable();
    }
    assert!(bench.now < Millis(MONTH * 1000) && bench.machine.outbox().backlog() == 1);
}

#[test]
fn suspended_queue_expiry_survives_restart() {
    let mut bench = kept_for(100);
    bench.queue(1).order(PeerCommand::Suspend);
    let mut again = bench.restart(|limits| limits.keep = Duration::from_secs(100));
    // The record does not know the item that was queued last, nor its age.
    let mut record = bench.machine.record();
    record.outbound.oldest_queued_at = None;
    let mut unknown = Bench::new(|limits, from| {
        limits.keep = Duration::from_secs(100);
        *from = record;
    });
    unknown.at(7).step(PeerEvent::Woken { tail: Index(1), queued_bytes: 2, rows: vec![] });
    assert_eq!(again.trace, ["   0s suspended   disarm"], "the bench begins with an empty outbox");
    again.step(PeerEvent::Woken { tail: Index(1), queued_bytes: 2, rows: vec![] });
    assert_eq!(
        (again.trace[1].as_str(), unknown.trace[0].as_str()),
        ("   0s suspended   arm 100s", "   7s suspended   arm 107s")
    );
}

#[test]
fn long_queue_expires_by_pages() {
    let mut bench = kept_for(100);
    bench.queue(4).order(PeerCommand::Suspend).at(100).step(PeerEvent::TimerFired).load(1, 2).load(3, 4).check(&[
        "   0s sending     push 1..=3 (3)",
        "   0s suspended   commit event(suspended admin)+peer; abort; arm 100s; report",
        " 100s suspended   load 1",
        " 100s suspended   commit expired 1..=2+event(m1 expired: not taken within 100 s (keep))+event(m2 expired: not taken within 100 s (keep))+peer; load 3",
        " 100s suspended   commit expired 3..=4+event(m3 expired: not taken within 100 s (keep))+event(m4 expired: not taken within 100 s (keep))+peer; disarm",
    ]);
    assert_eq!(bench.machine.record().outbound.segments.len(), 1, "runs that leave together are one step");
}

#[test]
fn unreadable_expiry_page_is_retried() {
    let mut bench = kept_for(100);
    bench.queue(1).order(PeerCommand::Suspend).at(100).step(PeerEvent::TimerFired);
    bench.step(PeerEvent::Loaded { from: Index(1), rows: Err("disk".into()) });
    assert_eq!(bench.trace[3], " 100s suspended   arm 160s");
}

#[test]
fn expired_item_is_not_sent() {
    let mut bench = kept_for(100);
    bench.queue(3).ok(3).queue(1).unreachable().at(99).order(PeerCommand::Retry);
    bench.step(PeerEvent::Loaded { from: Index(4), rows: Ok(bench_rows(&[(4, 0)])) }).at(200).queue(2).ok(4).check(&[
        "   0s sending     push 1..=3 (3)",
        "   0s idle        note trim<=3+peer",
        "   0s sending     push 4..=4 (1)",
        "   0s suspended   note event(suspended unreachable)+peer; arm 100s",
        "  99s sending     disarm; load 4; report",
        "  99s sending     push 4..=4 (1)",
        " 200s sending     ",
        // The bench queues all its rows at time 0.
        " 200s idle        commit event(sending )+expired 5..=6+event(m5 expired: not taken within 100 s (keep))+event(m6 expired: not taken within 100 s (keep))+peer",
    ]);
}

pub(super) fn drop_items(first: u64, last: u64) -> PeerCommand {
    PeerCommand::Drop {
        message: "m".parse().expect("valid"),
        first: Index(first),
        last: Index(last),
        fate: RemovalFate::TAKEN_OUT,
    }
}

#[test]
fn dropped_item_closes_numbering() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(6).order(drop_items(5, 5)).ok(3).ok(4).ok(5).check(&[
        "   0s sending     push 1..=3 (3)",
        "   0s sending     commit dropped 5+event(m parked: taken out by an operator)+peer; report",
        "   0s sending     note trim<=3+peer; push 4..=4 (1) settled",
        "   0s sending     commit peer; push 5..=5 (1) settled",
        "   0s idle        note peer",
    ]);
    assert_eq!((bench.machine.status().acked, bench.machine.outbox().backlog_bytes()), (Index(6), 0));
}

#[test]
fn cancelled_item_aborts_request() {
    let mut bench = transactions();
    bench.at(1000).queue(3).order(drop_items(1, 1)).load(2, 3);
    taken(&mut bench).check(&[
        "1000s sending     commit peer; push #1000000 after none (3) settled",
        "1000s sending     commit dropped 1+event(m parked: taken out by an operator)+peer; abort; push #1000001 after none (2) settled; report",
        // A page arrives that was not requested.
        "1000s sending     ",
        "1000s idle        note sent #1000001 2..=3+trim<=3+peer",
    ]);
}

#[test]
fn dropped_tail_indexes_never_reused() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(3).unreachable().order(drop_items(2, 3)).at(1).step(PeerEvent::TimerFired).load(1, 1).ok(1);
    bench.step(PeerEvent::Loaded { from: Index(2), rows: Ok(vec![]) });
    // The peer may have accepted them, so a probe is sent.
    assert_eq!(bench.trace.last().expect("traced"), "   1s sending     push 6..=5 (0)");
    bench.hole(2).step(PeerEvent::Loaded { from: Index(2), rows: Ok(vec![]) });
    let record = bench.machine.record().outbound;
    assert_eq!(
        (record.highest_index_assigned, bench.machine.outbox().backlog(), bench.machine.state()),
        (Index(3), 0, PeerState::Idle)
    );
    bench.queue(1);
    assert_eq!(bench.trace.last().expect("traced"), "   1s sending     push 2..=2 (1) settled");
}

fn move_items(first: u64, last: u64) -> PeerCommand {
    let fate = RemovalFate::MoveTo("green".parse().expect("valid"));
    PeerCommand::Drop { message: "m".parse().expect("valid"), first: Index(first), last: Index(last), fate }
}

#[test]
fn moved_submission_leaves_whole_only() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(6).order(move_items(5, 6)).ok(3).check(&[
        "   0s sending     push 1..=3 (3)",
        "   0s sending     commit move 5..=6 to green+event(m refused: moved to green by an operator)+peer; report",
        "   0s sending     note trim<=3+peer; push 4..=4 (1) settled",
    ]);
    // The peer has a part of it.
    bench.trace.clear();
    bench.order(move_items(3, 4)).check(&["   0s sending     report"]);
    bench.ok(4);
    assert_eq!((bench.machine.outbox().backlog(), bench.machine.status().acked), (0, Index(6)));
}

#[test]
fn dropped_in_flight_number_stays_reserved() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(3).order(drop_items(1, 2)).check(&[
        "   0s sending     push 1..=3 (3)",
        "   0s sending     commit dropped 1..=2+event(m parked: taken out by an operator)+peer; abort; push 5..=4 (0) settled; report",
    ]);
    // The peer had accepted all three, so the following items are not renumbered.
    let mut taken = bench.clone();
    taken.trace.clear();
    taken.hole(4).ok(3).check(&["   0s sending     note peer; push 3..=3 (1)", "   0s idle        note trim<=3+peer"]);
    assert_eq!((taken.machine.outbox().backlog(), taken.machine.status().acked), (0, Index(3)));
    // The peer had accepted only the first: the number of the other goes to the next item.
    bench.trace.clear();
    bench.hole(2).step(PeerEvent::Loaded { from: Index(2), rows: Ok(bench_rows(&[(3, 0)])) }).ok(2).check(&[
        "   0s sending     load 2",
        "   0s sending     commit peer; push 2..=2 (1) settled",
        "   0s idle        note trim<=3+peer",
    ]);
}

#[test]
fn missing_row_after_restart_is_probed() {
    let mut bench = Bench::queued(3, |_, _| ());
    bench.step(PeerEvent::Started).step(PeerEvent::Loaded { from: Index(1), rows: Ok(bench_rows(&[(3, 0)])) });
    bench.hole(1).step(PeerEvent::Loaded { from: Index(1), rows: Ok(bench_rows(&[(3, 0)])) }).ok(1).check(&[
        "   0s sending     load 1",
        "   0s sending     push 5..=4 (0)",
        "   0s sending     load 1",
        "   0s sending     commit peer; push 1..=1 (1) settled",
        "   0s idle        note trim<=3+peer",
    ]);
}

#[test]
fn stale_page_never_restores_dropped_item() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(4));
    bench.step(PeerEvent::Woken { tail: Index(6), queued_bytes: 12, rows: vec![] }).order(drop_items(5, 5)).load(6, 6);
    bench.hole(4).load(4, 6).ok(4).ok(5).check(&[
        "   0s sending     load 5",
        "   0s sending     commit dropped 5+event(m parked: taken out by an operator)+peer; abort; load 6; report",
        "   0s sending     push 5..=5 (1) settled",
        "   0s sending     load 4",
        "   0s sending     push 4..=4 (1)",
        "   0s sending     note trim<=5+peer; push 5..=5 (1)",
        "   0s idle        note peer",
    ]);
}

#[test]
fn requeued_message_reports_acknowledgement() {
    let mut bench = Bench::new(|_, _| ());
    let mut rows = bench_rows(&[(3, 0)]);
    rows[0].again = true;
    bench.step(PeerEvent::Woken { tail: Index(3), queued_bytes: 6, rows: vec![] });
    bench.step(PeerEvent::Loaded { from: Index(1), rows: Ok(rows) }).ok(1).check(&[
        "   0s sending     load 1",
        "   0s sending     commit peer; push 1..=1 (1) settled",
        "   0s idle        note event(m3 acknowledged: )+trim<=3+peer",
    ]);
}

#[test]
fn only_slow_message_reports_acknowledgement() {
    let mut bench = Bench::new(|limits, _| limits.notify_after = Duration::from_secs(300));
    bench.queue(1).at(300).ok(1).queue(1).at(301).ok(2).check(&[
        "   0s sending     push 1..=1 (1)",
        " 300s idle        note trim<=1+peer",
        " 300s sending     push 2..=2 (1)",
        " 301s idle        note event(m2 acknowledged: )+peer",
    ]);
}
