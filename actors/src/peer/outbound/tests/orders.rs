//! Traces of operators' commands.

use super::*;

fn expect(number: u64) -> PeerCommand {
    PeerCommand::Expect { number: Seq(number), yes: false }
}

#[test]
fn suspended_peer_waits_for_resume() {
    let mut bench = Bench::new(|_, _| ());
    bench
        .queue(1)
        .order(PeerCommand::Suspend)
        .ok(1)
        .queue(1)
        .contact()
        .order(PeerCommand::Retry)
        .at(9000)
        .order(PeerCommand::Resume);
    bench.load(1, 2).ok(2).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s suspended   commit event(suspended admin)+peer; abort; arm 2592000s; report",
        // Whether the peer accepted it shows when it is sent again.
        "   0s suspended   ",
        "   0s suspended   ",
        "   0s suspended   answer",
        "   0s suspended   report",
        "9000s sending     commit event(sending )+peer; disarm; load 1; report",
        "9000s sending     push 1..=2 (2)",
        "9000s idle        note trim<=2+peer",
    ]);
}

#[test]
fn admin_suspension_survives_restart() {
    let mut bench = Bench::new(|_, _| ());
    bench.order(PeerCommand::Suspend);
    let mut again = bench.restart(|_| ());
    again.queue(1).order(PeerCommand::Resume).check(&[
        "   0s suspended   disarm",
        "   0s suspended   arm 2592000s",
        "   0s sending     commit event(sending )+peer; disarm; load 1; report",
    ]);
    let mut paused = again.restart(|limits| limits.paused = true);
    paused.at(5).contact();
    assert_eq!(paused.machine.state(), PeerState::Suspended(SuspendReason::Admin));
    paused.restart(|_| ()).check(&["   5s idle        "]);
}

#[test]
fn pause_keeps_requested_wait() {
    let mut bench = Bench::new(|limits, record| {
        limits.paused = true;
        record.outbound.rest = DeliveryState::Waiting { until: Millis(50_000) };
    });
    // Meanwhile an inbound change writes the record.
    bench.step(PeerEvent::Started).order(expect(3));
    bench.restart(|_| ()).check(&["   0s waiting     arm 50s"]);
}

#[test]
fn manual_retry_keeps_backoff_state() {
    let mut bench = Bench::new(|_, record| record.outbound.failures = 9);
    bench.queue(1).unreachable().at(10).order(PeerCommand::Retry).load(1, 1).unreachable().check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s backing_off note peer; arm 512s",
        "  10s sending     disarm; load 1; report",
        "  10s sending     push 1..=1 (1)",
        "  10s backing_off note peer; arm 522s",
    ]);
    assert_eq!(bench.machine.failures(), 10);
    bench.order(PeerCommand::Retry).load(1, 1).ok(1);
    assert_eq!(bench.machine.failures(), 0);
}

#[test]
fn manual_retry_overrides_requested_wait() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).reply(Ack::Wait(Duration::from_secs(600))).at(10).order(PeerCommand::Retry).load(1, 1).unreachable();
    bench.check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s waiting     commit peer; arm 600s",
        "  10s sending     disarm; load 1; report",
        "  10s sending     push 1..=1 (1)",
        "  10s backing_off note peer; arm 600s",
    ]);
}

#[test]
fn failed_resume_suspends_again_silently() {
    let mut bench = Bench::new(|limits, _| limits.failures_to_suspend = 1);
    bench.queue(1).unreachable().order(PeerCommand::Resume).load(1, 1).unreachable().check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s suspended   note event(suspended unreachable)+peer; arm 3600s",
        "   0s sending     commit peer; disarm; load 1; report",
        "   0s sending     push 1..=1 (1)",
        "   0s suspended   note peer; arm 3600s",
    ]);
}

#[test]
fn resumed_peer_rechecks_receiver_ahead() {
    let mut bench = Bench::new(|_, _| ());
    bench
        .queue(1)
        .hole(2_000_000)
        .order(PeerCommand::Resume)
        .load(1, 1)
        .hole(2_000_000)
        .order(PeerCommand::Retry)
        .load(1, 1)
        .ok(1);
    bench.check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s suspended   commit event(suspended ahead_of_us)+peer; arm 2592000s",
        "   0s sending     commit peer; disarm; load 1; report",
        "   0s sending     push 1..=1 (1)",
        "   0s suspended   commit peer; arm 2592000s",
        "   0s sending     disarm; load 1; report",
        "   0s sending     push 1..=1 (1)",
        "   0s idle        note event(sending )+trim<=1+peer",
    ]);
}

#[test]
fn faulty_peer_accepts_only_resume() {
    let mut bench = Bench::new(|_, record| record.outbound.rest = DeliveryState::Waiting { until: Millis(50_000) });
    bench
        .step(PeerEvent::RestartsExhausted)
        .order(PeerCommand::Retry)
        .order(expect(9))
        .order(PeerCommand::Resume)
        .check(&[
            "   0s suspended   ",
            "   0s suspended   decline: the state of blue is faulty; see the log, then resume it",
            "   0s suspended   decline: the state of blue is faulty; see the log, then resume it",
            "   0s suspended   restart",
        ]);
    assert_eq!(bench.machine.record().outbound.rest, DeliveryState::Waiting { until: Millis(50_000) });
}

#[test]
fn expect_command_sets_number_drops_digests() {
    let mut bench = Bench::new(|_, record| record.inbound.expected = Seq(40));
    bench.order(expect(7)).check(&["   0s idle        commit forget<7+notice+peer; report"]);
    assert_eq!(bench.machine.status().expected_seq, Seq(7));
}

#[test]
fn configured_expect_seq_applies_once() {
    let mut bench = Bench::new(|_, _| ()).restart(|limits| limits.expect_seq = Some(Seq(500)));
    assert_eq!(bench.trace, ["   0s idle        commit forget<500+notice+peer"]);
    bench.order(expect(3));
    let mut again = bench.restart(|limits| limits.expect_seq = Some(Seq(500)));
    assert_eq!((again.trace[0].as_str(), again.machine.status().expected_seq), ("   0s idle        ", Seq(3)));
    let other = again.restart(|limits| limits.expect_seq = Some(Seq(600)));
    assert_eq!(other.machine.status().expected_seq, Seq(600));
}
