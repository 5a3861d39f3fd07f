//! Receipts have their causes, come once, and come in the end.

use super::reports::{told, why};
use super::*;

/// Red and blue have receipts for each other, red asked about v, and blue's messenger has acknowledged it at 7.
fn with_receipts(mut history: History) -> History {
    history.settings[0].receipts.insert("blue");
    history.settings[1].receipts.insert("red");
    history.asked.insert("v".to_owned());
    history.acknowledged.insert(("blue", "v".to_owned()), 7);
    history
}

fn refused(mut history: History) -> History {
    history.unwanted.insert(("blue", "v".to_owned()));
    history
}

#[test]
fn receipt_without_acknowledgement_is_fault() {
    let mut history = with_receipts(told(delivery("v", "delivered", "")));
    assert_eq!(history.faults(), NONE);
    history.acknowledged.insert(("blue", "v".to_owned()), 10);
    assert_eq!(history.faults(), why("v", "delivered", ""), "acknowledged later");
    history.acknowledged.clear();
    history.acknowledged.insert(("blue", "u".to_owned()), 7);
    assert_eq!(history.faults(), why("v", "delivered", ""), "another item");
}

#[test]
fn unasked_receipt_is_fault() {
    let mut history = with_receipts(told(delivery("v", "delivered", "")));
    history.asked.clear();
    assert_eq!(history.faults(), why("v", "delivered", ""));
}

#[test]
fn receipt_without_setting_is_fault() {
    for side in 0..2 {
        let mut history = with_receipts(told(delivery("v", "delivered", "")));
        history.settings[side].receipts.clear();
        assert_eq!(history.faults(), why("v", "delivered", ""));
    }
}

/// A submission of several updates is delivered with the last of them.
#[test]
fn receipt_of_half_is_fault() {
    let mut history = with_receipts(told(delivery("u", "delivered", "")));
    history.asked = ["u".to_owned()].into();
    history.updates[1].submission = "u".to_owned();
    assert_eq!(history.faults(), NONE);
    history.acknowledged = [(("blue", "u".to_owned()), 7)].into();
    assert_eq!(history.faults(), why("u", "delivered", ""));
}

#[test]
fn repeated_receipt_is_fault() {
    let mut history = with_receipts(told(delivery("v", "delivered", "")));
    let again = Event { position: 10, at: 10, wall: 10_000, what: delivery("v", "delivered", "") };
    history.feeds.get_mut("red").expect("red's").push(again);
    assert_eq!(history.faults(), ["red is told 2 times that v is delivered at blue"]);
}

#[test]
fn receipt_of_lost_disk_is_repeated() {
    let mut history = with_receipts(told(delivery("v", "delivered", "")));
    let restored = Restore { tail: 8, reads_on: true, ..restore("red", 8, 10) };
    history.restores.push(restored);
    let feed = history.feeds.get_mut("red").expect("red's");
    let place = 8 + crate::checker::RESTORED_ABOVE;
    feed.push(Event { position: place, at: 11, wall: 11_000, what: What::Notice { about: None } });
    feed.push(Event { position: place + 1, at: 12, wall: 12_000, what: delivery("v", "delivered", "") });
    assert_eq!(history.faults(), NONE);
    history.restores[0].reads_on = false;
    assert_eq!(history.faults(), ["red is told 2 times that v is delivered at blue"]);
}

#[test]
fn missing_receipt_is_fault() {
    let missing = ["red is never told that blue has v"];
    assert_eq!(with_receipts(whole()).faults(), missing);
    let mut history = with_receipts(whole());
    history.acknowledged.clear();
    assert_eq!(history.faults(), NONE, "the messenger has not acknowledged it");
    for side in 0..2 {
        let mut history = with_receipts(whole());
        history.settings[side].receipts.clear();
        assert_eq!(history.faults(), NONE, "one of them has no receipts");
    }
    let mut history = with_receipts(whole());
    history.settings[0].trimmed.insert("blue");
    assert_eq!(history.faults(), NONE, "the item is forgotten before");
    let mut history = with_receipts(whole());
    history.settings[0].transactions.insert("blue");
    assert_eq!(history.faults(), NONE, "its number means nothing any more");
    history.asked.insert("red/b".to_owned());
    history.acknowledged.insert(("blue", "red/b".to_owned()), 7);
    assert_eq!(history.faults(), ["red is never told that blue has red/b"]);
}

/// A receipt that a lost disk was told is not told again, and a number of before the restore is not believed.
#[test]
fn restore_excuses_missing_receipt() {
    let mut history = with_receipts(whole());
    history.restores.push(Restore { tail: 8, reads_on: true, ..restore("red", 8, 10) });
    let mut missing = vec![];
    history.receipts_told(&mut missing);
    assert_eq!(missing, NONE);
    // One before the submission excuses nothing.
    history.restores[0] = Restore { tail: 0, reads_on: true, ..restore("red", 0, 1) };
    history.receipts_told(&mut missing);
    assert_eq!(missing, ["red is never told that blue has v"]);
}

#[test]
fn lost_numbers_excuse_missing_receipt() {
    let mut history = with_receipts(whole());
    let place = history.feeds.get("red").expect("red's").len() as u64 + 1;
    let notice = Event { position: place, at: 9, wall: 9_000, what: What::Notice { about: Some("blue") } };
    history.feeds.get_mut("red").expect("red's").push(notice);
    let mut missing = vec![];
    history.receipts_told(&mut missing);
    assert_eq!(missing, ["red is never told that blue has v"], "blue has lost nothing, and has not lied");
    history.restores.push(restore("blue", 8, 10));
    let mut missing = vec![];
    history.receipts_told(&mut missing);
    assert_eq!(missing, NONE);
}

#[test]
fn other_report_excuses_missing_receipt() {
    let mut history = with_receipts(told(delivery("v", "expired", "keep")));
    assert_eq!(history.faults(), NONE);
    let reason = "POISON: it lies in the quarantine of blue.example";
    history.feeds.insert("red", feed(vec![delivery("v", "parked", reason)]));
    let mut missing = vec![];
    history.receipts_told(&mut missing);
    assert_eq!(missing, NONE, "it may be released there, or never");
    history.feeds.insert("red", vec![]);
    history.dropped.insert("v".to_owned(), vec![6]);
    assert_eq!(history.faults(), NONE);
}

/// A fetched item is history, and nobody waits for a receipt of it.
#[test]
fn history_needs_no_receipt() {
    let mut history = with_receipts(whole());
    history.asked = ["red/b".to_owned()].into();
    history.acknowledged.insert(("blue", "red/b".to_owned()), 7);
    assert_eq!(history.faults(), ["red is never told that blue has red/b"]);
    let mut missing = vec![];
    for event in history.feeds.get_mut("blue").expect("blue's") {
        if let What::Pdu { history, .. } = &mut event.what {
            *history = true;
        }
    }
    history.receipts_told(&mut missing);
    assert_eq!(missing, NONE);
}

#[test]
fn refusal_is_told_with_cause() {
    let mut history = refused(with_receipts(told(delivery("v", "rejected", "unwanted"))));
    assert_eq!(history.faults(), NONE);
    history.unwanted.clear();
    let not_told = "red is never told that blue has v".to_owned();
    let mut faults = why("v", "rejected", "unwanted");
    faults.extend(["red is told 1 times that v is rejected at blue".to_owned(), not_told]);
    assert_eq!(history.faults(), faults);
    assert_eq!(refused(with_receipts(whole())).faults(), ["red is never told that blue refuses v"]);
    let delivered = refused(with_receipts(told(delivery("v", "delivered", ""))));
    let mut faults = why("v", "delivered", "");
    faults.push("red is never told that blue refuses v".to_owned());
    assert_eq!(delivered.faults(), faults);
}

/// An item that a messenger refused has arrived: that it was refused does not excuse that it is missing.
#[test]
fn refusal_excuses_no_loss() {
    let mut history = refused(with_receipts(told(delivery("v", "rejected", "unwanted"))));
    history.feeds.get_mut("blue").expect("blue's").pop();
    assert_eq!(history.faults(), ["blue never got v from red"]);
    history.feeds.insert("red", feed(vec![delivery("v", "delivered", ""); 1]));
    history.unwanted.clear();
    history.acknowledged.insert(("blue", "v".to_owned()), 0);
    assert_eq!(history.faults(), ["blue never got v from red"]);
}
