//! A gap is told only where nobody could give what is missing.

use super::*;
use crate::history::disturbance::{Disturbance, Done};
use crate::history::stamps::moment;

/// The way from blue to red is never open.
pub(super) fn trouble() -> Vec<Disturbance> {
    vec![Disturbance { what: Done::Way("blue", "red"), from: 0, until: None }]
}

const FAULT: [&str; 1] = ["blue is told that red/a is missing, and red could have given it"];

/// Blue is told at 60 s that a is missing, which it hears afterwards.
fn told() -> History {
    let mut history = heard(vec![pdu("red/b", &[]), got("u", 1), got("v", 2), gap("red/a"), pdu("red/a", &[])]);
    for event in history.feeds.get_mut("blue").unwrap() {
        event.at = moment(60_000);
    }
    history.messages[1].parts.clear();
    history.messages[1].parts = parts();
    history
}

#[test]
fn gap_without_cause_is_fault() {
    assert_eq!(told().faults(), FAULT);
}

#[test]
fn gap_after_trouble_passes() {
    let faults = |what, from, until| {
        let (from, until) = (moment(from), Some(moment(until)));
        History { disturbances: vec![Disturbance { what, from, until }], ..told() }.faults()
    };
    let kinds = [
        Done::Way("blue", "red"),
        Done::Suspended("blue", "red"),
        Done::Down("red"),
        Done::Down("blue"),
        Done::Panic("red"),
        Done::Panic("blue"),
        Done::Poisoned("blue"),
    ];
    for what in kinds {
        assert_eq!(faults(what, 50_000, 51_000), NONE, "{what:?}");
        assert_eq!(faults(what, 10_000, 20_000), FAULT, "{what:?} was over by then");
    }
    for what in [Done::Way("red", "blue"), Done::Way("blue", "green"), Done::Down("green")] {
        assert_eq!(faults(what, 50_000, 51_000), FAULT, "{what:?} concerns others");
    }
}

/// A question of blue's to red, or something it sent.
fn asked(at: u64, kind: Kind, ended: Option<Outcome>) -> Exchange {
    Exchange {
        from: "blue",
        to: "red",
        kind,
        ended: ended.map(|outcome| (moment(at) + 1, outcome)),
        ..sent(moment(at), &[], 0)
    }
}

#[test]
fn gap_after_failed_exchange_passes() {
    let fetch = || Kind::Fetch { named: vec!["red/a".to_owned()] };
    let faults = |exchange| {
        let mut history = told();
        history.exchanges.push(exchange);
        history.faults()
    };
    let wrong = [Outcome::Failed, Outcome::Unreachable, Outcome::Wait, Outcome::Refused(403)];
    for outcome in wrong.map(Some).into_iter().chain([None]) {
        assert_eq!(faults(asked(50_000, fetch(), outcome.clone())), NONE, "{outcome:?}");
    }
    for outcome in [Outcome::Fine, Outcome::Refused(404)] {
        assert_eq!(faults(asked(50_000, fetch(), Some(outcome.clone()))), FAULT, "{outcome:?}: red has it");
    }
    let mut lie = asked(50_000, fetch(), Some(Outcome::Refused(404)));
    lie.lie = Some(crate::world::liar::Lie::Nothing);
    assert_eq!(faults(lie), NONE);
    let mut history = told();
    history.exchanges.push(asked(10_000, fetch(), Some(Outcome::Failed)));
    assert_eq!(history.faults(), NONE, "it is looked for since then");
    // After trouble with what it sends, blue leaves red alone.
    assert_eq!(faults(asked(10_000, Kind::Transaction, Some(Outcome::Failed))), NONE);
    let other = || Kind::Fetch { named: vec!["red/other".to_owned()] };
    assert_eq!(faults(asked(10_000, other(), Some(Outcome::Failed))), FAULT);
    let mut history = told();
    history.exchanges.push(asked(10_000, Kind::Transaction, Some(Outcome::Failed)));
    history.exchanges.push(asked(20_000, Kind::Transaction, Some(Outcome::Fine)));
    assert_eq!(history.faults(), FAULT, "it was well again");
}

/// A holder that does not answer for as long as a server looks for a PDU excuses the gap: `gap.give_up` is ten seconds.
#[test]
fn gap_after_late_answer_passes() {
    let faults = |took: u64| {
        let fetch = Kind::Fetch { named: vec!["red/a".to_owned()] };
        let mut history = told();
        let ended = Some((moment(40_000 + took), Outcome::Fine));
        history.exchanges.push(Exchange { ended, ..asked(40_000, fetch, None) });
        history.faults()
    };
    assert_eq!(faults(10_001), NONE);
    assert_eq!(faults(9_999), FAULT);
}

#[test]
fn gap_nobody_can_fill_passes() {
    let mut history = told();
    history.messages[0].taken = Some(moment(59_000));
    assert_eq!(history.faults(), NONE, "red had it too late");
    let mut history = told();
    history.restores.push(restore("red", 0, moment(70_000)));
    assert_eq!(history.faults(), NONE, "red has lost it since");
    history.restores = vec![restore("red", 0, moment(20_000))];
    assert_eq!(history.faults(), NONE, "red had lost it before");
    history.restores = vec![restore("red", 1, moment(20_000))];
    assert_eq!(history.faults(), FAULT, "the copy has it");
}

#[test]
fn gap_with_unasked_holder_passes() {
    let mut history = told();
    history.settings[1].mute.insert("red");
    assert_eq!(history.faults(), NONE, "it is never asked");
    let mut history = told();
    history.settings[1].keep.clear();
    assert_eq!(history.faults(), NONE, "it is no peer");
    let mut history = told();
    history.named[0].others.clear();
    assert_eq!(history.faults(), NONE, "blue takes no part, as it knows");
    let mut history = told();
    history.named[1].at = moment(55_000);
    assert_eq!(history.faults(), NONE, "blue did not know of it");
    let mut history = told();
    history.settings[1].forgets = true;
    assert_eq!(history.faults(), NONE, "what is old is forgotten");
    let mut history = told();
    let change = Settings { from: moment(55_000), ..settings("red", "blue") };
    history.settings.push(change);
    assert_eq!(history.faults(), NONE, "its configuration changed");
    let mut history = told();
    history.jumps.push(("blue", moment(55_000)));
    assert_eq!(history.faults(), NONE, "a clock jumped");
    history.jumps[0].0 = "green";
    assert_eq!(history.faults(), FAULT, "of somebody else");
}

#[test]
fn gap_of_crowded_room_passes() {
    let mut history = told();
    history.settings[1].held_max = 0;
    assert_eq!(history.faults(), NONE, "a itself has come, and was not delivered before");
    history.settings[1].held_max = 1;
    assert_eq!(history.faults(), FAULT);
    history.seen_in.insert("red/c".to_owned(), "garden".to_owned());
    history.exchanges.push(sent(5, &["red/c"], 0));
    assert_eq!(history.faults(), NONE);
    history.seen_in.insert("red/c".to_owned(), "kitchen".to_owned());
    assert_eq!(history.faults(), FAULT, "it is of another room");
}

#[test]
fn gap_too_far_back_passes() {
    let mut history = told();
    history.settings[1].depth_max = 3;
    assert_eq!(history.faults(), FAULT, "b names it, and came by itself");
    history.exchanges[1].items.retain(|item| item != "red/b");
    assert_eq!(history.faults(), NONE);
    history.settings[1].depth_max = 50;
    assert_eq!(history.faults(), FAULT);
}

#[test]
fn gap_of_own_lost_pdu_passes() {
    let mut history = told();
    history.feeds.insert("red", vec![Event { position: 1, at: moment(60_000), wall: 0, what: gap("red/a") }]);
    let is_own = |fault: &String| fault.starts_with("red is told");
    // Blue has it.
    history.feeds.get_mut("blue").unwrap()[4].at = 5;
    assert!(history.faults().iter().any(is_own));
    history.restores.push(restore("red", 0, 20));
    assert!(!history.faults().iter().any(is_own));
}

/// Red's a came while nobody had named red to blue, and lies in quarantine: the copy that green has would go there too.
#[test]
fn gap_for_quarantined_pdu_passes() {
    let faults = |place: usize, pdu: &str, code: &str, others: &[Name]| {
        let mut history = told();
        let mut what: Vec<What> = history.feed("blue").cloned().collect();
        let text = parts()["content"].clone();
        what.insert(place, What::Parked { from: "red", pdu: Some(pdu.to_owned()), code: code.to_owned(), text });
        let mut events = feed(what);
        events.iter_mut().for_each(|event| event.at = moment(60_000));
        history.feeds.insert("blue", events);
        history.feeds.insert("green", feed(vec![super::pdu("red/a", &[])]));
        history.named = vec![named("blue", 0, others), named("green", 0, &["blue"])];
        history.settings = vec![settings("blue", "green"), settings("green", "blue")];
        history.faults().into_iter().filter(|fault| fault.contains("is missing")).collect::<Vec<_>>()
    };
    let fault = ["blue is told that red/a is missing, and green could have given it"];
    // The gap is the fourth event.
    assert_eq!(faults(3, "red/a", "NOT_A_PARTICIPANT", &["green"]), NONE);
    assert_eq!(faults(4, "red/a", "NOT_A_PARTICIPANT", &["green"]), fault, "it came after the gap");
    assert_eq!(faults(3, "red/b", "NOT_A_PARTICIPANT", &["green"]), fault, "another one");
    assert_eq!(faults(3, "red/a", "POISON", &["green"]), fault, "a copy from another server may be good");
    assert_eq!(
        faults(3, "red/a", "NOT_A_PARTICIPANT", &["green", "red"]),
        fault,
        "red was named: it is taken from there"
    );
}
