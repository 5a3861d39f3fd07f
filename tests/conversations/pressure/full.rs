//! One dead server never blocks a context: messages that found no room in its queue can be fetched once it is back.

use actors::errors::CommandError;
use fixtures::messenger::others;
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::usual_peers;
use fixtures::time::{millis, seconds, world};

#[tokio::test(start_paused = true)]
async fn full_outbox_skips_only_its_peer() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let names = ["red", "green", "blue"];
        let book = usual_peers("red").with_peer("green", |green| green.outbox_items = 2);
        let red = TestNode::start(&network, "red", book).await;
        let (green, blue) = (TestNode::usual(&network, "green").await, TestNode::usual(&network, "blue").await);
        for node in [&red, &green, &blue] {
            node.with("garden", &others(&node.name, &names)).await;
        }
        network.cut(&red.name, &green.name);
        for id in ["1", "2", "3", "4"] {
            red.say("garden", id).await;
            millis(10).await;
        }
        let parked = ["3 at green: parked, outbox_full", "4 at green: parked, outbox_full"];
        assert_eq!(red.feed().await, parked);
        assert_eq!(blue.feed().await, ["red/1", "red/2", "red/3", "red/4"]);
        assert_eq!(green.feed().await, Vec::<String>::new());

        network.heal();
        seconds(10).await;
        assert_eq!(green.feed().await, ["red/1", "red/2"]);
        // Green learns of them only now: as missing parents.
        red.say("garden", "5").await;
        seconds(5).await;
        assert_eq!(green.feed().await, ["red/1", "red/2", "red/3", "red/4", "red/5"]);
        assert_eq!(blue.feed().await.len(), 5);
        green.check_order("after a full outbox");
    })
    .await;
}

/// A message that was reported as parked can be retried.
#[tokio::test(start_paused = true)]
async fn skipped_recipient_gets_retried_message() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let names = ["red", "green"];
        let book = usual_peers("red").with_peer("green", |green| green.outbox_items = 2);
        let red = TestNode::start(&network, "red", book).await;
        let green = TestNode::usual(&network, "green").await;
        for node in [&red, &green] {
            node.with("garden", &others(&node.name, &names)).await;
        }
        network.cut(&red.name, &green.name);
        for id in ["1", "2", "3"] {
            red.say("garden", id).await;
            millis(10).await;
        }
        let retry = async || red.gateway().retry_message(&"3".parse().unwrap(), Some(&green.name)).await;
        assert!(matches!(retry().await, Err(CommandError::OutboxFull(_))), "the queue is still full");
        network.heal();
        seconds(10).await;
        assert_eq!(retry().await.unwrap(), 1);
        assert_eq!(retry().await.unwrap(), 0, "it is queued, or has arrived");
        seconds(5).await;
        assert_eq!(green.feed().await, ["red/1", "red/2", "red/3"]);
        assert_eq!(red.feed().await, ["3 at green: parked, outbox_full", "3 at green: acknowledged, "]);
    })
    .await;
}
