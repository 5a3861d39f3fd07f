//! Every missing item was reported.

use super::*;
use crate::history::Retried;

const LOST: [&str; 2] = ["blue never heard red/b in garden", "blue never got v from red"];

/// Blue has heard no b and no v.
fn lossy() -> History {
    heard(vec![pdu("red/a", &[]), got("u", 1)])
}

#[test]
fn loss_is_fault() {
    assert_eq!(lossy().faults(), LOST);
}

#[test]
fn reported_loss_passes() {
    let mut history = lossy();
    history.dropped = [("red/b".to_owned(), vec![1])].into();
    assert_eq!(history.faults(), LOST[1..], "an operator took it out");
    history.dropped.clear();
    let expired = ["red/b", "v"].map(|item| delivery(item, "expired", "keep"));
    history.feeds.insert("red", feed(vec![got("x", 1); 6]));
    for event in history.feeds.get_mut("red").unwrap() {
        event.what = What::Notice { about: None };
    }
    let mut told: Vec<What> = history.feed("red").cloned().collect();
    told.extend(expired);
    history.feeds.insert("red", feed(told));
    assert_eq!(history.faults(), NONE);
}

/// A PDU in the peer's quarantine is no excuse for a loss, because the peer takes it from there once it has named us.
#[test]
fn quarantine_report_excuses_no_loss() {
    let mut history = lossy();
    let reason = "NOT_A_PARTICIPANT: it lies in the quarantine of blue.example";
    history.feeds.insert("red", feed(vec![What::Notice { about: None }; 8]));
    history.feeds.get_mut("red").unwrap()[7].what = delivery("red/b", "parked", reason);
    history.exchanges[1].parked.push(("red/b".to_owned(), "NOT_A_PARTICIPANT".to_owned()));
    assert_eq!(history.faults(), LOST);
}

#[test]
fn report_excuses_its_item_alone() {
    let mut history = lossy();
    history.feeds.insert("red", feed(vec![delivery("v", "parked", "taken out by an operator")]));
    history.dropped = [("v".to_owned(), vec![1])].into();
    assert_eq!(history.faults(), LOST[..1]);
}

/// An operator may send an item again that the peer took and could not say so. Nothing else of the promise is void by that.
#[test]
fn report_before_retry_is_void() {
    let told = |state| vec![delivery("v", state, "taken out by an operator"), delivery("v", "acknowledged", "")];
    let mut history = heard(vec![pdu("red/a", &[]), got("u", 1), pdu("red/b", &["red/a"])]);
    history.dropped.insert("v".to_owned(), vec![1]);
    history.feeds.insert("red", feed(told("parked")));
    assert_eq!(history.faults(), NONE);
    history.retried.insert(("v".to_owned(), "blue"), Retried { orders: 1, done: Some((1, 9)) });
    assert_eq!(history.faults(), LOST[1..], "what was told before that is void");
    let retried = |history: &History, done| {
        let mut history = history.clone();
        history.retried.insert(("v".to_owned(), "blue"), Retried { orders: 1, done });
        history.faults()
    };
    assert_eq!(retried(&history, None), NONE, "it was dropped again, perhaps");
    history.restores.push(restore("red", 8, 10));
    assert_eq!(history.faults(), NONE, "the order went with the disk");
    history.restores.clear();
    let again = vec![delivery("v", "parked", "taken out by an operator"); 2];
    history.feeds.insert("red", feed(again));
    assert_eq!(history.faults(), NONE, "it was told of again");
}

#[test]
fn loss_with_authors_disk_passes() {
    let faults = |copied, restored| History { restores: vec![restore("red", copied, restored)], ..lossy() }.faults();
    assert_eq!(faults(1, 10), NONE);
    assert_eq!(faults(3, 10), LOST[..1], "the copy has b, which was taken at 2");
    assert_eq!(faults(0, 1), LOST, "it came back before they were said");
}

/// A messenger is told of a gap for a PDU that only a lost disk held.
#[test]
fn loss_behind_told_gap_passes() {
    let history = |restored, disturbances| {
        let what = vec![pdu("red/a", &[]), got("u", 1), gap("red/b"), got("v", 2)];
        History { restores: vec![restore("blue", 0, restored)], disturbances, ..heard(what) }
    };
    assert_eq!(history(10, gaps::trouble()).faults(), NONE);
    assert_eq!(history(3, gaps::trouble()).faults(), LOST[..1], "it came to the disk after that");
    let history = History { restores: vec![], ..history(10, gaps::trouble()) };
    assert_eq!(history.faults(), LOST[..1], "no disk was lost");
}

#[test]
fn forgotten_message_passes() {
    let mut history = lossy();
    history.forgotten.insert(("blue", "red/b".to_owned()));
    assert_eq!(history.faults(), LOST[1..]);
    history.forgotten = [("green", "red/b".to_owned())].into();
    assert_eq!(history.faults(), LOST);
}

/// An update that a lost disk held, and that its sender keeps no longer, is told by its number.
#[test]
fn update_gap_excuses_its_numbers() {
    let history = |first, restores| {
        let mut history = heard(vec![pdu("red/a", &[]), got("u", 1), pdu("red/b", &["red/a"])]);
        history.feeds.insert("red", feed(vec![What::UpdateGap { server: "blue", first, last: 4 }]));
        History { restores, ..history }
    };
    assert_eq!(history(4, vec![restore("blue", 0, 10)]).faults(), NONE, "v was sent under 4");
    assert_eq!(history(5, vec![restore("blue", 0, 10)]).faults(), LOST[1..]);
    assert_eq!(history(4, vec![]).faults(), LOST[1..], "no disk was lost");
    assert_eq!(history(4, vec![restore("blue", 0, 5)]).faults(), LOST[1..], "it came to the disk after that");
}

/// Its sender writes transactions by now, and nobody asks for an update by its number.
#[test]
fn loss_after_dialect_change_passes() {
    let faults = |server, from, restores| {
        let mut history = heard(vec![pdu("red/a", &[]), got("u", 1), pdu("red/b", &["red/a"])]);
        let transactions = [server].into();
        history.settings.push(Settings { from, transactions, ..settings("red", "blue") });
        History { restores, ..history }.faults()
    };
    assert_eq!(faults("blue", 12, vec![restore("blue", 0, 10)]), NONE);
    assert_eq!(faults("green", 12, vec![restore("blue", 0, 10)]), LOST[1..], "it writes so to another");
    assert_eq!(faults("blue", 12, vec![]), LOST[1..], "no disk was lost");
    assert_eq!(faults("blue", 12, vec![restore("blue", 0, 5)]), LOST[1..], "it came to the disk after that");
}

#[test]
fn two_courses_untold_is_fault() {
    let mut history = heard(vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("u", 1)]);
    history.restores = vec![restore("red", 6, 10), restore("blue", 11, 14)];
    history.updates[1].begun = 11;
    history.updates[1].taken = Some(12);
    history.exchanges.push(sent(13, &["v"], 4));
    assert_eq!(history.faults(), LOST[1..]);
    // Blue was told, and went back to before.
    let mut untold = history.clone();
    untold.restores[1].copied = 9;
    assert_eq!(untold.faults(), NONE);
    history.feeds.insert("red", feed(vec![What::Notice { about: None }]));
    assert_eq!(history.faults(), NONE);
    history.exchanges.truncate(2);
    assert_eq!(history.faults(), LOST[1..], "it never came to the lost disk");
}

/// Red was restored and gave number 4 to v; blue was restored to a copy that holds what the lost disk had sent under 4.
#[test]
fn number_held_by_both_copies_passes() {
    let faults = |seq, red, copied| {
        let mut history = heard(vec![pdu("red/a", &[]), got("u", 1), pdu("red/b", &["red/a"])]);
        history.exchanges.push(sent(3, &["lost"], seq));
        history.restores = vec![restore("red", 0, red), restore("blue", copied, 9)];
        history.faults().into_iter().filter(|fault| fault.starts_with("blue never")).collect::<Vec<_>>()
    };
    // v was sent at 6.
    assert_eq!(faults(4, 4, 5), NONE);
    assert_eq!(faults(3, 4, 5), LOST[1..], "another number");
    assert_eq!(faults(4, 2, 5), LOST[1..], "red came back before it sent what was lost");
    assert_eq!(faults(4, 4, 7), LOST[1..], "the copy holds v");
}

/// Blue was asked to take v as number 4, of which its copy holds something else, and its disk was lost then.
#[test]
fn surviving_number_is_fault() {
    let faults = |change: fn(&mut History)| {
        let mut history = heard(vec![pdu("red/a", &[]), got("u", 1), pdu("red/b", &["red/a"])]);
        history.exchanges.push(sent(3, &["lost"], 4));
        history.restores = vec![restore("red", 0, 4), restore("blue", 5, 9)];
        change(&mut history);
        history.faults().into_iter().filter(|fault| fault.starts_with("blue never")).collect::<Vec<_>>()
    };
    assert_eq!(faults(|_| ()), NONE);
    assert_eq!(faults(|history| history.exchanges[2].answer = None), LOST[1..], "the lost disk did not take v");
    assert_eq!(faults(|history| history.exchanges[3].answer = None), NONE, "the copy may hold the other");
    let untaken: fn(&mut History) = |history| history.exchanges[3].answer = Some(Outcome::Wait);
    assert_eq!(faults(untaken), LOST[1..], "the copy does not hold the other");
    let renumbered: fn(&mut History) = |history| history.exchanges.push(sent(8, &["v"], 9));
    assert_eq!(faults(renumbered), LOST[1..], "v has another number since");
}
