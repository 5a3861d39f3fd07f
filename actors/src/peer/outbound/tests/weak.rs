//! Traces of what is ephemeral, and of what is only asked for: neither wakes a peer that is left alone.

use super::*;

#[test]
fn something_ephemeral_goes_alone_when_nothing_else_does_and_rides_otherwise() {
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
fn something_ephemeral_never_wakes_a_peer_that_is_left_alone() {
    let mut bench = Bench::new(|_, _| ());
    typing(bench.queue(1).unreachable()).at(1).step(Event::Due).load(1, 1).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s backing_off note peer; arm 1s",
        "   0s backing_off ",
        "   1s sending     load 1",
        "   1s sending     push 1..=1 (1)",
    ]);
}
