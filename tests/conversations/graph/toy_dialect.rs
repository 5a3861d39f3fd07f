//! A third dialect beside the two: it needs no change of the core, the store or the messenger's side.

use fixtures::disk::SurvivingBytes;
use fixtures::messenger::{draft, others};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::usual_peers;
use fixtures::time::{millis, seconds, world};
use fixtures::toy_dialect::TOY;

/// Red and blue use the toy dialect with each other, and transactions with green. One of them is down for a while.
#[tokio::test(start_paused = true)]
async fn toy_dialect_joins_conversation() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let names = ["red", "green", "blue"];
        let toy = |us: &str, other: &str| usual_peers(us).with_peer(other, |limits| limits.dialect = TOY);
        let red = TestNode::start(&network, "red", toy("red", "blue")).await;
        let green = TestNode::usual(&network, "green").await;
        let blue = TestNode::start(&network, "blue", toy("blue", "red")).await;
        let nodes = [&red, &green, &blue];
        for node in nodes {
            node.with("garden", &others(&node.name, &names)).await;
        }
        for round in 0..10 {
            match round {
                3 => blue.end(SurvivingBytes::Synced).await,
                6 => blue.begin().await,
                _ => {}
            }
            for node in nodes.into_iter().filter(|node| node.alive().is_some()) {
                let id = format!("{}-{round}", fixtures::network::short(&node.name));
                node.say_draft("garden", draft(&id)).await.unwrap();
            }
            millis(50).await;
        }
        seconds(60).await;
        // Each receives those of the 27 messages that others sent; blue sent 7.
        for (node, count) in [(&red, 17), (&green, 17), (&blue, 20)] {
            node.read().await;
            node.check_order("toy");
            assert_eq!(node.pdus().len(), count, "{}", node.name);
        }
        let sent = network.sent();
        let carries = |from: &TestNode, to: &TestNode, prefix: &str| {
            let mut pushes = sent.iter().filter(|sent| sent.from == from.name && sent.to == to.name);
            pushes.any(|sent| sent.request.path.starts_with(prefix))
        };
        for (from, to, is_toy) in [(&red, &blue, true), (&blue, &red, true), (&red, &green, false)] {
            assert_eq!(carries(from, to, "/toy/v1/batches/"), is_toy, "{} to {}", from.name, to.name);
            assert_eq!(carries(from, to, "/matrix/federation/v1/send/"), !is_toy, "{} to {}", from.name, to.name);
            assert!(!carries(from, to, "/http/v1/updates"), "{} to {}", from.name, to.name);
        }
    })
    .await;
}
