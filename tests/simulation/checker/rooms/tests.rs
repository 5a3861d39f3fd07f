//! That each difference between rooms can be seen, and what may differ.

use std::collections::{BTreeMap, BTreeSet};

use super::Compared;
use crate::history::{Event, History, Message, Name, Parts, Restore, View, What};

fn names(pdus: &[&str]) -> BTreeSet<String> {
    pdus.iter().map(|pdu| (*pdu).to_owned()).collect()
}

fn shown(pdus: &[&str]) -> BTreeMap<String, Parts> {
    pdus.iter().map(|pdu| ((*pdu).to_owned(), Parts::new())).collect()
}

fn restore(copied: u64, restored: u64) -> Restore {
    Restore { server: "red", copied, restored, tail: 0, reads_on: false }
}

/// The garden at one server, where all state is a topic and the last of it holds.
fn view(server: Name, pdus: &[&str]) -> View {
    let topics = names(&pdus.iter().copied().filter(|pdu| pdu.contains("/t")).collect::<Vec<_>>());
    let holds = topics.last().map(|holder| ("topic".to_owned(), holder.clone()));
    let said = holds.iter().map(|(key, _)| (key.clone(), topics.clone())).collect();
    let room = "garden".to_owned();
    View { server, room, pdus: shown(pdus), said, holds: holds.into_iter().collect(), ..View::default() }
}

fn event(position: u64, what: What) -> Event {
    Event { position, at: position, wall: 0, what }
}

fn heard(pdus: &[&str]) -> Vec<Event> {
    let what = |pdu: &&str| What::Pdu {
        pdu: (*pdu).to_owned(),
        room: "garden".to_owned(),
        prev: vec![],
        gap: vec![],
        history: false,
        late: false,
        parts: Parts::new(),
    };
    (1..).zip(pdus.iter().map(what)).map(|(position, what)| event(position, what)).collect()
}

/// Red has said a, b, which answers it, and two topics.
const ALL: [&str; 4] = ["red/a", "red/b", "red/t1", "red/t2"];

/// The same once red shows all of it, and blue this.
fn garden(blue: &[&str]) -> History {
    let message = |pdu: &&str| Message {
        pdu: (*pdu).to_owned(),
        submission: (*pdu).to_owned(),
        origin: "red",
        room: "garden".to_owned(),
        hearers: ["blue"].into(),
        narrowed: false,
        insists: true,
        begun: 4,
        wall: 0,
        taken: Some(5),
        parts: Parts::new(),
    };
    History {
        messages: ALL.iter().map(message).collect(),
        feeds: [("red", vec![]), ("blue", heard(blue))].into(),
        views: vec![view("red", &ALL), view("blue", blue)],
        parents: [("red/b".to_owned(), vec!["red/a".to_owned()])].into(),
        ..History::default()
    }
}

fn judge(history: &History) -> (Vec<String>, Compared) {
    let mut faults = vec![];
    let compared = history.rooms(&mut faults);
    (faults, compared)
}

#[test]
fn same_set_and_state_pass() {
    assert_eq!(judge(&garden(&ALL)), (vec![], Compared { pdus: 8, keys: 2, ..Compared::default() }));
}

#[test]
fn pdu_others_have_is_fault() {
    let (faults, compared) = judge(&garden(&["red/a", "red/t1", "red/t2"]));
    assert_eq!(faults, ["blue ends without red/b in garden, which others have"]);
    assert_eq!((compared.pdus, compared.told), (8, 0));
}

#[test]
fn pdu_nobody_has_is_fault() {
    let mut history = garden(&ALL[1..]);
    history.views[0] = view("red", &ALL[1..]);
    assert_eq!(judge(&history).0, ["nobody has red/a in garden any more"]);
    history.restores.push(restore(3, 10));
    assert_eq!(judge(&history).0, Vec::<String>::new());
}

#[test]
fn narrowed_pdu_missing_elsewhere_passes() {
    let mut history = garden(&["red/a", "red/t1", "red/t2"]);
    history.messages[1].narrowed = true;
    assert_eq!(judge(&history).0, ["blue ends without red/b in garden, which others have"]);
    history.dropped.insert("red/b".to_owned(), vec![6]);
    assert_eq!(judge(&history).0, Vec::<String>::new(), "an operator took it out of the queue, and nobody names it");
    history.dropped.clear();
    history.messages[1].hearers.clear();
    assert_eq!(judge(&history).0, Vec::<String>::new());
}

#[test]
fn pdus_behind_told_gap_pass() {
    let mut history = garden(&["red/t1", "red/t2"]);
    for said in &mut history.messages {
        said.hearers.clear();
    }
    let gap = What::Gap { room: "garden".to_owned(), missing: vec!["red/b".to_owned()] };
    history.feeds.get_mut("blue").unwrap().push(event(3, gap));
    assert_eq!(judge(&history), (vec![], Compared { pdus: 8, keys: 2, told: 2, ..Compared::default() }));
    history.parents.clear();
    assert_eq!(judge(&history).0, ["blue ends without red/a in garden, which others have"]);
}

/// To whom it was said it comes, or its author is told.
#[test]
fn gap_excuses_no_hearer() {
    let mut history = garden(&["red/a", "red/t1", "red/t2"]);
    let gap = What::Gap { room: "garden".to_owned(), missing: vec!["red/b".to_owned()] };
    history.feeds.get_mut("blue").unwrap().push(event(4, gap));
    assert_eq!(judge(&history).0, ["blue ends without red/b in garden, which others have"]);
    history.dropped.insert("red/b".to_owned(), vec![6]);
    assert_eq!(judge(&history).0, Vec::<String>::new());
}

#[test]
fn own_lost_pdu_missing_passes() {
    let mut history = garden(&ALL);
    history.views[0] = view("red", &["red/a", "red/t1", "red/t2"]);
    assert_eq!(judge(&history).0, ["red ends without red/b in garden, which others have"]);
    history.restores.push(restore(3, 10));
    assert_eq!(judge(&history), (vec![], Compared { pdus: 8, keys: 2, own: 1, ..Compared::default() }));
    history.views.push(view("grey", &["red/a", "red/t1", "red/t2"]));
    history.feeds.insert("grey", heard(&["red/a", "red/t1", "red/t2"]));
    assert_eq!(judge(&history).0, ["grey ends without red/b in garden, which others have"]);
}

#[test]
fn pdu_known_as_history_only_passes() {
    let mut history = garden(&ALL);
    history.views[0] = view("red", &["red/a", "red/t1", "red/t2"]);
    history.views.push(view("grey", &["red/a", "red/t1", "red/t2"]));
    history.feeds.insert("grey", heard(&["red/a", "red/t1", "red/t2"]));
    history.restores.push(restore(3, 10));
    for event in history.feeds.get_mut("blue").unwrap() {
        if let What::Pdu { pdu, history, .. } = &mut event.what {
            *history = pdu == "red/b";
        }
    }
    assert_eq!(judge(&history), (vec![], Compared { pdus: 12, keys: 3, own: 1, unsaid: 1, ..Compared::default() }));

    // The same of what only that leads to, be it news: what answers it would name it.
    for server in [0, 2] {
        history.views[server] = view(history.views[server].server, &["red/t1", "red/t2"]);
    }
    history.feeds.insert("grey", heard(&["red/t1", "red/t2"]));
    assert_eq!(judge(&history), (vec![], Compared { pdus: 12, keys: 3, own: 2, unsaid: 2, ..Compared::default() }));
    history.views[0].pdus.insert("red/a".to_owned(), Parts::new());
    assert_eq!(judge(&history).0, ["grey ends without red/a in garden, which others have"], "its author has it");
    history.views[0].pdus.remove("red/a");
    history.views[2].named.insert("red/a".to_owned());
    assert_eq!(judge(&history).0, ["grey ends without red/a in garden, which others have"], "what it has names it");
    history.views[2].named.clear();
    history.parents.clear();
    assert_eq!(judge(&history).0, ["grey ends without red/a in garden, which others have"], "nothing answers it");
}

#[test]
fn two_states_are_fault() {
    let mut history = garden(&ALL);
    history.views[1].holds.insert("topic".to_owned(), "red/t1".to_owned());
    let fault = r#"garden: blue says Some("red/t1") holds topic, red Some("red/t2"), of the same"#;
    assert_eq!(judge(&history).0, [fault]);
    history.views[1].holds.clear();
    assert_eq!(judge(&history).0.len(), 2, "nobody holds what was said, and others know who does");
}

#[test]
fn history_unlike_feed_is_fault() {
    let mut history = garden(&ALL);
    history.feeds.insert("blue", heard(&ALL[1..]));
    assert_eq!(judge(&history).0, [r#"the feed and the history of blue differ in garden: ["red/a"]"#]);
    history = garden(&ALL);
    history.views[1].twice.push("red/a".to_owned());
    assert_eq!(judge(&history).0, ["the history of blue shows red/a twice"]);
}

/// A messenger that reads on heard it from a disk that was lost: there again, it was told again.
#[test]
fn pdu_lost_after_feed_passes() {
    let missing = "blue ends without red/t2 in garden, which others have";
    let differs = r#"the feed and the history of blue differ in garden: ["red/t2"]"#;
    let lost = Restore { server: "blue", tail: 3, reads_on: true, ..restore(3, 10) };
    let faults = |shown: &[&str], restores: &[Restore]| {
        let mut history = garden(&ALL);
        history.views[1] = view("blue", shown);
        history.restores = restores.to_vec();
        judge(&history).0
    };
    assert_eq!(faults(&ALL[..3], &[]), [missing, differs]);
    assert_eq!(faults(&ALL[..3], &[lost]), [missing]);
    assert_eq!(faults(&ALL, &[lost]), [differs], "it was not told again");
    let kept = Restore { tail: 4, ..lost };
    assert_eq!(faults(&ALL, &[kept]), Vec::<String>::new());
}
