//! Printed traces: what a conversation does, step by step.

use crate::context::desk::{Desk, at, context, draft, pdu, pdus, server};
use crate::context::machine::{Event, Token};
use crate::limits::{ContextLimits, GapLimits};
use crate::model::Pdu;
use crate::ports::Known;

#[test]
fn an_answer_that_overtakes_what_it_answers_waits_for_it() {
    let mut desk = Desk::among("red green");
    desk.arrive("green", pdus("green/1<red/1"));
    desk.expect(&["hold green/1 for [red/1]", "verdicts held"]);
    desk.arrive("red", pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "deliver green/1 at 1", "verdicts accepted"]);
    assert!(desk.machine.is_idle() && desk.due.is_none());
}

#[test]
fn the_same_where_the_conversation_is_new_to_us() {
    let mut desk = Desk::new(ContextLimits::default());
    desk.arrive("green", pdus("green/1<red/1"));
    desk.expect(&["hold green/1 for [red/1], edge", "verdicts held"]);
    assert_eq!(desk.record().participants, [server("green")]);
    desk.participants("red green us red");
    desk.expect(&["set [red, green]"]);
    desk.arrive("red", pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "deliver green/1 at 1", "verdicts accepted"]);
}

#[test]
fn the_first_pdu_brings_its_origin_and_its_sender_in() {
    let mut desk = Desk::new(ContextLimits::default());
    desk.arrive("red", pdus("us/1 green/1 red/1 blue/1"));
    let park = "park Pdu { origin: Some(\"blue\"), id: Some(\"1\"), context: Some(room) } of red";
    let verdicts = "verdicts refused:OWN_ORIGIN_UNKNOWN accepted accepted parked:NOT_A_PARTICIPANT";
    let delivered = ["deliver green/1 at 0", "deliver red/1 at 0"];
    desk.expect(&[park, delivered[0], delivered[1], "release us/1", "release blue/1", verdicts]);
    let record = desk.record();
    assert_eq!((record.participants.clone(), record.adopted), (vec![server("green"), server("red")], true));
}

#[test]
fn what_lies_before_the_edge_is_no_gap_and_comes_late_without_a_word() {
    let mut desk = Desk::new(ContextLimits::default());
    desk.arrive("red", pdus("red/3<red/2"));
    desk.log.clear();
    desk.until(750);
    desk.expect(&["-- 750", "fetch red/2 from red"]);
    desk.fetched("red", "red/2", true, vec![]);
    let mut asks = vec![];
    while let Some(due) = desk.due.filter(|due| due.0 < 60_000) {
        desk.until(due.0);
        desk.fetched("red", "red/2", true, vec![]);
        asks.push(due.0);
    }
    assert_eq!(asks, [1500, 3000, 6000, 12_000, 24_000, 48_000], "the pauses double");
    desk.log.clear();
    desk.until(60_000);
    desk.expect(&["-- 60000", "deliver red/3 at 0"]);
    assert!(desk.gaps[&at("red/2")].edge);
    desk.arrive("red", pdus("red/4<red/2"));
    desk.expect(&["deliver red/4 at 0", "verdicts accepted"]);
    desk.arrive("red", pdus("red/2<red/1"));
    desk.expect(&["hold red/2 for [red/1], edge", "verdicts held"]);
    desk.arrive("red", pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "deliver red/2 at 1 late", "verdicts accepted"]);
    assert!(desk.gaps.is_empty());
}

#[test]
fn a_gap_is_given_up_told_and_filled() {
    let mut desk = Desk::among("red green");
    desk.arrive("green", pdus("green/1<red/1"));
    desk.until(750);
    desk.fetched("green", "red/1", true, vec![]);
    desk.fetched("red", "red/1", false, vec![]);
    desk.log.clear();
    while desk.due.is_some() {
        desk.until(desk.now.0 + 1000);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), from == server("green"), vec![]);
        }
    }
    assert!((60_000..61_000).contains(&desk.now.0));
    let end = desk.log.split_off(desk.log.len() - 2);
    assert_eq!(end, ["gap [red/1] before [green/1]", "deliver green/1 at 0 without [red/1]"]);
    desk.log.clear();
    desk.arrive("green", pdus("green/2<red/1,green/1"));
    desk.expect(&["deliver green/2 at 1 without [red/1]", "verdicts accepted"]);
    desk.restart();
    desk.arrive("red", pdus("red/1"));
    desk.expect(&[
        "-- restart",
        "deliver red/1 at 0 late",
        "filled [red/1] before [green/1, green/2]",
        "verdicts accepted",
    ]);
    let heads: Vec<_> = desk.record().heads.iter().map(|head| head.reference.clone()).collect();
    assert_eq!(heads, [at("green/2")], "one that is named already is no edge");
}

#[test]
fn nobody_is_given_up_who_was_not_heard() {
    let mut desk = Desk::among("red green");
    desk.arrive("green", pdus("green/1<red/1"));
    desk.until(750);
    desk.fetched("green", "red/1", true, vec![]);
    desk.log.clear();
    desk.until(60_749);
    desk.expect(&["-- 60000"]);
    desk.until(60_750);
    desk.expect(&["-- 60750", "gap [red/1] before [green/1]", "deliver green/1 at 0 without [red/1]"]);
    assert!(!desk.machine.is_idle() || desk.asked.len() == 1, "red's silence counts as an answer");
}

#[test]
fn a_walk_back_goes_on_through_what_it_brings_until_it_is_too_far() {
    let gap = GapLimits { depth_max: 2, ..ContextLimits::default().gap };
    let mut desk = Desk::new(ContextLimits { gap, ..ContextLimits::default() });
    desk.participants("red green");
    desk.arrive("green", pdus("red/9<red/8"));
    desk.until(750);
    desk.log.clear();
    desk.fetched("green", "red/8", true, pdus("red/8<red/7"));
    desk.expect(&["hold red/8 for [red/7]"]);
    desk.until(1500);
    desk.log.clear();
    desk.fetched("green", "red/7", true, pdus("red/7<red/6"));
    desk.expect(&[
        "gap [red/6] before [red/7]",
        "deliver red/7 at 0 without [red/6]",
        "deliver red/8 at 1",
        "deliver red/9 at 2",
    ]);
}

#[test]
fn what_is_ready_together_goes_by_depth_origin_and_id() {
    let mut desk = Desk::among("red green");
    desk.arrive("red", pdus("red/3<green/1,red/1 red/2 red/1 green/2<green/1 green/1 red/1"));
    let order = ["green/1 at 0", "red/1 at 0", "red/2 at 0", "green/2 at 1", "red/3 at 1"];
    let mut expected: Vec<String> = order.iter().map(|one| format!("deliver {one}")).collect();
    expected.push("verdicts accepted accepted accepted accepted accepted duplicate".to_owned());
    assert_eq!(desk.log, expected);
}

#[test]
fn one_bad_pdu_never_harms_its_neighbours() {
    let mut desk = Desk::among("red green");
    desk.elsewhere.insert(at("red/7"), Known::Held { context: context("attic") });
    desk.elsewhere.insert(at("red/8"), Known::Claimed { context: context("attic") });
    desk.elsewhere.insert(at("red/9"), Known::Claimed { context: context("room") });
    desk.arrive("red", pdus("red/1 red/1<red/1 red/2<red/2 red/3<red/7 red/8 us/5 red/9 red/4<red/1"));
    let verdicts = "verdicts accepted duplicate refused:SELF_PARENT refused:FOREIGN_PARENT refused:OTHER_CONTEXT \
                    refused:OWN_ORIGIN_UNKNOWN duplicate accepted";
    let released = ["release red/2", "release red/3", "release us/5"];
    desk.expect(&["deliver red/1 at 0", "deliver red/4 at 1", released[0], released[1], released[2], verdicts]);
}

#[test]
fn a_cycle_is_broken_where_it_closes() {
    let mut desk = Desk::among("red green");
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
fn the_same_identity_in_two_conversations_belongs_to_the_first() {
    let mut desk = Desk::among("red");
    desk.elsewhere.insert(at("red/1"), Known::Delivered { context: context("attic"), depth: 3 });
    desk.arrive("red", pdus("red/1 red/2<red/1"));
    desk.expect(&["release red/2", "verdicts refused:OTHER_CONTEXT refused:FOREIGN_PARENT"]);
    assert!(desk.machine.is_idle());
}

#[test]
fn a_stranger_is_kept_in_quarantine_and_heard_once_it_takes_part() {
    let mut desk = Desk::among("red");
    desk.arrive("green", pdus("red/1"));
    let park = "park Pdu { origin: Some(\"red\"), id: Some(\"1\"), context: Some(room) } of green";
    desk.expect(&[park, "release red/1", "verdicts parked:NOT_A_PARTICIPANT"]);
    desk.participants("red green");
    desk.arrive("green", pdus("red/1"));
    desk.expect(&["set [red, green]", "deliver red/1 at 0", "verdicts accepted"]);
}

#[test]
fn an_open_conversation_takes_everybody_in_up_to_its_limit() {
    let mut desk = Desk::new(ContextLimits { open: true, participants_max: 2, ..ContextLimits::default() });
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
fn what_we_say_names_all_edges_and_one_batch_is_one_chain() {
    let mut desk = Desk::among("red green");
    desk.compose("1", "");
    desk.expect(&["send us/1 prev [] depth 0 replaces None to [red, green]", "composed us/1 for [red, green]"]);
    desk.arrive("red", pdus("red/1 red/2<us/1"));
    desk.log.clear();
    desk.compose("2 3", "green");
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
fn one_that_is_narrowed_is_nobodys_parent() {
    let mut desk = Desk::among("red green");
    desk.compose("1 2>green,us,green 3>blue 4 5>us", "");
    desk.expect(&[
        "send us/1 prev [] depth 0 replaces None to [red, green]",
        "send us/2 prev [us/1] depth 1 replaces None to [green]",
        "send us/4 prev [us/1] depth 1 replaces None to [red, green]",
        "send us/5 prev [us/4] depth 2 replaces None to []",
        "composed us/1 for [red, green]",
        "composed us/2 for [green]",
        "refused: blue does not take part in room",
        "composed us/4 for [red, green]",
        "composed us/5 for []",
    ]);
}

#[test]
fn state_replaces_what_was_set_last_on_disk_or_not() {
    let mut desk = Desk::among("red");
    desk.compose("1=topic 2=topic", "");
    desk.arrive("red", pdus("red/2<red/1=topic red/1<us/2"));
    desk.log.retain(|line| line.starts_with("state") || line.starts_with("send"));
    desk.expect(&[
        "state topic = us/1",
        "send us/1 prev [] depth 0 replaces None to [red]",
        "state topic = us/2",
        "send us/2 prev [us/1] depth 1 replaces Some(us/1) to [red]",
        "state topic = red/2",
    ]);
    let holders = [(("text".into(), "topic".to_owned()), at("red/1"))].into();
    let drafts = vec![draft("3=topic")];
    desk.step(Event::Compose { token: Token(9), drafts, full: vec![], holders });
    assert!(desk.log.iter().any(|line| line.contains("replaces Some(red/2)")), "memory is newer than the disk");
    desk.restart();
    desk.compose("4=topic", "");
    assert!(desk.log.iter().any(|line| line.contains("replaces Some(us/3)")), "{:?}", desk.log);
}

#[test]
fn held_state_is_known_after_a_restart() {
    let mut desk = Desk::among("red");
    desk.arrive("red", pdus("red/5 red/2<red/1,red/5=topic"));
    desk.restart();
    desk.log.clear();
    desk.arrive("red", pdus("red/1"));
    let state = "state topic = red/2";
    desk.expect(&["deliver red/1 at 0", "deliver red/2 at 1", state, "verdicts accepted"]);
}

#[test]
fn over_the_limit_the_oldest_leaves_with_its_gaps() {
    let mut desk = Desk::new(ContextLimits { held_max: 2, ..ContextLimits::default() });
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
fn a_fetch_brings_what_was_asked_for_whoever_has_it() {
    let mut desk = Desk::among("red green");
    desk.arrive("red", pdus("red/2<green/1"));
    desk.until(750);
    desk.log.clear();
    let attic = Pdu { context: context("attic"), ..pdu("green/7") };
    let stranger = pdu("blue/1");
    desk.fetched("red", "green/1", true, vec![attic, stranger, pdu("green/1")]);
    desk.expect(&["deliver green/1 at 0", "deliver red/2 at 1", "release blue/1"]);
}

#[test]
fn a_parent_of_a_stranger_is_parked_once_and_given_up() {
    let mut desk = Desk::among("red green");
    desk.arrive("red", pdus("red/2<blue/1"));
    while desk.due.is_some() {
        desk.until(desk.now.0 + 500);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, pdus("blue/1"));
        }
    }
    assert_eq!(desk.log.iter().filter(|line| line.starts_with("park")).count(), 1);
    assert_eq!(desk.log.last().map(String::as_str), Some("deliver red/2 at 0 without [blue/1]"));
    assert!(!desk.log.iter().any(|line| line.ends_with("from blue")), "a stranger is not asked");
}

#[test]
fn a_restart_asks_anew_for_what_is_held() {
    let mut desk = Desk::among("red green");
    desk.arrive("green", pdus("green/2<green/1,red/1 green/1<red/9"));
    desk.until(40_000);
    desk.restart();
    desk.log.clear();
    assert_eq!(desk.machine.status().wanted, [at("red/1"), at("red/9")]);
    desk.until(40_750);
    desk.expect(&["-- 40750", "fetch red/1 from green", "fetch red/9 from green"]);
    desk.fetched("green", "red/1", true, pdus("red/1"));
    desk.restart();
    assert_eq!((desk.machine.status().held, desk.machine.status().wanted), (2, vec![at("red/9")]));
}

#[test]
fn one_that_comes_before_anything_was_delivered_without_it_is_in_time() {
    let mut desk = Desk::among("red");
    desk.arrive("red", pdus("red/3<red/1,red/2"));
    desk.until(30_000);
    desk.arrive("red", pdus("red/2<red/0"));
    while desk.due.is_some() && !desk.gaps.contains_key(&at("red/1")) {
        desk.until(desk.now.0 + 1000);
        desk.asked
            .clone()
            .iter()
            .for_each(|(from, wanted)| desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]));
    }
    desk.log.clear();
    desk.arrive("red", pdus("red/1 red/0"));
    let delivered = ["deliver red/0 at 0", "deliver red/1 at 0", "deliver red/2 at 1", "deliver red/3 at 2"];
    desk.expect(&[delivered[0], delivered[1], delivered[2], delivered[3], "verdicts accepted accepted"]);
    assert!(desk.gaps.is_empty() && desk.machine.is_idle());
}
