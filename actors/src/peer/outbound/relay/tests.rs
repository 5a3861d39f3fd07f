//! Traces of the choice between a peer and the servers of its route.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::limits::relay::RouteStep;
use crate::model::{DialectSpec, PduRef};

/// The route of the peer `c` through `b`, then `d`, whose work is printed.
struct Bench {
    route: RelayRoute,
    now: u64,
    acked: u64,
    tail: u64,
    may_send: bool,
    /// Servers that can be used, with their room.
    usable: Vec<(&'static str, u64)>,
    /// True if these take numbered updates.
    has_numbers: bool,
    /// Indexes of the PDUs that are for them as well.
    shared: Vec<u64>,
    trace: Vec<String>,
}

impl Bench {
    fn new(route: &[&str]) -> Self {
        let mut limits = PeerLimits::default();
        limits.relay.route = route.iter().map(|step| steps(step)).collect();
        limits.relay.after = Duration::from_secs(100);
        let route = RelayRoute::new(&Arc::new(limits), &RelayRecord::default());
        let usable = vec![("b", 100), ("d", 100)];
        Self {
            route,
            now: 0,
            acked: 0,
            tail: 0,
            may_send: true,
            usable,
            has_numbers: true,
            shared: vec![],
            trace: vec![],
        }
    }

    fn facts(&self) -> QueueFacts {
        QueueFacts { acked: Index(self.acked), tail: Index(self.tail), may_send: self.may_send }
    }

    /// Steps at this second, and does what the route asks for.
    fn at(&mut self, secs: u64) -> &mut Self {
        self.now = secs;
        let now = Millis(secs * 1000);
        let mut said = vec![];
        let mut work = self.route.step(now, self.facts());
        while let Some(next) = work {
            work = match next {
                RelayWork::Load(from) => {
                    said.push(format!("load {from}"));
                    let (rows, vias) = (self.rows(from), self.vias());
                    let queue = self.route.loaded(now, from, rows, &vias, Index(self.acked));
                    queue.or_else(|| self.route.step(now, self.facts()))
                }
                RelayWork::Queue(via, items, upto) => {
                    let numbers: Vec<String> = items.iter().map(|item| item.number.to_string()).collect();
                    said.push(format!("{} to {via}", numbers.join(",")));
                    self.route.queued(&via, upto);
                    self.route.step(now, self.facts())
                }
            };
        }
        let due = self.route.due(self.facts()).map_or("-".to_owned(), |due| format!("{}s", due.0 / 1000));
        let mode = if self.route.is_active() { "relaying" } else { "direct" };
        self.trace.push(format!("{secs}s {mode}: {} (due {due})", said.join("; ")));
        self
    }

    fn rows(&self, from: Index) -> Vec<RelayedItem> {
        let row = |index| RelayedItem {
            index: Index(index),
            number: Seq(index),
            item: match index % 2 {
                0 => Item::Update(Bytes::from_static(b"{}")),
                _ => {
                    let (origin, id) = ("us".parse().expect("valid"), "p".parse().expect("valid"));
                    Item::Pdu(PduRef { origin, id }, Bytes::from_static(b"{}"))
                }
            },
        };
        (from.0..=self.tail).map(row).take(2).collect()
    }

    fn vias(&self) -> Vec<ViaState> {
        let state = |via: &ServerName| {
            let found = self.usable.iter().find(|(name, _)| *name == via.as_str());
            let (is_usable, room) = (found.is_some(), found.map_or(0, |(_, room)| *room));
            let shared = self.shared.iter().copied().map(Index).collect();
            ViaState { server: via.clone(), is_usable, has_numbers: self.has_numbers, room, shared }
        };
        self.route.relay().vias().map(state).collect()
    }

    fn fails(&mut self, secs: u64) -> &mut Self {
        self.route.attempted(Millis(secs * 1000), Some(&PushFailure::TimedOut));
        self.at(secs)
    }

    fn queues(&mut self, count: u64) -> &mut Self {
        self.tail += count;
        self
    }

    fn check(&self, expected: &[&str]) {
        assert_eq!(self.trace, expected, "\n{}", self.trace.join("\n"));
    }
}

fn steps(step: &str) -> RouteStep {
    match step.strip_prefix("via:") {
        None => RouteStep::Direct,
        Some(via) => RouteStep::Via(via.parse().expect("valid")),
    }
}

#[test]
fn long_outage_uses_relay_until_answered() {
    let mut bench = Bench::new(&["direct", "via:b"]);
    bench.queues(3).at(0).fails(10).fails(60).fails(110).queues(1).at(120).at(140);
    // It has answered, and acknowledges later.
    bench.route.attempted(Millis(150_000), None);
    bench.at(150);
    assert_eq!(bench.route.relayed().map(|(_, upto)| *upto), Some(Index(4)));
    bench.acked = 4;
    bench.at(151);
    assert_eq!(bench.route.relayed(), None);
    bench.check(&[
        "0s direct:  (due -)",
        "10s direct:  (due 110s)",
        "60s direct:  (due 110s)",
        "110s relaying: load 1; 1,2 to b; load 3; 3 to b (due 140s)",
        "120s relaying: load 4; 4 to b (due 150s)",
        "140s relaying:  (due 150s)",
        "150s direct:  (due -)",
        "151s direct:  (due -)",
    ]);
}

#[test]
fn refusals_and_waits_are_no_outage() {
    let mut bench = Bench::new(&["direct", "via:b"]);
    bench.queues(1);
    let refused = PushFailure::Refused { status: 403, reason: "no".into() };
    bench.route.attempted(Millis(0), Some(&refused));
    bench.at(500).fails(500);
    let busy = PushFailure::Troubled { status: 429, reason: "wait".into(), retry_after: None };
    bench.route.attempted(Millis(550_000), Some(&busy));
    bench.at(700);
    bench.check(&["500s direct:  (due -)", "500s direct:  (due 600s)", "700s direct:  (due -)"]);
}

#[test]
fn route_without_direct_always_relays() {
    let mut bench = Bench::new(&["via:b"]);
    bench.queues(1).at(0);
    bench.check(&["0s relaying: load 1; 1 to b (due 30s)"]);
}

#[test]
fn next_relay_gets_everything_unacknowledged() {
    let mut bench = Bench::new(&["direct", "via:b", "via:d"]);
    bench.queues(2).fails(0).at(100);
    bench.usable.remove(0);
    bench.queues(1).at(110).at(130);
    bench.check(&[
        "0s direct:  (due 100s)",
        "100s relaying: load 1; 1,2 to b (due 130s)",
        "110s relaying: load 3; load 1; 1,2 to d; load 3; 3 to d (due 140s)",
        "130s relaying:  (due 140s)",
    ]);
}

#[test]
fn refusing_relay_rests_for_retry() {
    let mut bench = Bench::new(&["direct", "via:b"]);
    bench.queues(1).fails(0).at(100);
    let b: ServerName = "b".parse().expect("valid");
    assert!(bench.route.refused(Millis(101_000), &b));
    assert!(!bench.route.refused(Millis(102_000), &b), "it is told once");
    bench.at(102).at(110).at(132).at(3702);
    bench.check(&[
        "0s direct:  (due 100s)",
        "100s relaying: load 1; 1 to b (due 130s)",
        "102s relaying: load 1 (due 132s)",
        "110s relaying:  (due 132s)",
        "132s relaying: load 1 (due 162s)",
        "3702s relaying: load 1; 1 to b (due 3732s)",
    ]);
}

#[test]
fn full_relay_is_asked_later() {
    let mut bench = Bench::new(&["direct", "via:b"]);
    bench.usable = vec![("b", 0)];
    bench.queues(1).fails(0).at(100);
    bench.usable = vec![("b", 9)];
    bench.at(130);
    bench.may_send = false;
    bench.queues(1).at(140);
    bench.check(&[
        "0s direct:  (due 100s)",
        "100s relaying: load 1 (due 130s)",
        "130s relaying: load 1; 1 to b (due 160s)",
        "140s direct:  (due -)",
    ]);
}

#[test]
fn transactions_carry_shared_pdus_alone() {
    let mut bench = Bench::new(&["direct", "via:b"]);
    (bench.has_numbers, bench.shared) = (false, vec![1, 2, 5]);
    bench.queues(5).fails(0).at(100);
    let expected = "100s relaying: load 1; 1 to b; load 3;  to b; load 5; 5 to b (due 130s)";
    bench.check(&["0s direct:  (due 100s)", expected]);
}

#[test]
fn unnumbered_peer_needs_unnumbered_relay() {
    let mut bench = Bench::new(&["direct", "via:b"]);
    let mut limits = (*bench.route.limits).clone();
    limits.dialect = DialectSpec::TRANSACTIONS;
    bench.route.change_limits(&Arc::new(limits));
    bench.queues(1).fails(0).at(100);
    (bench.has_numbers, bench.shared) = (false, vec![1]);
    bench.at(130);
    bench.check(&[
        "0s direct:  (due 100s)",
        "100s relaying: load 1 (due 130s)",
        "130s relaying: load 1; 1 to b (due 160s)",
    ]);
}

/// The state of the route is made with its first server, and the outage began before.
#[test]
fn outage_counts_before_route_has_servers() {
    let mut bench = Bench::new(&["direct"]);
    bench.queues(1).fails(0).at(200);
    assert!(bench.route.through.is_none(), "a peer without a route takes no memory for it");
    let mut limits = (*bench.route.limits).clone();
    limits.relay.route.push(steps("via:b"));
    bench.route.change_limits(&Arc::new(limits));
    bench.at(200);
    bench.check(&["0s direct:  (due -)", "200s direct:  (due -)", "200s relaying: load 1; 1 to b (due 230s)"]);
}
