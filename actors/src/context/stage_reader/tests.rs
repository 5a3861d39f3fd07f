//! Traces of how a context reads its stage.

use crate::context::machine::ContextEvent;
use crate::context::tests::harness::{MachineHarness, at, pdus};

#[test]
fn staged_pdus_are_taken_in_order() {
    let mut desk = MachineHarness::among("red green");
    desk.stage("red", pdus("red/1 red/2<red/1 red/3<red/2"));
    desk.stage("green", pdus("green/4<red/3"));
    desk.step(ContextEvent::StageFilled);
    desk.expect(&["deliver red/1 at 0", "deliver red/2 at 1", "deliver red/3 at 2", "deliver green/4 at 3"]);
    assert!(desk.stage.is_empty() && desk.machine.is_idle());
}

/// The stage is read after a restart without any request.
#[test]
fn a_stage_outlives_a_restart() {
    let mut desk = MachineHarness::among("red");
    desk.stage("red", pdus("red/2<red/1 red/1"));
    desk.restart();
    desk.expect(&["-- restart", "deliver red/1 at 0", "deliver red/2 at 1"]);
    assert!(desk.stage.is_empty());
}

/// A context may still accept a batch before the stage is read.
#[test]
fn what_was_taken_leaves_the_stage() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/1"));
    desk.log.clear();
    desk.stage("red", pdus("red/1 red/2<red/1"));
    desk.step(ContextEvent::StageFilled);
    desk.expect(&["deliver red/2 at 1"]);
    assert!(desk.stage.is_empty());
}

/// Without turns, a server whose stage is refilled as fast as it is read would block the others' PDUs for ever.
#[test]
fn each_server_has_its_turn() {
    let mut desk = MachineHarness::among("blue green");
    desk.stage("blue", pdus("blue/1 blue/2<blue/1 blue/3<blue/2"));
    desk.stage("green", pdus("green/4"));
    desk.step(ContextEvent::StageFilled);
    let taken = desk.log.iter().filter(|line| line.starts_with("deliver")).map(String::as_str).collect::<Vec<_>>();
    assert_eq!(taken[..3], ["deliver blue/1 at 0", "deliver blue/2 at 1", "deliver green/4 at 0"]);
}

/// A notice for each of them would let one peer fill the feed.
#[test]
fn strangers_pdus_are_told_once() {
    let mut desk = MachineHarness::among("red");
    desk.stage("grey", pdus("red/1 red/2 red/3"));
    desk.step(ContextEvent::StageFilled);
    let told: Vec<_> = desk.log.iter().filter(|line| line.contains("not kept")).collect();
    assert_eq!(told.len(), 1, "{:#?}", desk.log);
    assert!(desk.stage.is_empty());
}

/// The sender was told that the PDU is held, so one that cannot be accepted after all is quarantined, where the messenger
/// sees it.
#[test]
fn a_staged_pdu_never_vanishes() {
    let mut desk = MachineHarness::among("red");
    desk.stage("red", pdus("us/1 red/2<red/2 green/3 red/4"));
    desk.stage[3].1.bytes = bytes::Bytes::new();
    desk.step(ContextEvent::StageFilled);
    desk.log.retain(|line| line.starts_with("park"));
    let kept: Vec<_> = desk.kept.values().map(|(_, pdu)| pdu.reference.clone()).collect();
    assert_eq!(kept, [at("us/1"), at("red/2"), at("green/3"), at("red/4")], "{:#?}", desk.log);
    assert!(desk.stage.is_empty());
}
