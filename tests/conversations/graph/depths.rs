//! The two depths of a PDU: the computed one decides order, the stated one is shown, passed on and built upon.

use std::sync::Arc;

use actors::ports::ContextReader;
use actors::testkit::at_once;
use fixtures::disk::SurvivingBytes;
use fixtures::messenger::{at, context};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::time::world;

use crate::missing::asking::{pdu, send, verdicts};

fn stated(pdu: &str, depth: &str) -> String {
    pdu.replace("\"ts\"", &format!("\"depth\":{depth},\"ts\""))
}

/// Returns the depth that a stored PDU states, and the computed one.
fn depths(node: &TestNode, which: &str) -> (u64, u64) {
    let pdu = at_once(node.store().pdu(&at(which))).unwrap().expect("stored");
    let text: serde_json::Value = serde_json::from_slice(&pdu.bytes).unwrap();
    (text["depth"].as_u64().unwrap_or(u64::MAX), pdu.depth)
}

#[tokio::test(start_paused = true)]
async fn own_message_depth_fits_unknown_past() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = TestNode::usual(&network, "blue").await;
        blue.with("garden", &["green"]).await;
        let (parent, child) = (pdu("green", "a", "garden", &[]), pdu("green", "b", "garden", &["green/a"]));
        let answer = send(&network, "green", "1", &[stated(&child, "41"), stated(&parent, "7.5")]).await;
        assert_eq!(verdicts(&answer), ["b accepted", "a accepted"]);
        blue.restart(SurvivingBytes::Synced).await;
        blue.say("garden", "ours").await;
        assert_eq!((depths(&blue, "green/a"), depths(&blue, "green/b")), ((u64::MAX, 0), (41, 1)));
        assert_eq!(depths(&blue, "blue/ours"), (42, 2));
        blue.say("garden", "next").await;
        assert_eq!(depths(&blue, "blue/next"), (43, 3));
    })
    .await;
}

/// Heads beyond a hundred have rows of their own.
#[tokio::test(start_paused = true)]
async fn head_depth_survives_restart() {
    world(async {
        let network: Arc<TestNetwork> = TestNetwork::new(1, CALM);
        let blue = TestNode::usual(&network, "blue").await;
        blue.with("garden", &["green"]).await;
        for transaction in 0..2 {
            let ends: Vec<String> = (0..60)
                .map(|n| stated(&pdu("green", &format!("{transaction}{n:02}"), "garden", &[]), &(1000 + n).to_string()))
                .collect();
            send(&network, "green", &transaction.to_string(), &ends).await;
        }
        blue.restart(SurvivingBytes::Synced).await;
        for n in 0..12 {
            blue.say("garden", &format!("merge{n}")).await;
        }
        let record = blue.store().context_record(&context("garden")).await.unwrap().unwrap();
        let last = (depths(&blue, "blue/merge0"), depths(&blue, "blue/merge11"));
        assert_eq!((record.heads.len(), last), (12, ((1010, 1), (1060, 1))), "{record:?}");
    })
    .await;
}
