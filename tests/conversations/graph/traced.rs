//! A sender learns about an accepted message when it was accepted, and whether it is in the peer's quarantine.

use actors::model::{DeadLetterReason, Index};
use actors::ports::{Journal, PeerReader};
use fixtures::disk::SurvivingBytes;
use fixtures::messenger::others;
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::time::{seconds, world};

/// Returns the results of all attempts at a peer, and the reasons of its dead letters.
async fn traced(node: &TestNode, at: &TestNode) -> (Vec<String>, Vec<DeadLetterReason>) {
    node.store().barrier().committed().await.unwrap();
    let attempts = node.store().attempts(&at.name, Index(1), Index(99)).await.unwrap();
    let letters = node.store().dead_letters(&at.name, Index(1), Index(99)).await.unwrap();
    (attempts.into_iter().map(|it| it.result).collect(), letters.into_iter().map(|it| it.fate).collect())
}

/// Red sends updates to blue and transactions to green.
#[tokio::test(start_paused = true)]
async fn message_parked_by_peer_is_reported() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let [red, green, blue] = ["red", "green", "blue"].map(|name| TestNode::usual(&network, name));
        let [red, green, blue] = [red.await, green.await, blue.await];
        red.with("garden", &["green", "blue"]).await;
        green.with("garden", &["blue"]).await;
        blue.with("garden", &["green"]).await;
        red.say("garden", "1").await;
        seconds(5).await;
        let told = |at: &TestNode, what: &str| format!("1 at {}: {what}", fixtures::network::short(&at.name));
        let parked =
            |at: &TestNode| told(at, &format!("parked, NOT_A_PARTICIPANT: it lies in the quarantine of {}", at.name));
        let mut feed = red.feed().await;
        feed.sort();
        assert_eq!(feed, [parked(&blue), parked(&green)]);
        red.restart(SurvivingBytes::Synced).await;
        for at in [&green, &blue] {
            assert_eq!(at.feed().await, ["parked 1 of red: NOT_A_PARTICIPANT"]);
            let (attempts, fates) = traced(&red, at).await;
            assert_eq!(
                (attempts, fates),
                (vec!["acknowledged".to_owned()], vec![DeadLetterReason::ParkedByPeer]),
                "{}",
                at.name
            );
        }

        // Once the peers accept the message, a retry reports it as acknowledged.
        for at in [&green, &blue] {
            at.with("garden", &others(&at.name, &["red", "green", "blue"])).await;
            seconds(5).await;
            assert_eq!(at.feed().await.last().unwrap(), "red/1");
            assert_eq!(red.gateway().retry_message(&"1".parse().unwrap(), Some(&at.name)).await.unwrap(), 1);
            seconds(5).await;
            assert_eq!(red.feed().await.last().unwrap(), &told(at, "acknowledged, "));
            let (attempts, fates) = traced(&red, at).await;
            assert_eq!((attempts.len(), fates), (2, vec![]), "{}", at.name);
        }
    })
    .await;
}

/// Regression: records in memory were lost at a restart, and only the newest five deliveries of a peer were kept.
#[tokio::test(start_paused = true)]
async fn failures_and_deliveries_survive_a_restart() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let [red, blue] = ["red", "blue"].map(|name| TestNode::usual(&network, name));
        let [red, blue] = [red.await, blue.await];
        red.with("garden", &["blue"]).await;
        blue.with("garden", &["red"]).await;
        network.cut(&red.name, &blue.name);
        red.say("garden", "0").await;
        seconds(2).await;
        network.heal();
        seconds(30).await;
        for n in 1..40 {
            red.say("garden", &n.to_string()).await;
            seconds(1).await;
        }
        let before = traced(&red, &blue).await;
        red.restart(SurvivingBytes::Synced).await;
        assert_eq!(traced(&red, &blue).await, before);
        let (attempts, _) = before;
        let failures = attempts.iter().filter(|result| **result != "acknowledged").count();
        assert!(failures > 0 && attempts.len() - failures == 40, "{attempts:?}");
        let status = red.gateway().peer(&blue.name).await.unwrap();
        assert!(status.last_success.is_some_and(|at| at >= status.since), "{status:?}");
    })
    .await;
}
