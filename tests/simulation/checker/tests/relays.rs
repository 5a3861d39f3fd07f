//! Relayed items have their causes.

use super::*;
use crate::history::exchange::Forward;

fn forward(hops: u64) -> Forward {
    let word = str::to_owned;
    Forward { origin: word("red"), destination: word("blue"), id: word("0190"), hops, item: word("v") }
}

/// Green passes on to blue what red gave it, because red could not reach blue; blue has v from it.
fn relayed() -> History {
    let mut history = whole();
    history.settings[0].routes.insert("blue", ["green"].into());
    history.settings.push(Settings { relays: true, ..settings("green", "blue") });
    let failed =
        Exchange { ended: Some((5, Outcome::Unreachable)), answer: None, arrived: vec![], ..sent(5, &["v"], 4) };
    let given = Exchange { to: "green", forwards: vec![forward(1)], ..sent(6, &["red>blue:v"], 1) };
    let passed_on = Exchange { from: "green", forwards: vec![forward(2)], ..sent(7, &["v"], 1) };
    history.exchanges.truncate(2);
    history.exchanges.extend([failed, given, passed_on]);
    history
}

const GIVEN: &str = "red sends red>blue:v to green (1 hops): why?";
const PASSED_ON: &str = "green sends red>blue:v to blue (2 hops): why?";

#[test]
fn relayed_update_has_no_fault() {
    assert_eq!(relayed().faults(), NONE);
}

#[test]
fn relay_beside_route_is_fault() {
    let mut history = relayed();
    history.settings[0].routes.clear();
    assert_eq!(history.faults(), [GIVEN]);
    history.settings[0].routes.insert("blue", ["grey"].into());
    assert_eq!(history.faults(), [GIVEN]);
}

#[test]
fn relay_to_reachable_server_is_fault() {
    let mut history = relayed();
    history.exchanges[2].ended = Some((5, Outcome::Wait));
    assert_eq!(history.faults(), [GIVEN]);
    history.exchanges[2].ended = Some((7, Outcome::Failed));
    assert_eq!(history.faults(), [GIVEN], "it failed later");
}

#[test]
fn forbidden_relay_is_fault() {
    let mut history = relayed();
    history.settings[2].relays = false;
    assert_eq!(history.faults(), [PASSED_ON]);
}

#[test]
fn invented_forward_is_fault() {
    let mut history = relayed();
    history.exchanges[3].begun = 8;
    assert_eq!(history.faults(), [PASSED_ON], "it was given later");
    for change in [
        (|forward| forward.id = "0191".to_owned()) as fn(&mut Forward),
        |forward| forward.hops = 3,
        |forward| forward.destination = "grey".to_owned(),
    ] {
        let mut history = relayed();
        change(&mut history.exchanges[4].forwards[0]);
        assert_eq!(history.faults().len(), 1, "{:?}", history.exchanges[4]);
    }
}

/// Green passes on red/b in a transaction, because red asked for that.
fn passed_on_in_transaction() -> History {
    let mut history = relayed();
    history.exchanges.truncate(3);
    let (kind, relay_to) = (Kind::Transaction, vec!["blue".to_owned()]);
    let given = Exchange { to: "green", relay_to, kind: kind.clone(), ..sent(6, &["red/b"], 1) };
    let passed_on = Exchange { from: "green", kind, ..sent(7, &["red/b"], 1) };
    history.exchanges.extend([given, passed_on]);
    history
}

#[test]
fn unasked_relay_is_fault() {
    let fault = ["green passes red/b on to blue, and was not asked to"];
    assert_eq!(passed_on_in_transaction().faults(), NONE);
    let mut history = passed_on_in_transaction();
    history.exchanges[3].relay_to = vec!["grey".to_owned()];
    assert_eq!(history.faults(), fault);
    let mut history = passed_on_in_transaction();
    history.exchanges[3].begun = 8;
    assert_eq!(history.faults(), fault, "asked later");
    let mut history = passed_on_in_transaction();
    history.settings[2].relays = false;
    assert_eq!(history.faults(), fault);
    let mut history = passed_on_in_transaction();
    history.exchanges[3].items = vec!["red/a".to_owned()];
    assert_eq!(history.faults(), fault, "another one");
}

#[test]
fn bad_forward_has_cause() {
    let parked = |code: &str| {
        let mut history = relayed();
        let text = r#"{"update":"forward","origin":"red.example","destination":"blue.example"}"#.to_owned();
        let what = What::Parked { from: "green", pdu: None, code: code.to_owned(), text };
        let mut heard: Vec<What> = history.feed("blue").cloned().collect();
        heard.push(what);
        history.feeds.insert("blue", feed(heard));
        history
    };
    let fault = |code| [format!("blue is told that None of green lies in quarantine ({code}): why?")];
    let mut history = parked("BAD_FORWARD");
    assert_eq!(history.faults(), fault("BAD_FORWARD"));
    history.jumps.push(("grey", 1));
    assert_eq!(history.faults(), fault("BAD_FORWARD"), "the clock of somebody else");
    history.jumps[0] = ("red", 6);
    assert_eq!(history.faults(), fault("BAD_FORWARD"), "later");
    for name in ["red", "blue"] {
        history.jumps[0] = (name, 4);
        assert_eq!(history.faults(), NONE);
    }
    let mut history = parked("KEYS_UNKNOWN");
    assert_eq!(history.faults(), fault("KEYS_UNKNOWN"));
    history.settings.insert(0, Settings { keep: BTreeMap::new(), ..settings("blue", "red") });
    assert_eq!(history.faults(), NONE);
    assert_eq!(parked("BAD_SIGNATURE").faults(), fault("BAD_SIGNATURE"));
}

/// Items that the relay is to pass on fill its queue as well.
#[test]
fn relayed_items_fill_queue() {
    let told = |outbox: u64| {
        let mut history = relayed();
        history.settings[0].outbox.insert("green", outbox);
        history.settings[0].keep.insert("green", 5_000);
        let what = What::Delivery {
            message: "v".to_owned(),
            server: "green",
            state: "parked".to_owned(),
            reason: "outbox_full".to_owned(),
        };
        history.feeds.insert("red", feed(vec![What::Notice { about: None }, What::Notice { about: None }, what]));
        history.faults().len()
    };
    assert_eq!((told(3), told(4)), (0, 1), "three items for blue were said before");
}

/// A relay excuses neither a loss nor a double nor another order.
#[test]
fn relayed_updates_keep_every_promise() {
    let with = |heard: Vec<What>| {
        let mut history = relayed();
        history.feeds.insert("blue", feed(heard));
        history.faults()
    };
    let (first, second) = (pdu("red/a", &[]), pdu("red/b", &["red/a"]));
    let lost = with(vec![first.clone(), got("u", 1), second.clone()]);
    assert_eq!(lost, ["blue never got v from red"]);
    let turned = with(vec![first.clone(), got("v", 1), second.clone(), got("u", 2)]);
    assert_eq!(turned, ["blue got u after v"]);
    let twice = with(vec![first, got("u", 1), second, got("v", 2), got("v", 3)]);
    assert_eq!(twice, ["blue got v twice"]);
}
