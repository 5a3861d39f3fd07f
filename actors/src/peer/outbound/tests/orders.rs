//! Traces of what operators order.

use super::*;

fn expect(number: u64) -> Order {
    Order::Expect { number: Seq(number), yes: false }
}

#[test]
fn a_suspended_peer_is_left_alone_until_it_is_resumed_whatever_comes() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).order(Order::Suspend).ok(1).queue(1).contact().order(Order::Retry).at(9000).order(Order::Resume);
    bench.load(1, 2).ok(2).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s suspended   commit event(suspended admin)+peer; abort; arm 2592000s; report",
        // Whether the peer took it is learnt when it is sent again.
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
fn an_operators_suspension_outlives_a_restart_and_a_pause_does_not_outlive_the_configuration() {
    let mut bench = Bench::new(|_, _| ());
    bench.order(Order::Suspend);
    let mut again = bench.restart(|_| ());
    again.queue(1).order(Order::Resume).check(&[
        "   0s suspended   disarm",
        "   0s suspended   arm 2592000s",
        "   0s sending     commit event(sending )+peer; disarm; load 1; report",
    ]);
    let mut paused = again.restart(|limits| limits.paused = true);
    paused.at(5).contact();
    assert_eq!(paused.machine.state(), PeerState::Suspended(Cause::Admin));
    paused.restart(|_| ()).check(&["   5s idle        "]);
}

#[test]
fn a_pause_keeps_what_the_peer_had_asked_for() {
    let mut bench = Bench::new(|limits, record| {
        limits.paused = true;
        record.outbound.rest = Rest::Waiting { until: Millis(50_000) };
    });
    // Something inbound writes the record meanwhile.
    bench.step(Event::Started).order(expect(3));
    bench.restart(|_| ()).check(&["   0s waiting     arm 50s"]);
}

#[test]
fn a_retry_comes_before_the_date_and_leaves_the_failures_and_the_date_as_they_are() {
    let mut bench = Bench::new(|_, record| record.outbound.failures = 9);
    bench.queue(1).unreachable().at(10).order(Order::Retry).load(1, 1).unreachable().check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s backing_off note peer; arm 512s",
        "  10s sending     disarm; load 1; report",
        "  10s sending     push 1..=1 (1)",
        "  10s backing_off note peer; arm 522s",
    ]);
    assert_eq!(bench.machine.failures(), 10);
    bench.order(Order::Retry).load(1, 1).ok(1);
    assert_eq!(bench.machine.failures(), 0);
}

#[test]
fn an_operator_may_come_before_the_time_a_peer_asked_for() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).reply(Ack::Wait(Duration::from_secs(600))).at(10).order(Order::Retry).load(1, 1).unreachable();
    bench.check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s waiting     commit peer; arm 600s",
        "  10s sending     disarm; load 1; report",
        "  10s sending     push 1..=1 (1)",
        "  10s backing_off note peer; arm 600s",
    ]);
}

#[test]
fn a_peer_that_is_resumed_and_still_not_there_is_given_up_at_once_and_that_is_no_news() {
    let mut bench = Bench::new(|limits, _| limits.failures_to_suspend = 1);
    bench.queue(1).unreachable().order(Order::Resume).load(1, 1).unreachable().check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s suspended   note event(suspended unreachable)+peer; arm 3600s",
        "   0s sending     commit peer; disarm; load 1; report",
        "   0s sending     push 1..=1 (1)",
        "   0s suspended   note peer; arm 3600s",
    ]);
}

#[test]
fn a_number_beyond_belief_is_heard_again_after_a_resume() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).hole(2_000_000).order(Order::Resume).load(1, 1).hole(2_000_000).order(Order::Retry).load(1, 1).ok(1);
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
fn a_faulty_peer_takes_one_order_which_is_to_begin_anew() {
    let mut bench = Bench::new(|_, record| record.outbound.rest = Rest::Waiting { until: Millis(50_000) });
    bench.step(Event::GivenUp).order(Order::Retry).order(expect(9)).order(Order::Resume).check(&[
        "   0s suspended   ",
        "   0s suspended   decline: the state of blue is faulty; see the log, then resume it",
        "   0s suspended   decline: the state of blue is faulty; see the log, then resume it",
        "   0s suspended   restart",
    ]);
    assert_eq!(bench.machine.record().outbound.rest, Rest::Waiting { until: Millis(50_000) });
}

#[test]
fn a_number_that_is_ordered_is_expected_and_nothing_before_it_is_compared() {
    let mut bench = Bench::new(|_, record| record.inbound.expected = Seq(40));
    bench.order(expect(7)).check(&["   0s idle        commit forget<7+notice+peer; report"]);
    assert_eq!(bench.machine.status().expected_seq, Seq(7));
}

#[test]
fn a_number_in_the_configuration_is_applied_once_and_again_when_it_is_another() {
    let mut bench = Bench::new(|_, _| ()).restart(|limits| limits.expect_seq = Some(Seq(500)));
    assert_eq!(bench.trace, ["   0s idle        commit forget<500+notice+peer"]);
    bench.order(expect(3));
    let mut again = bench.restart(|limits| limits.expect_seq = Some(Seq(500)));
    assert_eq!((again.trace[0].as_str(), again.machine.status().expected_seq), ("   0s idle        ", Seq(3)));
    let other = again.restart(|limits| limits.expect_seq = Some(Seq(600)));
    assert_eq!(other.machine.status().expected_seq, Seq(600));
}
