//! Questions before answers.

use super::*;
use crate::checker::RESTORED_ABOVE;

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

/// Blue comes late to the room: b is the first that reaches it, at 3, and nobody gives it a. The disk that had it so is lost at
/// 20, and then both come as news.
fn adopted_on_lost_disk() -> History {
    let event = |position, at, what| Event { position, at, wall: 1000 * at, what };
    let heard = vec![
        event(1, 4, pdu("red/b", &["red/a"])),
        event(RESTORED_ABOVE, 21, What::Notice { about: None }),
        event(RESTORED_ABOVE + 1, 22, pdu("red/a", &[])),
        event(RESTORED_ABOVE + 2, 23, pdu("red/b", &["red/a"])),
    ];
    History {
        feeds: [("red", vec![]), ("blue", heard)].into(),
        exchanges: vec![sent(3, &["red/b"], 1), sent(22, &["red/a"], 2), sent(23, &["red/b"], 3)],
        named: vec![named("red", 0, &["blue"]), named("blue", 5, &["red"])],
        late: [("blue", "garden".to_owned())].into(),
        restores: vec![Restore { reads_on: true, ..restore("blue", 0, 20) }],
        ..whole()
    }
}

#[test]
fn edge_on_lost_disk_passes() {
    let faults = |change: fn(&mut History)| {
        let mut history = adopted_on_lost_disk();
        change(&mut history);
        history.faults().into_iter().filter(|fault| fault.contains("before its parent")).collect::<Vec<_>>()
    };
    let fault = ["blue heard red/b before its parent red/a"];
    assert_eq!(faults(|_| ()), NONE);
    assert_eq!(faults(|history| history.late.clear()), fault, "blue was there from the beginning");
    assert_eq!(faults(|history| history.restores[0].tail = 1), fault, "the copy has it so, and shows no edge");
    assert_eq!(faults(|history| history.named[1].at = 2), fault, "its messenger knew the room before");
    let late = |history: &mut History| {
        let after = Event { position: 2, at: 5, wall: 5000, what: pdu("red/a", &[]) };
        history.feeds.get_mut("blue").unwrap().insert(1, after);
    };
    assert_eq!(faults(late), fault, "a came to that disk as news, after b");
    let said = |history: &mut History| {
        history.messages.push(Message { origin: "blue", ..message("blue/x", 2) });
    };
    assert_eq!(faults(said), fault, "its messenger had begun the room");
    let unsaid = |history: &mut History| {
        history.messages.push(Message { origin: "blue", taken: None, ..message("blue/x", 2) });
    };
    assert_eq!(faults(unsaid), NONE, "the gateway did not take that");
}

/// Blue's messenger knew the room, and had its gateway join it: what was sent before the join and lies on its edge is no gap. The
/// first batch after the join is b.
#[test]
fn lost_join_edge_passes() {
    let faults = |room: &str, at, copied| {
        let mut history = adopted_on_lost_disk();
        history.named[1].at = 2;
        history.joined.push(("blue", room.to_owned(), at));
        history.restores[0].copied = copied;
        history.faults().into_iter().filter(|fault| fault.contains("before its parent")).collect::<Vec<_>>()
    };
    let fault = ["blue heard red/b before its parent red/a"];
    // a was sent at 1, b came at 3 and was heard at 4.
    assert_eq!(faults("garden", 2, 0), NONE);
    assert_eq!(faults("kitchen", 2, 0), fault, "another room");
    assert_eq!(faults("garden", 1, 0), fault, "a was sent after the join");
    assert_eq!(faults("garden", 3, 0), fault, "b came before the join");
}

/// Blue joined at 2, and the first batch was c. Of what was sent before the join only the edge is no gap: what was given to blue
/// after the join leads to it.
#[test]
fn parent_beyond_join_edge_faults() {
    let faults = |given: &str, at: Stamp, parents: &[(&str, &str)]| {
        let mut history = adopted_on_lost_disk();
        history.named[1].at = 1;
        history.joined.push(("blue", "garden".to_owned(), 2));
        history.seen_in.insert("red/c".to_owned(), "garden".to_owned());
        history.exchanges.insert(0, sent(3, &["red/c"], 1));
        history.exchanges[1] = Exchange { arrived: vec![4], ..sent(3, &["red/b"], 1) };
        let given = vec![given.to_owned()];
        history.exchanges.push(Exchange { from: "blue", to: "red", kind: Kind::State, given, ..sent(at, &[], 0) });
        for (child, parent) in parents {
            history.parents.insert((*child).to_owned(), vec![(*parent).to_owned()]);
        }
        history.faults().into_iter().filter(|fault| fault.contains("before its parent")).collect::<Vec<_>>()
    };
    let fault = ["blue heard red/b before its parent red/a"];
    assert_eq!(faults("red/s", 3, &[]), fault, "nothing leads to a");
    assert_eq!(faults("red/s", 3, &[("red/s", "red/a")]), NONE);
    assert_eq!(faults("red/s", 2, &[("red/s", "red/a")]), fault, "it was given before the join");
    assert_eq!(faults("red/s", 5, &[("red/s", "red/a")]), fault, "it was given after b was heard");
    assert_eq!(faults("red/s", 3, &[("red/s", "red/b")]), NONE, "b itself lies on the edge");
    assert_eq!(faults("red/s", 3, &[("red/s", "red/d"), ("red/d", "red/a")]), fault, "d never came, and shows no edge");
}

#[test]
fn edge_beyond_later_batch_is_fault() {
    let faults = |mut first: Exchange, change: fn(&mut Exchange, &mut History)| {
        let mut history = adopted_on_lost_disk();
        history.seen_in.insert("red/c".to_owned(), "garden".to_owned());
        change(&mut first, &mut history);
        history.exchanges.insert(0, first);
        history.faults().into_iter().filter(|fault| fault.contains("before its parent")).collect::<Vec<_>>()
    };
    let fault = ["blue heard red/b before its parent red/a"];
    let first = || sent(2, &["red/c"], 1);
    assert_eq!(faults(first(), |first, _| first.answer = None), NONE, "it may not have been taken");
    assert_eq!(faults(first(), |_, _| ()), fault, "c was the first batch");
    let kitchen = |_: &mut Exchange, history: &mut History| {
        history.seen_in.insert("red/c".to_owned(), "kitchen".to_owned());
    };
    assert_eq!(faults(first(), kitchen), NONE, "of another room");
    let answers = |_: &mut Exchange, history: &mut History| {
        history.parents.insert("red/c".to_owned(), vec!["red/b".to_owned()]);
    };
    assert_eq!(faults(first(), answers), NONE, "b lies before the first batch");
    let lost = |_: &mut Exchange, history: &mut History| history.restores.push(restore("blue", 1, 2));
    assert_eq!(faults(first(), lost), NONE, "a disk before that one had the first batch");
}
