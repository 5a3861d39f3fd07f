//! Printed traces of arrivals: which PDUs are accepted, and when they are delivered.

use std::collections::HashMap;

use crate::context::machine::{ContextEffect, ContextEvent};
use crate::context::tests::harness::{MachineHarness, at, context, pdus, server};
use crate::limits::ContextLimits;
use crate::model::PduStatus;
use crate::reply_token::ReplyToken;

#[test]
fn child_before_parent_is_held() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("green", pdus("green/1<red/1"));
    desk.expect(&["hold green/1 for [red/1]", "verdicts held"]);
    desk.arrive("red", pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "deliver green/1 at 1", "verdicts accepted"]);
    assert!(desk.machine.is_idle() && desk.due.is_none());
}

#[test]
fn adopted_context_holds_early_child() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("green/1<red/1"));
    desk.expect(&["hold green/1 for [red/1], edge", "verdicts held"]);
    assert_eq!(desk.record().participants, [server("green")]);
    desk.arrive("red", pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "deliver green/1 at 1", "verdicts accepted"]);
    desk.participants("red green us red");
    desk.expect(&["set [red, green]"]);
}

#[test]
fn first_pdu_adds_origin_and_sender() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("red", pdus("us/1 green/1 red/1 blue/1"));
    let park = "park Pdu { origin: Some(\"blue\"), id: Some(\"1\"), context: Some(room) } of red";
    let verdicts = "verdicts refused:OWN_ORIGIN_UNKNOWN accepted accepted parked:NOT_A_PARTICIPANT";
    let delivered = ["deliver green/1 at 0", "deliver red/1 at 0"];
    desk.expect(&[park, delivered[0], delivered[1], "release us/1", "release blue/1", verdicts]);
    let record = desk.record();
    assert_eq!((record.participants.clone(), record.adopted), (vec![server("green"), server("red")], true));
}

#[test]
fn ready_pdus_order_by_depth() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/3<green/1,red/1 red/2 red/1 green/2<green/1 green/1 red/1"));
    let order = ["green/1 at 0", "red/1 at 0", "red/2 at 0", "green/2 at 1", "red/3 at 1"];
    let mut expected: Vec<String> = order.iter().map(|one| format!("deliver {one}")).collect();
    expected.push("verdicts accepted accepted accepted accepted accepted duplicate".to_owned());
    assert_eq!(desk.log, expected);
}

#[test]
fn bad_pdu_spares_its_neighbours() {
    let mut desk = MachineHarness::among("red green");
    desk.elsewhere.insert(at("red/7"), PduStatus::Held { context: context("attic") });
    desk.elsewhere.insert(at("red/8"), PduStatus::Claimed { context: context("attic") });
    desk.elsewhere.insert(at("red/9"), PduStatus::Claimed { context: context("room") });
    desk.arrive("red", pdus("red/1 red/1<red/1 red/2<red/2 red/3<red/7 red/8 us/5 red/9 red/4<red/1"));
    let verdicts = "verdicts accepted duplicate refused:SELF_PARENT refused:FOREIGN_PARENT refused:OTHER_CONTEXT \
                    refused:OWN_ORIGIN_UNKNOWN duplicate accepted";
    let released = ["release red/2", "release red/3", "release us/5"];
    desk.expect(&["deliver red/1 at 0", "deliver red/4 at 1", released[0], released[1], released[2], verdicts]);
}

#[test]
fn cycle_closing_pdu_is_refused() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/1<red/2 red/2<red/3 red/3<green/9,red/1"));
    desk.expect(&[
        "hold red/1 for [red/2]",
        "hold red/2 for [red/3]",
        "release red/3",
        "verdicts held held refused:CYCLE",
    ]);
    desk.restart();
    desk.arrive("green", pdus("red/3<red/2"));
    desk.expect(&["-- restart", "release red/3", "verdicts refused:CYCLE"]);
}

#[test]
fn duplicate_identity_belongs_to_first_context() {
    let mut desk = MachineHarness::among("red");
    desk.elsewhere.insert(at("red/1"), PduStatus::Delivered { context: context("attic"), depth: 3, history: false });
    desk.arrive("red", pdus("red/1 red/2<red/1"));
    desk.expect(&["release red/2", "verdicts refused:OTHER_CONTEXT refused:FOREIGN_PARENT"]);
    assert!(desk.machine.is_idle());
}

#[test]
fn nonparticipant_pdu_quarantined_until_admitted() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("green", pdus("green/1"));
    let park = "park Pdu { origin: Some(\"green\"), id: Some(\"1\"), context: Some(room) } of green";
    desk.expect(&[park, "release green/1", "verdicts parked:NOT_A_PARTICIPANT"]);
    desk.participants("red green");
    desk.arrive("green", pdus("green/1"));
    desk.expect(&["set [red, green]", "deliver green/1 at 0", "verdicts accepted"]);
}

#[test]
fn quarantined_pdus_admitted_in_order() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("green", pdus("green/1 green/2<green/1"));
    desk.arrive("green", pdus("green/1"));
    desk.arrive("red", pdus("green/3<green/2 blue/1"));
    assert_eq!(desk.log.iter().filter(|line| line.starts_with("park")).count(), 4);
    assert_eq!(desk.log.last().map(String::as_str), Some("verdicts parked:NOT_A_PARTICIPANT parked:NOT_A_PARTICIPANT"));
    desk.log.clear();
    desk.participants("red green");
    desk.take_back();
    desk.expect(&["set [red, green]", "deliver green/1 at 0", "deliver green/2 at 1", "deliver green/3 at 2"]);
    assert_eq!(desk.kept.len(), 1, "blue takes no part");
    desk.restart();
    desk.arrive("red", pdus("red/1=@a:blue+"));
    desk.take_back();
    desk.log.retain(|line| line.starts_with("deliver blue"));
    desk.expect(&["deliver blue/1 at 0"]);
    assert!(desk.kept.is_empty());
}

/// Regression: a server was added, and the process ended before its quarantined PDUs were accepted.
#[test]
fn quarantine_retry_resumes_after_restart() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("green", pdus("green/1"));
    desk.participants("red green");
    desk.restart();
    desk.log.clear();
    desk.take_back();
    desk.expect(&["deliver green/1 at 0"]);
}

/// Regression: contexts became slower as heads accumulated, 1,600 in one.
#[test]
fn overflow_heads_merge_within_bound() {
    let mut desk = MachineHarness::among("red");
    for batch in 0..16 {
        let ends: Vec<String> = (0..100).map(|n| format!("red/{:04}", batch * 100 + n)).collect();
        desk.arrive("red", pdus(&ends.join(" ")));
        assert!(desk.record().heads.len() <= 100);
        if batch % 5 == 0 {
            desk.restart();
        }
    }
    assert_eq!((desk.machine.status().record.heads.len(), desk.spilled.len()), (1600, 1500));
    let merges: Vec<String> = (0..178).map(|n| format!("{n:03}")).collect();
    for some in merges.chunks(60) {
        desk.compose(&some.join(" "), "");
        desk.restart();
    }
    let heads = desk.machine.status().record.heads;
    assert_eq!((heads.len(), heads[0].reference.to_string().as_str()), (1, "us/177"));
    assert!(desk.spilled.is_empty() && desk.record().heads.len() == 1);
}

#[test]
fn open_context_admits_to_limit() {
    let mut desk = MachineHarness::new(ContextLimits { open: true, participants_max: 2, ..ContextLimits::default() });
    desk.arrive("red", pdus("red/1"));
    desk.arrive("red", pdus("green/1 blue/1"));
    let verdicts = "verdicts accepted parked:NOT_A_PARTICIPANT";
    assert_eq!(desk.log.last().map(String::as_str), Some(verdicts));
    assert_eq!(desk.record().participants, [server("red"), server("green")]);
    desk.log.clear();
    desk.participants("red green blue");
    desk.expect(&["refused: a context has at most 2 participants (contexts.participants_max), these are 3"]);
}

#[test]
fn held_state_survives_restart() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/5 red/2<red/1,red/5=topic"));
    desk.restart();
    desk.log.clear();
    desk.arrive("red", pdus("red/1"));
    let state = "state topic = red/2";
    desk.expect(&["deliver red/1 at 0", "deliver red/2 at 1", state, "verdicts accepted"]);
}

#[test]
fn held_overflow_delivers_oldest() {
    let mut desk = MachineHarness::new(ContextLimits { held_max: 2, ..ContextLimits::default() });
    desk.participants("red");
    desk.log.clear();
    desk.arrive("red", pdus("red/3<red/2 red/2<red/1"));
    desk.log.clear();
    desk.arrive("red", pdus("red/9<red/8"));
    desk.expect(&[
        "gap [red/1] before [red/2]",
        "deliver red/2 at 0 without [red/1]",
        "deliver red/3 at 1",
        "hold red/9 for [red/8]",
        "verdicts held",
    ]);
}

#[test]
fn restart_never_changes_delivery() {
    let batches = ["red/4<red/3,green/2", "green/2<green/1 red/1", "red/3<red/2,red/1", "green/1<red/1", "red/2 red/4"];
    let play = |restart_after: usize| {
        let mut desk = MachineHarness::among("red green");
        for (n, batch) in batches.iter().enumerate() {
            desk.arrive("red", pdus(batch));
            if n == restart_after {
                desk.restart();
            }
            desk.until(desk.now.0 + 500);
        }
        desk.log.retain(|line| line.starts_with("deliver") || line.starts_with("gap"));
        desk.log
    };
    let order = ["red/1 at 0", "green/1 at 1", "green/2 at 2", "red/2 at 0", "red/3 at 1", "red/4 at 3"];
    let expected: Vec<String> = order.iter().map(|one| format!("deliver {one}")).collect();
    (0..=batches.len()).for_each(|step| assert_eq!(play(step), expected, "restarted after step {step}"));
}

#[test]
fn reversed_chain_delivers_in_one_pass() {
    let limits = ContextLimits { held_max: 5000, ..ContextLimits::default() };
    let mut desk = MachineHarness::new(limits);
    desk.participants("red");
    let chain: Vec<String> = (1..2000).rev().map(|n| format!("red/{}<red/{n}", n + 1)).collect();
    desk.decide(arrival(&chain.join(" ")));
    let effects = desk.decide(arrival("red/1"));
    let ContextEffect::Commit(changes, _) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!((changes.len(), desk.machine.is_idle()), (2001, true));
}

fn arrival(text: &str) -> ContextEvent {
    let (token, known) = (ReplyToken::new(1), HashMap::new());
    ContextEvent::Arrive { token, from: server("red"), verified: "mtls", pdus: pdus(text), known }
}
