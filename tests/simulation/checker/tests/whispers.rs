//! An ephemeral item is sent once, unchanged and in time.

use super::*;
use crate::history::Whisper;
use crate::history::stamps::moment;

fn whisper(text: &str, key: Option<&str>, begun: Stamp) -> Whisper {
    Whisper { text: text.to_owned(), from: "red", to: "blue", key: key.map(str::to_owned), begun, until: 5_000 }
}

/// Red has said one and two with one key, and three; these texts went out, each at its moment.
fn carried(texts: &[(&str, Stamp)]) -> History {
    let mut history = whole();
    history.whispers = vec![
        whisper("one", Some("a"), moment(100)),
        whisper("two", Some("a"), moment(2_000)),
        whisper("three", None, moment(2_000)),
    ];
    for (text, at) in texts {
        let weak = vec![(*text).to_owned()];
        history.exchanges.push(Exchange { weak, ..sent(*at, &[], 4) });
    }
    history
}

#[test]
fn sent_or_dropped_ephemeral_items_pass() {
    assert_eq!(carried(&[]).faults(), NONE);
    assert_eq!(carried(&[("one", moment(200)), ("two", moment(2_100)), ("three", moment(2_200))]).faults(), NONE);
}

#[test]
fn changed_ephemeral_item_is_fault() {
    assert_eq!(carried(&[("One", moment(200))]).faults(), ["red -> blue: One is ephemeral, and nobody said it"]);
}

#[test]
fn ephemeral_item_sent_twice_is_fault() {
    let history = carried(&[("three", moment(2_100)), ("three", moment(2_200))]);
    let fault = ["red -> blue: three is ephemeral, and was sent twice"];
    assert_eq!(history.faults(), fault);
    for (outcome, faults) in [
        (Outcome::Wait, &NONE[..]),
        (Outcome::Unreachable, &NONE[..]),
        (Outcome::Failed, &fault[..]),
        (Outcome::Refused(413), &fault[..]),
    ] {
        let mut history = history.clone();
        history.exchanges[3].ended = Some((moment(2_150), outcome));
        assert_eq!(history.faults(), faults);
    }
}

#[test]
fn ephemeral_item_for_another_is_fault() {
    let mut history = carried(&[("three", moment(2_100))]);
    history.whispers[2].to = "green";
    assert_eq!(history.faults(), ["red -> blue: three is ephemeral, and was for green"]);
}

#[test]
fn expired_ephemeral_item_is_fault() {
    let mut history = carried(&[("three", moment(6_000))]);
    let fault = ["red -> blue: three is ephemeral, and was sent after its life"];
    assert_eq!(history.faults(), fault);
    history.jumps.push(("red", moment(3_000)));
    assert_eq!(history.faults(), NONE, "its clock was set back");
    for (server, at) in [("blue", 3_000), ("red", 1_000), ("red", 7_000)] {
        history.jumps = vec![(server, moment(at))];
        assert_eq!(history.faults(), fault, "{server} at {at}");
    }
}

#[test]
fn ephemeral_item_after_newer_is_fault() {
    let history = carried(&[("two", moment(2_100)), ("one", moment(2_200))]);
    assert_eq!(history.faults(), ["red -> blue: one is ephemeral, and was sent after a newer one of its key"]);
}

#[test]
fn replaced_ephemeral_item_is_fault() {
    let history = carried(&[("one", moment(3_000))]);
    assert_eq!(history.faults(), ["red -> blue: one is ephemeral, and was replaced before it was sent"]);
    assert_eq!(carried(&[("one", moment(2_100))]).faults(), NONE, "it was on its way");
}
