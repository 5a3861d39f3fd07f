//! Traces of missing `prev_state` PDUs: when they are delivered as news, and when as history.

use std::collections::BTreeMap;

use crate::context::tests::harness::{MachineHarness, at, pdu, pdus};
use crate::limits::ContextLimits;
use crate::model::{Pdu, PduRef};

/// Lets time pass until nothing is missing; servers return what exists. Returns the requested PDUs, in order.
fn settle(desk: &mut MachineHarness, there: &str) -> Vec<String> {
    let there: BTreeMap<PduRef, Pdu> = pdus(there).into_iter().map(|pdu| (pdu.reference.clone(), pdu)).collect();
    let mut asked = vec![];
    while let Some(due) = desk.due {
        desk.until(due.0);
        while let Some((from, wanted)) = desk.asked.first().cloned() {
            asked.push(wanted.to_string());
            let found = there.get(&wanted).cloned();
            desk.fetched(from.as_str(), &wanted.to_string(), true, found.into_iter().collect());
        }
        assert!(asked.len() < 100, "{asked:?}");
    }
    asked.dedup();
    asked
}

fn delivered(desk: &mut MachineHarness) -> Vec<String> {
    let is_told = |line: &String| ["deliver", "gap", "filled"].iter().any(|word| line.starts_with(word));
    std::mem::take(&mut desk.log).into_iter().filter(is_told).collect()
}

/// Returns a context that red and green have shared with us from its beginning.
fn known() -> MachineHarness {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/1"));
    desk.log.clear();
    desk
}

/// Returns a context that we joined with red/5; earlier PDUs cannot be fetched.
fn adopted() -> MachineHarness {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("red", pdus("red/5<red/4"));
    settle(&mut desk, "");
    assert!(desk.gaps[&at("red/4")].edge && desk.machine.is_idle());
    desk.log.clear();
    desk
}

/// Regression: it was delivered as history, and before its parent.
#[test]
fn late_state_follows_its_parent() {
    let mut desk = known();
    desk.arrive("green", pdus("green/9=topic<red/1^red/3"));
    desk.log.clear();
    desk.until(749);
    assert!(desk.asked.is_empty(), "it may come by itself");
    desk.until(750);
    desk.fetched("green", "red/3", true, pdus("red/3<red/2=topic"));
    desk.expect(&["-- 750", "fetch red/3 from green", "hold red/3 for [red/2]"]);
    desk.until(1500);
    desk.fetched("green", "red/2", true, pdus("red/2<red/1"));
    desk.log.retain(|line| !line.starts_with("state"));
    desk.expect(&["-- 1500", "fetch red/2 from green", "deliver red/2 at 1", "deliver red/3 at 2"]);
    assert!(desk.machine.is_idle() && desk.links.is_empty() && desk.gaps.is_empty());
}

#[test]
fn parent_of_late_state_arrives_itself() {
    let mut desk = known();
    desk.arrive("green", pdus("green/9=topic<red/1^red/3"));
    desk.until(750);
    desk.fetched("green", "red/3", true, pdus("red/3<red/2=topic"));
    desk.log.clear();
    desk.arrive("red", pdus("red/2<red/1"));
    assert_eq!(delivered(&mut desk), ["deliver red/2 at 1", "deliver red/3 at 2"]);
    assert!(desk.machine.is_idle());
}

#[test]
fn late_state_without_ancestors_is_history() {
    let mut desk = known();
    desk.arrive("green", pdus("green/9=topic<red/1^red/3"));
    desk.log.clear();
    settle(&mut desk, "red/3<red/2=topic red/2<red/0");
    assert_eq!(delivered(&mut desk), ["deliver red/2 at 0 as history", "deliver red/3 at 1 as history"], "and no gap");
    assert!(desk.machine.is_idle());
    assert_eq!(desk.gaps.keys().collect::<Vec<_>>(), [&at("red/0")], "reading goes on there");
    // News that names an earlier PDU waits for it as usual.
    desk.arrive("green", pdus("green/10<red/0"));
    desk.expect(&["hold green/10 for [red/0]", "verdicts held"]);
}

#[test]
fn state_behind_the_edge_is_history() {
    let mut desk = adopted();
    desk.arrive("red", pdus("red/6<red/5=topic^red/b"));
    desk.log.clear();
    let asked = settle(&mut desk, "red/b<red/a=topic red/a<red/4 red/4<red/3");
    assert_eq!(asked, ["red/b", "red/a"], "red/4 is known as the edge");
    assert_eq!(delivered(&mut desk), ["deliver red/a at 0 as history", "deliver red/b at 1 as history"]);
    assert!(desk.machine.is_idle());
}

/// PDUs far behind the edge are not walked through, and a PDU at the beginning has no ancestors.
#[test]
fn walk_at_edge_is_short() {
    let mut desk = adopted();
    desk.arrive("red", pdus("red/6<red/5=topic^red/x50"));
    desk.log.clear();
    let chain: Vec<String> = (1..=50).rev().map(|n| format!("red/x{n:02}<red/x{:02}", n - 1)).collect();
    let asked = settle(&mut desk, &(chain.join(" ").replace("red/x50<red/x49", "red/x50<red/x49=topic")));
    assert_eq!((asked.len(), asked.last().map(String::as_str)), (11, Some("red/x40")));
    let delivered_all = delivered(&mut desk);
    assert!(delivered_all.len() == 11 && delivered_all.iter().all(|line| line.ends_with(" as history")));
    // A further PDU that names history is history too, without another walk.
    desk.arrive("red", pdus("red/7<red/6=name^red/y"));
    desk.log.clear();
    assert_eq!(settle(&mut desk, "red/y<red/x45=name"), ["red/y"]);
    assert_eq!(delivered(&mut desk).len(), 1);
    let mut desk = adopted();
    desk.arrive("red", pdus("red/6<red/5=topic^red/0"));
    desk.log.clear();
    settle(&mut desk, "red/0=topic");
    assert_eq!(delivered(&mut desk), ["deliver red/0 at 0 as history"]);
}

#[test]
fn state_after_the_edge_is_news() {
    let mut desk = adopted();
    desk.arrive("red", pdus("red/9<red/5=topic^red/8"));
    desk.log.clear();
    settle(&mut desk, "red/8<red/7=topic red/7<red/6 red/6<red/5");
    assert_eq!(delivered(&mut desk), ["deliver red/6 at 1", "deliver red/7 at 2", "deliver red/8 at 3"]);
    assert!(desk.machine.is_idle());
}

/// A chain of old state costs one walk, and not one for each link.
#[test]
fn what_old_state_replaces_is_old() {
    let mut desk = adopted();
    desk.arrive("red", pdus("red/6<red/5=topic^red/c"));
    desk.log.clear();
    let asked = settle(&mut desk, "red/c<red/4=topic^red/b red/b<red/x=topic^red/a red/a<red/y=topic");
    assert_eq!(asked, ["red/c", "red/b", "red/a"]);
    let history = ["red/c", "red/b", "red/a"].map(|name| format!("deliver {name} at 0 as history"));
    assert_eq!(delivered(&mut desk), history);
}

/// From then on it is a parent like any other: if its ancestors cannot be fetched, there is a gap, which is reported.
#[test]
fn new_child_makes_late_state_news() {
    let mut desk = known();
    desk.arrive("green", pdus("green/9=topic<red/1^red/3"));
    desk.until(750);
    desk.fetched("green", "red/3", true, pdus("red/3<red/2=topic"));
    desk.log.clear();
    desk.arrive("red", pdus("red/4<red/3"));
    desk.restart();
    settle(&mut desk, "");
    let told = ["gap [red/2] before [red/3]", "deliver red/3 at 0 without [red/2]", "deliver red/4 at 1"];
    assert_eq!(delivered(&mut desk), told);
}

/// It is on its way to us, and was only fetched before it arrived.
#[test]
fn late_state_pushed_is_news() {
    let mut desk = known();
    desk.arrive("green", pdus("green/9=topic<red/1^red/3"));
    desk.until(750);
    desk.fetched("green", "red/3", true, pdus("red/3<red/2=topic"));
    desk.arrive("red", pdus("red/3<red/2=topic"));
    desk.log.clear();
    settle(&mut desk, "");
    assert_eq!(delivered(&mut desk), ["gap [red/2] before [red/3]", "deliver red/3 at 0 without [red/2]"]);
}

#[test]
fn late_state_held_over_restart() {
    for there in ["red/2<red/1", ""] {
        let mut desk = known();
        desk.arrive("green", pdus("green/9=topic<red/1^red/3"));
        desk.until(750);
        desk.fetched("green", "red/3", true, vec![pdu("red/3<red/2,red/1=topic")]);
        desk.restart();
        desk.log.clear();
        settle(&mut desk, there);
        let expected: &[&str] = match there {
            "" => &["deliver red/3 at 1 as history"],
            _ => &["deliver red/2 at 1", "deliver red/3 at 2"],
        };
        assert_eq!(delivered(&mut desk), expected);
        assert!(desk.machine.is_idle());
    }
}

/// Too many PDUs are held: it is released as history, without a gap event.
#[test]
fn late_state_evicted_first() {
    let mut desk = MachineHarness::new(ContextLimits { held_max: 1, ..ContextLimits::default() });
    desk.participants("red green");
    desk.arrive("green", pdus("green/9=topic^red/3"));
    desk.until(750);
    desk.fetched("green", "red/3", true, pdus("red/3<red/2=topic"));
    desk.log.clear();
    desk.arrive("red", pdus("red/8<red/7"));
    assert_eq!(delivered(&mut desk), ["deliver red/3 at 0 as history"]);
}

/// State may depend on a PDU of a server that has left since. That PDU is history, and its parents are not fetched.
#[test]
fn state_of_leaver_is_history() {
    let mut desk = known();
    desk.arrive("green", pdus("green/9=topic<red/1^pink/3"));
    desk.log.clear();
    assert_eq!(settle(&mut desk, "pink/3<red/1=topic"), ["pink/3"]);
    assert_eq!(delivered(&mut desk), ["deliver pink/3 at 1 as history"]);
    desk.arrive("green", pdus("green/10<green/9=name^red/4"));
    desk.log.clear();
    settle(&mut desk, "red/4<pink/4=name pink/4<red/1");
    assert_eq!(delivered(&mut desk), ["deliver red/4 at 0 as history"]);
    assert!(desk.kept.is_empty(), "nothing is kept of what nobody waits for");
}

/// The context was joined, so it is read back through history. That PDU is released because too many are held; neither of
/// its two parents is forgotten.
#[test]
fn parents_of_released_history_are_edges() {
    let mut desk = MachineHarness::new(ContextLimits { held_max: 0, ..ContextLimits::default() });
    desk.join("red", 0);
    desk.told_of_the_past(Some(vec![]));
    desk.arrive("red", pdus("red/1"));
    desk.arrive("red", pdus("red/9=topic<red/1^red/5"));
    desk.until(750);
    desk.fetched("red", "red/5", true, pdus("red/5<red/3,red/4=topic"));
    assert!(desk.log.iter().any(|line| line.starts_with("deliver red/5") && line.ends_with(" as history")));
    let edges: Vec<&PduRef> = desk.gaps.iter().filter(|(_, gap)| gap.edge).map(|(edge, _)| edge).collect();
    assert_eq!(edges, [&at("red/3"), &at("red/4")]);
}
