//! Every report about an item has a cause.

use super::*;
use crate::history::disturbance::{Disturbance, Done};
use crate::world::liar::Lie;

/// Red is told this about an item, at 9.
pub(super) fn told(what: What) -> History {
    let mut history = whole();
    let mut told = vec![What::Notice { about: None }; 8];
    told.push(what);
    history.feeds.insert("red", feed(told));
    history
}

pub(super) fn why(item: &str, state: &str, reason: &str) -> Vec<String> {
    vec![format!("red is told at 9 that {item} is {state} at blue ({reason}): why?")]
}

#[test]
fn early_expiry_is_fault() {
    let mut history = told(delivery("v", "expired", "keep"));
    assert_eq!(history.faults(), NONE, "queued at 1000 by the wall clock, kept for 5000, told at 9000");
    history.updates[1].wall = 4001;
    assert_eq!(history.faults(), why("v", "expired", "keep"));
    history.updates[1].wall = 1000;
    history.settings[0].keep.clear();
    assert_eq!(history.faults(), why("v", "expired", "keep"));
}

#[test]
fn unordered_drop_is_fault() {
    let reason = "taken out by an operator";
    let mut history = told(delivery("v", "parked", reason));
    assert_eq!(history.faults(), why("v", "parked", reason));
    history.dropped.insert("u".to_owned(), vec![3]);
    assert_eq!(history.faults(), why("v", "parked", reason));
    history.dropped.insert("v".to_owned(), vec![10]);
    assert_eq!(history.faults(), why("v", "parked", reason), "it was ordered later");
    history.dropped.insert("v".to_owned(), vec![3]);
    assert_eq!(history.faults(), NONE);
}

#[test]
fn quarantine_peer_never_told_is_fault() {
    let reason = "NOT_A_PARTICIPANT: it lies in the quarantine of blue.example";
    let mut history = told(delivery("red/b", "parked", reason));
    assert_eq!(history.faults(), why("red/b", "parked", reason));
    history.exchanges[1].parked.push(("red/b".to_owned(), "NOT_A_PARTICIPANT".to_owned()));
    assert_eq!(history.faults(), NONE);
    history.exchanges[1].begun = 10;
    assert_eq!(history.faults(), why("red/b", "parked", reason), "later");
}

#[test]
fn listed_peer_called_unlisted_is_fault() {
    let mut history = told(delivery("red/b", "parked", "not_a_peer"));
    assert_eq!(history.faults(), why("red/b", "parked", "not_a_peer"));
    history.settings[0].keep.clear();
    assert_eq!(history.faults(), NONE);
    history.settings.push(Settings { from: 10, ..settings("red", "blue") });
    assert_eq!(history.faults(), NONE, "listed again after the report was on disk");
    history.settings[2].from = 8;
    assert_eq!(history.faults(), why("red/b", "parked", "not_a_peer"), "listed again before");
}

fn panics(name: Name, from: Stamp) -> Vec<Disturbance> {
    vec![Disturbance { what: Done::Panic(name), from, until: None }]
}

#[test]
fn faulty_actor_without_panic_is_fault() {
    let faulty = What::Peer { state: "suspended".to_owned(), reason: "faulty".to_owned() };
    for what in [delivery("red/b", "parked", "faulty"), faulty] {
        let faults = |disturbances| History { disturbances, ..told(what.clone()) }.faults().len();
        assert_eq!(faults(panics("red", 5)), 0);
        assert_eq!(faults(panics("red", 20)), 1, "later");
        assert_eq!(faults(panics("blue", 5)), 1, "somebody else's");
        let (what, until) = (Done::Down("red"), Some(7));
        let ended = Disturbance { until: Some(6), ..panics("red", 5).remove(0) };
        assert_eq!(faults(vec![ended, Disturbance { what, from: 6, until }]), 1, "another process");
    }
}

#[test]
fn ahead_peer_without_lie_is_fault() {
    let mut history = told(What::Peer { state: "suspended".to_owned(), reason: "ahead_of_us".to_owned() });
    assert_eq!(history.faults(), ["red is told that a peer is ahead_of_us: why?"]);
    history.exchanges[0].lie = Some(Lie::Hole);
    assert_eq!(history.faults(), NONE);
}

#[test]
fn parked_without_refusal_is_fault() {
    let mut history = told(delivery("v", "parked", "refused with status 413"));
    let fault = why("v", "parked", "refused with status 413");
    assert_eq!(history.faults(), fault);
    let mut refused = sent(5, &["v"], 4);
    refused.ended = Some((5, Outcome::Refused(413)));
    history.exchanges.insert(2, refused);
    assert_eq!(history.faults(), fault, "the peer itself has no reason to");
    history.exchanges[2].meddled = true;
    assert_eq!(history.faults(), NONE);
    history.exchanges[2].items.insert(0, "u".to_owned());
    assert_eq!(history.faults(), fault, "u may be what was refused");
    history.exchanges[2].items.remove(0);
    history.exchanges[2].weak.push("{}".to_owned());
    assert!(history.faults().contains(&fault[0]), "what is ephemeral may be what was refused");
    history.exchanges[2].weak.clear();
    history.exchanges[2].ended = Some((5, Outcome::Refused(403)));
    assert_eq!(history.faults(), fault, "that refuses the sender");
    history.exchanges[2].ended = Some((10, Outcome::Refused(413)));
    assert_eq!(history.faults(), fault, "later");
}

/// A peer of 2014 loses what it answers with trouble; after the third time the item is the culprit.
#[test]
fn parked_after_three_troubles_passes() {
    let mut history = told(delivery("v", "parked", "status 500"));
    let fault = why("v", "parked", "status 500");
    let trouble = || Exchange { ended: Some((5, Outcome::Failed)), ..sent(5, &["v"], 4) };
    history.exchanges.extend([trouble(), trouble(), trouble()]);
    assert_eq!(history.faults(), fault);
    history.settings[0].blaming.insert("blue");
    assert_eq!(history.faults(), NONE);
    history.exchanges.pop();
    assert_eq!(history.faults(), fault, "twice");
}

#[test]
fn wrong_dialect_reason_is_fault() {
    let reason = "an update without a context cannot go to a peer of the transactions dialect";
    let mut history = told(delivery("v", "parked", reason));
    assert_eq!(history.faults(), why("v", "parked", reason));
    history.settings[0].transactions.insert("blue");
    assert_eq!(history.faults(), NONE);
    let message = History { settings: history.settings.clone(), ..told(delivery("red/b", "parked", reason)) };
    assert_eq!(message.faults(), why("red/b", "parked", reason), "a message fits any");
}

#[test]
fn refused_pdu_without_cause_is_fault() {
    let mut history = told(delivery("red/b", "refused", "CODE: words"));
    let fault = why("red/b", "refused", "CODE: words");
    assert_eq!(history.faults(), fault);
    history.exchanges[1].refused.push(("red/b".to_owned(), "SENDER_NOT_A_PARTICIPANT".to_owned()));
    assert_eq!(history.faults(), fault, "red takes part, as blue knows");
    history.named[1].others.clear();
    assert_eq!(history.faults(), NONE);
    history.exchanges[1].refused[0].1 = "CYCLE".to_owned();
    assert_eq!(history.faults(), fault, "nobody says such a thing");
    history.exchanges[1].lie = Some(Lie::RefusedPdu);
    assert_eq!(history.faults(), NONE);
    history.exchanges[1].items.remove(0);
    assert_eq!(history.faults(), fault, "the lie is about another");
}

#[test]
fn quarantined_pdu_without_cause_is_fault() {
    let parked = |code: &str| What::Parked {
        from: "red",
        pdu: Some("red/b".to_owned()),
        code: code.to_owned(),
        text: parts()["content"].clone(),
    };
    let why = |code: &str| vec![format!(r#"blue is told that Some("red/b") of red lies in quarantine ({code}): why?"#)];
    let mut history = heard_all_and(vec![parked("NOT_A_PARTICIPANT")]);
    assert_eq!(history.faults(), why("NOT_A_PARTICIPANT"));
    // b came at 4.
    history.named.push(named("blue", 1, &["green"]));
    history.named.push(named("blue", 3, &["red"]));
    assert_eq!(history.faults(), why("NOT_A_PARTICIPANT"), "red was named again before that");
    history.named[3].at = 5;
    assert_eq!(history.faults(), NONE);
    for code in ["POISON", "CONTEXT_FAULTY", "BAD_PDU", "NOT_AN_OBJECT"] {
        let mut history = heard_all_and(vec![parked(code)]);
        assert_eq!(history.faults(), why(code));
        history.disturbances = panics("blue", 1);
        let is_panic = matches!(code, "POISON" | "CONTEXT_FAULTY");
        assert_eq!(history.faults().is_empty(), is_panic, "{code}");
    }
}
