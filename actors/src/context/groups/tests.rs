//! Printed traces of a context that is a group for gold.

use bytes::Bytes;

use crate::context::machine::ContextEvent;
use crate::context::tests::harness::{MachineHarness, context, pdus, server};
use crate::limits::{ContextGroups, ContextLimits, PeerGroups};
use crate::model::{BridgedMessage, Digest, GroupId, Seq};
use crate::reply_token::ReplyToken;

/// Returns a context of red and gold; for gold it is the group 7.
fn desk() -> MachineHarness {
    let mapped = PeerGroups::new([(GroupId(7), context("room"))].into());
    let groups = ContextGroups::of_peers([(&server("gold"), &mapped)].into_iter());
    let mut desk = MachineHarness::new(ContextLimits { groups, ..ContextLimits::default() });
    desk.participants("red gold");
    desk.log.clear();
    desk
}

impl MachineHarness {
    /// Brings messages of a group, each by its id and number.
    fn bridge(&mut self, from: &str, messages: &[u64]) {
        let message = |number: &u64| BridgedMessage {
            id: format!("m{number}").parse().expect("valid"),
            seq: Seq(*number),
            digest: Digest([0; 16]),
            content: Bytes::from_static(b"{}"),
            user_id: None,
        };
        let messages = messages.iter().map(message).collect();
        self.step(ContextEvent::Bridge { token: ReplyToken::new(2), from: server(from), verified: "mtls", messages });
    }
}

#[test]
fn group_message_reaches_all_but_sender() {
    let mut desk = desk();
    desk.bridge("gold", &[5, 6]);
    desk.expect(&[
        "deliver us/m5 at 0",
        "send us/m5 prev [] depth 0 replaces None bridged 5 from gold to [red]",
        "deliver us/m6 at 1",
        "send us/m6 prev [us/m5] depth 1 replaces None bridged 6 from gold to [red]",
        "verdicts accepted accepted",
    ]);
}

#[test]
fn repeated_group_message_composes_nothing() {
    let mut desk = desk();
    desk.bridge("gold", &[5]);
    desk.log.clear();
    desk.bridge("gold", &[5, 6]);
    assert_eq!(desk.log.pop().as_deref(), Some("verdicts duplicate accepted"));
    desk.restart();
    desk.log.clear();
    desk.bridge("gold", &[5, 6]);
    desk.expect(&["verdicts duplicate duplicate"]);
}

#[test]
fn message_of_non_participant_is_parked() {
    let mut desk = desk();
    desk.participants("red");
    desk.log.clear();
    desk.bridge("gold", &[5]);
    desk.expect(&["verdicts parked:NOT_A_PARTICIPANT"]);
    let mut unknown = MachineHarness::new(ContextLimits::default());
    unknown.bridge("gold", &[5]);
    unknown.expect(&["verdicts parked:NOT_A_PARTICIPANT"]);
    assert!(unknown.record.is_none(), "the context is not created");
}

#[test]
fn own_message_reaches_group_as_update() {
    let mut desk = desk();
    desk.compose("1 2=topic 3~", "");
    desk.expect(&[
        r#"m1 to [red], not [], plain ["us/1 in 7 to gold"], formless []"#,
        "state topic = us/2",
        "send us/2 prev [us/1] depth 1 replaces None to [red]",
        "m3~ at gold: refused, NO_PLAIN_FORM",
        "m3~ to [red], not [], plain [], formless [gold]",
        "composed us/1 for [red, gold]",
        "composed us/2 for [red]",
        "composed us/3~ for [red]",
    ]);
    desk.compose("4", "gold:outbox_full");
    desk.expect(&[
        "m4 at gold: parked, outbox_full",
        "send us/4 prev [us/3~] depth 3 replaces None to [red]",
        "composed us/4 for [red]",
    ]);
}

#[test]
fn message_of_other_is_passed_on() {
    let mut desk = desk();
    desk.arrive("red", pdus("red/1 red/2=topic red/3~<red/1"));
    desk.log.retain(|line| !line.starts_with("state"));
    desk.expect(&[
        "deliver red/1 at 0",
        "deliver red/2 at 0",
        "deliver red/3~ at 1",
        r#"red~1 to [], not [], plain ["red/1 in 7 to gold"], formless []"#,
        "red~3~ at gold: refused, NO_PLAIN_FORM",
        "red~3~ to [], not [], plain [], formless [gold]",
        "verdicts accepted accepted accepted",
    ]);
    desk.arrive("gold", pdus("gold/1"));
    desk.expect(&["deliver gold/1 at 0", "verdicts accepted"]);
    desk.shut = vec![server("gold")];
    desk.arrive("red", pdus("red/4"));
    desk.expect(&["deliver red/4 at 0", "red~4 at gold: parked, outbox_full", "send red/4 to []", "verdicts accepted"]);
}

#[test]
fn held_message_is_passed_on_once() {
    let mut desk = desk();
    desk.arrive("red", pdus("red/2<red/1 red/9>us,red"));
    desk.arrive("red", pdus("red/1"));
    desk.restart();
    let passed: Vec<_> = desk.log.iter().filter(|line| line.contains("plain")).cloned().collect();
    assert_eq!(
        passed,
        [
            r#"red~1 to [], not [], plain ["red/1 in 7 to gold"], formless []"#,
            r#"red~2 to [], not [], plain ["red/2 in 7 to gold"], formless []"#,
        ],
        "in order, and none that is not for it"
    );
}

#[test]
fn history_is_not_passed_on() {
    let mut desk = desk();
    desk.join("red", 5);
    desk.told_of_the_past(Some(pdus("red/2<red/1 red/1")));
    assert!(desk.log.iter().any(|line| line.starts_with("deliver red/1")), "{:?}", desk.log);
    assert!(!desk.log.iter().any(|line| line.contains("plain")), "{:?}", desk.log);
}
