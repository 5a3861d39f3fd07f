//! Calls under way: their limits, askers that leave, and a stop.

use std::time::Duration;

use ::fixtures::receivers::push_receiver::MessengerReply;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fixtures::process::soon;
use crate::rpc::{CallAnswer, CallingPair, SOON_CLOSED, answering, counted, json, of_red, refused, to_peer};

#[tokio::test]
async fn calls_of_peer_are_bounded() {
    let pair = CallingPair::start(MessengerReply::Silent, &["peers.default.rpc_max=2", "rpc.max=3"]).await;
    let mut open = JoinSet::new();
    for _ in 0..2 {
        open.spawn(of_red(pair.blue.federation, "{}").send());
    }
    pair.messenger.rpcs(2).await;
    let answer = CallAnswer::to(of_red(pair.blue.federation, "{}")).await;
    assert_eq!((answer.refusal(), answer.retry_after), (refused(429, "RPC_BUSY"), Some(1)), "{}", answer.text);
    assert!(answer.text.contains("peers.rpc_max is reached (2)"), "{}", answer.text);
    assert_eq!(pair.blue.refusals("peers.rpc_max").await, 1);
    // Calls to the peer are counted apart; red has no messenger and says so.
    assert_eq!(CallAnswer::to(to_peer(&pair.blue, "red", "{}")).await.refusal(), refused(503, "NO_MESSENGER"));
    pair.red.api().say("m", "blue", "a push needs no place").await;
    pair.blue.api().hear(1).await;
    open.shutdown().await;
    soon("the end of the calls", pair.messenger.abandoned(2)).await;
    pair.messenger.answer(answering(json(200, "{}")));
    let free = async { while CallAnswer::to(of_red(pair.blue.federation, "{}")).await.status != 200 {} };
    timeout(SOON_CLOSED, free).await.expect("the places are free again");
}

#[tokio::test]
async fn all_calls_share_a_limit() {
    let pair = CallingPair::start(MessengerReply::Silent, &["rpc.max=1"]).await;
    let mut open = JoinSet::new();
    open.spawn(of_red(pair.blue.federation, "{}").send());
    pair.messenger.rpcs(1).await;
    let answer = CallAnswer::to(to_peer(&pair.blue, "red", "{}")).await;
    assert_eq!((answer.refusal(), answer.retry_after), (refused(429, "busy"), Some(1)), "{}", answer.text);
    assert!(answer.peer.is_none() && answer.text.contains("rpc.max is reached (1)"), "{}", answer.text);
    assert_eq!(CallAnswer::to(of_red(pair.blue.federation, "{}")).await.refusal(), refused(429, "RPC_BUSY"));
    assert_eq!(pair.blue.refusals("rpc.max").await, 2);
    assert_eq!((counted(&pair.blue, "in", "busy").await, counted(&pair.blue, "out", "busy").await), (1, 1));
}

/// A messenger that is behind with its events is asked all the same.
#[tokio::test]
async fn calls_pass_a_full_feed() {
    let limits = ["feed.high_water=2", "feed.low_water=1"];
    let pair = CallingPair::start(json(200, "{}"), &limits).await;
    pair.messenger.answer(|call| if call.is_rpc() { json(200, "{}") } else { MessengerReply::status(503) });
    for id in ["m-1", "m-2", "m-3"] {
        pair.red.api().say(id, "blue", id).await;
    }
    let waits = async {
        while pair.red.api().get("/v1/peers/blue").await["state"] != "waiting" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("blue's wait", waits).await;
    let answer = CallAnswer::to(to_peer(&pair.red, "blue", "{}")).await;
    assert_eq!((answer.refusal(), answer.peer.as_deref()), (refused(200, ""), Some("blue")));
}

/// The asker of the asker leaves: both gateways close what they have asked.
#[tokio::test]
async fn call_ends_with_its_asker() {
    let pair = CallingPair::start(MessengerReply::Silent, &[]).await;
    let mut open = JoinSet::new();
    open.spawn(to_peer(&pair.red, "blue", "{}").send());
    pair.messenger.rpcs(1).await;
    open.shutdown().await;
    timeout(SOON_CLOSED, pair.messenger.abandoned(1)).await.expect("within a second");
    for (gateway, direction) in [(&pair.red, "out"), (&pair.blue, "in")] {
        let told = async {
            while counted(gateway, direction, "cancelled").await != 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon("the count", told).await;
    }
}

#[tokio::test]
async fn stop_finishes_calls_under_way() {
    let mut pair = CallingPair::start(MessengerReply::Silent, &[]).await;
    pair.messenger.answer(|call| match call.is_rpc() && call.body.contains("slow") {
        true => MessengerReply::Late(Duration::from_millis(700)),
        false => json(200, "{}"),
    });
    let slow = tokio::spawn(of_red(pair.blue.federation, r#"{"slow":1}"#).send());
    pair.messenger.rpcs(1).await;
    pair.blue.process().term();
    pair.blue.process().says("stopping").await;
    let late = async {
        loop {
            let answer = CallAnswer::to(of_red(pair.blue.federation, "{}")).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let answer = soon("a refusal", late).await;
    assert_eq!((answer.refusal(), answer.retry_after), (refused(503, "STOPPING"), Some(1)));
    assert_eq!(CallAnswer::to(to_peer(&pair.blue, "red", "{}")).await.refusal(), refused(503, "STOPPING"));
    // The late answer has no body, which is no JSON; it is an answer of the messenger all the same.
    let answer = CallAnswer::of(slow.await.expect("no panic").expect("an answer")).await;
    assert_eq!(answer.refusal(), refused(502, "MESSENGER_ERROR"));
    assert_eq!(pair.blue.process().ended().await.code(), Some(0));
}
