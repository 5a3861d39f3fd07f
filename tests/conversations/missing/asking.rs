//! Requests for missing PDUs: the servers that are asked, their order, and the servers that are never asked.

use std::rc::Rc;
use std::sync::Arc;

use actors::model::{PduDraft, PeerCommand, PeerState};
use actors::testkit::TestPeers;
use bytes::Bytes;
use fernpost::egress::{EgressAnswer as Wanted, EgressRequest};
use fixtures::messenger::{draft, others};
use fixtures::network::{CALM, GatewayAnswer, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{millis, seconds, world};

const NAMES: [&str; 4] = ["red", "green", "blue", "grey"];

/// Returns blue in a context with three servers that are not gateways; requests to them end at the network.
async fn alone(book: TestPeers) -> (Arc<TestNetwork>, Rc<TestNode>) {
    let network = TestNetwork::new(1, CALM);
    let blue = TestNode::start(&network, "blue", book).await;
    blue.with("garden", &others(&blue.name, &NAMES)).await;
    (network, blue)
}

/// Returns a PDU as JSON.
pub(crate) fn pdu(origin: &str, id: &str, room: &str, prev: &[&str]) -> String {
    let pair = |parent: &&str| {
        let (origin, id) = parent.split_once('/').unwrap();
        format!(r#"["{origin}.example","{id}"]"#)
    };
    let prev = prev.iter().map(pair).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"pdu_id":"{id}","origin":"{origin}.example","context":"{room}","ts":7,"pdu_type":"m.text","content":{{"text":"{id}"}},"prev_pdus":[{prev}]}}"#
    )
}

/// Sends one transaction to blue.
pub(crate) async fn send(network: &TestNetwork, from: &str, transaction: &str, pdus: &[String]) -> GatewayAnswer {
    send_to(network, from, "blue", transaction, pdus).await
}

/// Sends one transaction to a gateway.
pub(crate) async fn send_to(
    network: &TestNetwork,
    from: &str,
    to: &str,
    transaction: &str,
    pdus: &[String],
) -> GatewayAnswer {
    carry(network, from, to, transaction, &format!(r#""pdus":[{}]"#, pdus.join(","))).await
}

/// Sends a transaction with this further content.
pub(crate) async fn carry(
    network: &TestNetwork,
    from: &str,
    to: &str,
    transaction: &str,
    holds: &str,
) -> GatewayAnswer {
    let body = format!(r#"{{"transaction_id":"{transaction}","ts":7,"origin":"{from}.example",{holds}}}"#);
    let path = format!("/matrix/federation/v1/send/{transaction}/");
    let request = EgressRequest::put(path, Bytes::from(body), Wanted::Needed);
    network.knock((server(from), server(to)), request).await.expect("it lives")
}

/// Returns the verdict on each PDU of a transaction.
pub(crate) fn verdicts(answer: &GatewayAnswer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let entries = body["pdus"].as_array().expect("a list");
    entries
        .iter()
        .map(|entry| format!("{} {}{}", text(entry, "pdu_id"), text(entry, "status"), text(entry, "code")))
        .collect()
}

/// Returns the servers that were asked for the PDU, each once, in the order of the first request; and the time of the first
/// request.
fn asked(network: &TestNetwork) -> (u64, Vec<String>) {
    let mut order: Vec<String> = vec![];
    let asked = network.asked();
    for (_, words) in &asked {
        if !order.contains(words) {
            order.push(words.clone());
        }
    }
    (asked.first().map_or(0, |(at, _)| *at), order)
}

#[tokio::test(start_paused = true)]
async fn fetch_asks_sender_origin_then_others() {
    world(async {
        let (network, _blue) = alone(usual_peers("blue")).await;
        // Green relays a PDU of grey whose parent is red's.
        let child = pdu("grey", "child", "garden", &["red/parent"]);
        assert_eq!(verdicts(&send(&network, "green", "1", &[child]).await), ["child held"]);
        seconds(10).await;
        let expected = ["blue asks green for parent", "blue asks red for parent", "blue asks grey for parent"];
        assert_eq!(asked(&network), (750, expected.map(str::to_owned).to_vec()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn missing_parent_is_fetched_before_child() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let names = ["red", "green", "blue"];
        let [red, green, blue] = names.map(|name| TestNode::usual(&network, name));
        let (red, green, blue) = (red.await, green.await, blue.await);
        for node in [&red, &green, &blue] {
            node.with("garden", &others(&node.name, &names)).await;
        }
        network.hold(&red.name, &blue.name);
        red.say("garden", "question").await;
        millis(10).await;
        green.say("garden", "answer").await;
        millis(700).await;
        assert!(network.asked().is_empty(), "the parent may arrive without a request");
        seconds(1).await;
        assert_eq!(asked(&network).1, ["blue asks green for question"]);
        assert_eq!(blue.feed().await, ["red/question", "green/answer"]);
        network.release(&red.name, &blue.name);
        seconds(120).await;
        assert_eq!(blue.feed().await.len(), 2, "a parent that arrives without a request is used");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn peer_2016_is_never_fetched() {
    world(async {
        let book = usual_peers("blue").with_peer("green", |green| green.fetches = false);
        let (network, blue) = alone(book).await;
        let child = pdu("green", "child", "garden", &["red/parent"]);
        send(&network, "green", "1", &[child]).await;
        seconds(90).await;
        assert_eq!(asked(&network).1, ["blue asks red for parent", "blue asks grey for parent"]);
        assert_eq!(blue.feed().await, ["gap red/parent before green/child", "green/child without red/parent"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gap_fetch_skips_backing_off_peer() {
    world(async {
        let (network, blue) = alone(usual_peers("blue")).await;
        // The parent is red's, and red is unreachable.
        network.cut(&blue.name, &server("red"));
        let whisper = PduDraft { to: Some(vec![server("red")]), ..draft("whisper") };
        blue.say_draft("garden", whisper).await.unwrap();
        seconds(40).await;
        assert_eq!(blue.gateway().peer(&server("red")).await.unwrap().state, PeerState::BackingOff);
        let child = pdu("green", "child", "garden", &["red/parent"]);
        send(&network, "green", "1", &[child]).await;
        seconds(20).await;
        assert_eq!(asked(&network).1, ["blue asks green for parent", "blue asks grey for parent"]);
    })
    .await;
}

/// Suspended peers lose no attempt while they are not asked: they are asked once they are resumed.
#[tokio::test(start_paused = true)]
async fn resumed_peer_is_asked_for_parent() {
    world(async {
        let book = usual_peers("blue").with_contexts(|contexts| contexts.gap.tries_max = 2);
        let (network, blue) = alone(book).await;
        let peers = ["red", "green", "grey"].map(server);
        for peer in &peers {
            blue.gateway().order(peer, PeerCommand::Suspend).await.unwrap();
        }
        send(&network, "green", "1", &[pdu("green", "child", "garden", &["red/parent"])]).await;
        seconds(5).await;
        assert!(network.asked().is_empty(), "nothing goes out to them");
        for peer in &peers {
            blue.gateway().order(peer, PeerCommand::Resume).await.unwrap();
        }
        seconds(20).await;
        let expected = ["blue asks green for parent", "blue asks red for parent", "blue asks grey for parent"];
        assert_eq!(asked(&network).1, expected);
        let times = |words: &str| network.asked().iter().filter(|(_, asked)| asked == words).count();
        assert_eq!(expected.map(times), [2, 2, 2], "as often as `tries_max` allows");
    })
    .await;
}

/// A parent is given up in time even if no server may be asked until then.
#[tokio::test(start_paused = true)]
async fn parent_of_suspended_peers_is_lost() {
    world(async {
        let (network, blue) = alone(usual_peers("blue")).await;
        for peer in ["red", "green", "grey"].map(server) {
            blue.gateway().order(&peer, PeerCommand::Suspend).await.unwrap();
        }
        send(&network, "green", "1", &[pdu("green", "child", "garden", &["red/parent"])]).await;
        seconds(59).await;
        assert!(!blue.feed().await.iter().any(|line| line.contains("child")), "it waits");
        seconds(2).await;
        assert!(network.asked().is_empty(), "nothing goes out to them");
        assert_eq!(blue.feed().await.last().map(String::as_str), Some("green/child without red/parent"));
    })
    .await;
}

/// The time of a request is measured by the monotonic clock: a wall clock that is set forward uses no budget
/// (`fetch_seconds`).
#[tokio::test(start_paused = true)]
async fn clock_set_forward_costs_no_budget() {
    world(async {
        let (network, blue) = alone(usual_peers("blue")).await;
        network.hold(&blue.name, &server("red"));
        send(&network, "red", "1", &[pdu("red", "child", "garden", &["red/parent"])]).await;
        seconds(2).await;
        blue.clock.jump(24 * 3_600_000);
        seconds(60).await;
        send(&network, "red", "2", &[pdu("red", "other", "garden", &["red/missing"])]).await;
        seconds(2).await;
        let asked = network.asked().into_iter().map(|(_, words)| words).collect::<Vec<_>>();
        assert!(asked.contains(&"blue asks red for missing".to_owned()), "{asked:?}");
    })
    .await;
}
