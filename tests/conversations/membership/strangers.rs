//! Servers that do not participate: what is rejected, what is quarantined, and who participates because of the first PDU of
//! a context.

use std::sync::Arc;

use actors::model::FeedItem;
use actors::ports::{ContextReader, ParkedFilter, StoreInspector};
use bytes::Bytes;
use fernpost::egress::{EgressAnswer as Wanted, EgressRequest};
use fixtures::disk::SurvivingBytes;
use fixtures::messenger::{PduView, at, context};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::server;
use fixtures::time::{seconds, world};
use tokio::time::Instant;

use crate::missing::asking::{pdu, send, verdicts};

/// Returns the number of rows in quarantine.
async fn kept(node: &TestNode) -> usize {
    let page = node.store().parked(ParkedFilter::default(), None, 100).await.unwrap();
    page.rows.len()
}

fn notices(node: &TestNode) -> Vec<String> {
    let heard = node.heard.borrow();
    let text = |item: &FeedItem| match item {
        FeedItem::Notice { text, .. } => Some(text.clone()),
        _ => None,
    };
    heard.iter().filter_map(|entry| text(&entry.item)).collect()
}

/// Sends a push of PDUs to blue.
async fn push(network: &Arc<TestNetwork>, from: &str, seq: usize, pdus: &[String]) -> String {
    let updates: Vec<String> = pdus.iter().map(|pdu| format!(r#"{{"update":"pdu","pdu":{pdu}}}"#)).collect();
    let body = Bytes::from(format!(r#"{{"strong":[{}],"seq":{seq}}}"#, updates.join(",")));
    let request = EgressRequest::post("/http/v1/updates", body, Wanted::Needed);
    let answer = network.knock((server(from), server("blue")), request).await.expect("blue lives");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn relayed_copy_of_stranger_is_refused() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = TestNode::usual(&network, "blue").await;
        blue.with("garden", &["red"]).await;
        let forged = pdu("red", "a", "garden", &[]).replace("\"text\":\"a\"", "\"text\":\"forged\"");
        let answer = send(&network, "green", "1", std::slice::from_ref(&forged)).await;
        assert_eq!(verdicts(&answer), ["a SENDER_NOT_A_PARTICIPANT"]);
        for seq in 1..=2 {
            let said = push(&network, "grey", seq, std::slice::from_ref(&forged)).await;
            assert!(said.contains(r#""receive":"ok""#), "its sequence number is acknowledged: {said}");
        }
        assert_eq!(kept(&blue).await, 0);
        let own = send(&network, "red", "2", &[pdu("red", "a", "garden", &[])]).await;
        assert_eq!(verdicts(&own), ["a accepted"]);
        let feed = blue.feed().await;
        assert!(!feed.iter().any(|event| event.starts_with("parked")), "{feed:?}");
        let notices = notices(&blue);
        assert!(
            matches!(&notices[..], [one] if one.contains("grey.example is not a participant of garden")),
            "{notices:?}"
        );
        assert!(PduView::of(&blue.pdus()[0]).content.get().contains("\"a\""), "its origin's own copy");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stranger_copy_never_displaces_own() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = TestNode::usual(&network, "blue").await;
        blue.with("garden", &["red"]).await;
        let relayed = pdu("green", "a", "garden", &[]).replace("\"text\":\"a\"", "\"text\":\"relayed\"");
        let parked = ["a parkedNOT_A_PARTICIPANT"];
        assert_eq!(verdicts(&send(&network, "red", "1", std::slice::from_ref(&relayed)).await), parked);
        let own = [pdu("green", "a", "garden", &[])];
        assert_eq!(verdicts(&send(&network, "green", "2", &own).await), parked);
        assert_eq!(verdicts(&send(&network, "green", "3", &own).await), parked);
        assert_eq!(kept(&blue).await, 2, "one row a PDU and sender");
        blue.restart(SurvivingBytes::Synced).await;
        blue.with("garden", &["red", "green"]).await;
        seconds(1).await;
        let events = ["parked a of red: NOT_A_PARTICIPANT", "parked a of green: NOT_A_PARTICIPANT", "green/a"];
        assert_eq!(blue.feed().await, events);
        assert!(PduView::of(&blue.pdus()[0]).content.get().contains("\"a\""), "its origin's own copy");
        assert_eq!(kept(&blue).await, 0);
    })
    .await;
}

/// Regression: servers that the first PDU named as origins of parents participated, so they received our messages and could
/// read the state.
#[tokio::test(start_paused = true)]
async fn named_server_hears_and_reads_nothing() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = TestNode::usual(&network, "blue").await;
        let first = [pdu("green", "b", "garden", &["red/a"])];
        assert_eq!(verdicts(&send(&network, "green", "1", &first).await), ["b held"]);
        blue.say("garden", "ours").await;
        seconds(5).await;
        let to_red = network.sent().into_iter().filter(|sent| sent.from == blue.name && sent.to == server("red"));
        let paths: Vec<_> = to_red.map(|sent| sent.request.path).filter(|path| !path.contains("/pdu/")).collect();
        assert!(paths.is_empty(), "{paths:?}");
        let path = "/matrix/federation/v1/state/garden/".to_owned();
        let state = EgressRequest::get(path, Wanted::Needed);
        let answer = network.knock((server("red"), server("blue")), state).await.expect("blue lives");
        assert_eq!(answer.status, 404);
        assert_eq!(
            verdicts(&send(&network, "red", "2", &[pdu("red", "c", "garden", &[])]).await),
            ["c parkedNOT_A_PARTICIPANT"]
        );
        let record = blue.store().context_record(&context("garden")).await.unwrap().unwrap();
        assert_eq!(record.participants, [server("green")]);
        assert_eq!(verdicts(&send(&network, "green", "3", &[pdu("red", "a", "garden", &[])]).await), ["a accepted"]);
        let order: Vec<_> = blue.feed().await.into_iter().filter(|event| !event.starts_with("parked")).collect();
        assert_eq!(order, ["red/a", "green/b"]);
        assert!(blue.store().pdu(&at("red/a")).await.unwrap().is_some());
    })
    .await;
}

/// The records of a new context are deferred changes. The answer waits for a barrier, which makes the journal commit them at
/// once.
#[tokio::test(start_paused = true)]
async fn first_context_batch_answers_immediately() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = TestNode::usual(&network, "blue").await;
        let began = Instant::now();
        assert_eq!(verdicts(&send(&network, "red", "1", &[pdu("red", "a", "garden", &[])]).await), ["a accepted"]);
        let said = push(&network, "green", 1, &[pdu("green", "b", "kitchen", &[])]).await;
        assert!(said.contains(r#""receive":"ok""#), "{said}");
        assert_eq!(began.elapsed().as_millis(), 0);
        assert_eq!(blue.feed().await, ["red/a", "green/b"]);
    })
    .await;
}
