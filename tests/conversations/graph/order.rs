//! A reply that arrives before the message that it answers is delivered after it: causal order as the messenger sees it.

use std::rc::Rc;
use std::sync::Arc;

use fixtures::messenger::{context, others};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{millis, seconds, world};

const NAMES: [&str; 3] = ["red", "green", "blue"];

/// Starts three gateways; the named ones know the participants. If `open`, blue's contexts accept PDUs from any server.
async fn three(told: &[&str], open: bool) -> (Arc<TestNetwork>, [Rc<TestNode>; 3]) {
    let network = TestNetwork::new(1, CALM);
    let [red, green, blue] = NAMES
        .map(|name| TestNode::start(&network, name, usual_peers(name).with_contexts(|contexts| contexts.open = open)));
    let nodes = [red.await, green.await, blue.await];
    for node in &nodes {
        if told.iter().any(|name| node.name == server(name)) {
            node.with("garden", &others(&node.name, &NAMES)).await;
        }
    }
    (network, nodes)
}

/// Red has sent a question and green a reply; blue has received only the reply and can reach no server.
async fn overtaken(told: &[&str], open: bool) -> (Arc<TestNetwork>, [Rc<TestNode>; 3]) {
    let (network, nodes) = three(told, open).await;
    let [red, green, blue] = &nodes;
    network.hold(&red.name, &blue.name);
    network.cut(&blue.name, &green.name);
    network.cut(&blue.name, &red.name);
    red.say("garden", "question").await;
    millis(10).await;
    assert_eq!(green.feed().await, ["red/question"]);
    green.say("garden", "answer").await;
    millis(10).await;
    assert_eq!(red.feed().await, ["green/answer"]);
    assert_eq!(blue.gateway().context(&context("garden")).await.unwrap().held, 1);
    (network, nodes)
}

const NOTHING: [&str; 0] = [];

#[tokio::test(start_paused = true)]
async fn early_child_follows_its_parent() {
    world(async {
        let (network, [red, _green, blue]) = overtaken(&NAMES, false).await;
        seconds(20).await;
        assert_eq!(blue.feed().await, NOTHING);
        network.release(&red.name, &blue.name);
        millis(10).await;
        assert_eq!(blue.feed().await, ["red/question", "green/answer"]);
        blue.check_order("overtaken");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn early_child_in_new_context_waits() {
    world(async {
        // Blue's messenger does not know the context: the reply is its first PDU there.
        let (network, [red, _green, blue]) = overtaken(&["red", "green"], true).await;
        seconds(20).await;
        assert_eq!(blue.feed().await, NOTHING);
        network.release(&red.name, &blue.name);
        millis(10).await;
        assert_eq!(blue.feed().await, ["red/question", "green/answer"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn missing_parent_becomes_reported_gap() {
    world(async {
        let (network, [red, green, blue]) = overtaken(&NAMES, false).await;
        seconds(58).await;
        assert_eq!(blue.feed().await, NOTHING);
        seconds(5).await;
        assert_eq!(blue.feed().await, ["gap red/question before green/answer", "green/answer without red/question"]);

        // The question arrives later, and the messenger is told that it fills the gap.
        network.release(&red.name, &blue.name);
        millis(10).await;
        assert_eq!(blue.feed().await[2..], ["red/question late", "filled red/question before green/answer"]);
        network.heal();
        // The next message names both as parents, as if no gap had been.
        blue.say("garden", "thanks").await;
        seconds(120).await;
        assert_eq!(red.feed().await, ["green/answer", "blue/thanks"]);
        assert_eq!(green.feed().await, ["red/question", "blue/thanks"]);
        assert_eq!(blue.feed().await.len(), 4, "nothing is delivered twice");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn new_context_edge_is_no_gap() {
    world(async {
        let (network, [red, _green, blue]) = overtaken(&["red", "green"], true).await;
        seconds(58).await;
        assert_eq!(blue.feed().await, NOTHING, "the missing parent is waited for like any other");
        seconds(5).await;
        assert_eq!(blue.feed().await, ["green/answer"]);
        let gaps = blue.gateway().context(&context("garden")).await.unwrap().gaps;
        assert!(gaps.iter().all(|gap| gap.edge), "{gaps:?}");
        network.release(&red.name, &blue.name);
        millis(10).await;
        assert_eq!(blue.feed().await[1..], ["red/question late"]);
    })
    .await;
}

/// A server that begins a context creates it. The origins of the parents of its first PDU take part too: otherwise none of
/// these parents could ever arrive before it.
#[tokio::test(start_paused = true)]
async fn adopted_context_delivers_foreign_parent() {
    world(async {
        let (network, [red, _green, blue]) = overtaken(&["red", "green"], false).await;
        network.release(&red.name, &blue.name);
        millis(10).await;
        assert_eq!(blue.feed().await, ["red/question", "green/answer"]);
        network.heal();
    })
    .await;
}
