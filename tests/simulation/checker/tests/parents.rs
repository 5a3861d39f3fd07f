//! Questions before answers.

use super::*;

#[test]
fn an_answer_before_its_question_is_a_fault() {
    let history = heard(vec![pdu("red/b", &["red/a"]), pdu("red/a", &[]), got("u", 1), got("v", 2)]);
    assert_eq!(history.faults(), ["blue heard red/b before its parent red/a"]);
}

/// b, heard without a.
fn without() -> What {
    let What::Pdu { pdu, room, prev, history, late, parts, .. } = pdu("red/b", &["red/a"]) else { unreachable!() };
    What::Pdu { pdu, room, gap: prev.clone(), prev, history, late, parts }
}

#[test]
fn a_gap_that_no_event_announced_is_a_fault() {
    let history = |what| History { disturbances: gaps::trouble(), ..heard(what) };
    let told = vec![gap("red/a"), without(), pdu("red/a", &[]), got("u", 1), got("v", 2)];
    assert_eq!(history(told).faults(), NONE);
    let untold = vec![without(), pdu("red/a", &[]), got("u", 1), got("v", 2)];
    assert_eq!(history(untold).faults(), ["blue heard red/b without red/a, and no event said so"]);
}

#[test]
fn a_gap_that_was_heard_is_a_fault() {
    let told = vec![pdu("red/a", &[]), gap("red/a"), without(), got("u", 1), got("v", 2)];
    let history = History { disturbances: gaps::trouble(), ..heard(told) };
    assert_eq!(history.faults(), ["blue is told that red/a is missing, which it has heard"]);
}

#[test]
fn state_told_again_was_heard_before() {
    let again = |pdu: &str| What::Again { pdu: pdu.to_owned() };
    let history = heard_all_and(vec![again("red/a"), again("green/z")]);
    assert_eq!(history.faults(), ["blue is told of green/z again, which it has not heard"]);
}
