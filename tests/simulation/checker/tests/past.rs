//! News does not arrive as history.

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
fn news_as_history_is_fault() {
    assert_eq!(past().faults(), FAULT);
}

#[test]
fn history_said_to_others_passes() {
    let mut history = past();
    history.messages[1].hearers.clear();
    history.late.insert(("blue", "garden".to_owned()));
    assert_eq!(history.faults(), NONE);
}

#[test]
fn history_of_late_server_passes() {
    let mut history = past();
    history.late.insert(("blue", "kitchen".to_owned()));
    assert_eq!(history.faults(), FAULT);
    history.late.insert(("blue", "garden".to_owned()));
    assert_eq!(history.faults(), NONE);
}

#[test]
fn history_after_restore_passes() {
    // It came at 3.
    let faults = |restored| History { restores: vec![restore("blue", 0, restored)], ..past() }.faults();
    assert_eq!(faults(3), NONE);
    assert_eq!(faults(1), FAULT, "it was said after that");
    assert_eq!(faults(4), FAULT, "it was there before that");
}

#[test]
fn history_cut_off_by_gap_passes() {
    let faults = |room: &str, child: &str, parent: &str| {
        let mut what: Vec<What> = past().feed("blue").cloned().collect();
        what.insert(0, What::Gap { room: room.to_owned(), missing: vec!["green/z".to_owned()] });
        let mut history = past();
        history.parents.entry(child.to_owned()).or_default().push(parent.to_owned());
        history.feeds.insert("blue", feed(what));
        history.faults()
    };
    assert_eq!(faults("garden", "green/z", "red/b"), NONE, "it lies beyond the gap");
    assert_eq!(faults("garden", "red/b", "green/z"), NONE, "what it answers cannot be had");
    assert_eq!(faults("garden", "green/z", "red/a"), FAULT, "the gap is about another");
    assert_eq!(faults("kitchen", "green/z", "red/b"), FAULT, "of another room");
}

#[test]
fn history_of_unsent_item_passes() {
    let mut history = past();
    history.dropped.insert("red/b".to_owned(), vec![2]);
    assert_eq!(history.faults(), NONE);
}

/// Blue has b as history before a, its parent, which comes as news afterwards.
#[test]
fn history_before_unreachable_parent_passes() {
    let faults = |depth_max, forgets, parent_first: bool| {
        let mut history = past();
        let mut what: Vec<What> = history.feed("blue").cloned().collect();
        if !parent_first {
            let parent = what.remove(0);
            what.push(parent);
        }
        history.feeds.insert("blue", feed(what));
        history.settings = vec![Settings { depth_max, forgets, ..settings("blue", "red") }];
        history.faults().into_iter().filter(|fault| fault.contains("as history")).collect::<Vec<_>>()
    };
    assert_eq!(faults(3, false, false), NONE, "a walk from parent to parent is short");
    assert_eq!(faults(50, true, false), NONE, "old PDUs are forgotten");
    assert_eq!(faults(50, false, false), FAULT, "nothing kept it from its parent");
    assert_eq!(faults(3, false, true), FAULT, "its parent was there");
}
