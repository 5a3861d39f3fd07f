//! A message is left out for want of room only where the peer's outbox is full. What an acknowledgement leaves there, a crash may
//! bring back.

use super::reports::{told, why};
use super::*;
use crate::history::disturbance::{Disturbance, Done};
use crate::history::stamps::moment;

#[test]
fn outbox_full_too_early_is_fault() {
    let mut history = told(delivery("red/b", "parked", "outbox_full"));
    assert_eq!(history.faults(), why("red/b", "parked", "outbox_full"), "all is acknowledged");
    for exchange in &mut history.exchanges {
        exchange.ended = None;
    }
    assert_eq!(history.faults(), NONE, "four wait, and three may");
    history.settings[0].outbox.insert("blue", 5);
    assert_eq!(history.faults(), why("red/b", "parked", "outbox_full"));
}

/// The gateway of who takes part late, on either side, may queue messages for a server before its messenger is told that it
/// has named that server.
#[test]
fn outbox_holds_messages_around_late_server() {
    let around = |(server, room): (Name, &str)| {
        let mut history = told(delivery("red/b", "parked", "outbox_full"));
        history.settings[0].outbox.insert("blue", 4);
        history.exchanges.iter_mut().for_each(|exchange| exchange.ended = None);
        history.messages[0].hearers.clear();
        history.late.insert((server, room.to_owned()));
        history
    };
    let of_red = |history: &History| {
        history.faults().into_iter().filter(|fault| fault.starts_with("red is")).collect::<Vec<_>>()
    };
    let faults = |late, change: fn(&mut History)| {
        let mut history = around(late);
        change(&mut history);
        of_red(&history)
    };
    let fault = why("red/b", "parked", "outbox_full");
    for name in ["red", "blue"] {
        assert_eq!(faults((name, "garden"), |_| ()), NONE);
        assert_eq!(faults((name, "kitchen"), |_| ()), fault, "of another room");
        assert_eq!(faults((name, "garden"), |history| history.messages[0].narrowed = true), fault, "for others alone");
        assert_eq!(faults((name, "garden"), |history| history.exchanges[0].items.clear()), fault, "never sent to blue");
        let reported = |reason: &'static str| {
            let mut history = around((name, "garden"));
            history.exchanges[0].items.clear();
            history.feeds.get_mut("red").unwrap()[7].what = delivery("red/a", "acknowledged", reason);
            of_red(&history)
        };
        assert_eq!(reported(""), NONE, "a report shows that it was in the queue");
        assert_eq!(reported("faulty"), fault, "a report shows that it was not");
    }
    assert_eq!(faults(("green", "garden"), |_| ()), fault, "neither of the two");
}

/// The gateway looks for room when the message is given to it, and its report comes with the commit.
#[test]
fn outbox_full_when_message_came_passes() {
    let faults = |given: Stamp, most: u64| {
        let mut history = told(delivery("red/c", "parked", "outbox_full"));
        history.settings[0].outbox.insert("blue", most);
        history.messages.push(Message { begun: given, hearers: hearers(&[]), ..message("red/c", 8) });
        // It is for nobody else. At 5, when v is given to the gateway, b, u and v wait for blue.
        history.exchanges[1].ended = Some((6, Outcome::Fine));
        history.faults().into_iter().filter(|fault| fault.contains("outbox_full")).collect::<Vec<_>>()
    };
    let fault = why("red/c", "parked", "outbox_full");
    assert_eq!(faults(4, 3), NONE);
    assert_eq!(faults(4, 4), fault, "three wait at most");
    assert_eq!(faults(7, 1), fault, "all was acknowledged when it came");
}

/// Red is told at the end that c is left out for want of room, and crashes at this moment. One item may wait for blue. All are
/// acknowledged, v as the last one at 6, and nothing is written after that.
fn crashes(down: Stamp) -> History {
    let mut history = told(delivery("red/c", "parked", "outbox_full"));
    history.feeds.get_mut("red").unwrap().iter_mut().for_each(|event| event.at = moment(60_000));
    history.settings[0].outbox.insert("blue", 1);
    history.disturbances.push(Disturbance { what: Done::Down("red"), from: down, until: Some(down + 1) });
    history
}

/// An acknowledgement is written with the next commit.
#[test]
fn acknowledgement_lost_by_crash_fills_outbox() {
    let faults = |down, said: Option<(Stamp, Stamp)>| {
        let mut history = crashes(down);
        let said =
            said.map(|(begun, taken)| Update { taken: Some(taken), hearers: hearers(&[]), ..update("w", begun) });
        history.updates.extend(said);
        history.faults()
    };
    let fault = why("red/c", "parked", "outbox_full");
    assert_eq!(faults(20, None), NONE);
    assert_eq!(faults(moment(60_001), None), fault, "it crashed later");
    assert_eq!(faults(20, Some((10, 15))), fault, "red has written something before it crashed");
    assert_eq!(faults(20, Some((10, 25))), NONE, "that may have been later");
}

/// An acknowledgement is written by itself if no other change is written soon.
#[test]
fn acknowledgement_before_late_crash_lasts() {
    assert_eq!(crashes(moment(500)).faults(), NONE);
    assert_eq!(crashes(moment(501)).faults(), why("red/c", "parked", "outbox_full"));
}

/// A new item that red receives is written before red answers, and the acknowledgement with it.
#[test]
fn acknowledgement_written_with_inbound_item_lasts() {
    let faults = |change: fn(&mut Exchange)| {
        let mut history = crashes(20);
        let ended = Some((15, Outcome::Fine));
        let mut came = Exchange { from: "blue", to: "red", ended, ..sent(10, &["blue/x"], 1) };
        change(&mut came);
        history.exchanges.push(came);
        history.faults()
    };
    assert_eq!(faults(|_| ()), why("red/c", "parked", "outbox_full"));
    assert_eq!(faults(|came| came.to = "green"), NONE, "it came to another");
    assert_eq!(faults(|came| came.items.clear()), NONE, "nothing came");
    assert_eq!(faults(|came| came.arrived = vec![6, 10]), NONE, "red may have written it before");
    assert_eq!(faults(|came| came.ended = Some((25, Outcome::Fine))), NONE, "red may have written it later");
    assert_eq!(faults(|came| came.answer = Some(Outcome::Wait)), NONE, "red did not take it");
    assert_eq!(faults(|came| came.refused.push(("blue/x".to_owned(), String::new()))), NONE, "red refused it");
}

#[test]
fn repeated_inbound_item_writes_nothing() {
    let faults = |first: Exchange| {
        let mut history = crashes(20);
        let came = Exchange { from: "blue", to: "red", ..sent(10, &["blue/x"], 1) };
        history.exchanges.extend([first, came]);
        history.faults()
    };
    let carried = |item| Exchange { from: "blue", to: "red", ..sent(5, &[item], 1) };
    assert_eq!(faults(carried("blue/x")), NONE, "it had come before");
    let given = |item: &str| Exchange { from: "red", to: "green", given: vec![item.to_owned()], ..sent(5, &[], 1) };
    assert_eq!(faults(given("blue/x")), NONE, "red had been given it before");
    let fault = why("red/c", "parked", "outbox_full");
    assert_eq!(faults(carried("blue/y")), fault, "another one had come");
    assert_eq!(faults(given("blue/y")), fault, "another one had been given");
}
