//! Printed traces of participants derived from membership state.

use crate::context::tests::harness::{MachineHarness, pdus, server};
use crate::limits::ContextLimits;

#[test]
fn server_leaves_with_last_member() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/1=@a:blue+ red/2=@b:blue+"));
    assert_eq!(
        (&desk.record().participants[..], desk.record().members[0].1),
        (&[server("red"), server("blue")][..], 2)
    );
    desk.arrive("blue", pdus("blue/1=@a:blue-^red/1"));
    assert_eq!(desk.record().participants.len(), 2, "its second user is there");
    desk.arrive("blue", pdus("blue/2=@b:blue-^red/2 blue/3"));
    let verdicts = desk.log.last().cloned();
    assert_eq!((desk.record().participants.clone(), desk.record().members.len()), (vec![server("red")], 0));
    assert_eq!(verdicts.as_deref(), Some("verdicts accepted accepted"), "it left with this batch, and not before");
    desk.arrive("blue", pdus("blue/4"));
    assert_eq!(desk.log.last().map(String::as_str), Some("verdicts parked:NOT_A_PARTICIPANT"));
}

#[test]
fn only_current_membership_counts() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/1=@a:blue- red/2=@a:blue-*5^red/1"));
    desk.arrive("red", pdus("red/3=@a:blue+*1^red/1"));
    assert_eq!(desk.record().participants, [server("red")], "a fork that lost lets nobody in");
    desk.arrive("red", pdus("red/4=@a:blue+*9^red/3"));
    assert_eq!(desk.record().participants, [server("red"), server("blue")]);
    desk.restart();
    // A repeated join counts once.
    desk.arrive("red", pdus("red/5=@a:blue+^red/4"));
    assert_eq!(desk.record().members, [(server("blue"), 1)]);
}

#[test]
fn composed_membership_reaches_its_server() {
    let mut desk = MachineHarness::among("red");
    desk.compose("1=@a:blue+ 2 3=@a:blue- 4", "");
    desk.log.retain(|line| line.starts_with("composed"));
    desk.expect(&[
        "composed us/1 for [red, blue]",
        "composed us/2 for [red, blue]",
        "composed us/3 for [red, blue]",
        "composed us/4 for [red]",
    ]);
}

#[test]
fn messenger_participants_override_membership() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/1=@a:blue+"));
    desk.participants("red");
    assert_eq!(desk.record().participants, [server("red")]);
    desk.arrive("red", pdus("red/2=@b:blue+"));
    assert_eq!(desk.record().participants, [server("red"), server("blue")]);
}

#[test]
fn membership_additions_are_bounded() {
    let mut desk = MachineHarness::new(ContextLimits { participants_max: 2, ..ContextLimits::default() });
    desk.participants("red");
    desk.arrive("red", pdus("red/1=@a:blue+ red/2=@a:grey+ red/3=@a:us+ red/4=nonsense+"));
    assert_eq!(desk.record().participants, [server("red"), server("blue")]);
    let notices: Vec<&String> = desk.log.iter().filter(|line| line.starts_with("notice")).collect();
    assert!(notices.len() == 1 && notices[0].contains("contexts.participants_max"), "{notices:?}");
    desk.arrive("red", pdus("red/5=@a:grey-^red/2"));
    assert_eq!(desk.record().members, [(server("blue"), 1)]);
}
