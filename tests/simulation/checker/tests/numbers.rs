//! Order, and numbers without gaps.

use super::*;

#[test]
fn hole_in_feed_is_fault() {
    let mut history = whole();
    history.feeds.get_mut("blue").unwrap()[3].position = 5;
    let skips = "the feed of blue skips positions 1 times, for 0 restores";
    assert_eq!(history.faults(), ["the feed of blue has position 5 after 3", skips]);
}

#[test]
fn position_skip_without_restore_is_fault() {
    const ABOVE: u64 = crate::checker::RESTORED_ABOVE;
    let faults = |steps: &[(u64, What)]| {
        let mut history = whole();
        history.restores.push(Restore { tail: 3, reads_on: true, ..restore("blue", 3, 10) });
        let events =
            steps.iter().map(|(position, what)| Event { position: *position, at: 20, wall: 0, what: what.clone() });
        history.feeds.get_mut("blue").unwrap().extend(events);
        history.faults()
    };
    let notice = What::Notice { about: None };
    assert_eq!(faults(&[(3 + ABOVE, notice.clone())]), NONE);
    assert_eq!(faults(&[(9 + ABOVE, notice.clone()), (10 + ABOVE, notice.clone())]), NONE);
    assert_eq!(faults(&[(2 + ABOVE, notice.clone())]), ["the feed of blue has position 4294967298 after 4"]);
    let other = What::Notice { about: Some("red") };
    assert_eq!(faults(&[(3 + ABOVE, other)]), ["the feed of blue has position 4294967299 after 4"]);
    let twice = faults(&[(3 + ABOVE, notice.clone()), (9 + ABOVE, notice.clone())]);
    assert_eq!(twice, ["the feed of blue skips positions 2 times, for 1 restores"]);
    assert_eq!(faults(&[(2, notice)])[..1], ["the feed of blue has position 2 after 4"]);
}

#[test]
fn updates_out_of_order_are_fault() {
    let history = heard(vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("v", 1), got("u", 2)]);
    assert_eq!(history.faults(), ["blue got u after v"]);
}

/// A restored server repeats the updates that its lost disk had given, whatever its messenger heard meanwhile.
#[test]
fn order_begins_anew_after_restore() {
    let faults = |copied_at| {
        let mut history = whole();
        let first = copied_at + crate::checker::RESTORED_ABOVE;
        let again = [What::Notice { about: None }, got("u", 8), got("v", 9)];
        let events = (first..).zip(again).map(|(position, what)| Event { position, at: 20, wall: 0, what });
        history.feeds.get_mut("blue").unwrap().extend(events);
        history.restores.push(Restore { tail: copied_at, reads_on: true, ..restore("blue", 1, 10) });
        history.faults()
    };
    assert_eq!(faults(1), NONE);
    assert_eq!(faults(3), ["blue got u twice"], "the copy has u, and not v");
    assert_eq!(faults(4), ["blue got u twice", "blue got v twice", "blue got u after v"]);
}

#[test]
fn number_left_out_is_fault() {
    let history = heard(vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("u", 1), got("v", 3)]);
    let fault = ["blue has red#3 out of turn"];
    assert_eq!(history.faults(), fault);
    let faults = |restored| History { restores: vec![restore("blue", 3, restored)], ..history.clone() }.faults();
    assert_eq!(faults(4), NONE, "u came at 3, v at 4");
    assert_eq!(faults(2), fault);
}

#[test]
fn restored_sender_without_notice_is_fault() {
    let mut history = whole();
    history.restores.push(restore("red", 2, 10));
    assert_eq!(history.faults(), NONE, "nothing has met the numbers yet");
    history.updates.push(update("w", 11));
    let mut heard: Vec<What> = history.feed("blue").cloned().collect();
    heard.push(got("w", 3));
    history.feeds.insert("blue", feed(heard.clone()));
    assert_eq!(history.faults(), NONE, "no number came again");
    history.exchanges.push(sent(12, &["red/b", "w"], 4));
    // Both u and v went with red's disk, and are known to blue.
    let fault = "blue was not told that red went back in time";
    assert_eq!(history.faults(), [fault, fault]);
    // What was given the numbers again was taken out before it met anybody.
    let mut taken_out = history.clone();
    taken_out.updates.push(update("x", 10));
    assert_eq!(taken_out.faults(), ["blue never got x from red", fault, fault]);
    taken_out.dropped.insert("x".to_owned(), vec![11]);
    assert_eq!(taken_out.faults(), NONE);
    heard.push(What::Notice { about: Some("red") });
    history.feeds.insert("blue", feed(heard));
    assert_eq!(history.faults(), NONE);
}

/// Blue takes u as number 3 at 4, and what red sends after its restore at 10 comes to blue under number 3 again.
fn number_again() -> History {
    let mut history = whole();
    history.restores.push(restore("red", 2, 10));
    history.updates.push(update("w", 11));
    history.feeds.get_mut("blue").unwrap().push(Event { position: 5, at: 12, wall: 12_000, what: got("w", 3) });
    history.exchanges.push(sent(12, &["w"], 3));
    history
}

const UNTOLD: [&str; 1] = ["blue was not told that red went back in time"];

#[test]
fn renumbered_update_without_notice_is_fault() {
    let faults = |seq, outcome| {
        let mut history = number_again();
        history.exchanges.insert(1, Exchange { answer: Some(outcome), ..sent(3, &["u"], seq) });
        history.faults()
    };
    let hole = || Outcome::Hole { expected: 3, conflict: false };
    assert_eq!(faults(7, hole()), UNTOLD, "its first number is not the one that blue knows");
    let mut history = number_again();
    history.exchanges.insert(1, Exchange { answer: Some(hole()), ..sent(3, &["u"], 7) });
    history.exchanges[4] = sent(12, &["w"], 7);
    assert_eq!(history.faults(), NONE, "blue did not take it as number 7");
}

#[test]
fn unchanged_number_needs_no_notice() {
    assert_eq!(number_again().faults(), UNTOLD);
    let mut history = number_again();
    history.exchanges[3] = sent(12, &["u"], 3);
    assert_eq!(history.faults(), NONE, "the same came again");
    let mut history = number_again();
    history.exchanges[3] = sent(7, &["w"], 3);
    history.restores.insert(0, restore("red", 0, 1));
    assert_eq!(history.faults(), NONE, "red had not lost it by then");
}
