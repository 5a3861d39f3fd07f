//! The signing of our PDUs: which ones are signed, and that a signature is made once.

use std::rc::Rc;
use std::sync::Arc;

use actors::limits::SigningMode;
use actors::model::PduDraft;
use fernpost::identity::pdu_signature::StatedPduSignatures;
use fixtures::keys::{key_of, sign_pdus};
use fixtures::messenger::{context, draft};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::world;

/// Starts a gateway that signs its PDUs.
async fn signing(network: &Arc<TestNetwork>, name: &str, mode: SigningMode) -> Rc<TestNode> {
    let peers = usual_peers(name).with_contexts(|contexts| contexts.sign = mode);
    TestNode::changed(network, name, peers, Rc::new(|ports, clock| sign_pdus(ports, clock.clone()))).await
}

/// Returns the PDUs that a server sent to another one, each once: the id, and whether it carries a valid signature.
fn sent(network: &TestNetwork, from: &str, to: &str) -> Vec<(String, bool)> {
    let mut pdus = vec![];
    for sent in network.sent() {
        if (&sent.from, &sent.to) != (&server(from), &server(to)) {
            continue;
        }
        let body: serde_json::Value = serde_json::from_slice(&sent.request.body).unwrap_or_default();
        let strong = body["strong"].as_array().into_iter().flatten().map(|update| &update["pdu"]);
        for pdu in strong.chain(body["pdus"].as_array().into_iter().flatten()) {
            let key = key_of(&server(from));
            let stated = StatedPduSignatures::read(&pdu.to_string(), &server(from));
            let verify = |stated: StatedPduSignatures| {
                stated.verify(&pdu.to_string(), &[(key.id().clone(), key.public())]).is_ok()
            };
            let entry = (pdu["pdu_id"].as_str().unwrap().to_owned(), stated.is_ok_and(verify));
            assert_eq!(entry.1, pdu.get("hashes").is_some(), "a hash comes with a signature: {pdu}");
            if !pdus.contains(&entry) {
                pdus.push(entry);
            }
        }
    }
    pdus
}

fn joins(id: &str, name: &str) -> PduDraft {
    let content = r#"{"membership":"invite"}"#.into();
    PduDraft { kind: "m.room.member".into(), state: Some((format!("@ann:{name}.example"), 0)), content, ..draft(id) }
}

/// Two servers need no signature. From the message on that adds a third one, everything is signed.
#[tokio::test(start_paused = true)]
async fn third_server_makes_pdus_signed() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let red = signing(&network, "red", SigningMode::Relayable).await;
        let _others = [TestNode::usual(&network, "blue").await, TestNode::usual(&network, "green").await];
        red.with("garden", &["blue"]).await;
        red.say("garden", "a").await;
        red.say_draft("garden", joins("b", "green")).await.unwrap();
        red.say("garden", "c").await;
        red.with("garden", &["blue"]).await;
        red.say("garden", "d").await;
        fixtures::time::seconds(1).await;
        let [a, b, c, d] = ["a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(sent(&network, "red", "blue"), [(a, false), (b.clone(), true), (c.clone(), true), (d, false)]);
        assert_eq!(sent(&network, "red", "green"), [(b, true), (c, true)], "in the other dialect, too");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn signing_mode_overrides_number_of_servers() {
    world(async {
        for (mode, others, expected) in
            [(SigningMode::Always, &["blue"][..], true), (SigningMode::Never, &["blue", "green"], false)]
        {
            let network = TestNetwork::new(1, CALM);
            let red = signing(&network, "red", mode).await;
            let _blue = TestNode::usual(&network, "blue").await;
            red.with("garden", others).await;
            red.say("garden", "a").await;
            fixtures::time::seconds(1).await;
            assert_eq!(sent(&network, "red", "blue"), [("a".to_owned(), expected)], "{mode:?}");
        }
    })
    .await;
}

/// The signature is made when the PDU is composed: what is sent again, after a restart, and by a GET has the same bytes.
#[tokio::test(start_paused = true)]
async fn signature_is_made_once() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let red = signing(&network, "red", SigningMode::Relayable).await;
        red.with("garden", &["blue", "grey"]).await;
        red.say("garden", "a").await;
        let stored = async || {
            let state = red.gateway().context(&context("garden")).await.unwrap();
            let head = state.record.heads[0].reference.clone();
            red.gateway().ports().archive.contexts.pdu(&head).await.unwrap().expect("stored").bytes
        };
        let first = stored().await;
        red.restart(fixtures::disk::SurvivingBytes::Synced).await;
        let blue = TestNode::usual(&network, "blue").await;
        fixtures::time::seconds(60).await;
        blue.read().await;
        assert_eq!((stored().await, &blue.pdus()[0].bytes), (first.clone(), &first));
        let pushed = network.sent().into_iter().filter(|sent| sent.to == server("blue")).map(|sent| sent.request.body);
        let text = String::from_utf8(first.to_vec()).unwrap();
        assert!(pushed.into_iter().all(|body| String::from_utf8_lossy(&body).contains(&text)), "byte for byte");
    })
    .await;
}
