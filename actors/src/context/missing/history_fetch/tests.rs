//! Traces of joins and of reads of older history.

use crate::context::machine::ContextEvent;
use crate::context::tests::harness::{MachineHarness, at, pdus, server};
use crate::limits::ContextLimits;
use crate::model::JoinStage;

fn stage(desk: &MachineHarness) -> (JoinStage, u64) {
    let join = desk.record().join.as_ref().expect("it was joined");
    (join.stage, join.came)
}

#[test]
fn join_fetches_state_then_history() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 3);
    desk.expect(&["set [red]", "ask red for the state"]);
    desk.told_of_the_past(Some(pdus("red/5<red/4=topic red/2<red/1=name")));
    desk.log.retain(|line| !line.starts_with("state"));
    desk.expect(&[
        "deliver red/2 at 0 as history",
        "deliver red/5 at 0 as history",
        "ask red for 3 before [red/4, red/1]",
    ]);
    desk.told_of_the_past(Some(pdus("red/4<red/3 red/3<red/2")));
    desk.expect(&["deliver red/3 at 1 as history", "deliver red/4 at 2 as history", "ask red for 1 before [red/1]"]);
    desk.told_of_the_past(Some(pdus("red/1")));
    desk.expect(&["deliver red/1 at 0 as history"]);
    assert_eq!(stage(&desk), (JoinStage::Done, 5));
    assert!(desk.gaps.is_empty() && desk.machine.is_idle());
    let heads: Vec<_> = desk.record().heads.iter().map(|head| head.reference.clone()).collect();
    assert_eq!(heads.len(), 1, "what we say first follows something: {heads:?}");
}

#[test]
fn backfill_after_join_is_bounded() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 0);
    desk.told_of_the_past(Some(pdus("red/5<red/4=topic")));
    assert_eq!(stage(&desk), (JoinStage::Done, 1));
    desk.log.clear();
    desk.arrive("red", pdus("red/900<red/899"));
    let mut steps = 0;
    while let Some(due) = desk.due.filter(|due| due.0 < 60_000) {
        desk.until(due.0);
        for (from, wanted) in desk.asked.clone() {
            steps += 1;
            let n: u64 = wanted.id.as_str().parse().expect("a number");
            desk.fetched(from.as_str(), &wanted.to_string(), true, pdus(&format!("red/{n}<red/{}", n - 1)));
        }
    }
    assert_eq!((steps, desk.machine.is_idle()), (3, true));
    assert!(desk.gaps[&at("red/896")].edge && desk.log.iter().all(|line| !line.starts_with("gap")));
}

#[test]
fn failed_join_retries_then_fails() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 3);
    let mut asks = vec![0];
    loop {
        desk.told_of_the_past(None);
        let Some(due) = desk.due else { break };
        desk.until(due.0);
        asks.push(due.0);
    }
    assert_eq!(asks, [0, 1500, 4500, 10_500, 22_500, 46_500, 94_500, 190_500]);
    assert_eq!(stage(&desk), (JoinStage::Failed, 0));
    desk.join("red", 3);
    assert_eq!(stage(&desk), (JoinStage::State, 0), "it may be tried anew");
}

#[test]
fn join_resumes_after_restart() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 3);
    desk.told_of_the_past(Some(pdus("red/5<red/4=topic")));
    desk.log.clear();
    desk.restart();
    desk.expect(&["-- restart", "ask red for 3 before [red/4]"]);
}

#[test]
fn missing_join_response_times_out() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 3);
    desk.log.clear();
    desk.until(61_500);
    desk.expect(&["-- 60000", "-- 61500", "ask red for the state"]);
}

#[test]
fn history_fetch_tries_each_server() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("red/5<red/4"));
    while desk.due.is_some() {
        desk.until(desk.now.0 + 1000);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    desk.log.clear();
    let older = |desk: &mut MachineHarness| desk.step(ContextEvent::Older { limit: 2 });
    older(&mut desk);
    older(&mut desk);
    desk.expect(&["ask red for 2 before [red/4]"]);
    desk.told_of_the_past(Some(vec![]));
    desk.expect(&["ask green for 2 before [red/4]"]);
    desk.told_of_the_past(Some(pdus("red/4<red/3 red/3<red/2")));
    desk.expect(&["deliver red/3 at 0 as history", "deliver red/4 at 1 as history", "2 came"]);
    assert_eq!(desk.gaps.keys().collect::<Vec<_>>(), [&at("red/2")]);
    older(&mut desk);
    desk.told_of_the_past(None);
    desk.told_of_the_past(None);
    assert_eq!(desk.log.last().map(String::as_str), Some("0 came"));
}

#[test]
fn empty_join_history_asks_others() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("red/5<red/4"));
    while desk.due.is_some() {
        desk.until(desk.now.0 + 1000);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    desk.log.clear();
    desk.join("green", 3);
    desk.told_of_the_past(Some(vec![]));
    desk.told_of_the_past(Some(vec![]));
    desk.expect(&["set [red, green]", "ask green for the state", "ask green for 3 before [red/4]"]);
    assert_eq!(stage(&desk), (JoinStage::Done, 0));
    desk.step(ContextEvent::Older { limit: 2 });
    desk.expect(&["ask red for 2 before [red/4]"]);
    desk.told_of_the_past(Some(pdus("red/4")));
    desk.expect(&["deliver red/4 at 0 as history", "1 came"]);
}

/// A join whose retry is due waits for the history read in flight, and the timer does not fire until then.
#[test]
fn due_join_waits_for_read() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("red/5<red/4"));
    while desk.due.is_some() {
        desk.until(desk.now.0 + 1000);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    desk.join("green", 3);
    desk.told_of_the_past(None);
    desk.log.clear();
    desk.step(ContextEvent::Older { limit: 2 });
    let retry = desk.now.0 + 1500;
    desk.until(retry + 1000);
    desk.told_of_the_past(Some(pdus("red/4")));
    desk.expect(&[
        "ask red for 2 before [red/4]",
        "deliver red/4 at 0 as history",
        "1 came",
        "ask green for the state",
    ]);
}

/// The response to a join's request also answers the history reads that arrived meanwhile.
#[test]
fn read_behind_join_answered_together() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 3);
    desk.step(ContextEvent::Older { limit: 2 });
    desk.expect(&["set [red]", "ask red for the state"]);
    desk.told_of_the_past(Some(pdus("red/5<red/4")));
    desk.expect(&["deliver red/5 at 0 as history", "1 came", "ask red for 3 before [red/4]"]);
    desk.step(ContextEvent::Older { limit: 2 });
    desk.told_of_the_past(Some(pdus("red/4")));
    desk.expect(&["deliver red/4 at 0 as history", "1 came"]);
    assert!(desk.machine.is_idle());
}

/// If a join's request brings nothing, other servers are asked for the reads, and the join continues after them.
#[test]
fn reads_and_idle_join_take_turns() {
    let mut desk = MachineHarness::among("green");
    desk.arrive("green", pdus("green/5"));
    desk.join("red", 3);
    desk.log.clear();
    desk.step(ContextEvent::Older { limit: 2 });
    desk.told_of_the_past(None);
    desk.expect(&["0 came"]);
    desk.until(1500);
    desk.step(ContextEvent::Older { limit: 2 });
    desk.told_of_the_past(Some(pdus("red/2<red/1")));
    desk.expect(&[
        "-- 1500",
        "ask red for the state",
        "deliver red/2 at 0 as history",
        "1 came",
        "ask red for 3 before [red/1]",
    ]);
    desk.step(ContextEvent::Older { limit: 2 });
    desk.told_of_the_past(Some(vec![]));
    desk.expect(&["ask green for 2 before [red/1]"]);
    desk.told_of_the_past(Some(vec![]));
    desk.expect(&["ask red for 2 before [red/1]"]);
    desk.told_of_the_past(Some(vec![]));
    desk.expect(&["0 came"]);
    assert_eq!(stage(&desk), (JoinStage::Done, 1));
}

/// A response that arrives after its deadline is not taken for the response to the request in flight.
#[test]
fn late_answer_ends_no_other_question() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("green/5<green/4"));
    while desk.due.is_some() {
        desk.until(desk.now.0 + 1000);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    desk.step(ContextEvent::Older { limit: 2 });
    desk.join("green", 3);
    desk.log.clear();
    desk.until(desk.now.0 + 61_000);
    desk.expect(&[&format!("-- {}", desk.now.0 - 1000), "0 came", "ask green for the state"]);
    desk.told_of_the_past(Some(pdus("green/4")));
    desk.expect(&["deliver green/4 at 0 as history"]);
    assert_eq!(stage(&desk), (JoinStage::State, 0));
    desk.told_of_the_past(Some(vec![]));
    assert_eq!(stage(&desk), (JoinStage::Done, 0));
}

/// Work that a restart has to continue is recorded in the store until it is done.
#[test]
fn unfinished_work_is_noted_until_done() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 3);
    desk.take_back();
    assert!(desk.unfinished, "the join is open");
    desk.told_of_the_past(Some(vec![]));
    assert!(!desk.unfinished, "the join is done, and quarantine was looked through");
    desk.participants("red green");
    assert!(desk.unfinished, "green was let in");
    desk.restart();
    assert!(desk.unfinished);
    desk.take_back();
    assert!(!desk.unfinished);
}

/// The last PDU of a full page of quarantine adds another server, so the walk starts anew, and the walk that it replaces
/// does not end separately. If both were counted, the work would never be done.
#[test]
fn replaced_quarantine_walk_ends_once() {
    let mut desk = MachineHarness::among("red");
    desk.take_back();
    desk.arrive("green", pdus("green/1 green/2=@a:blue+ green/3"));
    desk.participants("red green");
    desk.take_back();
    assert!(desk.kept.is_empty() && !desk.unfinished, "{:#?}", desk.log);
}

#[test]
fn history_without_edge_asks_nobody() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/1"));
    desk.log.clear();
    desk.step(ContextEvent::Older { limit: 2 });
    desk.expect(&["0 came"]);
}

#[test]
fn invalid_history_pdus_are_refused() {
    let mut desk = MachineHarness::among("red");
    desk.join("red", 3);
    desk.log.clear();
    desk.told_of_the_past(Some(pdus("us/1 red/2<red/2 red/3 red/3 blue/4<red/3")));
    let released = ["release us/1", "release red/2"];
    desk.expect(&["deliver red/3 at 0 as history", "deliver blue/4 at 1 as history", released[0], released[1]]);
    assert_eq!(desk.record().participants, [server("red")], "one that has left is heard, and takes no part by that");
}
