//! A room that is a group for one server.

use super::*;
use crate::plan::group::GROUP_ROOM;

fn bridged(number: u64, token: &str) -> What {
    let parts = [
        ("content", format!(r#"{{"text":"{token}"}}"#)),
        ("pdu_type", "\"m.text\"".to_owned()),
        ("bridged", format!(r#"{{"server":"gold.example","seq":{number}}}"#)),
    ];
    What::Pdu {
        pdu: format!("red/{number}"),
        room: GROUP_ROOM.to_owned(),
        prev: vec![],
        gap: vec![],
        history: false,
        late: false,
        parts: parts.map(|(key, value)| (key.to_owned(), value)).into(),
    }
}

/// Gold has said g and h in its group, which is a room for red, and red has heard this.
fn red_heard(heard: Vec<What>) -> History {
    let said = |token: &str, begun| Update { origin: "gold", hearers: hearers(&["red"]), ..update(token, begun) };
    let contents = ["g", "h"].map(|token| (format!(r#"{{"text":"{token}"}}"#), token.to_owned()));
    History {
        updates: vec![said("g", 1), said("h", 3)],
        feeds: [("red", feed(heard)), ("gold", vec![])].into(),
        bridge: Some(("red", "gold")),
        grouped: contents.into(),
        settings: vec![settings("red", "gold"), settings("gold", "red")],
        ..History::default()
    }
}

#[test]
fn group_heard_once_has_no_fault() {
    assert_eq!(red_heard(vec![bridged(1, "g"), bridged(2, "h")]).faults(), NONE);
}

#[test]
fn lost_group_message_is_fault() {
    assert_eq!(red_heard(vec![bridged(1, "g")]).faults(), ["red never got h from gold"]);
}

#[test]
fn repeated_group_message_is_fault() {
    let history = red_heard(vec![bridged(1, "g"), bridged(2, "h"), bridged(3, "h")]);
    assert_eq!(history.faults(), ["red heard h of the group twice"]);
}

#[test]
fn reordered_group_messages_are_fault() {
    let history = red_heard(vec![bridged(2, "h"), bridged(1, "g")]);
    assert_eq!(history.faults(), ["red heard g of the group after h"]);
}

#[test]
fn invented_group_message_is_fault() {
    let all = || vec![bridged(1, "g"), bridged(2, "h")];
    let unsaid = |change: fn(&mut What)| {
        let mut more = bridged(3, "h");
        change(&mut more);
        let history = red_heard([all(), vec![more]].concat());
        history.faults()
    };
    for change in [
        (|what| part(what, "content", "{}")) as fn(&mut What),
        |what| part(what, "bridged", r#"{"server":"blue.example","seq":3}"#),
        |what| part(what, "pdu_type", "\"m.notice\""),
        |what| {
            let What::Pdu { room, .. } = what else { return };
            *room = "garden".to_owned();
        },
    ] {
        assert!(unsaid(change).contains(&"red heard red/3, which nobody said".to_owned()), "{:?}", unsaid(change));
    }
}

fn part(what: &mut What, key: &str, value: &str) {
    if let What::Pdu { parts, .. } = what {
        parts.insert(key.to_owned(), value.to_owned());
    }
}

#[test]
fn missing_form_is_told_once() {
    let told = || What::Delivery {
        message: "m".to_owned(),
        server: "gold",
        state: "refused".to_owned(),
        reason: "NO_PLAIN_FORM".to_owned(),
    };
    let with = |told: Vec<What>, formless: &[&str]| {
        let mut history = red_heard([vec![bridged(1, "g"), bridged(2, "h")], told].concat());
        history.formless = formless.iter().map(|id| ((*id).to_owned(), Some(2))).collect();
        history.faults()
    };
    assert_eq!(with(vec![told()], &["m"]), NONE);
    assert_eq!(with(vec![], &["m"]), ["red is told 0 times that m has no form for the group"]);
    assert_eq!(with(vec![told(), told()], &["m"]), ["red is told 2 times that m has no form for the group"]);
    assert_eq!(with(vec![told()], &[]), ["red is told at 3 that m is refused at gold (NO_PLAIN_FORM): why?"]);
}
