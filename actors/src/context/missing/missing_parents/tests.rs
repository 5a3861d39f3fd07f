//! Printed traces of missing parents: requested, received, given up, and received late.

use std::sync::Arc;
use std::time::Duration;

use crate::context::machine::ContextEvent;
use crate::context::tests::harness::{MachineHarness, at, context, pdu, pdus, server};
use crate::limits::{ContextLimits, GapLimits};
use crate::model::{FetchRequest, Pdu};

#[test]
fn parent_before_edge_is_no_gap() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("red", pdus("red/3<red/2"));
    desk.log.clear();
    desk.until(750);
    desk.expect(&["-- 750", "fetch red/2 from red"]);
    desk.fetched("red", "red/2", true, vec![]);
    let mut asks = vec![];
    while let Some(due) = desk.due.filter(|due| due.0 < 60_000) {
        desk.until(due.0);
        desk.fetched("red", "red/2", true, vec![]);
        asks.push(due.0);
    }
    assert_eq!(asks, [1500, 3000, 6000, 12_000, 24_000, 48_000], "the pauses double");
    desk.log.clear();
    desk.until(60_000);
    desk.expect(&["-- 60000", "deliver red/3 at 0"]);
    assert!(desk.gaps[&at("red/2")].edge);
    desk.arrive("red", pdus("red/4<red/2"));
    desk.expect(&["deliver red/4 at 0", "verdicts accepted"]);
    desk.arrive("red", pdus("red/2<red/1"));
    desk.expect(&["hold red/2 for [red/1], edge", "verdicts held"]);
    desk.arrive("red", pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "deliver red/2 at 1 late", "verdicts accepted"]);
    assert!(desk.gaps.is_empty());
}

/// All servers answer at once that they have none, until this time has passed or a PDU is delivered.
fn in_vain(desk: &mut MachineHarness, until: u64) {
    while let Some(due) = desk.due.filter(|due| due.0 <= until) {
        desk.until(due.0);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    desk.until(until);
}

#[test]
fn changed_limits_hold_for_missing_parents() {
    let limits = |grace: u64, give_up: u64| {
        let (grace, give_up) = (Duration::from_millis(grace), Duration::from_millis(give_up));
        let gap = GapLimits { grace, give_up, ..ContextLimits::default().gap };
        ContextEvent::LimitsChanged(Arc::new(ContextLimits { gap, ..ContextLimits::default() }))
    };
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/3<red/2"));
    desk.step(limits(10, 60_000));
    desk.log.clear();
    desk.until(10);
    desk.expect(&["-- 10", "fetch red/2 from red"]);
    desk.fetched("red", "red/2", true, vec![]);
    desk.step(limits(10, 120_000));
    in_vain(&mut desk, 119_999);
    desk.log.clear();
    desk.until(120_000);
    desk.expect(&["-- 120000", "gap [red/2] before [red/3]", "deliver red/3 at 0 without [red/2]"]);
    desk.arrive("red", pdus("red/5<red/4"));
    in_vain(&mut desk, 130_000);
    desk.log.clear();
    desk.step(limits(10, 5_000));
    desk.expect(&["gap [red/4] before [red/5]", "deliver red/5 at 0 without [red/4]"]);
}

#[test]
fn closed_intake_stops_gap_clock() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("green", pdus("green/1<red/1"));
    in_vain(&mut desk, 20_000);
    desk.intake(false);
    in_vain(&mut desk, 3_600_000);
    // A parent that is missing since then has its whole time left.
    desk.arrive("green", pdus("green/2<red/9"));
    in_vain(&mut desk, 4_000_000);
    desk.intake(false);
    desk.log.clear();
    desk.intake(true);
    in_vain(&mut desk, 4_039_999);
    assert!(!desk.log.iter().any(|line| line.contains("deliver")), "{:?}", desk.log);
    in_vain(&mut desk, 4_042_000);
    let told =
        |desk: &MachineHarness| desk.log.iter().filter(|line| line.contains("deliver")).cloned().collect::<Vec<_>>();
    assert_eq!(told(&desk), ["deliver green/1 at 0 without [red/1]"]);
    in_vain(&mut desk, 4_062_000);
    assert_eq!(told(&desk)[1..], ["deliver green/2 at 0 without [red/9]"]);
}

/// Another context fetches from the same peer: that costs this one no attempt, and the peer is asked in the end.
#[test]
fn question_put_off_is_no_try() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/2<red/1"));
    desk.until(750);
    for _ in 0..100 {
        desk.put_off("red", "red/1");
        desk.until(desk.now.0 + 750);
    }
    assert!(desk.now.0 > 60_000, "its time is over by then");
    assert!(!desk.log.iter().any(|line| line.contains("deliver") || line.contains("green")), "{:?}", desk.log);
    desk.log.clear();
    desk.fetched("red", "red/1", true, pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "deliver red/2 at 1"]);
}

/// Nothing is sent to a peer that answers "not now": that costs no attempt, and the peer is asked when the wait is over.
#[test]
fn declined_question_is_no_try() {
    let gap = GapLimits { tries_max: 2, ..ContextLimits::default().gap };
    let mut desk = MachineHarness::new(ContextLimits { gap, ..ContextLimits::default() });
    desk.participants("red green");
    desk.arrive("red", pdus("red/2<red/1"));
    let mut asks = vec![];
    while desk.now.0 < 20_000 {
        desk.until(desk.due.expect("it goes on").0);
        while let Some((from, wanted)) = desk.asked.first().cloned() {
            desk.declined(from.as_str(), &wanted.to_string());
            asks.push(format!("{} {from}", desk.now.0));
        }
    }
    let expected = [750, 1500, 3000, 6000, 12_000, 24_000].map(|at| [format!("{at} red"), format!("{at} green")]);
    assert_eq!(asks, expected.concat(), "the pauses double, and the others are asked meanwhile");
    desk.until(48_000);
    desk.fetched("red", "red/1", true, vec![]);
    desk.declined("green", "red/1");
    desk.log.clear();
    desk.until(60_000);
    desk.expect(&["-- 60000", "fetch red/1 from green"]);
    desk.fetched("green", "red/1", true, pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "deliver red/2 at 1"]);
}

/// A peer that is not asked at the end either counts as unreachable for the whole time.
#[test]
fn peer_declined_until_end_is_unreachable() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/2<red/1"));
    let decline_all = |desk: &mut MachineHarness, until: u64| {
        while let Some(due) = desk.due.filter(|due| due.0 <= until) {
            desk.until(due.0);
            desk.asked.clone().iter().for_each(|(from, wanted)| desk.declined(from.as_str(), &wanted.to_string()));
        }
        desk.until(until);
    };
    decline_all(&mut desk, 10_000);
    // That time stands still.
    desk.intake(false);
    decline_all(&mut desk, 200_000);
    desk.intake(true);
    decline_all(&mut desk, 249_999);
    assert!(!desk.log.iter().any(|line| line.contains("deliver")), "{:?}", desk.log);
    desk.until(250_000);
    assert_eq!(desk.asked, [(server("red"), at("red/1"))], "once more");
    desk.log.clear();
    desk.declined("red", "red/1");
    desk.expect(&["gap [red/1] before [red/2]", "deliver red/2 at 0 without [red/1]"]);
    assert!(desk.machine.is_idle());
}

#[test]
fn fetched_parent_passes_closed_intake() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("green", pdus("green/1<red/1"));
    desk.until(750);
    desk.fetched("green", "red/1", true, vec![]);
    desk.intake(false);
    desk.log.clear();
    desk.fetched("red", "red/1", true, pdus("red/1"));
    assert_eq!(desk.log.last().map(String::as_str), Some("deliver green/1 at 1"));
}

#[test]
fn late_parent_fills_reported_gap() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("green", pdus("green/1<red/1"));
    desk.until(750);
    desk.fetched("green", "red/1", true, vec![]);
    desk.fetched("red", "red/1", false, vec![]);
    desk.log.clear();
    while desk.due.is_some() {
        desk.until(desk.now.0 + 1000);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), from == server("green"), vec![]);
        }
    }
    assert!((60_000..61_000).contains(&desk.now.0));
    let end = desk.log.split_off(desk.log.len() - 2);
    assert_eq!(end, ["gap [red/1] before [green/1]", "deliver green/1 at 0 without [red/1]"]);
    desk.log.clear();
    desk.arrive("green", pdus("green/2<red/1,green/1"));
    desk.expect(&["deliver green/2 at 1 without [red/1]", "verdicts accepted"]);
    desk.restart();
    desk.arrive("red", pdus("red/1"));
    desk.expect(&[
        "-- restart",
        "deliver red/1 at 0 late",
        "filled [red/1] before [green/1, green/2]",
        "verdicts accepted",
    ]);
    let heads: Vec<_> = desk.record().heads.iter().map(|head| head.reference.clone()).collect();
    assert_eq!(heads, [at("green/2")], "one that is named already is no edge");
}

#[test]
fn new_participant_is_asked_immediately() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/1<green/1"));
    desk.until(750);
    desk.fetched("red", "green/1", true, pdus("green/1"));
    desk.until(1500);
    desk.fetched("red", "green/1", true, pdus("green/1"));
    desk.log.clear();
    desk.participants("red green");
    desk.expect(&["set [red, green]", "fetch green/1 from green"]);
    desk.fetched("green", "green/1", true, pdus("green/1"));
    desk.expect(&["deliver green/1 at 0", "deliver red/1 at 1"]);
}

#[test]
fn gap_waits_for_silent_candidate() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("green", pdus("green/1<red/1"));
    desk.until(750);
    desk.fetched("green", "red/1", true, vec![]);
    desk.log.clear();
    desk.until(60_749);
    desk.expect(&["-- 60000"]);
    desk.until(60_750);
    desk.expect(&["-- 60750", "gap [red/1] before [green/1]", "deliver green/1 at 0 without [red/1]"]);
    assert!(!desk.machine.is_idle() || desk.asked.len() == 1, "red's silence counts as an answer");
}

/// The only request in flight was about another parent when the time of this one had passed.
#[test]
fn candidate_never_asked_keeps_parent_wanted() {
    let gap = GapLimits { asks_max: 1, ..ContextLimits::default().gap };
    let mut desk = MachineHarness::new(ContextLimits { gap, ..ContextLimits::default() });
    desk.participants("red green");
    desk.arrive("green", pdus("green/1<red/1"));
    desk.until(750);
    desk.arrive("green", pdus("green/2<red/2"));
    desk.until(30_000);
    // Green does not have it, and before red is asked, the only permitted request is about the other parent.
    desk.fetched("green", "red/1", true, vec![]);
    assert_eq!(desk.asked, [(server("green"), at("red/2"))]);
    desk.log.clear();
    desk.until(60_000);
    desk.expect(&["-- 60000"]);
    desk.fetched("green", "red/2", true, vec![]);
    desk.expect(&["fetch red/1 from red"]);
    desk.fetched("red", "red/1", true, vec![]);
    desk.log.retain(|line| line.starts_with("gap"));
    desk.expect(&["gap [red/1] before [green/1]"]);
}

#[test]
fn gap_walk_stops_at_depth() {
    let gap = GapLimits { depth_max: 2, ..ContextLimits::default().gap };
    let mut desk = MachineHarness::new(ContextLimits { gap, ..ContextLimits::default() });
    desk.participants("red green");
    desk.arrive("green", pdus("red/9<red/8"));
    desk.until(750);
    desk.log.clear();
    desk.fetched("green", "red/8", true, pdus("red/8<red/7"));
    desk.expect(&["hold red/8 for [red/7]"]);
    desk.until(1500);
    desk.expect(&["-- 1500", "fetch 41 back from [red/7] from green"]);
    desk.brought("green", "red/7", true, pdus("red/7<red/6"));
    desk.expect(&[
        "gap [red/6] before [red/7]",
        "deliver red/7 at 0 without [red/6]",
        "deliver red/8 at 1",
        "deliver red/9 at 2",
    ]);
}

#[test]
fn three_missing_parents_use_backfill() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("green", pdus("green/9<red/1,red/2 green/10<red/3,red/4"));
    desk.log.clear();
    desk.until(750);
    desk.expect(&["-- 750", "fetch 14 back from [red/1, red/2, red/3, red/4] from green"]);
    desk.brought("green", "red/1", true, pdus("red/2 red/1"));
    desk.expect(&[
        "deliver red/1 at 0",
        "deliver red/2 at 0",
        "deliver green/9 at 1",
        "fetch red/3 from red",
        "fetch red/4 from red",
    ]);
}

#[test]
fn long_gap_needs_few_fetches() {
    let mut desk = MachineHarness::among("red");
    let chain = |from: u64, to: u64| -> Vec<Pdu> {
        (from..=to).rev().map(|n| pdu(&format!("red/{n:04}<red/{:04}", n - 1))).collect()
    };
    desk.arrive("red", vec![pdu("red/0000")]);
    desk.arrive("red", chain(500, 500));
    let mut questions = 0;
    while !desk.machine.is_idle() {
        desk.until(desk.due.expect("it goes on").0);
        for (_, wanted) in desk.asked.clone() {
            questions += 1;
            let n = wanted.id.as_str().parse().expect("a number");
            desk.fetched("red", &wanted.to_string(), true, chain(n, n));
        }
        for (_, want) in desk.stretches.clone() {
            questions += 1;
            let FetchRequest::Backfill { from, limit, .. } = want else { panic!("a stretch") };
            let n: u64 = from[0].id.as_str().parse().expect("a number");
            let lowest = (n + 1).saturating_sub(u64::from(limit)).max(1);
            desk.brought("red", &from[0].to_string(), true, chain(lowest, n));
        }
    }
    assert!(questions <= 5, "{questions} questions");
    assert_eq!((desk.record().next, desk.gaps.len()), (502, 0));
}

#[test]
fn fetch_delivers_only_requested_pdu() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/2<green/1"));
    desk.until(750);
    desk.log.clear();
    let attic = Pdu { context: context("attic"), ..pdu("green/7") };
    let stranger = pdu("blue/1");
    desk.fetched("red", "green/1", true, vec![attic, stranger, pdu("green/1")]);
    desk.expect(&["deliver green/1 at 0", "deliver red/2 at 1", "release blue/1"]);
}

#[test]
fn nonparticipant_parent_is_quarantined_once() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/2<blue/1"));
    while desk.due.is_some() {
        desk.until(desk.now.0 + 500);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, pdus("blue/1"));
        }
    }
    assert_eq!(desk.log.iter().filter(|line| line.starts_with("park")).count(), 1);
    assert_eq!(desk.log.last().map(String::as_str), Some("deliver red/2 at 0 without [blue/1]"));
    assert!(!desk.log.iter().any(|line| line.ends_with("from blue")), "a stranger is not asked");
}

#[test]
fn restart_refetches_missing_parents() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("green", pdus("green/2<green/1,red/1 green/1<red/9"));
    desk.until(40_000);
    desk.restart();
    desk.log.clear();
    assert_eq!(desk.machine.status().wanted, [at("red/1"), at("red/9")]);
    desk.until(40_750);
    desk.expect(&["-- 40750", "fetch red/1 from green", "fetch red/9 from green"]);
    desk.fetched("green", "red/1", true, pdus("red/1"));
    desk.restart();
    assert_eq!((desk.machine.status().held, desk.machine.status().wanted), (2, vec![at("red/9")]));
}

#[test]
fn given_up_parent_precedes_held_child() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/3<red/1,red/2"));
    desk.until(30_000);
    desk.arrive("red", pdus("red/2<red/0"));
    while desk.due.is_some() && !desk.gaps.contains_key(&at("red/1")) {
        desk.until(desk.now.0 + 1000);
        desk.asked
            .clone()
            .iter()
            .for_each(|(from, wanted)| desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]));
    }
    desk.log.clear();
    desk.arrive("red", pdus("red/1 red/0"));
    let delivered = ["deliver red/0 at 0", "deliver red/1 at 0", "deliver red/2 at 1", "deliver red/3 at 2"];
    desk.expect(&[delivered[0], delivered[1], delivered[2], delivered[3], "verdicts accepted accepted"]);
    assert!(desk.gaps.is_empty() && desk.machine.is_idle());
}

#[test]
fn remembered_gaps_are_bounded() {
    let gap = GapLimits { kept_max: 2, ..ContextLimits::default().gap };
    let mut desk = MachineHarness::new(ContextLimits { gap, ..ContextLimits::default() });
    desk.participants("red");
    for n in 1..=4 {
        desk.arrive("red", pdus(&format!("red/{n}0<red/{n}")));
        in_vain(&mut desk, u64::from(n as u32) * 100_000);
    }
    let kept: Vec<String> = desk.gaps.keys().map(ToString::to_string).collect();
    assert_eq!(kept, ["red/3", "red/4"], "on disk, too");
    desk.log.clear();
    desk.arrive("red", pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "verdicts accepted"]);
}

/// A fetch names at most twenty PDUs; further PDUs of the same server go into another fetch.
#[test]
fn fetch_names_at_most_twenty() {
    let mut desk = MachineHarness::among("red");
    let children: Vec<String> = (0..25).map(|n| format!("red/{}<red/{n}", 100 + n)).collect();
    desk.arrive("red", pdus(&children.join(" ")));
    desk.log.clear();
    desk.until(750);
    let named = |line: &String| line.starts_with("fetch ").then(|| line.matches("red/").count());
    let mut counts: Vec<usize> = desk.log.iter().filter_map(named).collect();
    counts.sort_unstable();
    assert_eq!(counts, [5, 20], "{:#?}", desk.log);
}

/// The last server without a response leaves while the request to it waits for room.
#[test]
fn gap_ends_when_participant_leaves() {
    let gap = GapLimits { asks_max: 1, tries_max: 1, ..ContextLimits::default().gap };
    let mut desk = MachineHarness::new(ContextLimits { gap, ..ContextLimits::default() });
    desk.participants("red green");
    desk.arrive("green", pdus("green/1<red/1"));
    desk.until(750);
    desk.arrive("green", pdus("green/2<red/2"));
    desk.until(30_000);
    desk.fetched("green", "red/1", true, vec![]);
    assert_eq!(desk.asked, [(server("green"), at("red/2"))], "the request to red waits for room");
    desk.until(60_000);
    desk.log.clear();
    desk.participants("green");
    desk.expect(&["gap [red/1] before [green/1]", "deliver green/1 at 0 without [red/1]", "set [green]"]);
}

/// A grace period of 0 is no reason to send requests without pause.
#[test]
fn zero_grace_still_pauses() {
    let gap = GapLimits { grace: Duration::ZERO, ..ContextLimits::default().gap };
    let mut desk = MachineHarness::new(ContextLimits { gap, ..ContextLimits::default() });
    desk.participants("red");
    desk.arrive("red", pdus("red/2<red/1"));
    let mut asks = vec![];
    while desk.now.0 < 300 {
        desk.fetched("red", "red/1", true, vec![]);
        desk.until(desk.due.expect("it goes on").0);
        asks.push(desk.now.0);
    }
    assert_eq!(asks, [50, 150, 350]);
    for _ in 0..3 {
        desk.put_off("red", "red/1");
        desk.until(desk.due.expect("it goes on").0);
        asks.push(desk.now.0);
    }
    assert_eq!(asks[3..], [400, 450, 500]);
}

/// A sender pays for the fetches from itself. For those from others the senders pay in turn.
#[test]
fn each_sender_pays_in_turn() {
    let mut desk = MachineHarness::among("red green blue");
    desk.arrive("red", pdus("red/1<blue/1"));
    desk.arrive("green", pdus("green/1<blue/1"));
    while desk.charged.len() < 6 {
        desk.until(desk.due.expect("it goes on").0);
        while let Some((from, wanted)) = desk.asked.first().cloned() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    let charged: Vec<String> = desk.charged.iter().map(|(of, payer)| format!("{of} by {payer}")).collect();
    let expected = ["red by red", "green by green", "blue by red", "red by red", "green by green", "blue by green"];
    assert_eq!(charged, expected);
}
