//! That each promise can be seen to be broken.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Event, History, Message, Name, Restore, Retried, Update, What};

fn hearers(names: &[Name]) -> BTreeSet<Name> {
    names.iter().copied().collect()
}

fn message(pdu: &str, taken: u64) -> Message {
    Message {
        pdu: pdu.to_owned(),
        submission: pdu.to_owned(),
        origin: "red",
        room: "garden".to_owned(),
        hearers: hearers(&["blue"]),
        narrowed: false,
        taken: Some(taken),
    }
}

fn update(token: &str, begun: u64) -> Update {
    Update {
        token: token.to_owned(),
        submission: token.to_owned(),
        origin: "red",
        hearers: hearers(&["blue"]),
        begun,
        taken: Some(begun + 1),
    }
}

fn pdu(pdu: &str, prev: &[&str]) -> What {
    let prev = prev.iter().map(|parent| (*parent).to_owned()).collect();
    What::Pdu { pdu: pdu.to_owned(), room: "garden".to_owned(), prev, gap: vec![], history: false, late: false }
}

fn got(token: &str, n: u64) -> What {
    What::Update { from: "red", n, token: token.to_owned() }
}

fn feed(events: Vec<What>) -> Vec<Event> {
    (1..).zip(events).map(|(position, what)| Event { position, what }).collect()
}

/// Red has said a, then b in answer to it, and the updates u and v; blue has heard them all.
fn whole() -> History {
    let heard = vec![pdu("red/a", &[]), got("u", 1), pdu("red/b", &["red/a"]), got("v", 2)];
    History {
        plain: vec![],
        messages: vec![message("red/a", 1), message("red/b", 2)],
        updates: vec![update("u", 3), update("v", 5)],
        feeds: [("red", vec![]), ("blue", feed(heard))].into(),
        restores: vec![],
        dropped: BTreeSet::new(),
        retried: BTreeMap::new(),
        late: BTreeSet::new(),
        views: vec![],
        parents: [("red/b".to_owned(), vec!["red/a".to_owned()])].into(),
    }
}

/// What is said of the history once blue has heard this instead.
fn faults(heard: Vec<What>) -> Vec<String> {
    let mut history = whole();
    history.feeds.insert("blue", feed(heard));
    history.faults()
}

#[test]
fn a_whole_history_has_no_fault() {
    assert_eq!(whole().faults(), Vec::<String>::new());
}

#[test]
fn what_is_lost_is_missed() {
    let heard = vec![pdu("red/a", &[]), got("u", 1)];
    assert_eq!(faults(heard), ["blue never heard red/b in garden", "blue never got v from red"]);
}

#[test]
fn what_was_reported_is_not_missed() {
    let mut history = whole();
    history.feeds.insert("blue", feed(vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("u", 1)]));
    let parked = What::Delivery { message: "v".to_owned(), server: "blue", state: "parked".to_owned() };
    history.feeds.insert("red", feed(vec![parked]));
    assert_eq!(history.faults(), Vec::<String>::new());
    let gap = What::Gap { missing: vec!["red/a".to_owned()] };
    let without = What::Pdu {
        pdu: "red/b".to_owned(),
        room: "garden".to_owned(),
        prev: vec!["red/a".to_owned()],
        gap: vec!["red/a".to_owned()],
        history: false,
        late: false,
    };
    history.feeds.insert("blue", feed(vec![gap, without.clone(), got("u", 1)]));
    assert_eq!(history.faults(), Vec::<String>::new());
    history.feeds.insert("blue", feed(vec![without, got("u", 1)]));
    assert_eq!(
        history.faults(),
        ["blue heard red/b without red/a, and no event said so", "blue never heard red/a in garden"]
    );
}

#[test]
fn what_comes_twice_is_seen() {
    let heard =
        vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), pdu("red/a", &[]), got("u", 1), got("v", 2), got("u", 3)];
    assert_eq!(faults(heard), ["blue heard red/a twice", "blue got u twice", "blue got u after v"]);
}

/// Where a sender states no ranges, or an operator takes something out; and only after the receiver has said that something is
/// strange.
#[test]
fn what_comes_twice_may_have_been_told_of_before() {
    let heard = |told: usize| {
        let mut heard = vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("u", 1), got("v", 2), got("u", 3)];
        heard.insert(told, What::Notice { about: Some("red") });
        heard
    };
    let faults = |told, plain, dropped| {
        let mut history = History { plain, dropped, ..whole() };
        history.feeds.insert("blue", feed(heard(told)));
        history.faults()
    };
    let twice = ["blue got u twice", "blue got u after v"];
    let (none, some) = (BTreeSet::new, || BTreeSet::from(["v".to_owned()]));
    assert_eq!(faults(4, vec![("red", "blue")], none()), [""; 0]);
    assert_eq!(faults(5, vec![("red", "blue")], none()), twice);
    assert_eq!(faults(4, vec![("blue", "red")], none()), twice);
    assert_eq!(faults(4, vec![], some()), [""; 0]);
    assert_eq!(faults(5, vec![], some()), twice);
}

/// An operator may send an item again that the peer took and could not say so. Nothing else of the promise is void by that.
#[test]
fn what_is_sent_again_by_an_operator_comes_late_and_must_come() {
    let heard = vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("u", 1), got("v", 2), got("u", 3)];
    let delivery = |state: &str| What::Delivery { message: "u".to_owned(), server: "blue", state: state.to_owned() };
    let mut history = History { dropped: BTreeSet::from(["u".to_owned()]), ..whole() };
    history.retried.insert(("u".to_owned(), "blue"), Retried { orders: 1, done: Some((1, 9)) });
    history.feeds.insert("red", feed(vec![delivery("parked"), delivery("acknowledged")]));
    history.feeds.insert("blue", feed(heard.clone()));
    assert_eq!(history.faults(), Vec::<String>::new());

    let without = heard.iter().filter(|what| !matches!(what, What::Update { token, .. } if token == "u"));
    let numbered = without.cloned().map(|what| if what == got("v", 2) { got("v", 1) } else { what });
    history.feeds.insert("blue", feed(numbered.collect()));
    let never = ["blue never got u from red"];
    assert_eq!(history.faults(), never, "what was told before that is void");
    let retried = |history: &History, done| {
        let mut history = history.clone();
        history.retried.insert(("u".to_owned(), "blue"), Retried { orders: 1, done });
        history.faults()
    };
    assert_eq!(retried(&history, None), [""; 0], "it was dropped again, perhaps");
    history.feeds.insert("red", feed(vec![delivery("parked"), delivery("parked")]));
    assert_eq!(history.faults(), [""; 0], "it was told of again");
    history.feeds.insert("red", feed(vec![delivery("refused"), delivery("acknowledged")]));
    assert_eq!(history.faults(), [""; 0], "what a peer has refused is not sent again");
    history.feeds.insert("red", feed(vec![delivery("parked"), delivery("acknowledged")]));
    history.restores.push(Restore { server: "red", copied: 8, restored: 10 });
    assert!(!history.faults().contains(&never[0].to_owned()), "the order went with the disk");
}

#[test]
fn what_nobody_said_is_seen() {
    let mut heard = vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("u", 1), got("v", 2)];
    heard.extend([pdu("red/c", &[]), got("w", 3)]);
    assert_eq!(
        faults(heard),
        ["blue heard red/c, which nobody said", "blue got w from red, which it did not say to it"]
    );
}

#[test]
fn what_was_said_to_others_or_not_at_all_is_seen() {
    let mut history = whole();
    history.messages[0].hearers.clear();
    history.messages[0].narrowed = true;
    history.messages[1].taken = None;
    assert_eq!(history.faults(), ["blue heard red/a, which was not for it", "blue heard red/b, which was never taken"]);
}

#[test]
fn an_answer_before_its_question_is_seen() {
    let heard = vec![pdu("red/b", &["red/a"]), pdu("red/a", &[]), got("u", 1), got("v", 2)];
    assert_eq!(faults(heard), ["blue heard red/b before its parent red/a"]);
}

#[test]
fn order_and_numbers_are_held_against_what_was_said() {
    let heard = vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("v", 1), got("u", 2)];
    assert_eq!(faults(heard), ["blue got u after v"]);
    let heard = vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("u", 1), got("v", 3)];
    assert_eq!(faults(heard), ["blue has red#3 out of turn"]);
}

#[test]
fn a_hole_in_the_feed_is_seen() {
    let mut history = whole();
    history.feeds.get_mut("blue").unwrap()[3].position = 5;
    let faults =
        ["the feed of blue goes from position 3 to 5", "the feed of blue skips positions 1 times, for 0 restores"];
    assert_eq!(history.faults(), faults);
}

#[test]
fn after_a_restore_only_what_went_with_the_disk_may_be_missing() {
    let mut history = whole();
    history.restores.push(Restore { server: "red", copied: 3, restored: 10 });
    let heard = vec![pdu("red/a", &[]), pdu("red/b", &["red/a"])];
    history.feeds.insert("blue", feed(heard));
    assert_eq!(history.faults(), Vec::<String>::new());
    history.feeds.insert("blue", feed(vec![pdu("red/a", &[])]));
    assert_eq!(history.faults(), ["blue never heard red/b in garden"]);
}

/// The word about a restored sender may have gone with the reader's own disk.
#[test]
fn what_was_told_of_may_have_been_forgotten() {
    let heard = vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("u", 1), got("v", 2), got("u", 3)];
    let faults = |restores| {
        let mut history = History { restores, ..whole() };
        history.feeds.insert("blue", feed(heard.clone()));
        history.faults().into_iter().filter(|fault| fault.starts_with("blue got")).collect::<Vec<_>>()
    };
    let red = Restore { server: "red", copied: 20, restored: 30 };
    let behind = Restore { server: "blue", copied: 25, restored: 40 };
    let before = Restore { server: "blue", copied: 5, restored: 15 };
    assert_eq!(faults(vec![red, behind]), [""; 0]);
    assert_eq!(faults(vec![red, before]), ["blue got u twice", "blue got u after v"]);
}

#[test]
fn a_sender_that_went_back_in_time_is_told_of() {
    let mut history = whole();
    history.restores.push(Restore { server: "red", copied: 2, restored: 10 });
    assert_eq!(history.faults(), Vec::<String>::new(), "nothing has met the numbers yet");
    history.updates.push(update("w", 11));
    let mut heard: Vec<What> = history.feed("blue").cloned().collect();
    heard.push(got("w", 3));
    history.feeds.insert("blue", feed(heard.clone()));
    // Both u and v went with red's disk, and are known to blue.
    let fault = "blue was not told that red went back in time";
    assert_eq!(history.faults(), [fault, fault]);
    // What was given the numbers again was taken out before it met anybody.
    let mut taken_out = history.clone();
    taken_out.updates.push(update("x", 10));
    assert_eq!(taken_out.faults(), ["blue never got x from red", fault, fault]);
    taken_out.dropped.insert("x".to_owned());
    assert_eq!(taken_out.faults(), Vec::<String>::new());
    heard.push(What::Notice { about: Some("red") });
    history.feeds.insert("blue", feed(heard));
    assert_eq!(history.faults(), Vec::<String>::new());
}

#[test]
fn what_is_told_again_was_told_before() {
    let mut heard: Vec<What> = whole().feed("blue").cloned().collect();
    heard.push(What::Again { pdu: "red/a".to_owned() });
    assert_eq!(faults(heard.clone()), Vec::<String>::new());
    heard.push(What::Again { pdu: "green/z".to_owned() });
    assert_eq!(faults(heard), ["blue is told of green/z again, which it has not heard"]);
}

#[test]
fn numbers_given_in_two_courses_are_lost_only_where_somebody_was_told() {
    let mut history = whole();
    history.restores.push(Restore { server: "red", copied: 6, restored: 10 });
    history.restores.push(Restore { server: "blue", copied: 11, restored: 14 });
    history.feeds.insert("blue", feed(vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("u", 1)]));
    history.updates[1].begun = 11;
    history.updates[1].taken = Some(12);
    assert_eq!(history.faults(), ["blue never got v from red"]);
    // Blue was told, and went back to before.
    let mut untold = history.clone();
    untold.restores[1].copied = 9;
    assert_eq!(untold.faults(), Vec::<String>::new());
    history.feeds.insert("red", feed(vec![What::Notice { about: None }]));
    assert_eq!(history.faults(), Vec::<String>::new());
}
