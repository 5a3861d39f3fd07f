//! News does not arrive as history.

use super::*;
use crate::history::stamps::moment;

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

/// Blue has b as history at 2, and a, its parent, comes as news afterwards. Blue was given b when it asked for what another state
/// message replaces.
fn before_parent() -> History {
    let mut history = past();
    let mut what: Vec<What> = history.feed("blue").cloned().collect();
    let parent = what.remove(0);
    what.push(parent);
    history.feeds.insert("blue", feed(what));
    history.settings = vec![Settings { depth_max: 3, ..settings("blue", "red") }];
    let kind = Kind::Fetch { named: vec!["red/b".to_owned()] };
    let given = vec!["red/b".to_owned()];
    history.exchanges.push(Exchange { from: "blue", to: "red", kind, given, ..sent(1, &[], 0) });
    history
}

fn faults_of_past(change: fn(&mut History)) -> Vec<String> {
    let mut history = before_parent();
    change(&mut history);
    history.faults().into_iter().filter(|fault| fault.contains("as history")).collect()
}

#[test]
fn history_before_unreachable_parent_passes() {
    let faults = faults_of_past;
    assert_eq!(faults(|_| ()), NONE, "a walk from parent to parent is short");
    let old: fn(&mut History) = |history| {
        let forgets = true;
        history.settings = vec![Settings { forgets, ..settings("blue", "red") }];
    };
    assert_eq!(faults(old), NONE, "old PDUs are forgotten");
    let near: fn(&mut History) = |history| history.settings = vec![settings("blue", "red")];
    assert_eq!(faults(near), FAULT, "nothing kept it from its parent");
    let here: fn(&mut History) = |history| {
        history.feeds.get_mut("blue").unwrap()[0].what = pdu("red/a", &[]);
    };
    assert_eq!(faults(here), FAULT, "its parent was there");
}

#[test]
fn history_never_fetched_is_fault() {
    let faults = faults_of_past;
    assert_eq!(faults(|history| drop(history.exchanges.pop())), FAULT);
    assert_eq!(faults(|history| history.exchanges[3].given = vec!["red/a".to_owned()]), FAULT, "it was given another");
    assert_eq!(faults(|history| history.exchanges[3].ended = Some((3, Outcome::Fine))), FAULT, "it was given later");
    assert_eq!(faults(|history| history.exchanges[3].kind = Kind::Pull), FAULT, "what is pulled is news");
}

/// A PDU that is pushed is news, although it was fetched too.
#[test]
fn unasked_history_is_fault() {
    // b is sent in the second exchange.
    let faults = |arrived: u64, change: fn(&mut Exchange)| {
        let mut history = before_parent();
        history.feeds.get_mut("blue").unwrap().iter_mut().for_each(|event| event.at = moment(60_000));
        history.exchanges[1].arrived = vec![moment(arrived)];
        change(&mut history.exchanges[1]);
        history.faults().into_iter().filter(|fault| fault.contains("as history")).collect::<Vec<_>>()
    };
    assert_eq!(faults(59_499, |_| ()), FAULT);
    assert_eq!(faults(59_500, |_| ()), NONE, "it was being written as history");
    assert_eq!(faults(50_000, |sent| sent.refused.push(stranger())), NONE, "it was refused");
    assert_eq!(faults(50_000, |sent| sent.parked.push(stranger())), NONE, "it went to quarantine");
    assert_eq!(faults(50_000, |sent| sent.answer = None), NONE, "it may not have been taken");
}

fn stranger() -> (String, String) {
    ("red/b".to_owned(), "NOT_A_PARTICIPANT".to_owned())
}
