//! Traces of peers that are removed from the configuration, and listed again.

use super::leaving::drop_items;
use super::*;
use crate::limits::PeerListing;

/// Returns a peer with the pending items 1 to `items` and this delivery state.
fn waiting(items: u64, rest: DeliveryState, change: impl FnOnce(&mut PeerLimits)) -> Bench {
    Bench::queued(items, |limits, record| {
        record.outbound.rest = rest;
        change(limits);
    })
}

/// Restarts the peer with its pending items.
fn restarted(bench: &Bench, items: u64, change: impl FnOnce(&mut PeerLimits)) -> Bench {
    let record = bench.machine.record();
    let acked = record.outbound.acked.0;
    let mut again = Bench::queued(items - acked, |limits, from| {
        *from = record;
        change(limits);
    });
    again.now = bench.now;
    again.step(PeerEvent::Started);
    again
}

fn gone(limits: &mut PeerLimits) {
    limits.listing = PeerListing::NotListed;
    limits.keep = Duration::from_secs(100);
}

#[test]
fn unlisted_peer_suspended_notified_once() {
    let rest = DeliveryState::BackingOff { until: Millis(7_000) };
    let mut bench = waiting(2, rest, gone);
    bench.step(PeerEvent::Started).load(1, 2).contact().check(&[
        "   0s suspended   commit event(suspended not_listed)+peer; load 1",
        "   0s suspended   arm 100s",
        "   0s suspended   answer",
    ]);
    // Another start with the same configuration changes nothing; when it is listed again, the peer continues from there.
    let mut again = restarted(&bench, 2, gone);
    again.check(&["   0s suspended   arm 100s"]);
    let mut back = restarted(&again, 2, |_| ());
    back.at(7).step(PeerEvent::TimerFired).load(1, 2).ok(2).check(&[
        "   0s backing_off commit event(backing_off )+peer; arm 7s",
        "   7s sending     load 1",
        "   7s sending     push 1..=2 (2)",
        "   7s idle        note trim<=2+peer",
    ]);
    restarted(&back, 2, |_| ()).check(&["   7s idle        "]);
}

#[test]
fn items_of_unlisted_peer_expire() {
    let mut bench = waiting(2, DeliveryState::Ready, gone);
    bench.step(PeerEvent::Started).load(1, 2).at(100).step(PeerEvent::TimerFired).load(1, 2).check(&[
        "   0s suspended   commit event(suspended not_listed)+peer; load 1",
        "   0s suspended   arm 100s",
        " 100s suspended   load 1",
        " 100s suspended   commit expired 1..=2+event(m1 expired: not taken within 100 s (keep))+event(m2 expired: not taken within 100 s (keep))+peer; disarm",
    ]);
    assert_eq!(bench.machine.record().outbound.rest, DeliveryState::Ready);
}

#[test]
fn unlisted_peer_accepts_only_drop() {
    let mut bench = waiting(1, DeliveryState::Ready, gone);
    bench.step(PeerEvent::Started).load(1, 1).trace.clear();
    let number = Seq(5);
    for order in [
        PeerCommand::Suspend,
        PeerCommand::Resume,
        PeerCommand::Retry,
        PeerCommand::Expect { number, yes: true },
        PeerCommand::Renumber { number, yes: true },
    ] {
        bench.trace.clear();
        bench.order(order).check(&["   0s suspended   decline: blue is not a peer of this server"]);
    }
    bench.trace.clear();
    bench
        .order(drop_items(1, 1))
        .check(&["   0s suspended   commit dropped 1+event(m parked: taken out by an operator)+peer; report"]);
}

#[test]
fn unlisted_peer_without_backlog_silent() {
    waiting(0, DeliveryState::Ready, gone).step(PeerEvent::Started).check(&["   0s suspended   disarm"]);
}

#[test]
fn suspension_by_operator_outlives_being_unlisted() {
    let rest = DeliveryState::Suspended { cause: SuspendReason::Admin, probe_at: None };
    let mut bench = waiting(1, rest, gone);
    bench.step(PeerEvent::Started);
    let mut back = restarted(&bench, 1, |_| ());
    assert_eq!(back.trace, ["   0s suspended   commit event(suspended admin)+peer; load 1"]);
    back.load(1, 1).order(PeerCommand::Resume);
    assert_eq!(back.machine.state(), PeerState::Sending);
}
