//! Traces of batches that are made smaller, and of peers that are probed.

use super::*;

fn troubled(status: u16) -> PushFailure {
    PushFailure::Troubled { status, reason: "oh".into(), retry_after: None }
}

#[test]
fn transaction_bisection_keeps_order() {
    let mut bench = transactions_of(8);
    bench.at(1000).queue(8).queue(2).fail(refused(400));
    taken(&mut bench).fail(refused(400)).fail(refused(400)).fail(refused(400));
    taken(taken(taken(&mut bench))).check(&[
        "1000s sending     commit peer; push #1000000 after none (8) settled",
        "1000s sending     ",
        "1000s sending     push #1000001 after none (4)",
        "1000s sending     note sent #1000001 1..=4+trim<=4+peer; push #1000002 after 1000001 (4)",
        "1000s sending     push #1000003 after 1000001 (2)",
        "1000s sending     push #1000004 after 1000001 (1)",
        "1000s sending     commit park 5+event(m5 parked: refused with status 400: no)+peer; push #1000005 after 1000001 (1) settled",
        "1000s sending     note sent #1000005 6..=6+peer; push #1000006 after 1000005 (2)",
        "1000s sending     note sent #1000006 7..=8+peer; push #1000007 after 1000006 (2)",
        "1000s idle        note sent #1000007 9..=10+peer",
    ]);
}

fn transactions_of(batch_items: u32) -> Bench {
    Bench::new(|limits, _| {
        limits.dialect = DialectSpec::TRANSACTIONS;
        limits.batch_items = batch_items;
    })
}

fn counts(bench: &Bench) -> Vec<String> {
    let count = |line: &String| Some(line.rsplit_once(" (")?.1.split(')').next()?.to_owned());
    bench.trace.iter().filter(|line| line.contains("push")).filter_map(count).collect()
}

#[test]
fn batch_413_shrinks_then_grows_back() {
    let mut bench = transactions_of(40);
    bench.queue(400).load(1, 80).fail(refused(413));
    for _ in 0..16 {
        match bench.trace.last().expect("traced").rsplit_once("load ").and_then(|(_, from)| from.parse::<u64>().ok()) {
            Some(from) => bench.load(from, from + 79),
            None => taken(&mut bench),
        };
    }
    // The shorter ones are the ends of pages.
    let sizes = ["40", "20", "20", "22", "18", "24", "26", "28", "2", "30", "32", "18", "34", "36"];
    assert_eq!(counts(&bench)[..14], sizes[..]);
}

#[test]
fn batch_400_is_sent_singly() {
    let mut bench = Bench::new(|limits, _| limits.batch_items = 4);
    bench.queue(4).fail(refused(400)).ok(1).ok(2).ok(3).ok(4);
    assert_eq!(counts(&bench), ["4", "1", "1", "1", "1"]);
    bench.queue(4).fail(refused(413)).ok(6).ok(8);
    assert_eq!(counts(&bench)[5..], ["4", "2", "2"]);
}

#[test]
fn third_500_bisects_synapse_transaction() {
    let mut bench = transactions_of(2);
    bench.machine = Bench::new(|limits, _| {
        limits.dialect = DialectSpec::TRANSACTIONS;
        limits.batch_items = 2;
        limits.drops_batch_on_error_status = true;
    })
    .machine;
    bench.at(1000).queue(2).fail(troubled(500));
    for _ in 0..2 {
        bench.now = bench.machine.status().next_attempt.expect("it backs off");
        bench.step(PeerEvent::TimerFired).load(1, 2).fail(troubled(500));
    }
    assert_eq!(
        bench.trace[bench.trace.len() - 2..],
        ["1003s sending     push #1000000 after none (2)", "1003s sending     push #1003000 after none (1)",]
    );
    // For any other server, errors count as failures of the server, however many.
    let mut bench = transactions_of(2);
    bench.queue(2).fail(troubled(500));
    for _ in 0..9 {
        bench.now = bench.machine.status().next_attempt.expect("it backs off");
        bench.step(PeerEvent::TimerFired).load(1, 2).fail(troubled(500));
    }
    assert_eq!(bench.machine.state(), PeerState::BackingOff);
}

#[test]
fn status_429_waits_without_failure() {
    let mut bench = transactions();
    bench.queue(1).fail(troubled(429));
    assert_eq!((bench.machine.state(), bench.machine.failures()), (PeerState::Waiting, 0));
    assert_eq!(bench.machine.status().next_attempt, Some(Millis(60_000)));
}

#[test]
fn retry_after_sets_next_attempt() {
    let mut bench = transactions();
    let retry_after = Some(Duration::from_secs(90));
    bench.queue(1).fail(PushFailure::Troubled { status: 503, reason: "busy".into(), retry_after });
    assert_eq!((bench.machine.state(), bench.machine.failures()), (PeerState::BackingOff, 1));
    assert_eq!(bench.machine.status().next_attempt, Some(Millis(90_000)));
}

#[test]
fn successful_probe_restores_full_batches() {
    let mut bench = Bench::new(|limits, _| limits.failures_to_suspend = 1);
    bench.queue(3).unreachable().at(3600).step(PeerEvent::TimerFired).load(1, 3).ok(1).ok(3).check(&[
        "   0s sending     push 1..=3 (3)",
        "   0s suspended   note event(suspended unreachable)+peer; arm 3600s",
        "3600s sending     load 1",
        "3600s sending     push 1..=1 (1)",
        "3600s sending     note event(sending )+trim<=1+peer; push 2..=3 (2)",
        "3600s idle        note peer",
    ]);
}

/// Many dead peers wait for their turn, and each holds the rows that were read for it.
#[test]
fn suspended_peer_loads_one_item() {
    let mut bench = Bench::new(|limits, _| limits.failures_to_suspend = 1);
    let full = bench.machine.page();
    bench.queue(3).unreachable().at(3600).step(PeerEvent::TimerFired);
    assert_eq!((bench.machine.page().0, full.0 > 1), (1, true));
    bench.load(1, 1).ok(1);
    assert_eq!(bench.machine.page(), full);
}

#[test]
fn idle_probe_repeats_last_number() {
    let mut bench = Bench::new(|limits, record| {
        limits.failures_to_suspend = 1;
        record.outbound.acked = Index(7);
    });
    typing(&mut bench).unreachable().at(3600).step(PeerEvent::TimerFired).ok(7).check(&[
        "   0s sending     push 8..=7 (0+1 weak)",
        "   0s suspended   note event(suspended unreachable)+peer; arm 3600s",
        "3600s sending     push 8..=7 (0)",
        "3600s idle        commit event(sending )",
    ]);
}

#[test]
fn impossible_hole_number_never_renumbers() {
    let mut bench =
        Bench::new(|_, record| record.outbound.segments = vec![NumberSegment { first: Index(9), number: Seq(1) }]);
    bench.queue(1).hole(0);
    assert_eq!(bench.machine.state(), PeerState::BackingOff);
    let mut bench = Bench::new(|_, record| {
        record.outbound.acked = Index(8);
        record.outbound.segments = vec![NumberSegment { first: Index(9), number: Seq(1) }];
    });
    bench.queue(1).hole(u64::MAX);
    assert_eq!(bench.machine.state(), PeerState::Suspended(SuspendReason::AheadOfUs));
}

#[test]
fn renumber_max_bounds_receiver_ahead() {
    let mut bench = Bench::new(|limits, _| limits.renumber_max = 10);
    bench.queue(1).hole(12);
    assert_eq!(bench.machine.state(), PeerState::Suspended(SuspendReason::AheadOfUs));
    let mut bench = Bench::new(|limits, _| limits.renumber_max = 10);
    bench.queue(1).hole(11);
    assert_eq!(bench.machine.state(), PeerState::Sending);
}
