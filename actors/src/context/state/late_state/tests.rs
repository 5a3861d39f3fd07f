//! Traces of state PDUs that others replace and that were missing: when they come as news, and when as history.

use std::collections::BTreeMap;

use crate::context::tests::harness::{MachineHarness, at, pdu, pdus};
use crate::limits::ContextLimits;
use crate::model::{Pdu, PduRef};

/// Time passes until nothing is looked for; who is asked gives what there is. What was asked for, in order.
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

/// A conversation that red and green have had with us from its beginning.
fn known() -> MachineHarness {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/1"));
    desk.log.clear();
    desk
}

/// One that we came into with red/5; what lies before it cannot be had.
fn adopted() -> MachineHarness {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("red", pdus("red/5<red/4"));
    settle(&mut desk, "");
    assert!(desk.gaps[&at("red/4")].edge && desk.machine.is_idle());
    desk.log.clear();
    desk
}

/// It came as history, and before what it answers.
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
    // News that names what lies there waits for it as for any other.
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

/// What lies far behind the edge is not walked through, and what lies at the beginning has nothing before it.
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
    // Another one that answers what came as history is history, too, without another walk.
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

/// A chain of old state costs one walk, and not one for each of its links.
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

/// From then on it is a parent like any other: what cannot be had before it is a gap, and is told.
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

/// It is on its way to us, and was only fetched before it came.
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

/// Too many wait: it leaves as history, and nobody is told of a gap.
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

/// State may rest on what was said by somebody who has left since. It is history, and what lies before it is nobody's business.
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

/// The room has been joined, so it is read back through what came as history. That one leaves as too many are held; of its two
/// parents neither is forgotten.
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
