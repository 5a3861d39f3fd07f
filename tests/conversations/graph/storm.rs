//! A long context of three gateways over a network with all faults, with a restart in the middle; each seed is another run.
//!
//! Run one seed again: `FERNPOST_SEED=<seed> cargo test --test conversations every_storm`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actors::errors::{ComposeError, ContextError};
use actors::model::{FeedItem, PduDraft, PduRef};
use actors::ports::{Ports, SubmissionReader};
use actors::testkit::TestClock;
use fixtures::disk::SurvivingBytes;
use fixtures::messenger::{PduView, context, draft, named, others};
use fixtures::network::{CALM, LinkFaults, TestNetwork, short};
use fixtures::node::{PortsChange, TestNode};
use fixtures::peers::{server, usual_peers};
use fixtures::read_hooks::ReadHooks;
use fixtures::time::{millis, seconds, world};
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::ports::Watched;

const NAMES: [&str; 3] = ["red", "green", "blue"];

const WEATHER: LinkFaults = LinkFaults {
    requests_lost: 0.05,
    answers_lost: 0.05,
    repeated: 0.1,
    delay_max: Duration::from_millis(800),
    ..CALM
};

const MESSAGES: u32 = 200;

/// Minimum time between two crashes: more frequent ones would be a crash loop, which ends in `faulty`.
const BREAKS_APART: Duration = Duration::from_secs(70);

/// Time within which all gateways have everything once the network is well: attempts are at most an hour apart, and PDUs
/// held for a gap wait for its own clock.
const HEALED: u64 = 2 * 3600;

/// The messages that were acknowledged to messengers: the PDU of each, and its context.
#[derive(Default)]
struct Taken(RefCell<Vec<(PduRef, String)>>);

struct Storm {
    network: Arc<TestNetwork>,
    nodes: Vec<Rc<TestNode>>,
    taken: Rc<Taken>,
    chance: fastrand::Rng,
    said: u32,
    breaks: Arc<AtomicBool>,
    /// Time at which a machine was last made to crash.
    broken: Instant,
}

/// Makes a context crash at its next PDU, once for each time this is set.
fn dying(breaks: &Arc<AtomicBool>) -> PortsChange {
    let breaks = breaks.clone();
    Rc::new(move |ports: &mut Ports, clock: &Arc<TestClock>| {
        let (breaks, clock) = (breaks.clone(), clock.clone());
        let seen = move |arriving: &[PduRef]| {
            if !arriving.is_empty() && breaks.swap(false, Ordering::SeqCst) {
                clock.break_once();
            }
        };
        Watched::new(seen).install(ports);
    })
}

impl Storm {
    async fn begin(seed: u64) -> Self {
        // The actors take their jitter from this thread's generator.
        fastrand::seed(seed);
        let mut chance = fastrand::Rng::with_seed(seed);
        let network = TestNetwork::new(chance.u64(..), WEATHER);
        let (mut nodes, breaks) = (vec![], Arc::new(AtomicBool::new(false)));
        for name in NAMES {
            let mut book = usual_peers(name).with_contexts(|contexts| {
                contexts.idle = Duration::from_secs(chance.u64(2..100));
                contexts.held_max = [3, 1000][chance.usize(0..2)];
                contexts.intake_max = chance.u32(2..6);
                contexts.gap.give_up = Duration::from_secs(chance.u64(2..60));
            });
            for other in others(&server(name), &NAMES) {
                book = book.with_peer(other, |peer| peer.batch_items = chance.u32(1..10));
            }
            let node = TestNode::changed(&network, name, book, dying(&breaks)).await;
            for room in ["garden", "kitchen"] {
                node.with(room, &others(&node.name, &NAMES)).await;
            }
            nodes.push(node);
        }
        Self { network, nodes, taken: Rc::default(), chance, said: 0, breaks, broken: Instant::now() }
    }

    fn node(&mut self) -> Rc<TestNode> {
        self.nodes[self.chance.usize(..self.nodes.len())].clone()
    }

    /// A messenger sends a message, mostly as a reply to the last one that it received.
    async fn say(&mut self) {
        let node = self.node();
        node.read().await;
        let room = if self.chance.u8(0..4) == 0 { "kitchen" } else { "garden" };
        let heard = node.pdus().into_iter().rev().find(|pdu| pdu.context == context(room));
        let answers = heard.map(|pdu| named(&pdu.reference)).unwrap_or_default();
        let id = format!("{}{:03}", short(&node.name), self.said);
        self.said += 1;
        spawn_local(insist(node, room, id, answers, self.taken.clone()));
    }

    async fn step(&mut self, restarts_at: u32) {
        match self.chance.u8(0..20) {
            0 => {
                let (from, to) = (self.node().name.clone(), self.node().name.clone());
                match self.chance.u8(0..3) {
                    0 => self.network.cut(&from, &to),
                    1 => self.network.hold(&from, &to),
                    _ => (),
                }
            }
            1 => {
                let (from, to) = (self.node().name.clone(), self.node().name.clone());
                self.network.mend(&from, &to);
                self.network.release(&from, &to);
            }
            // The next context that receives a PDU, at any gateway, crashes.
            2 if self.broken.elapsed() > BREAKS_APART => {
                self.broken = Instant::now();
                self.breaks.store(true, Ordering::SeqCst);
            }
            2 => seconds(self.chance.u64(1..40)).await,
            3..=7 => millis(self.chance.u64(1..2000)).await,
            8 => self.node().read().await,
            _ => self.say().await,
        }
        if self.said == restarts_at {
            self.said += 1;
            let (node, survives) =
                (self.node(), if self.chance.bool() { SurvivingBytes::Synced } else { SurvivingBytes::Written });
            node.end(survives).await;
            millis(self.chance.u64(0..20_000)).await;
            node.begin().await;
        }
    }
}

/// Repeats a submission until it is accepted, as a messenger does without an answer.
async fn insist(node: Rc<TestNode>, room: &'static str, id: String, answers: String, taken: Rc<Taken>) {
    let content = format!(r#"{{"text":"{id}","answers":"{answers}"}}"#);
    loop {
        let asked = PduDraft { content: content.clone().into(), ..draft(&id) };
        match node.say_draft(room, asked).await {
            Ok(()) => break,
            Err(ComposeError::Context(ContextError::Unavailable(_))) => {}
            Err(other) => panic!("{id}: {other}"),
        }
        // The submission may have been accepted although the call failed.
        while node.alive().is_none() {
            seconds(1).await;
        }
        let store = node.store();
        if store.submission(&id.parse().unwrap()).await.unwrap().is_some() {
            break;
        }
        seconds(1).await;
    }
    let reference = PduRef { origin: node.name.clone(), id: id.parse().unwrap() };
    taken.0.borrow_mut().push((reference, room.to_owned()));
}

/// Returns the parents of every PDU, by short names.
fn graph(storm: &Storm) -> BTreeMap<String, Vec<String>> {
    let pdus = storm.nodes.iter().flat_map(|node| node.pdus());
    pdus.map(|pdu| (named(&pdu.reference), PduView::of(&pdu).prev().iter().map(named).collect())).collect()
}

/// Returns whether `one` is `other` or an ancestor of it.
fn is_before(graph: &BTreeMap<String, Vec<String>>, one: &str, other: &str) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![other]);
    while let Some(at) = next.pop() {
        if at == one {
            return true;
        }
        if seen.insert(at) {
            next.extend(graph.get(at).into_iter().flatten().map(String::as_str));
        }
    }
    false
}

/// Checks causal order as a messenger sees it: no reply before the message that it answers, unless a gap was announced
/// between them.
fn check_answers(node: &TestNode, graph: &BTreeMap<String, Vec<String>>, about: &str) {
    let (mut known, mut gaps) = (BTreeSet::new(), BTreeSet::new());
    for entry in node.heard.borrow().iter() {
        match &entry.item {
            FeedItem::Gap { missing, .. } => gaps.extend(missing.iter().map(named)),
            FeedItem::Pdu(pdu) => {
                let content: serde_json::Value = serde_json::from_str(PduView::of(pdu).content.get()).unwrap();
                let answers = content["answers"].as_str().unwrap();
                let is_ours = answers.starts_with(short(&node.name));
                let is_heard = answers.is_empty() || is_ours || known.contains(answers);
                assert!(
                    is_heard || gaps.iter().any(|gap| is_before(graph, answers, gap)),
                    "{about}: {} answers {answers} at {}, which has not received it",
                    pdu.reference,
                    node.name
                );
                gaps.remove(&named(&pdu.reference));
                known.insert(named(&pdu.reference));
            }
            _ => {}
        }
    }
}

/// Checks all guarantees to a messenger against its whole feed.
fn check(storm: &Storm, about: &str) {
    let (taken, graph) = (storm.taken.0.borrow(), graph(storm));
    for node in &storm.nodes {
        node.check_order(about);
        check_answers(node, &graph, about);
        let heard: BTreeMap<PduRef, String> =
            node.pdus().into_iter().map(|pdu| (pdu.reference, pdu.context.to_string())).collect();
        let others = taken.iter().filter(|(reference, _)| reference.origin != node.name);
        let expected: BTreeMap<PduRef, String> = others.cloned().collect();
        let lost: Vec<_> = expected.keys().filter(|reference| !heard.contains_key(reference)).collect();
        assert!(lost.is_empty(), "{about}: {} never received {lost:?}", node.name);
        assert_eq!(heard, expected, "{about}: {} received unacknowledged messages", node.name);
    }
}

async fn storm(seed: u64) {
    let about = format!("FERNPOST_SEED={seed} cargo test --test conversations every_storm");
    let mut storm = Storm::begin(seed).await;
    let restarts_at = storm.chance.u32(20..180);
    while storm.said < MESSAGES {
        storm.step(restarts_at).await;
    }
    storm.network.heal();
    for _ in 0..10 {
        seconds(HEALED / 10).await;
        for node in &storm.nodes {
            node.read().await;
        }
    }
    check(&storm, &about);
    for room in ["garden", "kitchen"] {
        let mut heads = BTreeSet::new();
        for node in &storm.nodes {
            let status = node.gateway().context(&context(room)).await.unwrap();
            assert_eq!((status.held, status.gaps.len()), (0, 0), "{about}: {} in the {room}", node.name);
            // The depths may differ: after a gap, following PDUs have smaller depths.
            let mut of_node: Vec<_> = status.record.heads.into_iter().map(|head| head.reference).collect();
            of_node.sort();
            heads.insert((of_node, status.record.next));
        }
        assert_eq!(heads.len(), 1, "{about}: the {room} is one graph: {heads:?}");
    }
    for node in &storm.nodes {
        for other in storm.nodes.iter().filter(|other| other.name != node.name) {
            let status = node.gateway().peer(&other.name).await.unwrap();
            assert_eq!(status.backlog, 0, "{about}: {} for {}: {status:?}", node.name, other.name);
        }
    }
}

fn weather(seeds: Range<u64>) {
    let seeds = match std::env::var("FERNPOST_SEED") {
        Ok(seed) => vec![seed.parse().expect("a seed is a number")],
        Err(_) => seeds.collect(),
    };
    for seed in seeds {
        println!("FERNPOST_SEED={seed} cargo test --test conversations every_storm");
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(world(storm(seed)));
    }
}

// There are two such tests, so that two cores run them.

#[test]
fn storm_first_seeds_converge() {
    weather(0..15);
}

#[test]
fn storm_second_seeds_converge() {
    weather(15..30);
}
