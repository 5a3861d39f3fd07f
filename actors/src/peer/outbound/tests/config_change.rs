//! Traces of a configuration that changes while the peer's actor runs.

use super::*;
use crate::limits::PeerListing;

fn gone(limits: &mut PeerLimits) {
    limits.listing = PeerListing::NotListed;
}

fn denied(limits: &mut PeerLimits) {
    limits.listing = PeerListing::Denied;
}

fn paused(limits: &mut PeerLimits) {
    limits.paused = true;
}

#[test]
fn removed_peer_finishes_request_in_flight() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).queue(2).limits(gone).ok(1).queue(1).limits(|_| ()).load(2, 4).ok(4).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s sending     ",
        // What is in flight arrives, and its answer counts.
        "   0s sending     ",
        "   0s suspended   commit trim<=1+event(suspended not_listed)+peer; arm 2592000s",
        "   0s suspended   ",
        "   0s sending     commit event(sending )+peer; disarm; load 2",
        "   0s sending     push 2..=4 (3)",
        "   0s idle        note peer",
    ]);
}

#[test]
fn removed_peer_keeps_its_trouble() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).limits(gone).unreachable().at(5).limits(denied).limits(|_| ()).load(1, 1).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s sending     ",
        "   0s suspended   commit event(suspended not_listed)+peer; arm 2592000s",
        "   5s suspended   commit event(suspended denied)+peer; arm 2592000s",
        // The delay has passed meanwhile.
        "   5s sending     commit event(sending )+peer; disarm; load 1",
        "   5s sending     push 1..=1 (1)",
    ]);
    assert_eq!(bench.machine.failures(), 1);
}

#[test]
fn requested_wait_outlives_a_removal() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).reply(Ack::Wait(Duration::from_secs(600))).at(5).limits(gone);
    assert_eq!(bench.machine.record().outbound.rest, DeliveryState::Waiting { until: Millis(600_000) });
    bench.trace.clear();
    bench.at(6).limits(|_| ()).check(&["   6s waiting     commit event(waiting )+peer; disarm; arm 600s"]);
}

#[test]
fn removed_peer_drops_ephemeral_items() {
    let mut bench = Bench::new(|_, _| ());
    typing(&mut bench).reply(Ack::Wait(Duration::from_secs(600)));
    bench.limits(gone).limits(|_| ()).at(600).step(PeerEvent::TimerFired).trace.drain(..3);
    bench.check(&["   0s waiting     note peer; disarm; arm 600s", " 600s idle        "]);
}

#[test]
fn idle_peer_is_paused_silently() {
    let mut bench = Bench::new(|_, _| ());
    bench.step(PeerEvent::Started).limits(paused).queue(1).limits(|_| ()).load(1, 1).check(&[
        "   0s idle        ",
        "   0s suspended   note peer; abort; disarm",
        "   0s suspended   arm 2592000s",
        "   0s sending     note peer; disarm; load 1",
        "   0s sending     push 1..=1 (1)",
    ]);
}

#[test]
fn pause_stops_read_of_rows() {
    let mut bench = Bench::queued(2, |_, _| ());
    bench.step(PeerEvent::Started).limits(paused).load(1, 2).check(&[
        "   0s sending     load 1",
        "   0s suspended   commit event(suspended admin)+peer; abort; load 1",
        // The page is read for its expiry.
        "   0s suspended   arm 2592000s",
    ]);
}

#[test]
fn resume_overrides_pause_until_next_change() {
    let mut bench = Bench::queued(1, |limits, _| limits.paused = true);
    bench.step(PeerEvent::Started).load(1, 1).order(PeerCommand::Resume).load(1, 1).limits(paused).ok(1).check(&[
        "   0s suspended   commit event(suspended admin)+peer; load 1",
        "   0s suspended   arm 2592000s",
        "   0s sending     commit event(sending )+peer; disarm; load 1; report",
        "   0s sending     push 1..=1 (1)",
        "   0s sending     ",
        "   0s suspended   note trim<=1+peer; disarm",
    ]);
}

#[test]
fn suspension_by_operator_outlives_pause() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).limits(paused).ok(1).order(PeerCommand::Suspend).trace.clear();
    bench.limits(|_| ()).order(PeerCommand::Resume).check(&[
        "   0s suspended   commit event(suspended admin)+peer; disarm; disarm",
        "   0s idle        commit event(idle )+peer; disarm; report",
    ]);
}

#[test]
fn shorter_backoff_brings_attempt_forward() {
    let hour = Duration::from_secs(3600);
    let mut bench = Bench::new(|limits, _| (limits.backoff_min, limits.backoff_max) = (hour, hour));
    let quick = |limits: &mut PeerLimits| limits.backoff_min = Duration::from_secs(2);
    bench.queue(1).unreachable().at(10).limits(quick).at(11).limits(|limits| {
        quick(limits);
        limits.rate = 5;
    });
    bench.at(13).limits(quick).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s backing_off note peer; arm 3000s",
        "  10s backing_off arm 12s",
        // Limits that do not concern the delay do not change it.
        "  11s backing_off arm 12s",
        // The timer was late.
        "  13s sending     disarm; load 1",
    ]);

    let mut asked = Bench::new(|limits, _| (limits.backoff_min, limits.backoff_max) = (hour, hour));
    let busy = PushFailure::Troubled { status: 503, reason: "no".into(), retry_after: Some(Duration::from_secs(50)) };
    asked.queue(1).fail(busy).trace.clear();
    asked.limits(quick).check(&["   0s backing_off arm 50s"]);
}

#[test]
fn shorter_limits_end_waits_and_probes() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).reply(Ack::Wait(Duration::from_secs(600))).trace.clear();
    bench.limits(|limits| limits.wait_max = Duration::from_secs(60)).check(&["   0s waiting     arm 60s"]);
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).fail(refused(403)).trace.clear();
    bench.limits(|limits| limits.probe_every = Duration::from_secs(7)).check(&["   0s suspended   arm 7s"]);
    bench.trace.clear();
    bench.limits(|limits| limits.keep = Duration::from_secs(5)).check(&["   0s suspended   arm 5s"]);
}

#[test]
fn changed_batch_size_holds_next() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).queue(5).limits(|limits| limits.batch_items = 4).ok(1).limits(|limits| limits.batch_items = 1);
    bench.ok(5).ok(6).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s sending     ",
        "   0s sending     ",
        "   0s sending     note trim<=1+peer; push 2..=5 (4)",
        "   0s sending     ",
        "   0s sending     note peer; push 6..=6 (1)",
        "   0s idle        note peer",
    ]);
}

#[test]
fn changed_dialect_waits_for_reply() {
    let other = |limits: &mut PeerLimits| limits.dialect = DialectSpec::TRANSACTIONS;
    let mut bench = Bench::new(|_, _| ());
    bench.at(1).queue(1).queue(1).limits(other).ok(1).reply(Ack::Taken).queue(1).limits(|_| ()).reply(Ack::Taken);
    bench.queue(1).ok(4).check(&[
        "   1s sending     push 1..=1 (1)",
        "   1s sending     ",
        "   1s sending     ",
        "   1s sending     commit trim<=1+peer; push #1000 after none (1) settled",
        "   1s idle        note sent #1000 2..=2+peer",
        "   1s sending     push #1001 after 1000 (1)",
        "   1s sending     ",
        "   1s idle        note sent #1001 3..=3+peer",
        "   1s sending     push 4..=4 (1)",
        "   1s idle        note peer",
    ]);
}

#[test]
fn faulty_peer_stays_faulty() {
    let mut bench = Bench::new(|_, _| ());
    bench.step(PeerEvent::RestartsExhausted).limits(gone).limits(|_| ()).check(&[
        "   0s suspended   ",
        "   0s suspended   disarm",
        "   0s suspended   disarm",
    ]);
}

#[test]
fn configured_number_applies_at_reload() {
    let mut bench = Bench::new(|_, _| ());
    bench.limits(|limits| limits.expect_seq = Some(Seq(7))).limits(|limits| limits.expect_seq = Some(Seq(7)));
    assert_eq!(bench.machine.status().expected_seq, Seq(7));
    assert_eq!(bench.notices.len(), 1, "each value is applied once: {:?}", bench.notices);
}
