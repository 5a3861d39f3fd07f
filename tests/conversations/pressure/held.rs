//! A peer that takes every refusal as final is never told to come again: its request waits until there is room.

use std::sync::Arc;
use std::time::Duration;

use actors::limits::PeerLimits;
use fixtures::network::{CALM, GatewayAnswer, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::usual_peers;
use fixtures::time::{seconds, world};
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::missing::asking::{pdu, send, verdicts};

fn old(peer: &mut PeerLimits) {
    peer.never_refuse = true;
    peer.intake_max = 2;
}

/// Sends a transaction of one PDU from green to blue; returns the response and its delay.
fn begin(network: &Arc<TestNetwork>, n: u32) -> tokio::task::JoinHandle<(GatewayAnswer, Duration)> {
    let network = network.clone();
    spawn_local(async move {
        let begun = Instant::now();
        let pdus = [pdu("green", &format!("{n}"), "garden", &[])];
        (send(&network, "green", &format!("{n}"), &pdus).await, begun.elapsed())
    })
}

#[tokio::test(start_paused = true)]
async fn synapse_overload_answer_is_delayed() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue =
            TestNode::start(&network, "blue", usual_peers("blue").with_peer("green", old).with_water(1, 1)).await;
        blue.with("garden", &["green"]).await;
        assert_eq!(begin(&network, 1).await.unwrap().0.status, 200);
        seconds(1).await;
        let held = begin(&network, 2);
        seconds(7).await;
        assert!(!held.is_finished(), "the messenger has to read first");
        blue.read().await;
        blue.read().await;
        let (answer, took) = held.await.unwrap();
        assert_eq!(verdicts(&answer), ["2 accepted"]);
        assert!((7..=9).contains(&took.as_secs()), "the request continues as soon as there is room: {took:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn delayed_request_accepted_at_hold_max() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue =
            TestNode::start(&network, "blue", usual_peers("blue").with_peer("green", old).with_water(1, 1)).await;
        blue.with("garden", &["green"]).await;
        assert_eq!(begin(&network, 1).await.unwrap().0.status, 200);
        seconds(1).await;
        let (answer, took) = begin(&network, 2).await.unwrap();
        assert_eq!(verdicts(&answer), ["2 accepted"]);
        assert_eq!(took.as_secs(), 25, "hold_max");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn delayed_requests_are_bounded() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let rate = |peer: &mut PeerLimits| {
            old(peer);
            (peer.rate, peer.intake_items) = (1, 1);
        };
        let blue = TestNode::start(&network, "blue", usual_peers("blue").with_peer("green", rate)).await;
        blue.with("garden", &["green"]).await;
        let begun: Vec<_> = (1..=4).map(|n| begin(&network, n)).collect();
        let mut answers = vec![];
        for asked in begun {
            answers.push(asked.await.unwrap());
        }
        let statuses: Vec<u16> = answers.iter().map(|(answer, _)| answer.status).collect();
        assert_eq!(statuses, [200, 200, 200, 429]);
        let body = String::from_utf8(answers[3].0.body.to_vec()).unwrap();
        assert!(body.contains("peers.intake_max is reached (2)"), "{body}");
        assert_eq!(answers[2].1.as_secs(), 2, "one a second");
    })
    .await;
}
