//! A context that is too busy to process its PDUs delays nothing else: they are staged, and it processes them when it can.

use std::rc::Rc;
use std::sync::Arc;

use actors::model::PduRef;
use actors::ports::{ContextReader, Ports};
use actors::testkit::{TestClock, TestPeers};
use fixtures::disk::SurvivingBytes;
use fixtures::messenger::context;
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::{PortsChange, TestNode};
use fixtures::peers::usual_peers;
use fixtures::read_hooks::ReadHooks;
use fixtures::time::{millis, seconds, world};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::missing::asking::{pdu, send, verdicts};
use crate::ports::{Slow, Watched};

/// Returns blue in two contexts: `garden` loads slowly at each start while the flag is set, `kitchen` does not. Machines
/// crash at PDUs that are called `poison`.
async fn slow_blue(network: &Arc<TestNetwork>, book: TestPeers) -> (Rc<TestNode>, watch::Sender<bool>) {
    let (is_slow, seen) = watch::channel(false);
    let change: PortsChange = Rc::new(move |ports: &mut Ports, clock: &Arc<TestClock>| {
        let clock = clock.clone();
        let breaks = move |arriving: &[PduRef]| {
            if arriving.iter().any(|reference| reference.id.as_str().starts_with("poison")) {
                clock.break_once();
            }
        };
        let slow = Slow { context: context("garden"), is_slow: seen.clone() };
        Watched::new(breaks).with_slow(slow).install(ports);
    });
    let blue = TestNode::changed(network, "blue", book, change).await;
    for room in ["garden", "kitchen"] {
        blue.with(room, &["red", "green"]).await;
    }
    is_slow.send_replace(true);
    blue.restart(SurvivingBytes::Synced).await;
    (blue, is_slow)
}

/// Returns the verdicts on one transaction of red, and its duration.
async fn timed(network: &TestNetwork, id: &str, pdus: &[String]) -> (Vec<String>, u128) {
    let begun = Instant::now();
    let verdicts = verdicts(&send(network, "red", id, pdus).await);
    (verdicts, begun.elapsed().as_millis())
}

/// The first batch waits at most `contexts.arrive_timeout` for the slow context; its other PDUs and the next batches do not
/// wait.
#[tokio::test(start_paused = true)]
async fn batches_for_slow_context_cost_nobody() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (blue, is_slow) = slow_blue(&network, usual_peers("blue")).await;
        let first = [pdu("red", "g1", "garden", &[]), pdu("red", "k1", "kitchen", &[])];
        let (answer, took) = timed(&network, "1", &first).await;
        assert_eq!((answer, took), (vec!["g1 held".to_owned(), "k1 accepted".to_owned()], 1000));
        for n in 2..=9 {
            let before = format!("red/g{}", n - 1);
            let more =
                [pdu("red", &format!("g{n}"), "garden", &[&before]), pdu("red", &format!("k{n}"), "kitchen", &[])];
            let (answer, took) = timed(&network, &n.to_string(), &more).await;
            assert_eq!((answer, took), (vec![format!("g{n} held"), format!("k{n} accepted")], 0));
        }
        // A repeat is recognized as staged, also in another transaction.
        let (answer, took) = timed(&network, "again", &first).await;
        assert_eq!((answer, took), (vec!["g1 duplicate".to_owned(), "k1 duplicate".to_owned()], 0));
        let kitchen: Vec<String> = (1..=9).map(|n| format!("red/k{n}")).collect();
        assert_eq!(blue.feed().await, kitchen);
        is_slow.send_replace(false);
        millis(100).await;
        let garden: Vec<String> = (1..=9).map(|n| format!("red/g{n}")).collect();
        assert_eq!(blue.feed().await[9..], garden);
        // The context responds again, so it is waited for again.
        let (answer, took) = timed(&network, "10", &[pdu("red", "g10", "garden", &["red/g9"])]).await;
        assert_eq!((answer, took), (vec!["g10 accepted".to_owned()], 0));
        blue.check_order("staged");
    })
    .await;
}

/// The same in the other dialect: plain updates and other contexts of the peer continue.
#[tokio::test(start_paused = true)]
async fn updates_pass_a_slow_context() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (blue, is_slow) = slow_blue(&network, usual_peers("blue")).await;
        let red = TestNode::usual(&network, "red").await;
        for room in ["garden", "kitchen"] {
            red.with(room, &["blue"]).await;
        }
        red.say("garden", "g1").await;
        seconds(2).await;
        for n in 2..=5 {
            red.say("garden", &format!("g{n}")).await;
            red.say("kitchen", &format!("k{n}")).await;
            millis(20).await;
            assert_eq!(blue.feed().await.last(), Some(&format!("red/k{n}")), "at once");
        }
        let status = red.gateway().peer(&blue.name).await.unwrap();
        assert_eq!((status.backlog, status.failures), (0, 0));
        is_slow.send_replace(false);
        millis(100).await;
        assert_eq!(blue.feed().await[4..], ["red/g1", "red/g2", "red/g3", "red/g4", "red/g5"]);
    })
    .await;
}

/// A PDU that was answered `held` is on disk, and is accepted after a restart although no request reaches the context.
#[tokio::test(start_paused = true)]
async fn what_is_staged_outlives_power_cut() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (blue, is_slow) = slow_blue(&network, usual_peers("blue")).await;
        let batch = [pdu("red", "g2", "garden", &["red/g1"]), pdu("red", "g1", "garden", &[])];
        assert_eq!(timed(&network, "1", &batch).await.0, ["g2 held", "g1 held"]);
        is_slow.send_replace(false);
        blue.restart(SurvivingBytes::Synced).await;
        seconds(1).await;
        assert_eq!(blue.feed().await, ["red/g1", "red/g2"]);
        assert_eq!(timed(&network, "2", &batch).await.0, ["g2 duplicate", "g1 duplicate"]);
    })
    .await;
}

/// An unknown context that cannot be created in time is created from its stage.
#[tokio::test(start_paused = true)]
async fn new_context_begins_from_its_stage() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (is_slow, seen) = watch::channel(true);
        let change: PortsChange = Rc::new(move |ports: &mut Ports, _: &Arc<TestClock>| {
            let slow = Slow { context: context("attic"), is_slow: seen.clone() };
            Watched::new(|_| {}).with_slow(slow).install(ports);
        });
        let blue = TestNode::changed(&network, "blue", usual_peers("blue"), change).await;
        let batch = [pdu("red", "a2", "attic", &["red/a1"]), pdu("red", "a1", "attic", &[])];
        assert_eq!(timed(&network, "1", &batch).await.0, ["a2 held", "a1 held"]);
        is_slow.send_replace(false);
        millis(100).await;
        assert_eq!(blue.feed().await, ["red/a1", "red/a2"]);
        let record = blue.gateway().record(&context("attic")).await.unwrap();
        assert_eq!(record.participants, [fixtures::peers::server("red")]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_full_stage_refuses_batch() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let book = usual_peers("blue").with_contexts(|limits| limits.stage_max = 2);
        let (blue, is_slow) = slow_blue(&network, book).await;
        for n in 1..=2 {
            let before = format!("red/g{}", n - 1);
            let before = [before.as_str()];
            let batch = [pdu("red", &format!("g{n}"), "garden", if n > 1 { &before } else { &[] })];
            assert_eq!(timed(&network, &n.to_string(), &batch).await.0, [format!("g{n} held")]);
        }
        let third = [pdu("red", "g3", "garden", &["red/g2"]), pdu("red", "k3", "kitchen", &[])];
        let refused = send(&network, "red", "3", &third).await;
        let words = String::from_utf8_lossy(&refused.body);
        assert!(refused.status == 429 && words.contains("contexts.stage_max is reached (2)"), "{words}");
        assert_eq!(refused.retry_after.map(|wait| wait.as_secs()), Some(5));
        // Other peers have a stage of their own, and other contexts are not staged.
        let green = send(&network, "green", "1", &[pdu("green", "g4", "garden", &[])]).await;
        assert_eq!(verdicts(&green), ["g4 held"]);
        assert_eq!(timed(&network, "4", &[pdu("red", "k4", "kitchen", &[])]).await.0, ["k4 accepted"]);
        is_slow.send_replace(false);
        seconds(5).await;
        assert_eq!(
            timed(&network, "3", &third).await.0,
            ["g3 duplicate", "k3 duplicate"],
            "the request waited for admission"
        );
        let feed = blue.feed().await;
        let of_red: Vec<String> = feed.iter().filter(|event| event.starts_with("red/g")).cloned().collect();
        assert_eq!((feed.len(), of_red), (6, ["red/g1", "red/g2", "red/g3"].map(str::to_owned).into()));
    })
    .await;
}

/// A peer that takes every refusal as final is answered late, and never refused because of a full stage.
#[tokio::test(start_paused = true)]
async fn a_full_stage_holds_old_servers() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let book = usual_peers("blue").with_contexts(|limits| limits.stage_max = 1);
        let book = book.with_peer("red", |limits| limits.never_refuse = true);
        let (blue, is_slow) = slow_blue(&network, book).await;
        assert_eq!(timed(&network, "1", &[pdu("red", "g1", "garden", &[])]).await.0, ["g1 held"]);
        let (answer, took) = timed(&network, "2", &[pdu("red", "g2", "garden", &[])]).await;
        assert_eq!((answer, took), (vec!["g2 held".to_owned()], 26_000), "contexts.arrive_timeout and peers.hold_max");
        is_slow.send_replace(false);
        millis(100).await;
        assert_eq!(blue.feed().await, ["red/g1", "red/g2"]);
    })
    .await;
}

/// A staged PDU that crashes the context goes to quarantine, and its neighbours are delivered.
#[tokio::test(start_paused = true)]
async fn poison_in_a_stage_costs_itself() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (blue, is_slow) = slow_blue(&network, usual_peers("blue")).await;
        let batch = ["before", "poison", "after"].map(|id| pdu("red", id, "garden", &[]));
        assert_eq!(timed(&network, "1", &batch).await.0, ["before held", "poison held", "after held"]);
        is_slow.send_replace(false);
        seconds(60).await;
        assert_eq!(blue.feed().await, ["red/before", "parked poison of red: POISON", "red/after"]);
        assert_eq!(blue.store().contexts_with_held_pdus().await.unwrap(), []);
    })
    .await;
}

/// A faulty context costs its own PDUs, and not the link, even if its stage is full.
#[tokio::test(start_paused = true)]
async fn faulty_context_costs_only_itself() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let book = usual_peers("blue").with_contexts(|limits| limits.stage_max = 1);
        let (_blue, is_slow) = slow_blue(&network, book).await;
        let poisons: Vec<String> = (1..=6).map(|n| pdu("red", &format!("poison{n}"), "garden", &[])).collect();
        assert!(timed(&network, "1", &poisons).await.0.iter().all(|verdict| verdict.ends_with(" held")));
        is_slow.send_replace(false);
        seconds(120).await;
        let batch = [pdu("red", "g1", "garden", &[]), pdu("red", "k1", "kitchen", &[])];
        let (answer, _) = timed(&network, "2", &batch).await;
        assert_eq!(answer, ["g1 parkedCONTEXT_FAULTY", "k1 accepted"]);
    })
    .await;
}
