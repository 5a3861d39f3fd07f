//! A server that names nonexistent parents without end: it uses up its own hourly budget, and no other peer is affected.

use std::time::Duration;

use actors::model::FeedItem;
use fernpost::egress::EgressMethod;
use fixtures::messenger::{context, others};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{millis, seconds, world};

use crate::missing::asking::{pdu, send, verdicts};

/// Number of PDUs in total, and below, of parents that each of them names.
const PDUS: usize = 10_000;
const PARENTS: usize = 10;
const A_TRANSACTION: usize = 50;

/// Seconds of requests that the server may cause per hour.
const BUDGET: u64 = 20;

/// Maximum number of requests to all servers for all of this.
const ASKED_MAX: usize = 100;

/// Maximum number of PDUs that are held in memory.
const HELD_MAX: u32 = 500;

const NAMES: [&str; 3] = ["red", "green", "blue"];

/// In another server, one forged event caused a walk through a hundred thousand nonexistent ones.
#[tokio::test(start_paused = true)]
async fn invented_parents_cost_only_their_sender() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let book = usual_peers("blue")
            .with_peer("grey", |grey| grey.fetch_seconds = Duration::from_secs(BUDGET))
            .with_contexts(|contexts| contexts.held_max = HELD_MAX);
        let blue = TestNode::start(&network, "blue", book).await;
        let (red, green) = (TestNode::usual(&network, "red").await, TestNode::usual(&network, "green").await);
        for node in [&red, &green, &blue] {
            node.with("garden", &others(&node.name, &NAMES)).await;
        }
        blue.with("maze", &["red", "green", "grey"]).await;
        // The server does not answer requests for the parents that it named.
        network.hold(&blue.name, &server("grey"));
        let mut invented = 0;
        for transaction in 0..PDUS / A_TRANSACTION {
            let one = |n: usize| {
                let parents: Vec<String> = (0..PARENTS).map(|p| format!("grey/none{n}x{p}")).collect();
                let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
                pdu("grey", &format!("lie{n}"), "maze", &parents)
            };
            let lies: Vec<String> = (0..A_TRANSACTION).map(|n| one(transaction * A_TRANSACTION + n)).collect();
            invented += lies.len() * PARENTS;
            let answer = send(&network, "grey", &transaction.to_string(), &lies).await;
            assert_eq!(verdicts(&answer).len(), A_TRANSACTION);
            if transaction % 20 == 0 {
                let (id, heard) = (format!("calm{transaction}"), green.pdus().len());
                red.say("garden", &id).await;
                millis(100).await;
                for node in [&blue, &green] {
                    node.read().await;
                    let last = node.pdus().into_iter().rev().find(|pdu| pdu.context == context("garden"));
                    assert_eq!(last.map(|pdu| pdu.reference.id.to_string()), Some(id.clone()), "at {}", node.name);
                }
                assert_eq!(green.pdus().len(), heard + 1);
                let maze = blue.gateway().context(&context("maze")).await.unwrap();
                assert!(maze.held <= u64::from(HELD_MAX), "{} are held", maze.held);
                assert!(maze.wanted.len() <= HELD_MAX as usize * PARENTS, "{} parents are wanted", maze.wanted.len());
            }
            millis(200).await;
        }
        assert_eq!(invented, 100_000);
        seconds(300).await;
        blue.read().await;
        let notices: Vec<String> = blue
            .heard
            .borrow()
            .iter()
            .filter_map(|entry| match &entry.item {
                FeedItem::Notice { text, .. } => Some(text.clone()),
                _ => None,
            })
            .collect();
        assert!(matches!(&notices[..], [one] if one.contains("grey.example") && one.contains("fetch_")), "{notices:?}");
        let refusals = blue.gateway().metrics().refusals;
        assert!(matches!(refusals[..], [("peers.fetch_seconds", 1..)]), "{refusals:?}");
        let asked = network.sent().into_iter().filter(|sent| sent.request.method == EgressMethod::Get).count();
        assert!((1..ASKED_MAX).contains(&asked), "{asked} questions");
        let maze = blue.gateway().context(&context("maze")).await.unwrap();
        assert_eq!((maze.held, maze.wanted.len()), (0, 0), "all PDUs are delivered without their parents");
        assert_eq!(blue.pdus().iter().filter(|pdu| pdu.context == context("maze")).count(), PDUS);
    })
    .await;
}
