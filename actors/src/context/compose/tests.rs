//! Printed traces of local messages.

use crate::context::tests::harness::{MachineHarness, pdu, pdus, server};
use crate::model::Pdu;

#[test]
fn batch_chains_onto_all_heads() {
    let mut desk = MachineHarness::among("red green");
    desk.compose("1", "");
    desk.expect(&["send us/1 prev [] depth 0 replaces None to [red, green]", "composed us/1 for [red, green]"]);
    desk.arrive("red", pdus("red/1 red/2<us/1"));
    desk.log.clear();
    desk.compose("2 3", "green:outbox_full");
    desk.expect(&[
        "m2 at green: parked, outbox_full",
        "send us/2 prev [red/1, red/2] depth 2 replaces None to [red]",
        "m3 at green: parked, outbox_full",
        "send us/3 prev [us/2] depth 3 replaces None to [red]",
        "composed us/2 for [red]",
        "composed us/3 for [red]",
    ]);
    assert_eq!(desk.record().depth, 3);
}

#[test]
fn skipped_recipient_reason_is_emitted() {
    let mut desk = MachineHarness::among("red green");
    desk.compose("1", "red:not_a_peer green:faulty");
    desk.expect(&[
        "m1 at red: parked, not_a_peer",
        "m1 at green: parked, faulty",
        "send us/1 prev [] depth 0 replaces None to []",
        "composed us/1 for []",
    ]);
}

#[test]
fn narrowed_pdu_is_never_parent() {
    let mut desk = MachineHarness::among("red green");
    desk.compose("1 2>green,us,green 3>blue 4 5>us", "");
    desk.expect(&[
        "send us/1 prev [] depth 0 replaces None to [red, green]",
        "send us/2 prev [us/1] depth 1 replaces None only for [green, us] to [green]",
        "send us/4 prev [us/1] depth 1 replaces None to [red, green]",
        "send us/5 prev [us/4] depth 2 replaces None only for [us] to []",
        "composed us/1 for [red, green]",
        "composed us/2 for [green]",
        "refused: blue does not take part in room",
        "composed us/4 for [red, green]",
        "composed us/5 for []",
    ]);
}

#[test]
fn composed_state_replaces_current_state() {
    let mut desk = MachineHarness::among("red");
    desk.compose("1=topic 2=topic", "");
    desk.arrive("red", pdus("red/2<red/1=topic^us/2 red/1<us/2"));
    desk.log.retain(|line| line.starts_with("state") || line.starts_with("send"));
    desk.expect(&[
        "state topic = us/1",
        "send us/1 prev [] depth 0 replaces None to [red]",
        "state topic = us/2",
        "send us/2 prev [us/1] depth 1 replaces Some(us/1) to [red]",
        "state topic = red/2",
    ]);
    desk.restart();
    desk.compose("4=topic", "");
    assert!(desk.log.iter().any(|line| line.contains("replaces Some(red/2)")), "{:?}", desk.log);
}

#[test]
fn message_to_all_not_narrowed() {
    let mut desk = MachineHarness::among("red green");
    desk.deaf = vec![server("red")];
    desk.compose("1>green,red 2=topic>red,us,green", "");
    desk.expect(&[
        "send us/1 prev [] depth 0 replaces None to [red, green]",
        "state topic = us/2",
        "send us/2 prev [us/1] depth 1 replaces None to [red, green]",
        "composed us/1 for [red, green]",
        "composed us/2 for [red, green]",
    ]);
}

#[test]
fn narrowing_names_only_fernpost_peers() {
    let mut desk = MachineHarness::among("red green blue");
    desk.deaf = vec![server("red")];
    desk.compose("1>green,red 2=topic>green 3>green", "");
    let words = "would pass the message on: only peers whose profile is \"fernpost\" can be named; leave red out, or name all \
                 participants";
    desk.expect(&[
        "send us/3 prev [] depth 0 replaces None only for [green, us] to [green]",
        &format!("refused: red does not honour \"to\", and {words}"),
        "refused: state cannot be narrowed by \"to\": name all participants of room, or none",
        "composed us/3 for [green]",
    ]);
}

#[test]
fn own_depth_exceeds_stated_parent_depth() {
    let mut desk = MachineHarness::among("red green");
    let stated = |text: &str, depth| Pdu { depth: Some(depth), ..pdu(text) };
    desk.arrive("red", vec![stated("red/1", 41), stated("red/2", 7), stated("red/3", 1 << 31)]);
    desk.log.clear();
    desk.compose("1 2", "");
    let prev = "[red/1, red/2, red/3]";
    desk.expect(&[
        &format!("send us/1 prev {prev} depth 42 replaces None to [red, green]"),
        "send us/2 prev [us/1] depth 43 replaces None to [red, green]",
        "composed us/1 for [red, green]",
        "composed us/2 for [red, green]",
    ]);
    assert_eq!(desk.record().depth, 2, "order rests on what is computed");
    // The stated depth of a held PDU survives a restart.
    desk.arrive("red", vec![stated("red/9<red/8", 90)]);
    desk.restart();
    desk.arrive("red", pdus("red/8"));
    desk.log.clear();
    desk.compose("3", "");
    desk.expect(&[
        "send us/3 prev [red/9, us/2] depth 91 replaces None to [red, green]",
        "composed us/3 for [red, green]",
    ]);
    desk.restart();
    desk.compose("4", "");
    assert!(desk.log.iter().any(|line| line.contains("prev [us/3] depth 92")), "{:?}", desk.log);
}
