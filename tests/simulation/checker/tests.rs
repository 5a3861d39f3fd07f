//! That each promise can be seen to be broken, and that each excuse holds for its own cause alone.

mod arrival;
mod gaps;
mod groups;
mod known;
mod numbers;
mod outboxes;
mod parents;
mod past;
mod receipts;
mod relays;
mod repeats;
mod reports;
mod whispers;

use std::collections::{BTreeMap, BTreeSet};

use crate::history::exchange::{Exchange, Kind, Outcome};
use crate::history::{Event, History, Message, Name, Named, Parts, Restore, Settings, Stamp, Update, What};

fn hearers(names: &[Name]) -> BTreeSet<Name> {
    names.iter().copied().collect()
}

/// The content and type of every message in these tests.
fn parts() -> Parts {
    [("content".to_owned(), r#"{"text":1.50}"#.to_owned()), ("pdu_type".to_owned(), "\"m.text\"".to_owned())].into()
}

fn message(pdu: &str, taken: Stamp) -> Message {
    Message {
        pdu: pdu.to_owned(),
        submission: pdu.to_owned(),
        origin: "red",
        room: "garden".to_owned(),
        hearers: hearers(&["blue"]),
        narrowed: false,
        insists: true,
        begun: taken,
        wall: 1000,
        taken: Some(taken),
        parts: parts(),
    }
}

fn update(token: &str, begun: Stamp) -> Update {
    Update {
        token: token.to_owned(),
        submission: token.to_owned(),
        origin: "red",
        hearers: hearers(&["blue"]),
        begun,
        wall: 1000,
        taken: Some(begun + 1),
        text: text_of(token),
    }
}

fn text_of(token: &str) -> String {
    format!(r#"{{"token":"{token}"}}"#)
}

fn pdu(pdu: &str, prev: &[&str]) -> What {
    What::Pdu {
        pdu: pdu.to_owned(),
        room: "garden".to_owned(),
        prev: prev.iter().map(|parent| (*parent).to_owned()).collect(),
        gap: vec![],
        history: false,
        late: false,
        parts: parts(),
    }
}

fn got(token: &str, n: u64) -> What {
    What::Update { from: "red", n, token: token.to_owned(), text: text_of(token) }
}

fn gap(missing: &str) -> What {
    What::Gap { room: "garden".to_owned(), missing: vec![missing.to_owned()] }
}

fn delivery(message: &str, state: &str, reason: &str) -> What {
    What::Delivery { message: message.to_owned(), server: "blue", state: state.to_owned(), reason: reason.to_owned() }
}

/// Positions and moments are 1, 2, 3 ..., and the wall clock says a thousand times as much.
fn feed(events: Vec<What>) -> Vec<Event> {
    (1..).zip(events).map(|(at, what)| Event { position: at, at, wall: 1000 * at, what }).collect()
}

/// A request of red's to blue with these items, the last of them under this number; answered well at once.
fn sent(begun: Stamp, items: &[&str], seq: u64) -> Exchange {
    Exchange {
        begun,
        from: "red",
        to: "blue",
        kind: Kind::Push { seq, ranges: true },
        items: items.iter().map(|item| (*item).to_owned()).collect(),
        forwards: vec![],
        relay_to: vec![],
        weak: vec![],
        arrived: vec![begun],
        given: vec![],
        refused: vec![],
        parked: vec![],
        answer: Some(Outcome::Fine),
        meddled: false,
        lie: None,
        ended: Some((begun, Outcome::Fine)),
    }
}

fn restore(server: Name, copied: Stamp, restored: Stamp) -> Restore {
    Restore { server, copied, restored, tail: 0, reads_on: false }
}

fn settings(server: Name, other: Name) -> Settings {
    Settings {
        from: 0,
        server,
        held_max: 100,
        depth_max: 50,
        give_up: 10_000,
        keep: [(other, 5_000)].into(),
        outbox: [(other, 3)].into(),
        transactions: BTreeSet::new(),
        blaming: BTreeSet::new(),
        mute: BTreeSet::new(),
        forgets: false,
        receipts: BTreeSet::new(),
        routes: BTreeMap::new(),
        relays: false,
        trimmed: BTreeSet::new(),
    }
}

fn named(server: Name, at: Stamp, others: &[Name]) -> Named {
    Named { at, server, room: "garden".to_owned(), others: others.to_vec() }
}

/// Red has said a, then b in answer to it, and the updates u and v; blue has heard them all.
fn whole() -> History {
    let heard = vec![pdu("red/a", &[]), got("u", 1), pdu("red/b", &["red/a"]), got("v", 2)];
    History {
        messages: vec![message("red/a", 1), message("red/b", 2)],
        updates: vec![update("u", 3), update("v", 5)],
        feeds: [("red", vec![]), ("blue", feed(heard))].into(),
        parents: [("red/b".to_owned(), vec!["red/a".to_owned()])].into(),
        exchanges: vec![sent(2, &["red/a"], 1), sent(4, &["red/b", "u"], 3), sent(6, &["v"], 4)],
        seen_in: ["red/a", "red/b"].map(|pdu| (pdu.to_owned(), "garden".to_owned())).into(),
        named: vec![named("red", 0, &["blue"]), named("blue", 0, &["red"])],
        settings: vec![settings("red", "blue"), settings("blue", "red")],
        ..History::default()
    }
}

/// The same once blue has heard this instead.
fn heard(what: Vec<What>) -> History {
    let mut history = whole();
    history.feeds.insert("blue", feed(what));
    history
}

/// The history in which blue has heard all of `whole`, and then `more`.
fn heard_all_and(more: Vec<What>) -> History {
    let all = whole().feed("blue").cloned().chain(more).collect();
    heard(all)
}

const NONE: [&str; 0] = [];

#[test]
fn a_whole_history_has_no_fault() {
    assert_eq!(whole().faults(), NONE);
}
