//! A context of four servers, one of which knows messages and groups, but neither PDUs nor contexts.

use std::rc::Rc;
use std::sync::Arc;

use actors::model::{Digest, GroupId, GroupMessage, PduDraft, PduVerdict, Seq, SubmissionId};
use actors::ports::{Direction, ParkedFilter, QuarantineKey, StoreInspector};
use fernpost::wire::updates::kept_group_messages;
use fixtures::messenger::{PduView, context, draft, others};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::server;
use fixtures::time::{seconds, world};
use serde_json::Value;
use tokio::task::spawn_local;

use super::server_of_2016::{GROUP, OldServer, bridging};

/// The gateways of the context; red alone knows grey.
const NAMES: [&str; 3] = ["red", "green", "blue"];

/// Starts red, green and blue, and the old server.
pub(crate) async fn mixed(network: &Arc<TestNetwork>) -> ([Rc<TestNode>; 3], OldServer) {
    let red = TestNode::start(network, "red", bridging()).await;
    let nodes = [red, TestNode::usual(network, "green").await, TestNode::usual(network, "blue").await];
    nodes[0].with("garden", &["green", "blue", "grey"]).await;
    for node in &nodes[1..] {
        node.with("garden", &others(&node.name, &NAMES)).await;
    }
    (nodes, OldServer::start(network))
}

/// Returns a message with a `body`, as its messenger writes it.
pub(crate) fn said(id: &str) -> PduDraft {
    PduDraft { content: format!(r#"{{"body":"{id}"}}"#).into(), ..draft(id) }
}

/// Returns the texts of the messages that a messenger has read, in order.
pub(crate) async fn texts(node: &TestNode) -> Vec<String> {
    node.read().await;
    node.check_order("garden");
    let text = |content: Value| content["body"].as_str().or(content["text"].as_str()).unwrap().to_owned();
    node.pdus().iter().map(|pdu| text(serde_json::from_str(PduView::of(pdu).content.get()).unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn group_joins_mixed_conversation() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let ([red, green, blue], grey) = mixed(&network).await;
        assert_eq!(grey.say("hello").await, r#"{"receive":"ok","seq":1,"window":1000}"#);
        for (node, id) in [(&blue, "b1"), (&green, "g1"), (&red, "r1")] {
            seconds(2).await;
            node.say_draft("garden", said(id)).await.unwrap();
        }
        seconds(2).await;
        grey.say("bye").await;
        seconds(5).await;
        assert_eq!(grey.texts(), ["b1", "g1", "r1"]);
        assert_eq!(texts(&red).await, ["hello", "b1", "g1", "bye"]);
        assert_eq!(texts(&green).await, ["hello", "b1", "r1", "bye"]);
        assert_eq!(texts(&blue).await, ["hello", "g1", "r1", "bye"]);

        let ids: Vec<Value> = grey.heard().iter().map(|update| update["id"].clone()).collect();
        assert_eq!(ids, ["blue.example/b1", "green.example/g1", "red.example/r1"]);
        let hello = &red.pdus()[0];
        assert_eq!((&hello.reference.origin, hello.sender.as_ref()), (&red.name, Some(&server("grey"))));
        let bridged = r#""bridged":{"server":"grey.example","seq":1,"user_id":42}"#;
        for node in [&red, &green, &blue] {
            let pdu = &node.pdus()[0];
            assert_eq!(PduView::of(pdu).content.get(), r#"{ "type":"text","text":"hello" }"#, "byte for byte");
            let pdu = String::from_utf8(pdu.bytes.to_vec()).unwrap();
            assert!(pdu.contains(bridged) && pdu.contains(r#""pdu_type":"m.text""#), "{pdu}");
        }
        // What came before it in the order of the others stands before it in their feeds: it names the heads of its context.
        let [.., bye] = &red.pdus()[..] else { panic!("it said bye") };
        assert_eq!(PduView::of(bye).prev().iter().map(ToString::to_string).collect::<Vec<_>>(), ["red.example/r1"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn held_message_reaches_group_in_order() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let ([red, green, blue], grey) = mixed(&network).await;
        network.hold(&green.name, &red.name);
        green.say_draft("garden", said("g1")).await.unwrap();
        seconds(1).await;
        // Its parent is missing at red.
        blue.say_draft("garden", said("b1")).await.unwrap();
        network.release(&green.name, &red.name);
        seconds(10).await;
        assert_eq!(texts(&red).await, ["g1", "b1"]);
        assert_eq!(grey.texts(), ["g1", "b1"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn formless_message_and_state_stay_away() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let ([red, ..], grey) = mixed(&network).await;
        let topic = PduDraft { state: Some((String::new(), 0)), kind: "topic".into(), ..said("topic") };
        red.say_draft("garden", topic).await.unwrap();
        red.say_draft("garden", PduDraft { content: r#"{"x":1}"#.into(), ..draft("odd") }).await.unwrap();
        red.say_draft("garden", said("r1")).await.unwrap();
        seconds(5).await;
        assert_eq!(grey.texts(), ["r1"]);
        assert_eq!(red.feed().await, ["odd at grey: refused, NO_PLAIN_FORM"]);
        let record = |id: &str| {
            let id: SubmissionId = id.parse().unwrap();
            let store = red.store();
            async move { actors::ports::SubmissionReader::submission(&store, &id).await.unwrap().unwrap() }
        };
        assert_eq!(record("odd").await.formless, [server("grey")]);
        let state = record("topic").await;
        assert!(state.formless.is_empty() && state.queued.iter().all(|(to, _)| *to != server("grey")), "{state:?}");
        let sent = network.sent().into_iter().filter(|sent| sent.to == server("grey"));
        for sent in sent {
            assert!(!String::from_utf8_lossy(&sent.request.body).contains("\"pdu\""), "{sent:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unmapped_update_stays_update() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let ([red, green, _], grey) = mixed(&network).await;
        for update in [
            r#"{"update":"message","peer":{"type":"group","id":5},"content":{"text":"x"}}"#.to_owned(),
            format!(r#"{{"update":"message","peer":{{"type":"user","id":{GROUP}}},"content":{{}}}}"#),
            format!(r#"{{"update":"read","peer":{{"type":"group","id":{GROUP}}},"content":{{}}}}"#),
        ] {
            grey.push_next(&update).await;
        }
        seconds(2).await;
        let feed = red.feed().await;
        assert!(feed.len() == 3 && feed.iter().all(|event| event.starts_with("Update {")), "{feed:?}");
        assert!(texts(&green).await.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn parked_messages_follow_their_server() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let ([red, green, _], grey) = mixed(&network).await;
        spawn_local(kept_group_messages::run(red.gateway().clone(), Arc::new(red.store())));
        red.with("garden", &["green", "blue"]).await;
        for text in ["one", "two", "three"] {
            grey.say(text).await;
        }
        grey.push_next(r#"{"update":"message","peer":{"type":"group","id":5},"content":{"text":"elsewhere"}}"#).await;
        seconds(70).await;
        assert!(texts(&green).await.is_empty());
        red.with("garden", &["green", "blue", "grey"]).await;
        seconds(2).await;
        assert_eq!(texts(&green).await, ["one", "two", "three"], "without an operator, in their order");
        let kept = red.store().parked(ParkedFilter::default(), None, 9).await.unwrap();
        assert!(kept.rows.is_empty(), "{kept:?}");
        grey.say("four").await;
        seconds(70).await;
        assert_eq!(texts(&green).await, ["one", "two", "three", "four"]);
    })
    .await;
}

/// Equal messages of one push have the same number if the peer numbers its pushes, and are as many messages all the same.
#[tokio::test(start_paused = true)]
async fn equal_kept_messages_stay_apart() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let ([red, green, _], grey) = mixed(&network).await;
        spawn_local(kept_group_messages::run(red.gateway().clone(), Arc::new(red.store())));
        red.with("garden", &["green", "blue"]).await;
        let said = format!(
            r#"{{"update":"message","peer":{{"type":"group","id":{GROUP}}},"content":{{"type":"text","text":"one"}}}}"#
        );
        grey.push_next(&format!("{said},{said}")).await;
        seconds(70).await;
        red.with("garden", &["green", "blue", "grey"]).await;
        seconds(2).await;
        assert_eq!(texts(&green).await, ["one", "one"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn non_participant_message_is_parked() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let ([red, green, _], grey) = mixed(&network).await;
        red.with("garden", &["green", "blue"]).await;
        let answer = grey.say("hello").await;
        assert!(answer.contains(r#""parked":[[1,"NOT_A_PARTICIPANT"]]"#), "{answer}");
        seconds(1).await;
        assert_eq!(red.feed().await, ["parked 1 of grey: NOT_A_PARTICIPANT"]);
        red.with("garden", &["green", "blue", "grey"]).await;
        grey.say("again").await;
        seconds(2).await;
        assert_eq!(texts(&green).await, ["again"]);
        // An operator releases the first one; a second release of it composes nothing.
        let message = GroupMessage {
            group: GroupId(GROUP),
            content: r#"{"text":"hello"}"#.into(),
            user_id: None,
            key: Digest([1; 16]),
        };
        let row = QuarantineKey { server: server("grey"), direction: Direction::In, number: 1 };
        for verdict in [PduVerdict::Accepted, PduVerdict::Duplicate] {
            let released = red.gateway().bridge_parked(&row, Seq(1), &message).await.unwrap();
            assert_eq!(released, Some(verdict));
        }
        seconds(2).await;
        assert_eq!(texts(&green).await, ["again", "hello"]);
        let elsewhere = red.gateway().record(&context("garden")).await.unwrap();
        assert_eq!(elsewhere.participants.len(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn skipped_group_gets_update_later() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let red = TestNode::start(&network, "red", bridging().with_peer("grey", |grey| grey.outbox_items = 1)).await;
        red.with("garden", &["grey"]).await;
        red.say_draft("garden", said("r1")).await.unwrap();
        seconds(1).await;
        red.say_draft("garden", said("r2")).await.unwrap();
        assert_eq!(red.feed().await, ["r2 at grey: parked, outbox_full"]);
        let grey = OldServer::start(&network);
        seconds(60).await;
        assert_eq!(grey.texts(), ["r1"]);
        assert_eq!(red.gateway().retry_message(&"r2".parse().unwrap(), None).await.unwrap(), 1);
        assert_eq!(red.gateway().retry_message(&"r2".parse().unwrap(), None).await.unwrap(), 0);
        seconds(60).await;
        assert_eq!(grey.texts(), ["r1", "r2"]);
    })
    .await;
}
