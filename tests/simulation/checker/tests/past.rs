//! What is news does not come as history.

use super::*;

const FAULT: [&str; 1] = ["blue has red/b as history, which was news to it"];

/// Blue has b as history.
fn past() -> History {
    let mut history = whole();
    for event in history.feeds.get_mut("blue").unwrap() {
        if let What::Pdu { pdu, history, .. } = &mut event.what {
            *history = pdu == "red/b";
        }
    }
    history
}

#[test]
fn news_as_history_is_a_fault() {
    assert_eq!(past().faults(), FAULT);
}

#[test]
fn what_was_said_to_others_is_history() {
    let mut history = past();
    history.messages[1].hearers.clear();
    history.late.insert(("blue", "garden".to_owned()));
    assert_eq!(history.faults(), NONE);
}

#[test]
fn who_came_late_has_history() {
    let mut history = past();
    history.late.insert(("blue", "kitchen".to_owned()));
    assert_eq!(history.faults(), FAULT);
    history.late.insert(("blue", "garden".to_owned()));
    assert_eq!(history.faults(), NONE);
}

#[test]
fn who_has_lost_it_reads_it_as_history() {
    // It came at 3.
    let faults = |restored| History { restores: vec![restore("blue", 0, restored)], ..past() }.faults();
    assert_eq!(faults(3), NONE);
    assert_eq!(faults(1), FAULT, "it was said after that");
    assert_eq!(faults(4), FAULT, "it was there before that");
}

#[test]
fn what_lies_beyond_a_gap_is_history() {
    let mut what: Vec<What> = past().feed("blue").cloned().collect();
    what.insert(0, gap("green/z"));
    let mut history = past();
    history.feeds.insert("blue", feed(what.clone()));
    assert_eq!(history.faults(), NONE);
    what[0] = What::Gap { room: "kitchen".to_owned(), missing: vec!["green/z".to_owned()] };
    history.feeds.insert("blue", feed(what));
    assert_eq!(history.faults(), FAULT, "of another room");
}

#[test]
fn what_was_not_sent_is_found_as_history() {
    let mut history = past();
    history.dropped.insert("red/b".to_owned(), vec![2]);
    assert_eq!(history.faults(), NONE);
}
