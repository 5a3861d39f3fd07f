//! Either side dies: nothing is lost, nothing is out of order, and only what was not acknowledged on disk comes again.

use std::collections::BTreeMap;
use std::time::Duration;

use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver, ReceivedCall};

use crate::push::{PushingPair, listening};

/// Checks that each run goes on from the feed's order, and that the events of a position are the same in all runs.
fn assert_complete(calls: &[ReceivedCall], last: u64) {
    let mut next = 1;
    let mut seen: BTreeMap<u64, String> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.is_acknowledged) {
        for event in call.events() {
            let position = event["position"].as_u64().expect("a position");
            assert!(position <= next, "{position} after {}", next - 1);
            next = next.max(position + 1);
            let text = event.to_string();
            assert_eq!(*seen.entry(position).or_insert_with(|| text.clone()), text, "the same event");
            assert_eq!(event["update"]["text"], position.to_string());
        }
    }
    assert_eq!(next, last + 1, "nothing is lost");
}

#[tokio::test]
async fn sigkill_repeats_without_loss() {
    let (receiver, address) = listening(PushReceiver::taking()).await;
    let url = format!("http://{address}");
    let mut pair = PushingPair::start_to(&url, &["messenger.push.batch_items=10"]).await;
    for round in 0..4 {
        pair.say(round * 500 + 1, 500).await;
        receiver.acknowledged(round * 500 + 150).await;
        drop(pair.blue.kill());
        pair.start_blue(&url, &["messenger.push.batch_items=10"]).await;
    }
    let calls = receiver.acknowledged(2_000).await;
    assert_complete(&calls, 2_000);
    let mut bodies: BTreeMap<&str, &str> = BTreeMap::new();
    for call in &calls {
        assert_eq!(*bodies.entry(&call.target).or_insert(&call.body), call.body, "no id has two bodies");
    }
    assert!(!receiver.overlapped());
}

#[tokio::test]
async fn receiver_that_dies_gets_the_rest() {
    let (mut receiver, address) = listening(PushReceiver::taking()).await;
    let pair = PushingPair::start(address, &["messenger.push.batch_items=20"]).await;
    pair.say(1, 1_000).await;
    for position in [100, 300, 500] {
        receiver.acknowledged(position).await;
        receiver.stop().await;
        receiver.listen_at(address).await;
    }
    let calls = receiver.acknowledged(1_000).await;
    assert_complete(&calls, 1_000);
    pair.nothing_unread().await;
}

#[tokio::test]
async fn acknowledged_batch_stays_acknowledged() {
    let (receiver, address) = listening(PushReceiver::taking()).await;
    let url = format!("http://{address}");
    let mut pair = PushingPair::start_to(&url, &[]).await;
    pair.say(1, 5).await;
    receiver.acknowledged(5).await;
    // The acknowledgement is on disk within a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(pair.blue.kill());
    receiver.answer(|_| MessengerReply::taken());
    pair.start_blue(&url, &[]).await;
    pair.say(6, 1).await;
    let calls = receiver.acknowledged(6).await;
    let last = calls.last().expect("a call");
    assert_eq!(last.positions(), [6], "the others do not come again");
}

#[tokio::test]
async fn stop_waits_for_answer_in_flight() {
    let (receiver, address) = listening(PushReceiver::taking()).await;
    let url = format!("http://{address}");
    let mut pair = PushingPair::start_to(&url, &[]).await;
    receiver.answer(|call| match call.is_transaction() {
        true => MessengerReply::Late(Duration::from_millis(500)),
        false => MessengerReply::taken(),
    });
    pair.say(1, 1).await;
    receiver.transactions(1).await;
    pair.blue.process().term();
    pair.blue.process().ended().await;
    receiver.answer(|_| MessengerReply::taken());
    pair.start_blue(&url, &[]).await;
    pair.say(2, 1).await;
    let calls = receiver.acknowledged(2).await;
    assert_eq!(calls.iter().map(ReceivedCall::positions).collect::<Vec<_>>(), [vec![1], vec![2]]);
}
