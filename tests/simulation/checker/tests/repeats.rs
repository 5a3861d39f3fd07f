//! Updates that may be repeated.

use super::*;
use crate::history::Retried;
use crate::history::disturbance::{Disturbance, Done};
use crate::world::liar::Lie;

const TWICE: [&str; 2] = ["blue got u twice", "blue got u after v"];

/// Blue hears u again at last, having been told that something is strange with red before this place.
fn again(told: usize) -> History {
    let mut what = vec![pdu("red/a", &[]), pdu("red/b", &["red/a"]), got("u", 1), got("v", 2), got("u", 3)];
    what.insert(told, What::Notice { about: Some("red") });
    heard(what)
}

#[test]
fn repeat_without_cause_is_fault() {
    assert_eq!(again(4).faults(), TWICE, "a notice alone explains nothing");
}

/// Red was restored to before it knew that blue has u.
#[test]
fn repeat_by_restored_sender_passes() {
    let faults = |told, copied| History { restores: vec![restore("red", copied, 5)], ..again(told) }.faults();
    // u was acknowledged at 4.
    assert_eq!(faults(4, 3), NONE);
    assert_eq!(faults(5, 3), TWICE, "it was told too late");
    assert_eq!(faults(4, 5), TWICE, "the copy knows of the acknowledgement");
}

/// The word about a restored sender may have gone with the reader's own disk.
#[test]
fn repeat_notice_lost_by_restore_passes() {
    let faults = |blue| {
        let mut history = again(4);
        history.feeds.insert(
            "blue",
            feed(history.feed("blue").filter(|what| !matches!(what, What::Notice { .. })).cloned().collect()),
        );
        history.restores = vec![restore("red", 3, 5), blue];
        history.faults().into_iter().filter(|fault| fault.starts_with("blue got")).collect::<Vec<_>>()
    };
    assert_eq!(faults(restore("blue", 4, 40)), NONE);
    assert_eq!(faults(restore("blue", 2, 4)), TWICE);
}

/// The number of an item that left the queue goes to the next one, and a copy of the first comes late.
#[test]
fn repeat_after_told_drop_passes() {
    let faults = |told, dropped| {
        let mut history = again(told);
        history.dropped.insert("v".to_owned(), vec![dropped]);
        history.faults()
    };
    assert_eq!(faults(4, 3), NONE);
    assert_eq!(faults(5, 3), TWICE, "it was told too late");
    assert_eq!(faults(4, 5), TWICE, "u had been acknowledged by then");
    let mut history = again(4);
    history.dropped.insert("of nobody".to_owned(), vec![3]);
    assert_eq!(history.faults(), TWICE);
}

#[test]
fn repeat_after_numbers_lie_passes() {
    let faults_at = |begun, lie, about| {
        let mut history = again(5);
        history.exchanges[2].lie = Some(lie);
        history.exchanges[2].begun = begun;
        history.feeds.insert("red", feed(vec![What::Notice { about: Some(about) }]));
        history.faults()
    };
    let faults = |lie, about| faults_at(3, lie, about);
    assert_eq!(faults_at(5, Lie::Conflict, "blue"), TWICE, "it was known to be there");
    assert_eq!(faults(Lie::Conflict, "blue"), NONE);
    assert_eq!(faults(Lie::Hole, "blue"), NONE);
    assert_eq!(faults(Lie::Cut, "blue"), TWICE);
    assert_eq!(faults(Lie::Hole, "green"), TWICE);
    let mut restored = again(5);
    restored.exchanges[2].lie = Some(Lie::Hole);
    restored.exchanges[2].begun = 3;
    restored.restores.push(restore("red", 6, 9));
    assert_eq!(restored.faults(), NONE, "the notice went with red's disk");
    restored.restores[0].restored = 2;
    assert_eq!(restored.faults(), TWICE, "it came back before the lie");
}

/// Blue acknowledged u at 4; the lie about its number comes when blue was restored.
#[test]
fn lie_after_receivers_restore_passes() {
    let faults = |copied, restored| {
        let mut history = again(5);
        history.exchanges[2].lie = Some(Lie::Conflict);
        history.exchanges[2].begun = 5;
        history.feeds.insert("red", feed(vec![What::Notice { about: Some("blue") }]));
        history.restores = vec![restore("blue", copied, restored)];
        history.faults().into_iter().filter(|fault| fault.starts_with("blue got")).collect::<Vec<_>>()
    };
    assert_eq!(faults(3, 5), NONE);
    assert_eq!(faults(4, 5), TWICE, "the copy has u");
    assert_eq!(faults(3, 6), TWICE, "the lie came before the restore");
}

/// Blue acknowledged u as number 3 at 4, and lied at 5 that it lacks a number; then comes a lie `conflict`.
#[test]
fn acknowledgement_is_void_after_lied_hole() {
    let faults = |expected, lie| {
        let mut history = again(5);
        let hole = Outcome::Hole { expected, conflict: false };
        history.exchanges.push(Exchange { ended: Some((5, hole)), lie, ..sent(5, &[], 4) });
        history.exchanges.push(Exchange { lie: Some(Lie::Conflict), ..sent(6, &[], 4) });
        history.feeds.insert("red", feed(vec![What::Notice { about: Some("blue") }]));
        history.faults().into_iter().filter(|fault| fault.starts_with("blue got")).collect::<Vec<_>>()
    };
    assert_eq!(faults(3, Some(Lie::Hole)), NONE);
    assert_eq!(faults(4, Some(Lie::Hole)), TWICE, "it said nothing about number 3");
    assert_eq!(faults(3, None), TWICE, "it was no lie");
}

/// Blue acknowledged u as number 3 at 4, and the lie asks for a number at 6: from number 3 on red gives all again.
#[test]
fn lie_asking_for_acknowledged_number_passes() {
    let faults = |expected, conflict| {
        let mut history = again(5);
        history.exchanges[2].lie = Some(if conflict { Lie::Conflict } else { Lie::Hole });
        history.exchanges[2].begun = 5;
        history.exchanges[2].ended = Some((6, Outcome::Hole { expected, conflict }));
        history.feeds.insert("red", feed(vec![What::Notice { about: Some("blue") }]));
        repeats(history, |_| ())
    };
    assert_eq!(faults(1, false), NONE);
    assert_eq!(faults(3, false), NONE);
    assert_eq!(faults(4, false), TWICE, "the number of u is not asked for");
    assert_eq!(faults(3, true), TWICE, "what is acknowledged keeps its number");
}

/// Blue acknowledged u at 4; the lie about its number comes when red has crashed.
#[test]
fn lie_after_senders_crash_passes() {
    let faults = |down| {
        let mut history = again(5);
        history.exchanges[2].lie = Some(Lie::Conflict);
        history.exchanges[2].begun = 5;
        history.feeds.insert("red", feed(vec![What::Notice { about: Some("blue") }]));
        history.disturbances = vec![Disturbance { what: Done::Down("red"), from: down, until: Some(down + 1) }];
        history.faults().into_iter().filter(|fault| fault.starts_with("blue got")).collect::<Vec<_>>()
    };
    assert_eq!(faults(5), NONE);
    assert_eq!(faults(3), TWICE, "the acknowledgement came after the crash");
    assert_eq!(faults(6), TWICE, "the lie came before the crash");
}

/// A copy of a push from red's lost disk reaches blue late, and blue cannot tell it from a push of the restored red.
#[test]
fn repeat_after_late_lost_push_passes() {
    let faults = |seq, ranges, restored, arrived| {
        let mut history = again(4);
        let late = Exchange { kind: Kind::Push { seq, ranges }, arrived: vec![arrived], ..sent(1, &["lost"], seq) };
        history.exchanges.push(late);
        history.restores = vec![restore("red", 0, restored)];
        history.faults().into_iter().filter(|fault| fault.starts_with("blue got")).collect::<Vec<_>>()
    };
    assert_eq!(faults(3, false, 2, 5), NONE);
    assert_eq!(faults(4, false, 2, 5), TWICE, "it is above the number of u");
    assert_eq!(faults(3, true, 2, 5), TWICE, "ranges tell the two apart");
    assert_eq!(faults(3, false, 2, 1), TWICE, "it came before the restore");
    assert_eq!(faults(3, false, 2, 20), TWICE, "u had been heard again by then");
}

/// Blue skips what it holds under that number, unless it was restored and does not know any more what it holds.
#[test]
fn late_held_copy_is_fault() {
    let faults = |item, came: Stamp, restored: Option<Stamp>| {
        let mut history = again(4);
        let kind = Kind::Push { seq: 3, ranges: false };
        history.exchanges.push(Exchange { kind, arrived: vec![5], ..sent(1, &[item], 3) });
        // u is number 3 of the restored red.
        history.exchanges[1].arrived = vec![came];
        history.restores = vec![restore("red", 0, 2)];
        history.restores.extend(restored.map(|restored| restore("blue", 0, restored)));
        repeats(history, |_| ())
    };
    assert_eq!(faults("lost", 4, None), NONE);
    assert_eq!(faults("u", 4, None), TWICE, "blue holds the same");
    assert_eq!(faults("lost", 5, None), TWICE, "blue holds nothing of the restored red");
    assert_eq!(faults("u", 4, Some(5)), NONE, "blue was restored and forgot what it held");
    assert_eq!(faults("u", 4, Some(6)), TWICE, "blue was restored after it came");
    assert_eq!(faults("u", 4, Some(4)), TWICE, "blue got the same again after its restore");
}

/// Red sends u as number 9 at 2, is asked for number 3 at 3, and sends u as number 3 at 4. A copy of the first push reaches blue at
/// 5, when blue hears u again, having been told of nothing.
fn late_copy() -> History {
    let mut history = again(5);
    let hole = Some((3, Outcome::Hole { expected: 3, conflict: false }));
    history.exchanges.insert(0, Exchange { arrived: vec![2, 5], ended: hole, ..sent(2, &["u"], 9) });
    history.feeds.insert("red", feed(vec![What::Notice { about: Some("blue") }]));
    history
}

fn repeats(mut history: History, change: fn(&mut History)) -> Vec<String> {
    change(&mut history);
    history.faults().into_iter().filter(|fault| fault.starts_with("blue got")).collect()
}

#[test]
fn late_copy_under_old_number_passes() {
    let faults = |change| repeats(late_copy(), change);
    assert_eq!(faults(|_| ()), NONE);
    let same: fn(&mut History) = |history| history.exchanges[0].kind = Kind::Push { seq: 3, ranges: true };
    assert_eq!(faults(same), TWICE, "the number is the same");
    let below: fn(&mut History) = |history| history.exchanges[0].kind = Kind::Push { seq: 2, ranges: true };
    assert_eq!(faults(below), TWICE, "what lies below the new number is known to blue");
    assert_eq!(faults(|history| history.exchanges[0].arrived[1] = 3), TWICE, "the copy came before the new number");
    assert_eq!(faults(|history| history.exchanges[0].arrived[1] = 6), TWICE, "the copy came after the repeat");
    assert_eq!(faults(|history| history.exchanges[2].arrived = vec![7]), TWICE, "u came under its new number later");
    let green: fn(&mut History) = |history| {
        history.feeds.insert("red", feed(vec![What::Notice { about: Some("green") }]));
    };
    assert_eq!(faults(green), TWICE, "nobody was told of the new number");
}

/// Red's notice comes after the repeat, or before it.
#[test]
fn late_copy_before_notice_is_fault() {
    let faults = |at, restored: Option<Stamp>| {
        let mut history = late_copy();
        history.feeds.get_mut("red").unwrap()[0].at = at;
        history.restores.extend(restored.map(|restored| restore("red", 3, restored)));
        repeats(history, |_| ())
    };
    assert_eq!(faults(5, None), NONE);
    assert_eq!(faults(6, None), TWICE);
    assert_eq!(faults(6, Some(5)), NONE, "the first notice went with red's disk");
    assert_eq!(faults(6, Some(4)), TWICE, "red sent the new number after its restore");
}

#[test]
fn late_copy_without_hole_is_fault() {
    let faults = |ended: Stamp, outcome| {
        let mut history = late_copy();
        history.exchanges[0].ended = Some((ended, outcome));
        repeats(history, |_| ())
    };
    let hole = || Outcome::Hole { expected: 3, conflict: false };
    assert_eq!(faults(3, hole()), NONE);
    assert_eq!(faults(3, Outcome::Failed), TWICE, "nobody asked red for another number");
    assert_eq!(faults(2, hole()), TWICE, "red was asked before it sent the old number");
    assert_eq!(faults(4, hole()), TWICE, "red was asked when it had sent the new number");
}

#[test]
fn late_copy_explains_one_repeat() {
    let mut history = late_copy();
    history.feeds.get_mut("blue").unwrap().push(Event { position: 7, at: 7, wall: 7000, what: got("u", 4) });
    assert_eq!(repeats(history.clone(), |_| ()), TWICE, "it had been heard again by then");
    history.exchanges[0].arrived.push(7);
    assert_eq!(repeats(history, |_| ()), NONE, "another copy came");
}

#[test]
fn repeat_ordered_by_operator_passes() {
    let mut history = again(5);
    history.retried.insert(("u".to_owned(), "blue"), Retried { orders: 1, done: None });
    assert_eq!(history.faults(), NONE);
    history.retried.insert(("u".to_owned(), "blue"), Retried::default());
    assert_eq!(history.faults(), TWICE);
}
