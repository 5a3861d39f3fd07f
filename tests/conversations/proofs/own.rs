//! A server that was restored from a backup takes its own signed PDUs back from its peers.

use std::rc::Rc;
use std::sync::Arc;

use actors::limits::SigningMode;
use actors::testkit::TestPeers;
use fixtures::messenger::named;
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{seconds, world};

use crate::missing::asking::{send_to, verdicts};
use crate::proofs::relayed::signed;

fn never_signing(name: &str) -> TestPeers {
    usual_peers(name).with_contexts(|contexts| contexts.sign = SigningMode::Never)
}

/// Red loses what it said after its backup; blue answers to that.
async fn restored(network: &Arc<TestNetwork>, peers: TestPeers) -> (Rc<TestNode>, Rc<TestNode>) {
    let red = TestNode::signing(network, "red", peers).await;
    let blue = TestNode::signing(network, "blue", usual_peers("blue")).await;
    red.with("garden", &["blue", "grey"]).await;
    blue.with("garden", &["red", "grey"]).await;
    red.say("garden", "a").await;
    seconds(1).await;
    let backup = red.backup().await;
    red.say("garden", "b").await;
    red.say("garden", "c").await;
    seconds(1).await;
    red.restore(&backup).await;
    blue.say("garden", "d").await;
    seconds(100).await;
    (red, blue)
}

/// Each PDU of a feed: which, and without which parents.
async fn heard(node: &TestNode) -> Vec<String> {
    node.read().await;
    let gap = |gap: &[actors::model::PduRef]| gap.iter().map(named).collect::<Vec<_>>().join(", ");
    node.pdus().iter().map(|pdu| format!("{} without [{}]", named(&pdu.reference), gap(&pdu.shown.gap))).collect()
}

#[tokio::test(start_paused = true)]
async fn restored_server_takes_own_pdus_back() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (red, blue) = restored(&network, usual_peers("red")).await;
        assert_eq!(heard(&red).await, ["blue/d without []"], "its own come back without events");
        let archive = red.gateway().ports().archive.clone();
        for id in ["b", "c"] {
            let reference = fixtures::messenger::at(&format!("red/{id}"));
            let (held, at_blue) =
                (archive.contexts.pdu(&reference), blue.gateway().ports().archive.contexts.pdu(&reference));
            let held = held.await.unwrap().expect("it came back");
            assert_eq!((held.delivered, &held.bytes), (true, &at_blue.await.unwrap().expect("stored").bytes));
        }
        // Nothing is sent again, and numbers go on: what red says next follows what came back.
        let before = network.sent().len();
        red.say("garden", "e").await;
        seconds(5).await;
        let sent: Vec<_> =
            network.sent().split_off(before).into_iter().filter(|sent| sent.from == server("red")).collect();
        let bodies: Vec<String> =
            sent.iter().map(|sent| String::from_utf8_lossy(&sent.request.body).into_owned()).collect();
        let to_blue: Vec<_> = bodies.iter().zip(&sent).filter(|(_, sent)| sent.to == server("blue")).collect();
        assert!(to_blue.iter().all(|(body, _)| !body.contains("\"pdu_id\":\"b\"")), "{bodies:?}");
        blue.read().await;
        let newest = blue.pdus().pop().expect("it came");
        assert_eq!(named(&newest.reference), "red/e");
        assert!(
            newest.shown.gap.is_empty() && String::from_utf8_lossy(&newest.bytes).contains(r#"[["blue.example","d"]]"#)
        );
        assert_eq!(blue.pdus().len(), 4, "each once");
    })
    .await;
}

/// Without a signature nobody can know that they were ours.
#[tokio::test(start_paused = true)]
async fn unsigned_own_pdus_stay_lost() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (red, _blue) = restored(&network, never_signing("red")).await;
        assert_eq!(heard(&red).await, ["blue/d without [red/c]"]);
    })
    .await;
}

/// In whatever way they come back. Nobody else's signature makes them ours.
#[tokio::test(start_paused = true)]
async fn own_pdu_needs_own_signature() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let red = TestNode::signing(&network, "red", usual_peers("red")).await;
        red.with("garden", &["blue", "green"]).await;
        let forged = signed("red", "b", &[]).replace("\"ts\":7", "\"ts\":8");
        let by_other = signed("red", "c", &[]).replace("{\"red.example\"", "{\"blue.example\"");
        let pdus = [signed("red", "a", &[]), forged, by_other];
        let expected = ["a accepted", "b OWN_ORIGIN_UNKNOWN", "c OWN_ORIGIN_UNKNOWN"];
        assert_eq!(verdicts(&send_to(&network, "green", "red", "1", &pdus).await), expected);
        assert_eq!(verdicts(&send_to(&network, "green", "red", "2", &pdus[..1]).await), ["a duplicate"]);
        assert_eq!(heard(&red).await, [""; 0]);
    })
    .await;
}
