//! A bug that one PDU triggers costs that PDU or its context, never its neighbours and never the link.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use actors::model::PduRef;
use actors::ports::{PduStatus, Ports};
use actors::testkit::TestClock;
use fixtures::messenger::{context, others};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::{PortsChange, TestNode};
use fixtures::peers::usual_peers;
use fixtures::read_hooks::ReadHooks;
use fixtures::time::{millis, seconds, world};

use crate::missing::asking::{pdu, send, verdicts};
use crate::ports::Watched;

const NAMES: [&str; 3] = ["red", "green", "blue"];

/// Makes the machine of a context panic whenever one of these ids arrives.
fn dies_of(ids: &[&str]) -> PortsChange {
    let ids: HashSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    Rc::new(move |ports: &mut Ports, clock: &Arc<TestClock>| {
        let (ids, clock) = (ids.clone(), clock.clone());
        // After the lookup the machine runs its step, which reads the clock inside its guard.
        let breaks = move |arriving: &[PduRef]| {
            if arriving.iter().any(|reference| ids.contains(reference.id.as_str())) {
                clock.break_once();
            }
        };
        Watched::new(breaks).install(ports);
    })
}

/// Returns blue, whose machines crash at these ids, in two contexts with red and green.
async fn blue_dying_of(ids: &[&str]) -> (Arc<TestNetwork>, Rc<TestNode>) {
    let network = TestNetwork::new(1, CALM);
    let blue = TestNode::changed(&network, "blue", usual_peers("blue"), dies_of(ids)).await;
    for room in ["garden", "kitchen"] {
        blue.with(room, &["red", "green"]).await;
    }
    (network, blue)
}

#[tokio::test(start_paused = true)]
async fn poison_pdu_is_quarantined_alone() {
    world(async {
        let (network, blue) = blue_dying_of(&["poison"]).await;
        let batch = [
            pdu("red", "before", "garden", &[]),
            pdu("red", "poison", "garden", &["red/before"]),
            pdu("red", "after", "garden", &["red/before"]),
            pdu("red", "elsewhere", "kitchen", &[]),
        ];
        let first = send(&network, "red", "1", &batch).await;
        assert_eq!(first.status, 503, "no PDU is blamed for the first crash: the peer is told to retry");
        let second = send(&network, "red", "1", &batch).await;
        assert_eq!(
            verdicts(&second),
            ["before accepted", "poison parkedPOISON", "after held", "elsewhere duplicate"],
            "after the second crash the context restarts with a delay"
        );
        seconds(5).await;
        assert_eq!(blue.feed().await, ["red/elsewhere", "red/before", "parked poison of red: POISON", "red/after"]);
        // The PDU stays in quarantine: a repeat gets the same answer, and the following PDUs are processed as usual.
        assert_eq!(send(&network, "red", "1", &batch).await, second);
        let next = [pdu("red", "next", "garden", &["red/after"])];
        assert_eq!(verdicts(&send(&network, "red", "2", &next).await), ["next accepted"]);
        blue.check_order("poison");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn poisoned_context_never_stops_peer() {
    for speaker in ["red", "green"] {
        world(async {
            let network = TestNetwork::new(1, CALM);
            let [red, green] = ["red", "green"].map(|name| TestNode::usual(&network, name));
            let (red, green) = (red.await, green.await);
            let blue = TestNode::changed(&network, "blue", usual_peers("blue"), dies_of(&["poison"])).await;
            for node in [&red, &green, &blue] {
                node.with("garden", &others(&node.name, &NAMES)).await;
                node.with("kitchen", &others(&node.name, &NAMES)).await;
            }
            let from = if speaker == "red" { &red } else { &green };
            for (room, id) in
                [("garden", "1"), ("garden", "poison"), ("kitchen", "2"), ("garden", "3"), ("kitchen", "4")]
            {
                from.say(room, id).await;
            }
            seconds(30).await;
            let status = from.gateway().peer(&blue.name).await.unwrap();
            assert_eq!((status.backlog, status.failures), (0, 0), "{speaker}: the link continues");
            seconds(90).await;
            let of_blue = blue.feed().await;
            let has = |event: String| of_blue.contains(&event);
            for id in ["1", "2", "4"] {
                assert!(has(format!("{speaker}/{id}")), "{speaker}: {of_blue:?}");
            }
            assert!(has(format!("parked poison of {speaker}: POISON")), "{of_blue:?}");
            // A PDU that names it is delivered, with a gap.
            assert!(has(format!("{speaker}/3 without {speaker}/poison")), "{of_blue:?}");
            blue.check_order(speaker);

            blue.say("garden", "onward").await;
            seconds(5).await;
            for node in [&red, &green] {
                assert!(node.feed().await.contains(&"blue/onward".to_owned()));
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn faulty_context_keeps_peer_working() {
    world(async {
        let poisons: Vec<String> = (1..=3).map(|n| format!("poison{n}")).collect();
        let ids: Vec<&str> = poisons.iter().map(String::as_str).collect();
        let (network, blue) = blue_dying_of(&ids).await;
        // Each crash is waited for; the sixth within the period exceeds the limit.
        for ((n, id), waits) in ids.iter().enumerate().zip([[1, 3], [5, 9], [17, 0]]) {
            let batch = [pdu("red", id, "garden", &[]), pdu("red", &format!("k{n}"), "kitchen", &[])];
            assert_eq!(send(&network, "red", id, &batch).await.status, 503);
            seconds(waits[0]).await;
            assert_eq!(verdicts(&send(&network, "red", id, &batch).await)[0], format!("{id} parkedPOISON"));
            seconds(waits[1]).await;
        }
        let batch = [pdu("red", "fine", "garden", &[]), pdu("red", "k4", "kitchen", &[])];
        let answer = send(&network, "red", "last", &batch).await;
        assert_eq!(verdicts(&answer), ["fine parkedCONTEXT_FAULTY", "k4 accepted"]);
        let refusal = blue.try_say("garden", "unheard").await;
        assert_eq!(refusal, Err(actors::errors::ContextError::Faulty(context("garden")).into()));
        assert_eq!(blue.try_say("kitchen", "heard").await, Ok(()));
        let feed = blue.feed().await;
        let in_kitchen: Vec<_> = feed.iter().filter(|event| event.starts_with("red/")).collect();
        assert_eq!(in_kitchen, ["red/k0", "red/k1", "red/k2", "red/k4"]);
        assert_eq!(feed.iter().filter(|event| event.ends_with(": POISON")).count(), 3);
        assert_eq!(feed.last().unwrap(), "parked fine of red: CONTEXT_FAULTY");
    })
    .await;
}

/// A slow disk delays a context, and no PDU is blamed for it.
#[tokio::test(start_paused = true)]
async fn late_context_poisons_nothing() {
    world(async {
        let (network, blue) = blue_dying_of(&["poison1", "poison2", "poison3"]).await;
        // After five crashes the context restarts only after sixteen seconds, longer than a peer's request waits.
        for id in ["poison1", "poison2"] {
            let batch = [pdu("red", id, "garden", &[])];
            assert_eq!(send(&network, "red", id, &batch).await.status, 503);
            seconds(5).await;
            assert_eq!(verdicts(&send(&network, "red", id, &batch).await), [format!("{id} parkedPOISON")]);
            seconds(9).await;
        }
        assert_eq!(send(&network, "red", "3", &[pdu("red", "poison3", "garden", &[])]).await.status, 503);
        let innocent = [pdu("red", "innocent", "garden", &[])];
        let answer = send(&network, "red", "1", &innocent).await;
        assert_eq!(verdicts(&answer), ["innocent held"]);
        seconds(20).await;
        assert_eq!(blue.feed().await.last().unwrap(), "red/innocent");
    })
    .await;
}

/// A claim of an incarnation that crashes is released for the next one.
#[tokio::test(start_paused = true)]
async fn crash_releases_claimed_identity() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let once = Arc::new(Mutex::new(true));
        let change: PortsChange = Rc::new(move |ports: &mut Ports, clock: &Arc<TestClock>| {
            let (once, clock) = (once.clone(), clock.clone());
            let breaks = move |arriving: &[PduRef]| {
                if !arriving.is_empty() && std::mem::take(&mut *once.lock().unwrap()) {
                    clock.break_once();
                }
            };
            Watched::new(breaks).install(ports);
        });
        let blue = TestNode::changed(&network, "blue", usual_peers("blue"), change).await;
        for room in ["garden", "kitchen"] {
            blue.with(room, &["red", "green"]).await;
        }
        assert_eq!(send(&network, "red", "1", &[pdu("red", "x", "garden", &[])]).await.status, 503);
        millis(10).await;
        let known: HashMap<_, PduStatus> = blue
            .gateway()
            .ports()
            .archive
            .contexts
            .look_up(&context("garden"), vec![], vec![fixtures::messenger::at("red/x")])
            .await
            .unwrap();
        assert!(known.is_empty(), "{known:?}");
        let elsewhere = send(&network, "green", "2", &[pdu("red", "x", "kitchen", &[])]).await;
        assert_eq!(verdicts(&elsewhere), ["x accepted"]);
    })
    .await;
}
