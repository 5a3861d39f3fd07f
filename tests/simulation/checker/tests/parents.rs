//! Questions before answers.

use super::*;

#[test]
fn child_before_parent_is_fault() {
    let history = heard(vec![pdu("red/b", &["red/a"]), pdu("red/a", &[]), got("u", 1), got("v", 2)]);
    assert_eq!(history.faults(), ["blue heard red/b before its parent red/a"]);
}

/// b, heard without a.
fn without() -> What {
    let What::Pdu { pdu, room, prev, history, late, parts, .. } = pdu("red/b", &["red/a"]) else { unreachable!() };
    What::Pdu { pdu, room, gap: prev.clone(), prev, history, late, parts }
}

#[test]
fn unannounced_gap_is_fault() {
    let history = |what| History { disturbances: gaps::trouble(), ..heard(what) };
    let told = vec![gap("red/a"), without(), pdu("red/a", &[]), got("u", 1), got("v", 2)];
    assert_eq!(history(told).faults(), NONE);
    let untold = vec![without(), pdu("red/a", &[]), got("u", 1), got("v", 2)];
    assert_eq!(history(untold).faults(), ["blue heard red/b without red/a, and no event said so"]);
}

#[test]
fn gap_of_heard_pdu_is_fault() {
    let told = vec![pdu("red/a", &[]), gap("red/a"), without(), got("u", 1), got("v", 2)];
    let history = History { disturbances: gaps::trouble(), ..heard(told) };
    assert_eq!(history.faults(), ["blue is told that red/a is missing, which it has heard"]);
}

#[test]
fn unheard_state_told_again_is_fault() {
    let again = |pdu: &str| What::Again { pdu: pdu.to_owned() };
    let history = heard_all_and(vec![again("red/a"), again("green/z")]);
    assert_eq!(history.faults(), ["blue is told of green/z again, which it has not heard"]);
}
