//! Idle contexts are evicted and loaded again, and there are never two actors of the same one.

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::model::ContextId;
use actors::ports::Ports;
use actors::testkit::TestClock;
use fixtures::messenger::context;
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::{PortsChange, TestNode};
use fixtures::peers::usual_peers;
use fixtures::read_hooks::ReadHooks;
use fixtures::time::{millis, seconds, world};
use tokio::task::spawn_local;

use crate::missing::asking::{pdu, send, verdicts};
use crate::ports::Watched;

const IDLE: Duration = Duration::from_secs(5);

type Loads = Arc<Mutex<Vec<ContextId>>>;

/// Returns blue, whose contexts are evicted after five seconds, and their loads.
async fn blue(network: &Arc<TestNetwork>) -> (Rc<TestNode>, Loads) {
    let loads = Loads::default();
    let seen = loads.clone();
    let change: PortsChange = Rc::new(move |ports: &mut Ports, _: &Arc<TestClock>| {
        Watched::new(|_| {}).noting(seen.clone()).install(ports);
    });
    let book = usual_peers("blue").with_contexts(|contexts| contexts.idle = IDLE);
    let blue = TestNode::changed(network, "blue", book, change).await;
    blue.with("garden", &["red", "green"]).await;
    (blue, loads)
}

#[tokio::test(start_paused = true)]
async fn idle_context_is_evicted_and_reloaded() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (blue, loads) = blue(&network).await;
        let count = || loads.lock().unwrap().len();
        assert_eq!(count(), 1);
        send(&network, "red", "1", &[pdu("red", "a", "garden", &[])]).await;
        millis(4_900).await;
        send(&network, "red", "2", &[pdu("red", "b", "garden", &["red/a"])]).await;
        millis(4_900).await;
        blue.say("garden", "c").await;
        assert_eq!(count(), 1, "any activity keeps it in memory");
        millis(5_100).await;
        send(&network, "red", "3", &[pdu("red", "d", "garden", &["red/b"])]).await;
        assert_eq!(count(), 2);
        seconds(20).await;
        assert_eq!(count(), 2, "without a request it is not loaded again");
        assert_eq!(blue.gateway().context(&context("garden")).await.unwrap().record.next, 5);
        assert_eq!(blue.feed().await, ["red/a", "red/b", "red/d"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn context_with_gap_stays_loaded() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (blue, loads) = blue(&network).await;
        send(&network, "red", "1", &[pdu("red", "b", "garden", &["red/a"])]).await;
        seconds(50).await;
        assert_eq!(loads.lock().unwrap().len(), 1);
        seconds(20).await;
        assert_eq!(blue.feed().await, ["gap red/a before red/b", "red/b without red/a"]);
        seconds(10).await;
        // The context was evicted; its gap is still known after the next load.
        send(&network, "red", "2", &[pdu("red", "a", "garden", &[])]).await;
        assert_eq!(loads.lock().unwrap().len(), 2);
        assert_eq!(blue.feed().await[2..], ["red/a late", "filled red/a before red/b"]);
    })
    .await;
}

/// Messages arrive from two peers and from the messenger around the time at which the context is evicted.
#[tokio::test(start_paused = true)]
async fn evicting_context_never_runs_twice() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (blue, loads) = blue(&network).await;
        let mut chance = fastrand::Rng::with_seed(7);
        const ROUNDS: u64 = 60;
        for round in 0..ROUNDS {
            // The timer is due after exactly five seconds: messages arrive before it, with it, during the eviction, and
            // after it.
            millis(chance.u64(4_998..5_003)).await;
            let came = ["red", "green"].map(|from| {
                let (network, turns) = (network.clone(), chance.u32(0..12));
                spawn_local(async move {
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                    let id = format!("{from}{round}");
                    verdicts(&send(&network, from, &id, &[pdu(from, &id, "garden", &[])]).await)
                })
            });
            let (node, turns) = (blue.clone(), chance.u32(0..12));
            let said = spawn_local(async move {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                node.say("garden", &format!("blue{round}")).await;
            });
            for (from, came) in ["red", "green"].into_iter().zip(came) {
                assert_eq!(came.await.unwrap(), [format!("{from}{round} accepted")]);
            }
            said.await.unwrap();
        }
        let loads = loads.lock().unwrap().len() as u64;
        assert!((ROUNDS / 4..=ROUNDS).contains(&loads), "it was evicted and loaded {loads} times");
        // Two actors of one context would assign the same positions twice and lose each other's heads.
        let record = blue.gateway().context(&context("garden")).await.unwrap().record;
        assert_eq!(record.next, 3 * ROUNDS + 1);
        let feed = blue.feed().await;
        let mut events: Vec<_> = feed.iter().filter(|event| !event.starts_with("peer")).collect();
        assert_eq!(events.len() as u64, 2 * ROUNDS);
        events.sort();
        events.dedup();
        assert_eq!(events.len() as u64, 2 * ROUNDS);
    })
    .await;
}
