//! Failures, pauses and the times of attempts, without an outbox.

use super::*;
use crate::model::DeliveryState;

const FIRST: BatchId = BatchId::SeqRange { first: None, last: crate::model::Seq(1) };

fn limits() -> PeerLimits {
    let (backoff_min, backoff_max) = (Duration::from_secs(1), Duration::from_secs(60));
    PeerLimits {
        failures_to_suspend: 3,
        probe_every: Duration::from_secs(3600),
        backoff_min,
        backoff_max,
        jitter: 0.0,
        ..PeerLimits::default()
    }
}

fn progress() -> DeliveryProgress {
    DeliveryProgress::new(&limits(), &OutboundRecord::default())
}

/// Makes an attempt at this time that fails; returns the following state and its end.
fn fail(progress: &mut DeliveryProgress, secs: u64) -> (PeerState, u64) {
    let now = Millis(secs * 1000);
    let attempt = progress.begin_attempt(now, FIRST, SendMode::WithoutItems);
    assert_eq!(progress.end_attempt(attempt), Some((FIRST, SendMode::WithoutItems)));
    let state = progress.fail(now, 0.5, None, &limits());
    progress.pause(now, state);
    (state.reported(), state.next_attempt().map_or(0, |time| time.0 / 1000))
}

#[test]
fn failures_back_off_then_suspend() {
    let mut progress = progress();
    assert_eq!(fail(&mut progress, 0), (PeerState::BackingOff, 1));
    assert_eq!(fail(&mut progress, 1), (PeerState::BackingOff, 3));
    assert_eq!(fail(&mut progress, 3), (PeerState::Suspended(SuspendReason::Unreachable), 3603));
    assert!(!progress.is_probing());
    progress.resume();
    assert!(progress.is_probing());
    assert!(progress.clear_trouble(Millis(9)) && !progress.is_probing());
    assert_eq!((progress.failures(), progress.since()), (0, Millis(9)));
}

#[test]
fn attempt_brought_forward_counts_nothing() {
    let mut progress = progress();
    let first = fail(&mut progress, 0);
    assert!(progress.contact());
    assert_eq!(fail(&mut progress, 0), first, "its time stays");
    assert!(!progress.contact(), "once per period");
    assert!(progress.retry(), "an operator may at any time");
    assert_eq!((fail(&mut progress, 0), progress.failures()), (first, 1));
}

#[test]
fn reachable_peer_is_no_sooner_tried() {
    let mut progress = progress();
    let fail = |progress: &mut DeliveryProgress, failures: u32| {
        let state = progress.fail_despite_contact(Millis(0), 0.5, failures, &limits());
        progress.pause(Millis(0), state);
        (state.reported(), state.next_attempt().map_or(0, |time| time.0 / 1000))
    };
    assert_eq!(fail(&mut progress, 0), (PeerState::BackingOff, 1));
    assert!(!progress.contact() && progress.retry(), "an operator may at any time");
    assert_eq!((fail(&mut progress, 2), progress.failures()), ((PeerState::BackingOff, 1), 1), "its time stays");
    assert_eq!(fail(&mut progress, 2), (PeerState::Suspended(SuspendReason::Unreachable), 3600));
    assert!(!progress.contact());
}

#[test]
fn contact_advances_no_requested_wait() {
    let mut progress = progress();
    for (state, by_contact, by_retry) in [
        (OutboundState::Idle, false, false),
        (OutboundState::Loading, false, false),
        (OutboundState::Waiting { until: Millis(5) }, false, true),
        (OutboundState::BackingOff { until: Millis(5), contacted: false }, true, true),
        (OutboundState::suspended(SuspendReason::Admin, None), false, false),
        (OutboundState::suspended(SuspendReason::AheadOfUs, None), false, true),
        (OutboundState::suspended(SuspendReason::Refused, Some(Millis(5))), false, true),
    ] {
        progress.enter(Millis(0), state);
        assert_eq!((progress.contact(), progress.retry()), (by_contact, by_retry), "{state:?}");
    }
}

#[test]
fn other_attempt_never_ends_request() {
    let mut progress = progress();
    assert_eq!(progress.end_attempt(0), None, "nothing is in flight");
    let first = progress.begin_attempt(Millis(0), FIRST, SendMode::Confirm);
    let second = progress.begin_attempt(Millis(0), FIRST, SendMode::WithoutItems);
    assert_eq!(progress.end_attempt(first), None);
    assert_eq!(progress.end_attempt(second), Some((FIRST, SendMode::WithoutItems)));
}

#[test]
fn process_suspension_keeps_stored_state() {
    let rest = DeliveryState::Waiting { until: Millis(50) };
    let record = OutboundRecord { rest, ..OutboundRecord::default() };
    let mut progress = DeliveryProgress::new(&PeerLimits { paused: true, ..limits() }, &record);
    assert_eq!(progress.state().reported(), PeerState::Suspended(SuspendReason::Admin));
    progress.give_up(Millis(7));
    let mut kept = OutboundRecord::default();
    progress.keep(&mut kept);
    assert_eq!((progress.state().reported(), kept.rest), (PeerState::Suspended(SuspendReason::Faulty), rest));
}
