//! No item is heard twice, invented or changed.

use super::*;
use crate::history::View;

#[test]
fn invented_message_is_fault() {
    let history = heard_all_and(vec![pdu("red/c", &[]), got("w", 3)]);
    assert_eq!(
        history.faults(),
        ["blue heard red/c, which nobody said", "blue got w from red, which it did not say to it"]
    );
}

#[test]
fn changed_content_is_fault() {
    let mut history = whole();
    history.messages[0].parts.insert("content".to_owned(), r#"{"text":1.5}"#.to_owned());
    let fault = r#"blue heard content of red/a as Some("{\"text\":1.50}"), said was {"text":1.5}"#;
    assert_eq!(history.faults(), [fault]);
}

#[test]
fn added_key_is_fault() {
    let mut history = whole();
    for said in &mut history.messages {
        said.parts.remove("pdu_type");
    }
    let faults = ["red/a", "red/b"].map(|pdu| format!("blue heard pdu_type of {pdu}, which was not said"));
    assert_eq!(history.faults(), faults);
}

#[test]
fn changed_update_is_fault() {
    let mut history = whole();
    history.updates[0].text = r#"{"token" : "u"}"#.to_owned();
    assert_eq!(history.faults(), [r#"blue got u as {"token":"u"}, and not as {"token" : "u"}"#]);
}

#[test]
fn changed_quarantined_message_is_fault() {
    let parked = |text: &str| What::Parked {
        from: "red",
        pdu: Some("red/a".to_owned()),
        code: "NOT_A_PARTICIPANT".to_owned(),
        text: text.to_owned(),
    };
    let faults = |text: &str| {
        let mut history = heard_all_and(vec![parked(text)]);
        history.named.clear();
        history.faults()
    };
    assert_eq!(faults(r#"{"pdu_id":"a","content":{"text":1.50}}"#), NONE);
    let changed = r#"{"pdu_id":"a","content":{"text":1.5}}"#;
    assert_eq!(faults(changed), [format!(r#"blue has red/a in quarantine as {changed}, said was {{"text":1.50}}"#)]);
}

#[test]
fn servers_with_different_texts_are_fault() {
    let view = |replaced: &str| {
        let mut parts = parts();
        parts.insert("prev_state_id".to_owned(), replaced.to_owned());
        View { server: "red", room: "garden".to_owned(), pdus: [("red/a".to_owned(), parts)].into(), ..View::default() }
    };
    let mut history = whole();
    history.views = vec![view("\"x\"")];
    let faults = history.faults();
    assert!(faults.len() == 1 && faults[0].starts_with("blue has red/a as {"), "{faults:?}");
}

#[test]
fn message_for_others_is_fault() {
    let mut history = whole();
    history.messages[0].hearers = hearers(&["green"]);
    history.messages[0].narrowed = true;
    if let What::Pdu { parts, .. } = &mut history.feeds.get_mut("blue").unwrap()[0].what {
        parts.insert("to".to_owned(), r#"["green.example","red.example"]"#.to_owned());
    }
    history.messages[1].taken = None;
    assert_eq!(history.faults(), ["blue heard red/a, which was not for it", "blue heard red/b, which was never taken"]);
}

#[test]
fn untaken_message_after_restore_passes() {
    let faults = |copied, restored| {
        let mut history = whole();
        history.messages[1].taken = None;
        history.restores.push(restore("red", copied, restored));
        history.faults()
    };
    assert_eq!(faults(0, 10), NONE);
    assert_eq!(faults(0, 1), ["blue heard red/b, which was never taken"], "it was said after that");
}

#[test]
fn own_message_without_restore_is_fault() {
    let faults = |restores| {
        let mut history = whole();
        history.feeds.insert("red", feed(vec![pdu("red/a", &[])]));
        history.restores = restores;
        history.faults().into_iter().filter(|fault| fault.starts_with("red")).collect::<Vec<_>>()
    };
    assert_eq!(faults(vec![]), ["red heard red/a, which is its own"]);
    assert_eq!(faults(vec![restore("red", 5, 9)]), ["red heard red/a, which is its own"], "the copy has it");
    assert_eq!(faults(vec![restore("red", 0, 9)]), NONE);
}

#[test]
fn message_in_wrong_room_is_fault() {
    let mut history = whole();
    history.messages[0].room = "kitchen".to_owned();
    assert_eq!(history.faults(), ["blue heard red/a in garden"]);
}

#[test]
fn wrong_list_of_hearers_is_fault() {
    let faults = |to: Option<&str>, narrowed| {
        let mut history = whole();
        history.messages[0].narrowed = narrowed;
        if let What::Pdu { parts, .. } = &mut history.feeds.get_mut("blue").unwrap()[0].what {
            parts.extend(to.map(|to| ("to".to_owned(), to.to_owned())));
        }
        history.faults()
    };
    let both = r#"["blue.example","red.example"]"#;
    assert_eq!(faults(Some(both), true), NONE);
    for (to, narrowed) in [(Some(r#"["blue.example"]"#), true), (Some(both), false), (None, true)] {
        let stated = to.unwrap_or("everybody");
        assert_eq!(faults(to, narrowed), [format!("blue heard that red/a is for {stated}, said was {{\"blue\"}}")]);
    }
}

#[test]
fn repeat_is_fault() {
    let history = heard_all_and(vec![pdu("red/a", &[]), got("u", 3), got("v", 3)]);
    assert_eq!(
        history.faults(),
        [
            "blue heard red/a twice",
            "blue got u twice",
            "blue got v twice",
            "blue has the id red#3 twice",
            "blue has red#3 out of turn",
            "blue got u after v"
        ]
    );
}

/// A messenger that reads on hears again what the lost disk had given it, and nothing else.
#[test]
fn lost_events_heard_again_pass() {
    let faults = |tail| {
        let mut history = whole();
        let jump = tail + crate::checker::RESTORED_ABOVE;
        let again = [(1, What::Notice { about: None }), (2, pdu("red/b", &["red/a"])), (3, got("v", 9))];
        let events = again.map(|(k, what)| Event { position: jump + k, at: 20, wall: 0, what });
        history.feeds.get_mut("blue").unwrap().extend(events);
        history.restores.push(Restore { tail, reads_on: true, ..restore("blue", 3, 10) });
        history.faults()
    };
    assert_eq!(faults(2), NONE);
    assert_eq!(faults(3), ["blue heard red/b twice"]);
}
