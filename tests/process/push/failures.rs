//! A messenger that is down, slow, or does not take what it is sent.

use std::collections::HashSet;

use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver, ReceivedCall};
use reqwest::Method;
use serde_json::json;

use crate::push::{PushingPair, listening, sizes, taken};

/// Answers the first transactions in this order, and takes all others.
fn first(replies: Vec<MessengerReply>) -> impl FnMut(&ReceivedCall) -> MessengerReply + Send {
    let mut replies = replies.into_iter();
    move |call| match call.is_transaction() {
        true => replies.next().unwrap_or_else(MessengerReply::taken),
        false => MessengerReply::taken(),
    }
}

/// Refuses batches that contain one of these positions.
fn unless(positions: &[u64], reply: MessengerReply) -> impl FnMut(&ReceivedCall) -> MessengerReply + Send + use<> {
    let positions = positions.to_vec();
    move |call| {
        let is_hit = call.is_transaction() && call.positions().iter().any(|position| positions.contains(position));
        if is_hit { reply.clone() } else { MessengerReply::taken() }
    }
}

#[tokio::test]
async fn retry_sends_the_same_bytes() {
    let replies = vec![
        MessengerReply::status(503),
        MessengerReply::status(500),
        MessengerReply::status(404),
        MessengerReply::status(302),
        MessengerReply::RetryAfter(0),
        MessengerReply::CutOff("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"refu"),
        MessengerReply::CutOff("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        MessengerReply::CutOff("HTTP/1.1 20"),
        MessengerReply::CutOff(""),
        MessengerReply::Silent,
    ];
    let (receiver, address) = listening(PushReceiver::answering(first(replies.clone()))).await;
    let overrides = ["messenger.push.timeout=300ms", "messenger.push.secret=a secret"];
    let pair = PushingPair::start(address, &overrides).await;
    pair.say(1, 1).await;
    let calls = receiver.acknowledged(1).await;
    assert_eq!(calls.len(), replies.len() + 1);
    for again in &calls[1..] {
        assert_eq!((&again.target, &again.body), (&calls[0].target, &calls[0].body));
        assert_eq!(again.header("webhook-id"), calls[0].header("webhook-id"));
    }
    assert!(!receiver.overlapped(), "the attempt that timed out was closed before the next");
    pair.nothing_unread().await;
}

#[tokio::test]
async fn odd_success_acknowledges_all() {
    let odd = ["", "OK", "[1]", r#"{"refused":[{"position":99,"reason":"?"}]}"#];
    let mut replies: Vec<_> = odd.map(|body| MessengerReply::Status(200, body.to_owned())).into();
    replies.push(MessengerReply::Status(202, "x".repeat((1 << 20) + 1)));
    replies.push(MessengerReply::status(204));
    let (receiver, address) = listening(PushReceiver::answering(first(replies))).await;
    let mut pair = PushingPair::start(address, &["messenger.push.batch_items=1"]).await;
    pair.say(1, 6).await;
    let calls = receiver.acknowledged(6).await;
    assert_eq!(taken(&calls), [1, 2, 3, 4, 5, 6]);
    pair.nothing_unread().await;
    let log = pair.blue.kill();
    assert_eq!(log.matches("part of its answer has no meaning").count(), 4, "{log}");
}

#[tokio::test]
async fn refused_events_do_not_stop_others() {
    for status in [400, 422] {
        let poison = [7, 30, 31];
        let script = unless(&poison, MessengerReply::Status(status, "who is that?".into()));
        let (receiver, address) = listening(PushReceiver::answering(script)).await;
        let mut pair = PushingPair::start(address, &[]).await;
        pair.say(1, 40).await;
        let calls = receiver.acknowledged(40).await;
        let expected: Vec<u64> = (1..=40).filter(|position| !poison.contains(position)).collect();
        assert_eq!(taken(&calls), expected, "in order, each once");
        let bodies: HashSet<(&str, &str)> = calls.iter().map(|call| (&*call.target, &*call.body)).collect();
        let ids: HashSet<&str> = calls.iter().map(|call| &*call.target).collect();
        assert_eq!(bodies.len(), ids.len(), "no id has two bodies");
        pair.nothing_unread().await;
        let line = pair.blue.process().says("the messenger refuses an event").await;
        assert!(line.contains("position=7") && line.contains("who is that?"), "{line}");
    }
}

#[tokio::test]
async fn events_refused_by_name_are_parked() {
    let script = |call: &ReceivedCall| {
        let refused: Vec<_> = match call.is_transaction() {
            true => call.positions().into_iter().filter(|position| position % 10 == 0).collect(),
            false => vec![],
        };
        let refused: Vec<_> = refused.iter().map(|position| json!({"position": position, "reason": "ten"})).collect();
        MessengerReply::Status(200, json!({ "refused": refused }).to_string())
    };
    let (receiver, address) = listening(PushReceiver::answering(script)).await;
    let mut pair = PushingPair::start(address, &[]).await;
    pair.say(1, 100).await;
    let calls = receiver.acknowledged(100).await;
    assert_eq!(taken(&calls), (1..=100).collect::<Vec<_>>(), "none comes again");
    pair.nothing_unread().await;
    let log = pair.blue.kill();
    assert_eq!(log.matches("the messenger refuses an event").count(), 10, "{log}");
}

#[tokio::test]
async fn too_large_batches_are_halved() {
    let script = |call: &ReceivedCall| match call.is_transaction() && call.body.len() > 3_000 {
        true => MessengerReply::status(413),
        false => MessengerReply::taken(),
    };
    let (receiver, address) = listening(PushReceiver::answering(script)).await;
    let pair = PushingPair::start(address, &[]).await;
    pair.say(1, 200).await;
    let calls = receiver.acknowledged(200).await;
    assert_eq!(taken(&calls), (1..=200).collect::<Vec<_>>());
    assert!(sizes(&calls).iter().any(|size| *size > 1));
}

#[tokio::test]
async fn failing_event_is_parked_after_attempts() {
    let script = unless(&[2], MessengerReply::status(500));
    let (receiver, address) = listening(PushReceiver::answering(script)).await;
    let pair = PushingPair::start(address, &["messenger.push.poison_after=2"]).await;
    pair.say(1, 3).await;
    let calls = receiver.acknowledged(3).await;
    assert_eq!(taken(&calls), [1, 3]);
    pair.nothing_unread().await;
}

#[tokio::test]
async fn messenger_that_fails_everything_keeps_events() {
    let script = |call: &ReceivedCall| MessengerReply::status(if call.is_transaction() { 500 } else { 200 });
    let (receiver, address) = listening(PushReceiver::answering(script)).await;
    let mut pair = PushingPair::start(address, &["messenger.push.poison_after=1"]).await;
    pair.say(1, 9).await;
    let line = pair.blue.process().says("the messenger fails at this event for ever").await;
    assert!(line.contains("position=4"), "three were parked: {line}");
    receiver.answer(|_| MessengerReply::taken());
    let calls = receiver.acknowledged(9).await;
    assert_eq!(taken(&calls), [4, 5, 6, 7, 8, 9]);
    pair.blue.process().says("the messenger takes events again").await;
}

#[tokio::test]
async fn ping_ends_the_wait() {
    let script = |call: &ReceivedCall| MessengerReply::status(if call.is_transaction() { 503 } else { 200 });
    let (receiver, address) = listening(PushReceiver::answering(script)).await;
    let slow = ["messenger.push.backoff_min=1h", "messenger.push.backoff_max=1h"];
    let pair = PushingPair::start(address, &slow).await;
    pair.say(1, 1).await;
    assert_eq!(receiver.transactions(1).await.len(), 1);
    receiver.answer(|_| MessengerReply::taken());
    pair.blue.api().call(Method::POST, "/v1/ping", "").await.expect("an answer");
    let calls = receiver.acknowledged(1).await;
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].body, calls[1].body);
}
