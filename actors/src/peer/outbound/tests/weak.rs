//! Traces of ephemeral items and of fetches: neither wakes a paused peer.

use super::*;

pub(super) fn typing(bench: &mut Bench) -> &mut Bench {
    let edu = Edu { kind: "typing".into(), content: Bytes::from_static(b"{}") };
    bench.step(PeerEvent::Weak(EphemeralItem { key: None, until: Millis(u64::MAX), edu, states_ttl: false }))
}

/// Submits an ephemeral item with this key that expires after this many seconds.
fn typing_for<'a>(bench: &'a mut Bench, key: &str, secs: u64) -> &'a mut Bench {
    saying(bench, key, key, secs)
}

/// Submits an ephemeral item whose text differs from its key.
fn saying<'a>(bench: &'a mut Bench, key: &str, words: &str, secs: u64) -> &'a mut Bench {
    let edu = Edu { kind: "typing".into(), content: Bytes::from(words.to_owned()) };
    let until = Millis(bench.now.0 + secs * 1000);
    bench.step(PeerEvent::Weak(EphemeralItem { key: Some(key.to_owned()), until, edu, states_ttl: false }))
}

#[test]
fn ephemeral_piggybacks_on_batch() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(7));
    typing(typing(&mut bench)).queue(1).ok(7).ok(8).check(&[
        "   0s sending     push 8..=7 (0+1 weak)",
        "   0s sending     ",
        "   0s sending     ",
        "   0s sending     push 8..=8 (1+1 weak)",
        "   0s idle        note trim<=8+peer",
    ]);
}

#[test]
fn ephemeral_rides_on_next_attempt() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).reply(Ack::Wait(Duration::from_secs(10))).at(5);
    // One expires before the attempt, one at its time; of those that outlast it the newest per key is sent.
    for (key, secs) in [("short", 4), ("equal", 5), ("a", 6), ("b", 30), ("a", 30)] {
        typing_for(&mut bench, key, secs);
    }
    bench.at(10).step(PeerEvent::TimerFired).load(1, 1).ok(1).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s waiting     commit peer; arm 10s",
        "   5s waiting     ",
        "   5s waiting     ",
        "   5s waiting     ",
        "   5s waiting     ",
        "   5s waiting     ",
        "  10s sending     load 1",
        "  10s sending     push 1..=1 (1+2 weak)",
        "  10s idle        note trim<=1+peer",
    ]);
}

#[test]
fn ephemeral_rides_after_backoff() {
    let mut bench = Bench::new(|limits, _| limits.weak_items = 2);
    bench.queue(1).unreachable();
    for key in ["a", "b", "c"] {
        typing_for(&mut bench, key, 30);
    }
    bench.at(1).step(PeerEvent::TimerFired).load(1, 1).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s backing_off note peer; arm 1s",
        "   0s backing_off ",
        "   0s backing_off ",
        "   0s backing_off ",
        "   1s sending     load 1",
        "   1s sending     push 1..=1 (1+2 weak)",
    ]);
}

#[test]
fn weak_alone_starts_no_attempt() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(7));
    typing_for(&mut bench, "a", 30).unreachable();
    typing_for(&mut bench, "b", 30).at(1).step(PeerEvent::TimerFired);
    typing_for(&mut bench, "c", 30).check(&[
        "   0s sending     push 8..=7 (0+1 weak)",
        "   0s backing_off note peer; arm 1s",
        "   0s backing_off ",
        "   1s idle        ",
        "   1s sending     push 8..=7 (0+1 weak)",
    ]);
}

#[test]
fn ephemeral_sent_alone_after_wait() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(7));
    typing_for(&mut bench, "a", 30).reply(Ack::Wait(Duration::from_secs(3))).at(3).step(PeerEvent::TimerFired).check(
        &[
            "   0s sending     push 8..=7 (0+1 weak)",
            "   0s waiting     commit peer; arm 3s",
            "   3s sending     push 8..=7 (0+1 weak)",
        ],
    );
}

#[test]
fn unaccepted_ephemeral_rides_again() {
    let troubled =
        |status| PushFailure::Troubled { status, reason: "oh".into(), retry_after: Some(Duration::from_secs(1)) };
    for (failure, rides) in [
        (PushFailure::Unreachable("gone".into()), true),
        (troubled(429), true),
        // The peer may have accepted it, or it may be the cause of the failure.
        (PushFailure::TimedOut, false),
        (PushFailure::Broken("cut".into()), false),
        (PushFailure::Unreadable("?".into()), false),
        (troubled(503), false),
    ] {
        let mut bench = Bench::new(|_, _| ());
        typing_for(bench.queue(1), "a", 30);
        bench.ok(1).queue(1).trace.clear();
        // The push of the second item is in flight; the first push carried the ephemeral item alone.
        typing_for(&mut bench, "b", 30).ok(1).queue(1);
        bench.trace.clear();
        typing_for(&mut bench, "c", 1).fail(failure.clone()).at(1).step(PeerEvent::TimerFired).load(2, 3);
        let pushed = bench.trace.last().expect("traced");
        assert_eq!(pushed.contains("weak"), rides, "{failure}: {}", bench.trace.join("\n"));
    }
}

#[test]
fn weak_for_suspended_peer_is_dropped() {
    let mut bench = Bench::new(|limits, _| limits.failures_to_suspend = 1);
    typing_for(bench.queue(1), "a", 9_999).unreachable();
    typing_for(&mut bench, "b", 9_999).at(3600).step(PeerEvent::TimerFired).load(1, 1).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s sending     ",
        "   0s suspended   note event(suspended unreachable)+peer; arm 3600s",
        "   0s suspended   ",
        "3600s sending     load 1",
        "3600s sending     push 1..=1 (1)",
    ]);
}

/// The newer item would expire before the next attempt: neither is sent, because the older one is out of date.
#[test]
fn weak_replaced_by_shorter_is_dropped() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).reply(Ack::Wait(Duration::from_secs(10)));
    for (key, secs) in [("a", 30), ("b", 30), ("a", 4)] {
        typing_for(&mut bench, key, secs);
    }
    bench.at(10).step(PeerEvent::TimerFired).load(1, 1).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s waiting     commit peer; arm 10s",
        "   0s waiting     ",
        "   0s waiting     ",
        "   0s waiting     ",
        "  10s sending     load 1",
        "  10s sending     push 1..=1 (1+1 weak)",
    ]);
}

/// The newer item is too long to be kept. The older one was in flight and did not arrive, but it is out of date.
#[test]
fn ephemeral_replaced_in_flight_never_returns() {
    let mut bench = Bench::new(|limits, _| limits.batch_bytes = 4);
    for key in ["a", "b", "c"] {
        typing_for(&mut bench, key, 30);
    }
    bench.ok(0);
    saying(&mut bench, "b", "too long", 30);
    bench.queue(1).unreachable().at(1).step(PeerEvent::TimerFired).load(1, 1).check(&[
        "   0s sending     push 1..=0 (0+1 weak)",
        "   0s sending     ",
        "   0s sending     ",
        "   0s sending     push 1..=0 (0+2 weak)",
        "   0s sending     ",
        "   0s sending     ",
        "   0s backing_off note peer; arm 1s",
        "   1s sending     load 1",
        "   1s sending     push 1..=1 (1+1 weak)",
    ]);
}
