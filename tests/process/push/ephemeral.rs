//! Ephemeral events by push, and a messenger that rewinds.

use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver, ReceivedCall};
use reqwest::Method;

use crate::push::{PushingPair, listening, taken};

fn is_ephemeral(call: &ReceivedCall) -> bool {
    call.target.ends_with("/ephemeral")
}

impl PushingPair {
    /// Has red send an ephemeral update to blue.
    async fn type_at(&self, n: u64) {
        let body = format!(r#"{{"to":["blue"],"update":{{"update":"typing","user_id":"@a:red","n":{n}}}}}"#);
        let (status, answer) = self.red.api().call(Method::PUT, "/v1/ephemeral", &body).await.expect("an answer");
        assert_eq!(status, 204, "{answer}");
    }
}

#[tokio::test]
async fn ephemeral_events_are_posted_once() {
    let script = |call: &ReceivedCall| MessengerReply::status(if is_ephemeral(call) { 500 } else { 200 });
    let (receiver, address) = listening(PushReceiver::answering(script)).await;
    let pair = PushingPair::start(address, &["messenger.push.secret=a secret"]).await;
    pair.type_at(1).await;
    let calls = receiver.until("the ephemeral event", |calls| calls.iter().any(is_ephemeral)).await;
    let call = calls.iter().find(|call| is_ephemeral(call)).expect("there");
    assert_eq!(call.target, "POST /fernpost/ephemeral");
    let event = &call.events()[0];
    assert_eq!(
        (&event["kind"], &event["from"], &event["update"]["n"]),
        (&"ephemeral".into(), &"red".into(), &1.into())
    );
    assert!(event["position"].is_null() && call.header("webhook-signature").is_some());
    // It was refused, and does not come again; its end does.
    pair.type_at(2).await;
    let texts = |calls: &[ReceivedCall]| {
        let events = calls.iter().filter(|call| is_ephemeral(call)).flat_map(ReceivedCall::events);
        events.map(|event| event["update"]["n"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    let calls = receiver.until("the second one", |calls| texts(calls).contains(&2)).await;
    assert_eq!(texts(&calls), [1, 2]);
    let metrics = reqwest::get(format!("http://{}/metrics", pair.blue.admin)).await.expect("an answer");
    let metrics = metrics.text().await.expect("a text");
    assert!(metrics.contains("\nfernpost_streams 0\n"), "{metrics}");
    let first = "\nfernpost_ephemeral_dropped_total{reason=\"not_taken\"} 1\n";
    assert!(metrics.contains(first) || metrics.contains(&first.replace('1', "2")), "{metrics}");
}

#[tokio::test]
async fn ephemeral_events_wait_for_transactions() {
    let script = |call: &ReceivedCall| MessengerReply::status(if call.is_transaction() { 503 } else { 200 });
    let (receiver, address) = listening(PushReceiver::answering(script)).await;
    let pair = PushingPair::start(address, &[]).await;
    pair.say(1, 1).await;
    receiver.transactions(2).await;
    for n in 1..=3 {
        pair.type_at(n).await;
    }
    // The updates of red are in order, so blue has the ephemeral ones when it has this.
    pair.say(2, 1).await;
    pair.fed(2).await;
    let calls = receiver.transactions(4).await;
    assert!(!calls.iter().any(is_ephemeral));
    receiver.answer(|_| MessengerReply::taken());
    let calls = receiver.until("the last one", |calls| calls.iter().any(is_ephemeral)).await;
    let call = calls.iter().find(|call| is_ephemeral(call)).expect("there");
    assert_eq!(call.events().len(), 1, "of one subject only the newest: {}", call.body);
    assert_eq!(call.events()[0]["update"]["n"], 3);
}

#[tokio::test]
async fn rewind_pushes_again_from_position() {
    let (receiver, address) = listening(PushReceiver::taking()).await;
    let pair = PushingPair::start(address, &[]).await;
    pair.say(1, 6).await;
    receiver.acknowledged(6).await;
    pair.nothing_unread().await;
    let rewind = |to: u64| {
        let api = pair.blue.api();
        async move { api.call(Method::POST, "/v1/events/rewind", &format!("{{\"to\":{to}}}")).await.expect("an answer").0 }
    };
    let before = receiver.transactions(1).await;
    assert_eq!(rewind(2).await, 204);
    let again = |calls: &[ReceivedCall]| taken(calls).iter().filter(|position| **position == 6).count() == 2;
    let calls = receiver.until("the events again", |calls| again(&transactions(calls))).await;
    assert_eq!(taken(&transactions(&calls))[6..], [3, 4, 5, 6]);
    assert!(before.iter().all(|call| call.target != calls.last().expect("a call").target), "under new ids");
    assert_eq!(rewind(7).await, 422);

    // The answer to a batch in flight moves nothing.
    receiver.answer(|call| match call.is_transaction() {
        true => MessengerReply::Late(std::time::Duration::from_millis(300)),
        false => MessengerReply::taken(),
    });
    pair.say(7, 1).await;
    let is_in_flight =
        |calls: &[ReceivedCall]| calls.iter().any(|call| call.is_transaction() && call.positions() == [7]);
    receiver.until("the batch in flight", is_in_flight).await;
    assert_eq!(rewind(5).await, 204);
    let is_last = |calls: &[ReceivedCall]| {
        transactions(calls).last().is_some_and(|call| call.positions() == [6, 7] && call.is_acknowledged)
    };
    receiver.until("both again", is_last).await;
    pair.nothing_unread().await;
    assert!(!receiver.overlapped());
}

fn transactions(calls: &[ReceivedCall]) -> Vec<ReceivedCall> {
    calls.iter().filter(|call| call.is_transaction()).cloned().collect()
}
