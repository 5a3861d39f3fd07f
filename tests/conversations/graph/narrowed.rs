//! Narrowed messages: other servers do not receive them, do not name them as parents, and have no gap.

use std::rc::Rc;
use std::sync::Arc;

use actors::errors::DraftError;
use actors::model::PduDraft;
use actors::ports::{ContextReader, PduStatus};
use actors::testkit::at_once;
use fernpost::egress::{EgressAnswer as Wanted, EgressRequest};
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use fixtures::messenger::{PduView, at, context, draft, named, others};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{seconds, world};

use crate::missing::asking::{pdu, send, send_to, verdicts};

const NAMES: [&str; 3] = ["red", "green", "blue"];

async fn garden() -> (Arc<TestNetwork>, [Rc<TestNode>; 3]) {
    let network = TestNetwork::new(1, CALM);
    let [red, green, blue] = NAMES.map(|name| TestNode::usual(&network, name));
    let nodes = [red.await, green.await, blue.await];
    for node in &nodes {
        node.with("garden", &others(&node.name, &NAMES)).await;
    }
    (network, nodes)
}

fn whisper(id: &str, to: &[&str]) -> PduDraft {
    PduDraft { to: Some(to.iter().map(|name| server(name)).collect()), ..draft(id) }
}

async fn get(network: &TestNetwork, from: &str, to: &str, path: &str) -> (u16, String) {
    let path = format!("/matrix/federation/v1/{path}");
    let answer = network.knock((server(from), server(to)), EgressRequest::get(path, Wanted::Needed)).await;
    let answer = answer.expect("it lives");
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_narrowed_message_reaches_nobody_else() {
    world(async {
        let (network, [red, green, blue]) = garden().await;
        red.say("garden", "a").await;
        seconds(1).await;
        red.say_draft("garden", whisper("w", &["green"])).await.unwrap();
        seconds(1).await;
        green.say("garden", "b").await;
        seconds(1).await;
        red.say("garden", "c").await;
        seconds(120).await;
        assert_eq!(green.feed().await, ["red/a", "red/w", "red/c"]);
        assert_eq!(blue.feed().await, ["red/a", "green/b", "red/c"]);
        assert!(network.asked().is_empty(), "no gap is left: {:?}", network.asked());
        green.restart(SurvivingBytes::Synced).await;
        for (of, asker, id, given) in
            [("green", "red", "w", true), ("green", "blue", "w", false), ("red", "blue", "w", false)]
        {
            let status = if given { 200 } else { 404 };
            assert_eq!(get(&network, asker, of, "pdu/red.example/w/").await.0, status, "{asker} asks {of}");
            let walk = get(&network, asker, of, &format!("backfill/garden/?limit=9&v={id},red.example")).await;
            assert_eq!(
                (walk.0, walk.1.contains("\"pdu_id\":\"w\""), walk.1.contains("\"pdu_id\":\"a\"")),
                (200, given, given)
            );
        }
        let unknown = get(&network, "blue", "red", "pdu/red.example/nothing/").await;
        assert_eq!(get(&network, "blue", "red", "pdu/red.example/w/").await, unknown, "its existence is not revealed");
        let pulled = get(&network, "green", "red", "pull/?origin=green.example&v=0").await;
        assert!(pulled.1.contains("\"pdu_id\":\"w\""), "{pulled:?}");
    })
    .await;
}

/// A recipient may be another program or may lie: it names a narrowed PDU as parent, or passes it on.
#[tokio::test(start_paused = true)]
async fn narrowed_pdu_known_by_name_alone() {
    world(async {
        let (network, [_red, green, blue]) = garden().await;
        green.say("garden", "x").await;
        seconds(1).await;
        let secret = pdu("red", "w", "garden", &["green/x"])
            .replace("\"ts\"", "\"to\":[\"green.example\",\"red.example\"],\"ts\"");
        let child = pdu("red", "b", "garden", &["red/w"]);
        assert_eq!(verdicts(&send(&network, "red", "1", std::slice::from_ref(&child)).await), ["b held"]);
        for _ in 0..2 {
            let answer = send(&network, "red", "2", std::slice::from_ref(&secret)).await;
            assert_eq!(verdicts(&answer), ["w accepted"]);
            blue.restart(SurvivingBytes::Synced).await;
        }
        assert_eq!(verdicts(&send(&network, "red", "3", std::slice::from_ref(&secret)).await), ["w duplicate"]);
        assert_eq!(blue.feed().await, ["green/x", "red/b"], "it fills the gap without an event");
        assert_eq!(blue.store().pdu(&at("red/w")).await.unwrap(), None);
        let known = blue.store().look_up(&context("garden"), vec![], vec![at("red/w")]).await.unwrap();
        assert!(matches!(known[&at("red/w")], PduStatus::Delivered { depth: 1, .. }), "{known:?}");
        let history = blue.store().timeline(&context("garden"), None, 9, u64::MAX).await.unwrap();
        assert_eq!(history.iter().map(|(_, pdu)| named(&pdu.reference)).collect::<Vec<_>>(), ["red/b", "green/x"]);
        let verified =
            fernpost::store::verify_backend(FaultyDisk::with(blue.disk().survivors(SurvivingBytes::Synced))).unwrap();
        assert_eq!(verified.findings, []);
        // A walk through the PDU that names the narrowed one does not return the narrowed PDU or its parents.
        assert_eq!(
            verdicts(&send_to(&network, "red", "green", "1", &[secret, child]).await),
            ["w accepted", "b accepted"]
        );
        let walk = get(&network, "blue", "green", "backfill/garden/?limit=9&v=b,red.example").await.1;
        assert!(
            walk.contains("\"pdu_id\":\"b\"")
                && !walk.contains("\"pdu_id\":\"w\"")
                && !walk.contains("\"pdu_id\":\"x\"")
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn narrowing_requires_fernpost_profile() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let deaf = usual_peers("red").with_peer("green", |green| green.honours_to = false);
        let red = TestNode::start(&network, "red", deaf).await;
        red.with("garden", &["green", "blue"]).await;
        let refused = red.say_draft("garden", whisper("a", &["green"])).await;
        assert_eq!(refused, Err(DraftError::ToNotHonoured { server: server("green") }.into()));
        let state = PduDraft { state: Some((String::new(), 0)), ..whisper("s", &["blue"]) };
        assert_eq!(red.say_draft("garden", state).await, Err(DraftError::StateNarrowed(context("garden")).into()));
        red.say_draft("garden", whisper("b", &["blue"])).await.unwrap();
        red.say_draft("garden", whisper("c", &["green", "blue"])).await.unwrap();
        let text = |id: &str| {
            let pdu = at_once(red.store().pdu(&at(&format!("red/{id}")))).unwrap().expect("stored");
            (pdu.to, PduView::read(&pdu.bytes).prev().len())
        };
        assert_eq!(text("b"), (Some(vec![server("blue"), server("red")]), 0));
        assert_eq!(text("c"), (None, 0), "it is for all and names no narrowed PDU");
    })
    .await;
}
