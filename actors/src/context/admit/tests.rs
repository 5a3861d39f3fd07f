//! Printed traces of admission: which PDUs are accepted, refused, or quarantined.

use crate::context::tests::harness::{MachineHarness, at, pdu, pdus, server};
use crate::limits::ContextLimits;
use crate::model::Pdu;

#[test]
fn named_origin_is_not_let_in() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("green/1<red/1"));
    desk.compose("1", "");
    assert_eq!(desk.record().participants, [server("green")]);
    desk.log.retain(|line| line.starts_with("composed"));
    desk.expect(&["composed us/1 for [green]"]);
    desk.until(750);
    desk.expect(&["-- 750", "fetch red/1 from green"]);
    desk.fetched("green", "red/1", true, pdus("red/1<pink/1"));
    desk.expect(&["hold red/1 for [pink/1], edge"]);
    desk.until(1500);
    desk.log.clear();
    desk.fetched("green", "pink/1", true, pdus("pink/1"));
    desk.expect(&["deliver pink/1 at 0", "deliver red/1 at 1", "deliver green/1 at 2"]);
    desk.arrive("red", pdus("red/2<red/1"));
    let park = "park Pdu { origin: Some(\"red\"), id: Some(\"2\"), context: Some(room) } of red";
    desk.expect(&[park, "release red/2", "verdicts parked:NOT_A_PARTICIPANT"]);
    assert_eq!(desk.record().participants, [server("green")]);
}

/// The origin may send the parent by itself before the parent is requested.
#[test]
fn awaited_edge_parent_accepted_from_origin() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("green/1<red/1,pink/1"));
    desk.restart();
    desk.log.clear();
    desk.arrive("red", pdus("red/1 pink/1"));
    let refused = "verdicts accepted refused:SENDER_NOT_A_PARTICIPANT";
    desk.expect(&["deliver red/1 at 0", "release pink/1", refused]);
    desk.arrive("green", pdus("pink/1"));
    desk.expect(&["deliver pink/1 at 0", "deliver green/1 at 1", "verdicts accepted"]);
    assert_eq!(desk.record().participants, [server("green")]);
}

/// The origin of a parent at the edge is asked as well, because the sender of the child may not have the parent.
#[test]
fn edge_parent_requested_from_origin() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("green/1<red/1"));
    desk.until(750);
    desk.fetched("green", "red/1", true, vec![]);
    desk.log.retain(|line| line.starts_with("fetch"));
    desk.expect(&["fetch red/1 from green", "fetch red/1 from red"]);
    desk.fetched("red", "red/1", true, pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "deliver green/1 at 1"]);
}

/// Regression: a non-participant's copy that arrived first blocked the origin's own copy, which was answered `parked` and
/// not kept.
#[test]
fn own_copy_wins_over_relayed() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("green/1<green/9"));
    desk.arrive("green", pdus("green/1"));
    desk.arrive("green", pdus("green/1"));
    let of =
        |from: &str| format!("park Pdu {{ origin: Some(\"green\"), id: Some(\"1\"), context: Some(room) }} of {from}");
    let (verdicts, release) = ("verdicts parked:NOT_A_PARTICIPANT", "release green/1");
    desk.expect(&[&of("red"), release, verdicts, &of("green"), release, verdicts, release, verdicts]);
    desk.participants("red green");
    desk.take_back();
    desk.expect(&["set [red, green]", "deliver green/1 at 0"]);
    assert!(desk.kept.is_empty(), "the relayed copy has left too");
}

#[test]
fn relayed_by_stranger_refused_not_kept() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("green", pdus("red/1 blue/1"));
    let refused = "verdicts refused:SENDER_NOT_A_PARTICIPANT refused:SENDER_NOT_A_PARTICIPANT";
    desk.expect(&["release red/1", "release blue/1", refused]);
    assert!(desk.kept.is_empty());
    desk.arrive("red", pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "verdicts accepted"]);
}

#[test]
fn open_conversation_takes_what_strangers_relay() {
    let mut desk = MachineHarness::new(ContextLimits { open: true, ..ContextLimits::default() });
    desk.participants("red");
    desk.log.clear();
    desk.arrive("green", pdus("red/1 blue/1"));
    desk.expect(&["deliver blue/1 at 0", "deliver red/1 at 0", "verdicts accepted accepted"]);
    assert_eq!(desk.record().participants, [server("red"), server("blue")]);
}

/// Regression: others named it as a parent, and servers that had not received it requested it in vain.
#[test]
fn a_narrowed_pdu_is_no_head() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/1 red/2<red/1>red,us"));
    desk.compose("1", "");
    desk.arrive("green", pdus("green/2<green/1>green,us"));
    desk.restart();
    desk.arrive("green", pdus("green/1<us/1"));
    desk.compose("2", "");
    desk.log.retain(|line| line.starts_with("send"));
    desk.expect(&[
        "send us/1 prev [red/1] depth 1 replaces None to [red, green]",
        "send us/2 prev [green/1] depth 3 replaces None to [red, green]",
    ]);
}

#[test]
fn narrowed_pdu_recorded_by_name() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("green", pdus("green/1<red/2 green/2<red/2,red/9"));
    desk.until(10);
    desk.log.clear();
    desk.arrive("red", pdus("red/1 red/2<red/1>green,red"));
    let verdicts = "verdicts accepted accepted";
    desk.expect(&["name red/2 at 0", "deliver red/1 at 0", "deliver green/1 at 1", verdicts]);
    desk.arrive("red", pdus("red/2<red/1>green,red"));
    desk.expect(&["verdicts duplicate"]);
    // A narrowed PDU that was given up fills its gap without an event.
    while !desk.gaps.contains_key(&at("red/9")) {
        desk.until(desk.now.0 + 1000);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    desk.log.clear();
    desk.arrive("red", pdus("red/9>green,red"));
    desk.expect(&["name red/9 at 0", "verdicts accepted"]);
    assert!(desk.gaps.is_empty() && desk.machine.is_idle());
    desk.restart();
    desk.arrive("red", pdus("red/10<red/9"));
    desk.log.retain(|line| line.starts_with("deliver"));
    desk.expect(&["deliver red/10 at 1"]);
}

#[test]
fn pdu_for_others_begins_no_conversation() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("red", pdus("red/1>green,red"));
    desk.expect(&["release red/1", "verdicts refused:NOT_FOR_US"]);
    desk.arrive("red", pdus("red/3<red/2"));
    desk.expect(&["hold red/3 for [red/2], edge", "verdicts held"]);
}

/// Regression: the bare identity, accepted from another server, made the origin's own copy a duplicate that was never
/// shown.
#[test]
fn narrowed_relay_does_not_hide_original() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("green/1>green,red"));
    desk.expect(&["release green/1", "verdicts refused:NOT_FOR_US"]);
    desk.arrive("green", pdus("green/1"));
    desk.expect(&["deliver green/1 at 0", "verdicts accepted"]);
}

#[test]
fn narrowed_history_does_not_hide_original() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 10);
    desk.told_of_the_past(Some(pdus("red/1<red/0=topic")));
    desk.told_of_the_past(Some(pdus("green/1>green,red")));
    desk.log.clear();
    desk.participants("red green");
    desk.log.clear();
    desk.arrive("green", pdus("green/1"));
    assert!(desk.log.iter().any(|line| line.starts_with("deliver green/1")), "{:?}", desk.log);
}

/// Regression: its sender left while the page of quarantine was read, and the row was removed without a report.
#[test]
fn refused_take_back_stays_in_quarantine() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("green/1"));
    assert_eq!(desk.kept.len(), 1);
    desk.participants("green");
    desk.take_back();
    assert_eq!(desk.kept.len(), 1, "red takes no part any more: {:?}", desk.log);
}

/// The newest PDU of a join may be narrowed.
#[test]
fn joined_context_names_no_narrowed_pdu() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 10);
    desk.told_of_the_past(Some(pdus("red/1<red/0=topic")));
    desk.told_of_the_past(Some(pdus("red/4<red/3>red,us red/3<red/2 red/2")));
    desk.log.clear();
    desk.compose("1", "");
    assert!(desk.log.iter().any(|line| line.starts_with("send us/1 prev [red/3] depth 2")), "{:?}", desk.log);
}

/// Regression: the next local PDU had depth 1 in a context with much greater depths.
#[test]
fn joined_context_has_fitting_depth() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    let stated = |text: &str, depth| Pdu { depth: Some(depth), ..pdu(text) };
    desk.join("red", 2);
    desk.told_of_the_past(Some(vec![stated("red/3<red/2=topic", 3), stated("red/5<red/4=name", 5)]));
    desk.compose("1", "");
    desk.restart();
    desk.log.retain(|line| line.starts_with("send"));
    desk.expect(&["send us/1 prev [red/5] depth 6 replaces None to [red]"]);

    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 2);
    desk.told_of_the_past(Some(vec![stated("red/5<red/4=name", 5)]));
    desk.told_of_the_past(Some(vec![stated("red/99<red/98", 98), stated("red/98<red/97", 97)]));
    desk.compose("1", "");
    desk.log.retain(|line| line.starts_with("send"));
    desk.expect(&["send us/1 prev [red/99] depth 99 replaces None to [red]"]);
}

#[test]
fn new_context_may_reach_participants_max() {
    let mut desk = MachineHarness::new(ContextLimits { participants_max: 1, ..ContextLimits::default() });
    desk.arrive("red", pdus("red/1"));
    assert_eq!(desk.log.last().map(String::as_str), Some("verdicts accepted"), "{:#?}", desk.log);
}
