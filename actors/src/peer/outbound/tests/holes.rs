//! Traces of peers that answer holes, conflicts and invalid numbers, and of operators who set numbers.

use super::*;

/// The largest number an update may have.
const LAST: u64 = Seq::LIMIT.0 - 1;

fn behind(acked: u64) -> Bench {
    Bench::new(|_, record| record.outbound.acked = Index(acked))
}

fn conflict(bench: &mut Bench, seq: u64) -> &mut Bench {
    bench.reply(Ack::Hole { expected: Seq(seq), conflict: true })
}

fn renumber(number: u64, yes: bool) -> PeerCommand {
    PeerCommand::Renumber { number: Seq(number), yes }
}

fn expect(number: u64, yes: bool) -> PeerCommand {
    PeerCommand::Expect { number: Seq(number), yes }
}

/// Returns a machine whose first unacknowledged item has this number.
fn numbered_from(number: u64) -> Bench {
    Bench::new(|_, record| {
        record.outbound.acked = Index(8);
        record.outbound.segments = vec![NumberSegment { first: Index(9), number: Seq(number) }];
    })
}

#[test]
fn second_hole_always_backs_off() {
    let mut bench = behind(40);
    bench.queue(1).hole(38).load(38, 41).hole(39).at(1).step(PeerEvent::TimerFired).load(39, 41).hole(37);
    bench.at(3).step(PeerEvent::TimerFired).check(&[
        "   0s sending     push 41..=41 (1)",
        "   0s sending     load 38",
        "   0s sending     push 38..=40 (3)",
        "   0s backing_off note peer; arm 1s",
        "   1s sending     load 39",
        "   1s sending     push 39..=41 (3)",
        "   1s backing_off note peer; arm 3s",
        "   3s sending     load 37",
    ]);
    assert_eq!(bench.machine.failures(), 2);
    assert_eq!(
        bench.machine.last_error(),
        Some("the peer requests number 37, and has accepted nothing new since its last request")
    );
}

#[test]
fn hole_after_progress_resends_at_once() {
    let mut bench = behind(40);
    bench
        .queue(1)
        .hole(38)
        .load(38, 41)
        .hole(41)
        .at(1)
        .step(PeerEvent::TimerFired)
        .load(41, 41)
        .ok(41)
        .queue(1)
        .hole(40);
    assert_eq!((bench.machine.failures(), bench.machine.state()), (0, PeerState::Sending));
    assert_eq!(bench.trace.last().expect("traced"), "   1s sending     load 40");
}

#[test]
fn accepted_resend_is_no_progress() {
    let mut bench = behind(40);
    bench
        .queue(1)
        .hole(38)
        .load(38, 41)
        .ok(40)
        .hole(38)
        .at(1)
        .step(PeerEvent::TimerFired)
        .load(38, 41)
        .ok(40)
        .hole(38)
        .check(&[
            "   0s sending     push 41..=41 (1)",
            "   0s sending     load 38",
            "   0s sending     push 38..=40 (3)",
            "   0s sending     note trim<=40+peer; push 41..=41 (1)",
            "   0s backing_off note peer; arm 1s",
            "   1s sending     load 38",
            "   1s sending     push 38..=40 (3)",
            "   1s sending     note peer; push 41..=41 (1)",
            "   1s backing_off note peer; arm 3s",
        ]);
    assert_eq!(bench.machine.failures(), 2);
}

/// The accepted resend clears the failures between two holes, so a contact would bring each next resend forward.
#[test]
fn contact_keeps_backoff_of_holes() {
    let mut bench = behind(40);
    bench.queue(1).hole(38).load(38, 41).ok(40).hole(38).contact().check(&[
        "   0s sending     push 41..=41 (1)",
        "   0s sending     load 38",
        "   0s sending     push 38..=40 (3)",
        "   0s sending     note trim<=40+peer; push 41..=41 (1)",
        "   0s backing_off note peer; arm 1s",
        "   0s backing_off answer",
    ]);
}

/// A restored peer asked for the items from 38 on; the conflict is about the first of them, which the peer lacks.
#[test]
fn conflict_amid_rewind_drops_nothing() {
    let mut bench = behind(40);
    conflict(bench.queue(1).hole(38).load(38, 41), 7).at(1).step(PeerEvent::TimerFired).load(38, 41).ok(9).check(&[
        "   0s sending     push 41..=41 (1)",
        "   0s sending     load 38",
        "   0s sending     push 38..=40 (3)",
        "   0s backing_off commit notice+peer; arm 1s",
        "   1s sending     load 38",
        "   1s sending     push 7..=9 (3) settled",
        "   1s sending     note trim<=40+peer; push 10..=10 (1)",
    ]);
}

/// A number above ours, amid a resend from 38 on, is given to the first item that was never acknowledged: the peer holds the
/// others already.
#[test]
fn conflict_amid_rewind_keeps_rest() {
    let mut bench = behind(40);
    bench.queue(1).hole(38).load(38, 41).hole(100).at(1).step(PeerEvent::TimerFired).load(41, 41).ok(100).check(&[
        "   0s sending     push 41..=41 (1)",
        "   0s sending     load 38",
        "   0s sending     push 38..=40 (3)",
        "   0s backing_off commit notice+peer; arm 1s",
        "   1s sending     load 41",
        "   1s sending     push 100..=100 (1) settled",
        "   1s idle        note trim<=41+peer",
    ]);
}

#[test]
fn operators_number_amid_rewind_drops_nothing() {
    let mut bench = behind(40);
    bench.queue(1).hole(38).load(38, 41).order(renumber(7, false)).load(38, 41).ok(9).check(&[
        "   0s sending     push 41..=41 (1)",
        "   0s sending     load 38",
        "   0s sending     push 38..=40 (3)",
        "   0s sending     commit notice+peer; abort; load 38; report",
        "   0s sending     push 7..=9 (3) settled",
        "   0s sending     note trim<=40+peer; push 10..=10 (1)",
    ]);
}

#[test]
fn numbers_above_ours_suspend_peer() {
    let mut bench = Bench::new(|limits, _| limits.failures_to_suspend = 3);
    bench.queue(1);
    let mut loads = 0;
    for number in (100..).step_by(100).take_while(|number| *number < 1_000) {
        bench.hole(number);
        if bench.machine.state() == PeerState::BackingOff {
            bench.now = bench.machine.status().next_attempt.expect("a date");
            bench.step(PeerEvent::TimerFired);
        }
        loads += 1;
        bench.load(1, 1);
        if bench.machine.state() != PeerState::Sending {
            break;
        }
    }
    assert_eq!(bench.machine.state(), PeerState::Suspended(SuspendReason::Unreachable));
    assert_eq!((loads, bench.now), (4, Millis(3_000)), "one at once, three failures");
    // The peer accepts the item at last, and everything is as before.
    bench.now = bench.machine.status().next_attempt.expect("a probe");
    bench.step(PeerEvent::TimerFired).load(1, 1).ok(400);
    assert_eq!((bench.machine.state(), bench.machine.failures()), (PeerState::Idle, 0));
}

#[test]
fn numbering_notices_come_hourly_with_count() {
    let mut bench = Bench::new(|_, _| ());
    let mut notices = vec![];
    for round in 1..=100 {
        // One item is removed for each conflict, so each conflict is the first since then.
        bench.now = Millis(round * 120_000);
        let number = 1_000 * round;
        bench.queue(1);
        bench.trace.clear();
        conflict(&mut bench, number).load(round, round).ok(number);
        assert_eq!(bench.machine.state(), PeerState::Idle, "{}", bench.trace.join("\n"));
        if bench.trace[0].contains("notice") {
            notices.push(round);
        }
    }
    assert_eq!(notices, [1, 31, 61, 91], "each two minutes a conflict, each hour a notice");
    let told = bench.notices.last().expect("told");
    assert!(told.ends_with("(and 29 more notices about its numbering since the last one)"), "{told}");
}

#[test]
fn conflict_beyond_renumber_max_suspends() {
    for number in [1_000_002, LAST, i64::MAX as u64, u64::MAX] {
        let mut bench = Bench::new(|_, _| ());
        conflict(bench.queue(1), number).check(&[
            "   0s sending     push 1..=1 (1)",
            "   0s suspended   commit event(suspended ahead_of_us)+peer; arm 2592000s",
        ]);
        let said = bench.machine.last_error().expect("an error").to_owned();
        assert!(said.contains("renumber_max = 1000000") && said.contains("peer renumber blue"), "{said}");
        assert_eq!(bench.machine.record().outbound.segments.len(), 1, "nothing is numbered anew");
    }
    let mut bench = Bench::new(|_, _| ());
    conflict(bench.queue(1), 1_000_001);
    assert_eq!(bench.machine.state(), PeerState::Sending);
}

#[test]
fn number_that_leads_beyond_limit_suspends() {
    let mut bench = numbered_from(LAST - 10);
    bench.queue(3).hole(LAST - 1);
    assert_eq!(
        bench.machine.state(),
        PeerState::Suspended(SuspendReason::AheadOfUs),
        "the third would have {}",
        LAST + 1
    );
    let mut bench = numbered_from(LAST - 10);
    bench.queue(3).hole(LAST - 2).load(9, 11).check(&[
        "   0s sending     push 9007199254740981..=9007199254740983 (3)",
        "   0s sending     commit notice+peer; load 9",
        "   0s sending     push 9007199254740989..=9007199254740991 (3) settled",
    ]);
}

#[test]
fn hole_at_skipped_number_no_gap() {
    let mut bench = behind(50);
    conflict(bench.queue(2), 5_000).load(51, 52).hole(51).at(1).step(PeerEvent::TimerFired).load(51, 52).check(&[
        "   0s sending     push 51..=52 (2)",
        "   0s sending     commit notice+peer; load 51",
        "   0s sending     push 5000..=5001 (2) settled",
        "   0s backing_off commit peer; arm 1s",
        "   1s sending     load 51",
        "   1s sending     push 51..=52 (2) settled",
    ]);
}

/// The state that a hostile conflict left in a store before numbers were bounded.
#[test]
fn number_beyond_limit_never_sent() {
    for number in [1 << 53, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
        let mut bench = numbered_from(number);
        bench.queue(2).order(PeerCommand::Resume).load(9, 10).order(renumber(7, false)).load(9, 10).ok(8).check(&[
            "   0s suspended   commit event(suspended ahead_of_us)+peer; arm 2592000s",
            "   0s sending     commit peer; disarm; load 9; report",
            "   0s suspended   commit peer; arm 2592000s",
            "   0s sending     commit notice+peer; disarm; load 9; report",
            "   0s sending     push 7..=8 (2) settled",
            "   0s idle        note event(sending )+trim<=10+peer",
        ]);
    }
}

#[test]
fn renumber_far_above_needs_yes() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).hole(3_000_000).order(renumber(3_000_000, false)).order(renumber(3_000_000, true)).load(1, 1);
    bench.ok(3_000_000).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s suspended   commit event(suspended ahead_of_us)+peer; arm 2592000s",
        "   0s suspended   decline: number 3000000 is 2999999 above the last one in use with blue, and renumber_max is 1000000: all \
         numbers between are skipped for good; to order it all the same add --yes (\"yes\": true)",
        "   0s sending     commit notice+peer; disarm; load 1; report",
        "   0s sending     push 3000000..=3000000 (1) settled",
        "   0s idle        note event(sending )+trim<=1+peer",
    ]);
}

#[test]
fn renumber_beyond_limit_is_declined() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(2).unreachable();
    for number in [0, LAST, u64::MAX] {
        bench.trace.clear();
        bench.order(renumber(number, true));
        let declined = format!(
            "   0s backing_off decline: numbers of updates go from 1 to {LAST}: {number} for the first of 2 is beyond that"
        );
        bench.check(&[&declined]);
    }
}

#[test]
fn renumber_keeps_retry_time() {
    let mut bench = Bench::new(|_, _| ());
    bench
        .queue(1)
        .reply(Ack::Wait(Duration::from_secs(60)))
        .order(renumber(5, false))
        .at(60)
        .step(PeerEvent::TimerFired);
    bench.load(1, 1).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s waiting     commit peer; arm 60s",
        "   0s waiting     commit notice+peer; report",
        "  60s sending     load 1",
        "  60s sending     push 5..=5 (1) settled",
    ]);
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).order(renumber(5, false)).load(1, 1).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s sending     commit notice+peer; abort; load 1; report",
        "   0s sending     push 5..=5 (1) settled",
    ]);
}

#[test]
fn expect_far_above_needs_yes() {
    let mut bench = Bench::new(|limits, record| {
        limits.renumber_max = 10;
        record.inbound.expected = Seq(5);
    });
    bench.order(expect(16, false)).order(expect(15, false)).order(expect(LAST, true)).order(expect(3, false)).check(&[
        "   0s idle        decline: number 16 is 11 above the last one in use with blue, and renumber_max is 10: all numbers \
         between are skipped for good; to order it all the same add --yes (\"yes\": true)",
        "   0s idle        commit forget<15+notice+peer; report",
        "   0s idle        commit forget<9007199254740991+notice+peer; report",
        "   0s idle        commit forget<3+notice+peer; report",
    ]);
    for number in [0, LAST + 1, i64::MAX as u64, u64::MAX] {
        bench.order(expect(number, true));
        assert!(bench.trace.last().expect("traced").contains("decline: numbers of updates"), "{number}");
    }
    assert_eq!(bench.machine.status().expected_seq, Seq(3));
}

#[test]
fn stored_expectation_beyond_limit_is_told() {
    let mut bench = Bench::new(|_, record| record.inbound.expected = Seq(i64::MAX as u64));
    bench.step(PeerEvent::Started).order(expect(12, false));
    assert!(bench.notices[0].contains("`fernpost peer expect blue NUMBER`"), "{:?}", bench.notices);
    assert_eq!(bench.machine.status().expected_seq, Seq(12));
    let mut bench = Bench::new(|_, _| ()).restart(|limits| limits.expect_seq = Some(Seq(u64::MAX)));
    assert_eq!(bench.machine.status().expected_seq, Seq(LAST));
    bench.order(expect(1, false));
    assert_eq!(bench.machine.status().expected_seq, Seq(1));
}
