//! Steps whose reads of the store wait, as those of another engine may: events keep their order, and a panic after the
//! wait, or a read that never completes, costs one incarnation.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use actors::model::ContextId;
use actors::ports::Ports;
use actors::testkit::TestClock;
use fixtures::messenger::context;
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::{PortsChange, TestNode};
use fixtures::peers::usual_peers;
use fixtures::read_hooks::ReadHooks;
use fixtures::time::{millis, seconds, world};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::missing::asking::{pdu, send, verdicts};
use crate::ports::{HeldLookUps, Watched};

/// Blue in a context with red and green, in which the lookup of one PDU waits.
struct WaitingBlue {
    network: Arc<TestNetwork>,
    blue: Rc<TestNode>,
    is_held: watch::Sender<bool>,
    clock: Arc<Mutex<Option<Arc<TestClock>>>>,
    loads: Arc<Mutex<Vec<ContextId>>>,
}

impl WaitingBlue {
    async fn holding(id: &'static str) -> Self {
        let network = TestNetwork::new(1, CALM);
        let (is_held, held) = watch::channel(true);
        let (clock, loads) = (Arc::<Mutex<Option<Arc<TestClock>>>>::default(), Arc::<Mutex<Vec<ContextId>>>::default());
        let (of_node, noted) = (clock.clone(), loads.clone());
        let change: PortsChange = Rc::new(move |ports: &mut Ports, clock: &Arc<TestClock>| {
            of_node.lock().unwrap().replace(clock.clone());
            let held = HeldLookUps { id, is_held: held.clone() };
            Watched::new(|_| {}).noting(noted.clone()).holding_look_ups(held).install(ports);
        });
        let blue = TestNode::changed(&network, "blue", usual_peers("blue"), change).await;
        blue.with("garden", &["red", "green"]).await;
        Self { network, blue, is_held, clock, loads }
    }

    /// Sends one transaction with one PDU in the background.
    fn send(&self, from: &'static str, id: &'static str, prev: &'static [&'static str]) {
        let network = self.network.clone();
        spawn_local(async move { send(&network, from, id, &[pdu(from, id, "garden", prev)]).await });
    }

    fn release(&self) {
        self.is_held.send_replace(false);
    }
}

/// Two arrivals and a due timer come while a lookup waits; each is handled after it, in order.
#[tokio::test(start_paused = true)]
async fn events_follow_waiting_look_up() {
    world(async {
        let node = WaitingBlue::holding("late").await;
        send(&node.network, "green", "child", &[pdu("green", "child", "garden", &["red/lost"])]).await;
        millis(400).await;
        node.send("red", "late", &[]);
        millis(100).await;
        node.send("green", "second", &["red/late"]);
        node.send("red", "third", &["green/second"]);
        // Meanwhile the grace period of the missing parent ends, and so does contexts.arrive_timeout.
        seconds(5).await;
        assert_eq!((node.blue.feed().await, node.network.asked()), (vec![], vec![]), "nothing overtakes the look-up");
        node.release();
        seconds(1).await;
        assert!(!node.network.asked().is_empty(), "the timer has fired since");
        assert_eq!(node.blue.feed().await, ["red/late", "green/second", "red/third"]);
        node.blue.check_order("late");
        assert_eq!(node.loads.lock().unwrap().len(), 1, "the context has not restarted");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn panic_after_wait_restarts_context() {
    world(async {
        let node = WaitingBlue::holding("first").await;
        node.send("red", "first", &[]);
        millis(100).await;
        node.clock.lock().unwrap().as_ref().expect("started").break_once();
        node.release();
        millis(100).await;
        assert_eq!(node.loads.lock().unwrap().as_slice(), [context("garden"), context("garden")]);
        assert!(node.blue.feed().await.is_empty());
        let again = send(&node.network, "red", "first", &[pdu("red", "first", "garden", &[])]).await;
        assert_eq!(verdicts(&again), ["first accepted"]);
        assert_eq!(node.blue.feed().await, ["red/first"]);
    })
    .await;
}

/// A page of quarantine continues after the wait of one of its PDUs, and the events after the page wait too.
#[tokio::test(start_paused = true)]
async fn quarantine_page_waits_amid_its_pdus() {
    world(async {
        let node = WaitingBlue::holding("early2").await;
        node.release();
        node.blue.with("garden", &["red"]).await;
        for id in ["early1", "early2", "early3"] {
            let answer = send(&node.network, "green", id, &[pdu("green", id, "garden", &[])]).await;
            assert_eq!(verdicts(&answer), [format!("{id} parkedNOT_A_PARTICIPANT")]);
        }
        node.is_held.send_replace(true);
        node.blue.with("garden", &["red", "green"]).await;
        millis(100).await;
        node.send("red", "news", &["green/early3"]);
        millis(500).await;
        let is_pdu = |event: &String| !event.starts_with("parked");
        let feed = node.blue.feed().await;
        assert_eq!(feed.into_iter().filter(is_pdu).collect::<Vec<_>>(), ["green/early1"]);
        node.release();
        millis(400).await;
        let feed = node.blue.feed().await;
        let expected = ["green/early1", "green/early2", "green/early3", "red/news"];
        assert_eq!(feed.into_iter().filter(is_pdu).collect::<Vec<_>>(), expected);
    })
    .await;
}

/// The read never completes: after its deadline the context restarts, and no accepted PDU is lost.
#[tokio::test(start_paused = true)]
async fn endless_look_up_restarts_context() {
    world(async {
        let node = WaitingBlue::holding("first").await;
        node.send("red", "first", &[]);
        seconds(29).await;
        assert_eq!(node.loads.lock().unwrap().len(), 1);
        seconds(2).await;
        assert_eq!(node.loads.lock().unwrap().len(), 2);
        node.release();
        seconds(120).await;
        assert_eq!(node.blue.feed().await, ["red/first"]);
        node.blue.check_order("first");
    })
    .await;
}

/// A peer's actor that waits for a read answers no batch meanwhile; it restarts, and the repeated batch is accepted.
#[tokio::test(start_paused = true)]
async fn endless_peer_read_restarts_peer() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let held = Arc::new(AtomicBool::new(false));
        let of_blue = held.clone();
        let change: PortsChange = Rc::new(move |ports: &mut Ports, _: &Arc<TestClock>| {
            Watched::new(|_| {}).holding_records(of_blue.clone()).install(ports);
        });
        let blue = TestNode::changed(&network, "blue", usual_peers("blue"), change).await;
        blue.with("garden", &["red", "green"]).await;
        held.store(true, Ordering::SeqCst);
        let began = Instant::now();
        let batch = [pdu("red", "first", "garden", &[])];
        let answer = send(&network, "red", "1", &batch).await;
        assert_eq!((answer.status, began.elapsed().as_secs()), (503, 30));
        held.store(false, Ordering::SeqCst);
        assert_eq!(verdicts(&send(&network, "red", "1", &batch).await), ["first accepted"]);
        assert_eq!(blue.feed().await, ["red/first"]);
    })
    .await;
}
