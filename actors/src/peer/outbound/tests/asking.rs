//! Traces of fetches from a peer, and of the peers that are charged.

use std::time::Duration;

use super::*;
use crate::model::{FetchRequest, PduRef};
use crate::peer::fetch_budget::FetchCost;

fn fetch(of: &str) -> PeerEvent {
    PeerEvent::Fetch("#room".parse().expect("valid"), want(), of.parse().expect("valid"))
}

fn ask(cause: &str) -> PeerEvent {
    PeerEvent::Ask("#room".parse().expect("valid"), want(), cause.parse().expect("valid"))
}

fn want() -> FetchRequest {
    FetchRequest::Pdu(PduRef { origin: "green".parse().expect("valid"), id: "a".parse().expect("valid") })
}

fn spent(items: u64) -> PeerEvent {
    PeerEvent::Spent(FetchCost { items, bytes: 0, time: Duration::ZERO })
}

#[test]
fn backing_off_peer_is_not_fetched() {
    let mut bench = Bench::new(|_, _| ());
    bench.step(ask("green")).queue(1).unreachable().step(ask("green")).check(&[
        "   0s idle        get for green",
        "   0s sending     push 1..=1 (1)",
        "   0s backing_off note peer; arm 1s",
        "   0s backing_off blue is not asked",
    ]);
}

#[test]
fn fetch_is_charged_to_requester() {
    let mut bench = Bench::new(|limits, _| limits.fetch_items = 10);
    bench.step(fetch("green")).step(fetch("blue")).step(spent(9)).step(fetch("green")).step(spent(9));
    bench.step(fetch("green")).step(fetch("blue")).at(3600).step(fetch("green")).check(&[
        "   0s idle        ask green",
        "   0s idle        get for blue",
        "   0s idle        ",
        "   0s idle        ask green",
        "   0s idle        ",
        "   0s idle        commit notice; green is not asked",
        "   0s idle        blue is not asked",
        "3600s idle        ask green",
    ]);
}

#[test]
fn delegated_fetch_costs_nothing() {
    let mut bench = Bench::new(|limits, _| limits.fetch_items = 1);
    bench.step(spent(1)).step(ask("green")).check(&["   0s idle        ", "   0s idle        get for green"]);
}
