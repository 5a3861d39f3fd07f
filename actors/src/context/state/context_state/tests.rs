//! Printed traces of state: the current PDU of a key, the reads for it, and the messenger's events.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::context::state::context_state::ResolvedEntry;
use crate::context::state::resolution::winner;
use crate::context::tests::harness::{MachineHarness, at, pdu, pdus};
use crate::limits::{ContextLimits, StateLimits};
use crate::model::{Pdu, PduRef, PrevStateLink, StateEntry};

fn held_by(desk: &MachineHarness) -> String {
    desk.held_by.values().next().map_or(String::new(), |piece| piece.reference.to_string())
}

#[test]
fn only_state_fork_reads_store() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/1=topic red/2<red/1=topic*9^red/1 red/3<red/2=topic^red/2"));
    desk.expect(&[
        "deliver red/1 at 0",
        "state topic = red/1",
        "deliver red/2 at 1",
        "state topic = red/2",
        "deliver red/3 at 2",
        "state topic = red/3",
        "verdicts accepted accepted accepted",
    ]);
    desk.restart();
    desk.log.clear();
    desk.compose("4=topic", "");
    assert_eq!((desk.weighed.get(), held_by(&desk)), (0, "us/4".to_owned()));
    desk.log.clear();
    // Of the PDUs that replace red/1, one branch has power 9 and the other 5.
    desk.arrive("green", pdus("green/1=topic*5^red/1"));
    desk.expect(&["deliver green/1 at 0", "verdicts accepted"]);
    assert_eq!((desk.weighed.get(), held_by(&desk)), (1, "us/4".to_owned()));
    desk.arrive("green", pdus("green/2=topic*10^green/1"));
    assert_eq!(held_by(&desk), "green/2");
}

/// Regression: the last PDU to arrive won, so that two servers kept different topics for ever.
#[test]
fn state_conflict_ignores_arrival_order() {
    let play = |batches: [&str; 2]| {
        let mut desk = MachineHarness::among("red green");
        desk.arrive("red", pdus("red/1=topic"));
        batches.iter().for_each(|batch| desk.arrive("red", pdus(batch)));
        held_by(&desk)
    };
    let (one, other) = ("red/2=topic*1^red/1", "green/2=topic*2^red/1");
    assert_eq!([play([one, other]), play([other, one])], ["green/2", "green/2"]);
}

#[test]
fn missing_prev_state_resolved_on_arrival() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/1=topic"));
    desk.arrive("green", pdus("green/3=topic*7^green/2"));
    desk.log.drain(..3);
    desk.expect(&["deliver green/3 at 0", "verdicts accepted"]);
    assert_eq!((held_by(&desk).as_str(), desk.machine.is_idle()), ("red/1", false));
    desk.until(750);
    desk.expect(&["-- 750", "fetch green/2 from green"]);
    desk.fetched("green", "green/2", true, pdus("green/2<green/0=topic^red/1"));
    desk.expect(&["hold green/2 for [green/0]"]);
    while desk.due.is_some() {
        desk.until(desk.now.0 + 500);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    desk.log.retain(|line| !line.starts_with("fetch") && !line.starts_with("--"));
    desk.expect(&["deliver green/2 at 0 as history", "state topic = green/3", "again green/3"]);
    assert!(desk.machine.is_idle() && desk.links.is_empty());
    let heads: Vec<PduRef> = desk.record().heads.iter().map(|head| head.reference.clone()).collect();
    assert_eq!(heads, [at("green/3"), at("red/1")], "history is no edge");
}

/// Regression: a reply was delivered before its parent without a gap, because the parent was also an ancestor of state.
#[test]
fn missing_history_parent_holds_pdu() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("green", pdus("green/3=topic^green/2"));
    desk.until(750);
    desk.fetched("green", "green/2", true, pdus("green/2<green/0=topic"));
    desk.log.clear();
    desk.arrive("red", pdus("red/1<green/0"));
    desk.expect(&["hold red/1 for [green/0]", "verdicts held"]);
    desk.arrive("green", pdus("green/0"));
    let in_order = ["deliver green/0 at 0", "deliver green/2 at 1", "deliver red/1 at 1", "verdicts accepted"];
    desk.expect(&in_order);
}

#[test]
fn unreachable_prev_state_is_given_up() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/1=topic green/3=topic*7^green/2"));
    desk.restart();
    let mut rounds = 0;
    while desk.due.is_some() && rounds < 200 {
        rounds += 1;
        desk.until(desk.now.0 + 500);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    assert!((60_000..61_000).contains(&desk.now.0), "{}", desk.now);
    assert_eq!(desk.log[desk.log.len() - 2..], ["state topic = green/3", "again green/3"]);
    assert!(desk.links[&at("green/2")].given_up && desk.machine.is_idle());
    desk.restart();
    assert!(desk.due.is_none(), "it is not looked for again");
    // The missing PDU arrives after all and shows that red/1 was replaced long ago by a PDU with negative power.
    desk.log.clear();
    desk.arrive("green", pdus("green/2=topic^red/1 red/2=topic*9^red/1"));
    desk.expect(&["deliver green/2 at 0", "deliver red/2 at 0", "state topic = red/2", "verdicts accepted accepted"]);
    assert!(desk.links.is_empty());
}

#[test]
fn prev_state_chain_fetch_is_bounded() {
    let state = StateLimits { chain_max: 2, ..ContextLimits::default().state };
    let mut desk = MachineHarness::new(ContextLimits { state, ..ContextLimits::default() });
    desk.participants("red");
    desk.arrive("red", pdus("red/9=topic^red/8"));
    let mut asked = vec![];
    while desk.due.is_some() {
        desk.until(desk.now.0 + 500);
        for (from, wanted) in desk.asked.clone() {
            asked.push(wanted.to_string());
            let before = wanted.id.as_str().parse::<u32>().expect("a number") - 1;
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![pdu(&format!("{wanted}=topic^red/{before}"))]);
        }
    }
    assert_eq!((asked, held_by(&desk).as_str()), (vec!["red/8".to_owned(), "red/7".to_owned()], "red/9"));
    assert!(desk.links[&at("red/6")].given_up);
}

#[test]
fn foreign_prev_state_is_refused() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/1=topic red/2 red/9<red/8=topic"));
    desk.log.clear();
    desk.arrive("red", pdus("red/3=name^red/1 red/4=topic^red/2 red/5=name^red/9 red/6=topic^red/6 red/7=topic^red/1"));
    let refused = "refused:FOREIGN_STATE";
    let verdicts = format!("verdicts {refused} {refused} {refused} refused:SELF_STATE accepted");
    assert_eq!(desk.log.last(), Some(&verdicts));
    desk.restart();
    desk.arrive("red", pdus("red/3=name^red/1"));
    assert_eq!(desk.log.last().map(String::as_str), Some("verdicts refused:FOREIGN_STATE"));
}

#[test]
fn late_foreign_prev_state_is_ignored() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/1=topic red/3=topic*9^red/2 red/4=topic^red/3"));
    desk.log.clear();
    desk.arrive("red", pdus("red/2=name"));
    desk.expect(&["deliver red/2 at 0", "state name = red/2", "verdicts accepted"]);
    let piece = &desk.pieces[&("text".into(), "topic".to_owned())][&at("red/3")];
    assert_eq!((piece.bond, desk.links.is_empty()), (PrevStateLink::Foreign, true));
    assert_eq!(held_by_topic(&desk), "red/1");
}

fn held_by_topic(desk: &MachineHarness) -> String {
    desk.held_by[&("text".into(), "topic".to_owned())].reference.to_string()
}

#[test]
fn prev_state_parent_is_delivered_live() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/2<red/1=topic^red/1"));
    desk.expect(&["hold red/2 for [red/1]", "verdicts held"]);
    desk.until(750);
    desk.fetched("red", "red/1", true, pdus("red/1=topic"));
    desk.log.drain(..2);
    desk.expect(&["deliver red/1 at 0", "state topic = red/1", "deliver red/2 at 1", "state topic = red/2"]);
    assert!(desk.machine.is_idle() && desk.links.is_empty());
}

#[test]
fn submission_below_current_power_refused() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("red/1=topic*5"));
    desk.log.clear();
    desk.compose("1=topic*4 2=topic*5", "");
    let words = "refused: power_level 4 is below 5, that of the state it would replace \
                 (contexts.state.enforce_power); submit it with 5 or more";
    assert_eq!((desk.log[2].as_str(), held_by(&desk).as_str()), (words, "us/2"));
    let state = StateLimits { enforce_power: false, ..ContextLimits::default().state };
    let mut desk = MachineHarness::new(ContextLimits { state, ..ContextLimits::default() });
    desk.participants("red");
    desk.arrive("red", pdus("red/1=topic*5"));
    desk.compose("1=topic*4", "");
    assert_eq!(held_by(&desk), "us/1");
}

/// A state PDU: the PDU it replaces, whether that does not exist, its power, how it reaches us, and when.
type Seed = (Option<Index>, bool, i64, u8, u16);

fn forest(seeds: &[Seed]) -> Vec<Pdu> {
    let name = |n: usize| format!("{}/{n:02}", ["red", "green"][n % 2]);
    let one = |(n, (prev, lost, power, ..)): (usize, &Seed)| {
        let prev = prev.filter(|_| n > 0).map(|index| match lost {
            true => format!("^grey/{n}"),
            false => format!("^{}", name(index.index(n))),
        });
        pdu(&format!("{}=topic*{power}{}", name(n), prev.unwrap_or_default()))
    };
    seeds.iter().enumerate().map(one).collect()
}

/// Runs until nothing is missing: every server returns what `gives` contains.
fn settle(desk: &mut MachineHarness, gives: &BTreeMap<PduRef, Pdu>) {
    let mut rounds = 0;
    while !desk.machine.is_idle() {
        rounds += 1;
        assert!(rounds < 2000 && desk.due.is_some(), "it never ends");
        desk.until(desk.now.0 + 1000);
        while let Some((from, wanted)) = desk.asked.first().cloned() {
            let found = gives.get(&wanted).cloned();
            desk.fetched(from.as_str(), &wanted.to_string(), true, found.into_iter().collect());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Any order and batches, with some links late or fetched, and with restarts: the current PDU is that of the whole set.
    #[test]
    fn current_state_is_order_independent(
        seeds in prop::collection::vec(
            (prop::option::weighted(0.85, any::<Index>()), prop::bool::weighted(0.1), 0..3_i64, 0..8_u8, any::<u16>()),
            1..24,
        ),
        sizes in prop::collection::vec(1..6_usize, 1..6),
        restarts in prop::collection::vec(prop::bool::weighted(0.2), 1..6),
    ) {
        let pdus = forest(&seeds);
        let mut desk = MachineHarness::among("red green");
        let (mut order, mut late, mut asked) = (vec![], vec![], BTreeMap::new());
        for ((.., fate, place), pdu) in seeds.iter().zip(&pdus) {
            match fate {
                0 => late.push(pdu.clone()),
                1 => drop(asked.insert(pdu.reference.clone(), pdu.clone())),
                _ => order.push((*place, pdu.clone())),
            }
        }
        order.sort_by_key(|(place, _)| *place);
        let mut rest: Vec<Pdu> = order.into_iter().map(|(_, pdu)| pdu).collect();
        let mut batch = 0;
        while !rest.is_empty() {
            let after = rest.split_off(sizes[batch % sizes.len()].min(rest.len()));
            desk.arrive("red", std::mem::replace(&mut rest, after));
            check(&desk);
            if restarts[batch % restarts.len()] {
                desk.restart();
            }
            batch += 1;
        }
        settle(&mut desk, &asked);
        desk.arrive("green", late);
        settle(&mut desk, &asked);
        check(&desk);
        // The same set at a server that has all of it from the start.
        let delivered: Vec<Pdu> = pdus.into_iter().filter(|pdu| desk.is_delivered(&pdu.reference)).collect();
        let mut other = MachineHarness::among("red green");
        other.arrive("red", delivered);
        settle(&mut other, &BTreeMap::new());
        check(&other);
        prop_assert_eq!(held_by(&desk), held_by(&other));
    }
}

/// Checks that the state updated step by step equals that of the whole set.
fn check(desk: &MachineHarness) {
    let set = desk.pieces.values().next();
    let whole = set.and_then(|set| winner(set.values())).map(|piece| piece.reference.to_string());
    assert_eq!(held_by(desk), whole.unwrap_or_default());
}

#[test]
fn only_winner_is_current() {
    let entry = |reference: &str| {
        let (reference, bond) = (at(reference), PrevStateLink::Sound);
        StateEntry { reference, power: 0, prev: None, bond, member: None }
    };
    let is_current = |winner: Option<&str>| {
        let key = ("m.topic".into(), String::new());
        ResolvedEntry { key, piece: entry("red/1"), winner: winner.map(entry) }.is_current()
    };
    assert_eq!([Some("red/1"), Some("red/2"), None].map(is_current), [true, false, false]);
}
