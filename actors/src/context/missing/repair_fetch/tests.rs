//! Traces of repairs.

use crate::context::event::ContextEvent;
use crate::context::tests::harness::{MachineHarness, at, pdus, server};
use crate::limits::ContextLimits;
use crate::reply_token::ReplyToken;

/// Orders the fetch of PDUs that a comparison found missing.
fn repair(desk: &mut MachineHarness, via: &str, missing: &str) {
    let references = missing.split_whitespace().map(at).collect();
    desk.step(ContextEvent::Repair { token: ReplyToken::new(5), via: server(via), references });
}

/// Returns a context in which one PDU of red was delivered, and `red/2` is fetched from green.
fn missing_second() -> MachineHarness {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/1"));
    desk.log.clear();
    repair(&mut desk, "green", "red/2");
    desk.expect(&[]);
    desk.until(750);
    desk.expect(&["-- 750", "fetch red/2 from green"]);
    desk
}

#[test]
fn missing_pdu_is_fetched_and_delivered() {
    let mut desk = missing_second();
    assert_eq!(desk.charged.last().map(|(_, payer)| payer.as_str()), Some("green"), "the budget of who named it");
    desk.fetched("green", "red/2", true, pdus("red/2<red/1"));
    desk.expect(&["deliver red/2 at 1", "repaired [red/2], refused [], absent []"]);
    assert!(desk.machine.is_idle() && desk.due.is_none());
}

#[test]
fn pdu_that_arrives_ends_repair() {
    let mut desk = missing_second();
    desk.arrive("red", pdus("red/2<red/1"));
    desk.expect(&["deliver red/2 at 1", "verdicts accepted", "repaired [red/2], refused [], absent []"]);
}

#[test]
fn repaired_gap_is_filled_late() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/1 red/3<red/2"));
    while desk.due.is_some() {
        desk.until(desk.due.map_or(0, |due| due.0));
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    desk.log.clear();
    repair(&mut desk, "green", "red/2");
    let due = desk.due.expect("it is asked for").0;
    desk.until(due);
    desk.fetched("green", "red/2", true, pdus("red/2<red/1"));
    let log = desk.log.join("; ");
    assert!(log.contains("deliver red/2 at 1 late") && log.contains("filled [red/2]"), "{log}");
    assert!(desk.gaps.is_empty());
}

#[test]
fn absent_pdu_is_no_gap() {
    let mut desk = missing_second();
    while desk.due.is_some() {
        desk.until(desk.due.map_or(0, |due| due.0));
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    assert_eq!(desk.log.last().map(String::as_str), Some("repaired [], refused [], absent [red/2]"));
    assert!(desk.gaps.is_empty() && desk.machine.is_idle());
    desk.log.clear();
    desk.arrive("red", pdus("red/3<red/2"));
    desk.expect(&["hold red/3 for [red/2]", "verdicts held"]);
}

#[test]
fn child_makes_repaired_pdu_gap() {
    let mut desk = missing_second();
    desk.arrive("red", pdus("red/3<red/2"));
    while desk.due.is_some() {
        desk.until(desk.due.map_or(0, |due| due.0));
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    assert_eq!(desk.gaps.len(), 1, "a child was delivered without it");
}

#[test]
fn repair_bypasses_no_check() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/1"));
    desk.log.clear();
    repair(&mut desk, "green", "blue/1 red/1");
    desk.expect(&[r#"repaired [red/1], refused [(blue/1, "NOT_A_PARTICIPANT")], absent []"#]);
    repair(&mut desk, "green", "red/2");
    let due = desk.due.expect("it is asked for").0;
    desk.until(due);
    desk.log.clear();
    desk.fetched("green", "red/2", true, pdus("red/2<red/2"));
    desk.expect(&["release red/2", "fetch red/2 from red"]);
    desk.fetched("red", "red/2", true, pdus("red/2<red/1"));
    desk.expect(&["deliver red/2 at 1", "repaired [red/2], refused [], absent []"]);
}

#[test]
fn repair_of_many_is_bounded() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.participants("red green");
    desk.log.clear();
    let missing: Vec<String> = (1..=200).map(|number| format!("red/{number}")).collect();
    repair(&mut desk, "green", &missing.join(" "));
    desk.until(750);
    assert_eq!((desk.asked.len(), desk.stretches.len()), (0, desk.limits.gap.asks_max as usize));
}
