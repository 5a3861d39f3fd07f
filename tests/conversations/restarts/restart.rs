//! A gateway that stops in the middle of a context continues from its disk; everything that it acknowledged is there.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::errors::{ComposeError, ContextError, UnavailableError};
use actors::ports::{ContextReader, Ports};
use actors::testkit::TestClock;
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use fixtures::messenger::{at, context, named, others};
use fixtures::network::{CALM, TestNetwork, short};
use fixtures::node::TestNode;
use fixtures::peers::usual_peers;
use fixtures::read_hooks::ReadHooks;
use fixtures::time::{millis, seconds, world};

use crate::missing::asking::{pdu, send, verdicts};
use crate::ports::Watched;

const NAMES: [&str; 3] = ["red", "green", "blue"];

async fn three() -> (Arc<TestNetwork>, [Rc<TestNode>; 3]) {
    let network = TestNetwork::new(1, CALM);
    let [red, green, blue] = NAMES.map(|name| TestNode::usual(&network, name));
    let nodes = [red.await, green.await, blue.await];
    for node in &nodes {
        node.with("garden", &others(&node.name, &NAMES)).await;
    }
    (network, nodes)
}

#[tokio::test(start_paused = true)]
async fn held_pdus_restart_their_gap_clock() {
    for survives in [SurvivingBytes::Synced, SurvivingBytes::Written] {
        world(async {
            let (network, [red, green, blue]) = three().await;
            network.hold(&red.name, &blue.name);
            network.cut(&blue.name, &green.name);
            network.cut(&blue.name, &red.name);
            red.say("garden", "question").await;
            millis(10).await;
            green.say("garden", "answer").await;
            millis(10).await;
            green.say("garden", "more").await;
            seconds(50).await;
            blue.restart(survives).await;
            seconds(58).await;
            let status = blue.gateway().context(&context("garden")).await.unwrap();
            assert_eq!((status.held, status.wanted), (2, vec![at("red/question")]));
            assert_eq!(blue.feed().await, Vec::<String>::new(), "the full give-up time runs again");
            seconds(5).await;
            let gap = ["gap red/question before green/answer", "green/answer without red/question", "green/more"];
            assert_eq!(blue.feed().await, gap);

            // A parent that was given up stays so after another restart, and is delivered as late when it arrives.
            blue.restart(survives).await;
            network.heal();
            seconds(3700).await;
            assert_eq!(blue.feed().await[3..], ["red/question late", "filled red/question before green/answer"]);
            blue.check_order("restarted");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn causal_order_survives_restart() {
    world(async {
        let (network, [red, green, blue]) = three().await;
        network.hold(&red.name, &blue.name);
        network.cut(&blue.name, &green.name);
        network.cut(&blue.name, &red.name);
        red.say("garden", "question").await;
        millis(10).await;
        green.say("garden", "answer").await;
        seconds(10).await;
        blue.restart(SurvivingBytes::Synced).await;
        network.release(&red.name, &blue.name);
        seconds(20).await;
        assert_eq!(blue.feed().await, ["red/question", "green/answer"]);
        network.heal();
        blue.say("garden", "thanks").await;
        seconds(60).await;
        assert_eq!(red.feed().await, ["green/answer", "blue/thanks"]);
        assert_eq!(green.feed().await, ["red/question", "blue/thanks"]);
    })
    .await;
}

/// The messages that were acknowledged to a messenger.
#[derive(Default)]
struct Acknowledged {
    said: Vec<String>,
    failed: bool,
}

impl Acknowledged {
    async fn say(&mut self, node: &TestNode, id: &str) {
        match node.try_say("garden", id).await {
            Ok(()) => self.said.push(named(&at(&format!("{}/{id}", short(&node.name))))),
            Err(ComposeError::Context(ContextError::Unavailable(UnavailableError::OutcomeUnknown))) => {
                self.failed = true;
            }
            Err(other) => panic!("{}: {other}", node.name),
        }
    }
}

/// Plays a short context in which blue receives, sends, holds, and receives a reply.
async fn play(network: &TestNetwork, [red, green, blue]: &[Rc<TestNode>; 3]) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    acknowledged.say(red, "1").await;
    acknowledged.say(blue, "2").await;
    millis(20).await;
    network.hold(&red.name, &blue.name);
    acknowledged.say(red, "3").await;
    millis(20).await;
    acknowledged.say(green, "4").await;
    millis(20).await;
    acknowledged.say(blue, "5").await;
    blue.read().await;
    millis(1000).await;
    network.release(&red.name, &blue.name);
    acknowledged.say(green, "6").await;
    acknowledged.say(blue, "7").await;
    seconds(2).await;
    blue.read().await;
    acknowledged
}

/// Restarts blue, and waits until all have everything.
async fn check(nodes: &[Rc<TestNode>; 3], acknowledged: &Acknowledged, about: &str) {
    // The longest delay between two attempts is an hour, but no gateway was down that long.
    seconds(600).await;
    for node in nodes {
        let feed = node.feed().await;
        node.check_order(about);
        for said in acknowledged.said.iter().filter(|said| !said.starts_with(short(&node.name))) {
            let times = feed.iter().filter(|event| *event == said).count();
            assert_eq!(times, 1, "{about}: {said} at {}: {feed:?}", node.name);
        }
        let status = node.gateway().context(&context("garden")).await.unwrap();
        assert_eq!((status.held, status.gaps.len()), (0, 0), "{about}: {}", node.name);
        for other in nodes.iter().filter(|other| other.name != node.name) {
            assert_eq!(node.gateway().peer(&other.name).await.unwrap().backlog, 0, "{about}: {}", node.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_crash_keeps_acknowledged_data() {
    for k in 1.. {
        let mut failed = false;
        for survives in [SurvivingBytes::Synced, SurvivingBytes::Written] {
            let about = format!("sync {k} of blue failed, {survives:?}");
            failed |= world(async {
                let (network, nodes) = three().await;
                let disk: FaultyDisk = nodes[2].disk();
                disk.fail_at(k);
                let acknowledged = play(&network, &nodes).await;
                network.heal();
                let before = nodes[2].heard.borrow().clone();
                nodes[2].restart(survives).await;
                // A position that the messenger has read must still hold the same event.
                nodes[2].heard.borrow_mut().clear();
                nodes[2].read().await;
                assert_eq!(nodes[2].heard.borrow()[..before.len()], before, "{about}");
                check(&nodes, &acknowledged, &about).await;
                acknowledged.failed
            })
            .await;
        }
        if !failed {
            assert!(k > 10, "the script has only {k} syncs");
            return;
        }
    }
}

/// A PDU that a server sent before it was added is accepted after a restart although no request reaches the context.
#[tokio::test(start_paused = true)]
async fn take_back_survives_restart() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let held = Arc::new(AtomicBool::new(true));
        let is_held = held.clone();
        let change = move |ports: &mut Ports, _: &Arc<TestClock>| {
            Watched::new(|_| {}).holding_strangers(is_held.clone()).install(ports);
        };
        let blue = TestNode::changed(&network, "blue", usual_peers("blue"), Rc::new(change)).await;
        blue.with("garden", &["red"]).await;
        let answer = send(&network, "green", "1", &[pdu("green", "early", "garden", &[])]).await;
        assert_eq!(verdicts(&answer), ["early parkedNOT_A_PARTICIPANT"]);
        blue.with("garden", &["red", "green"]).await;
        seconds(5).await;
        blue.restart(SurvivingBytes::Synced).await;
        held.store(false, Ordering::SeqCst);
        blue.restart(SurvivingBytes::Synced).await;
        seconds(5).await;
        assert!(blue.feed().await.contains(&"green/early".to_owned()));
        // Once that is done, a restart does not start the context for it again.
        blue.restart(SurvivingBytes::Synced).await;
        assert_eq!(blue.store().contexts_with_held_pdus().await.unwrap(), []);
    })
    .await;
}
