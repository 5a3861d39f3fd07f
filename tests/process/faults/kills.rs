//! SIGKILL under load: an acknowledgement means on disk, and what is on disk arrives once.
//!
//! Red and blue exchange updates, green sends and receives transactions, and all three share a context. One random gateway
//! after the other is killed. A relay in front of each gateway counts items: an item that was sent twice must be once in
//! the feed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;
use crate::fixtures::sample_messenger::{
    FeedFollower, GatewayRun, ReceivedEvents, SubmissionKind, SubmittedTexts, SubmittingMessenger, text,
};
use crate::fixtures::wire::Wire;

/// The speakers of each side and what they submit.
const WAYS: [(&str, &[SubmissionKind]); 3] = [
    (
        "red",
        &[
            SubmissionKind::Updates("blue"),
            SubmissionKind::Updates("blue"),
            SubmissionKind::Messages(GARDEN),
            SubmissionKind::Messages(GARDEN),
        ],
    ),
    (
        "blue",
        &[
            SubmissionKind::Updates("red"),
            SubmissionKind::Updates("red"),
            SubmissionKind::Messages(GARDEN),
            SubmissionKind::Messages(GARDEN),
        ],
    ),
    ("green", &[SubmissionKind::Messages(GARDEN), SubmissionKind::Messages(GARDEN)]),
];
/// The context of all three, percent-encoded.
const GARDEN: &str = "%23garden";
/// Maximum acknowledged submissions between a start and the next kill.
const CALM_MAX: usize = 60;
/// Maximum acknowledged submissions on the other side before a killed gateway is started again.
const OUTAGE_MAX: usize = 40;
/// Attempts are at most half a second apart, so that an outage ends soon after its cause. Acknowledged items are not kept:
/// if a gateway acknowledges an item that is not on its disk yet, the sender cannot repair the loss.
const LIMITS: &str = "backoff_min = \"50ms\"\nbackoff_max = \"500ms\"\nbatch_items = 20\nfailures_to_suspend = 1000\n\
                      retain_items = 1";

/// One gateway and its messenger.
struct Side {
    node: GatewayProcess,
    lives: watch::Sender<GatewayRun>,
    acknowledged: Arc<watch::Sender<usize>>,
    heard: Arc<Mutex<ReceivedEvents>>,
    heard_count: watch::Receiver<usize>,
}

/// The parts that all sides share.
struct Crowd {
    speakers: JoinSet<(usize, SubmittedTexts)>,
    listeners: JoinSet<()>,
    enough: watch::Sender<bool>,
}

impl Side {
    /// Starts a gateway and names the participants before any message is submitted.
    async fn ready(mut node: GatewayProcess) -> GatewayProcess {
        node.start().await;
        let others = WAYS.iter().map(|(name, _)| *name).filter(|name| *name != node.name);
        node.api().set_participants(GARDEN, &others.collect::<Vec<_>>()).await;
        node
    }

    /// Starts the speakers and the listener of a side.
    fn start(node: GatewayProcess, number: usize, rng: &mut Rng, crowd: &mut Crowd) -> Self {
        let lives = watch::Sender::new(GatewayRun { number: 1, api: Some(node.api()) });
        let acknowledged = Arc::new(watch::Sender::new(0));
        for (n, way) in WAYS[number].1.iter().enumerate() {
            let speaker = SubmittingMessenger {
                name: format!("{}.{n}", node.name),
                way: *way,
                lives: lives.subscribe(),
                rng: rng.fork(),
                acknowledged: acknowledged.clone(),
                enough: crowd.enough.subscribe(),
            };
            crowd.speakers.spawn(async move { (number, speaker.speak().await) });
        }
        let (heard, (count, heard_count)) = (Arc::default(), watch::channel(0));
        let listener = FeedFollower { lives: lives.subscribe(), rng: rng.fork(), heard: Arc::clone(&heard), count };
        crowd.listeners.spawn(listener.listen());
        Self { node, lives, acknowledged, heard, heard_count }
    }

    /// Kills the gateway. New calls wait for its restart; calls in progress fail.
    fn kill(&mut self) {
        self.lives.send_modify(|life| life.api = None);
        let log = self.node.kill();
        for wrong in ["ERROR", "panic"] {
            assert!(!log.contains(wrong), "{} logged an error before the kill:\n{log}", self.node.name);
        }
    }

    async fn restart(&mut self) {
        self.node.start().await;
        self.lives.send_modify(|life| *life = GatewayRun { number: life.number + 1, api: Some(self.node.api()) });
    }

    /// Waits until this many more submissions are acknowledged with 202.
    async fn goes_on(&self, by: usize) {
        let mut acknowledged = self.acknowledged.subscribe();
        let until = *acknowledged.borrow() + by;
        let _seen =
            soon("load", acknowledged.wait_for(|count| *count >= until)).await.expect("the side holds the sender");
    }
}

fn from_environment<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text:?}")))
}

/// Starts the three gateways, each reached by the others through a counting relay.
async fn three() -> ([GatewayProcess; 3], [Wire; 3]) {
    let mut nodes = WAYS.map(|(name, _)| GatewayProcess::new(name));
    let wires =
        [Wire::to(nodes[0].federation).await, Wire::to(nodes[1].federation).await, Wire::to(nodes[2].federation).await];
    for (at, node) in nodes.iter_mut().enumerate() {
        // When the kills end, a side may be thousands of PDUs ahead of another. Beyond `contexts.held_max` it would deliver with a gap,
        // as it says, and here each gap is a fault.
        node.edit(|text| format!("{text}\n[contexts]\nheld_max = 100_000\n"));
        for (other, wire) in wires.iter().enumerate().filter(|(other, _)| *other != at) {
            let dialect = if at == 2 || other == 2 { "transactions" } else { "updates" };
            let (name, address) = (WAYS[other].0, wire.address);
            node.peer(
                name,
                &format!(
                    "addresses = [\"http://{address}\"]\nallow_from = [\"127.0.0.1/32\"]\ndialect = \"{dialect}\"\n{LIMITS}"
                ),
            );
        }
    }
    (nodes, wires)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_survives_repeated_sigkill() {
    let kills = from_environment("FERNPOST_KILLS").unwrap_or(10);
    let seed = from_environment("FERNPOST_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("FERNPOST_KILLS={kills} FERNPOST_SEED={seed}");
    let (started, mut rng) = (Instant::now(), Rng::with_seed(seed));
    let mut crowd = Crowd { speakers: JoinSet::new(), listeners: JoinSet::new(), enough: watch::Sender::new(false) };
    let (nodes, wires) = three().await;
    let mut sides = vec![];
    let mut ready = vec![];
    for node in nodes {
        ready.push(Side::ready(node).await);
    }
    for (number, node) in ready.into_iter().enumerate() {
        sides.push(Side::start(node, number, &mut rng, &mut crowd));
    }

    for n in 0..kills {
        // The first three kills hit each side once; after that, one side may be hit several times in a row.
        let victim = if n < 3 { n % 3 } else { rng.usize(..3) };
        let (load, calm) = (rng.usize(..3), rng.usize(1..=CALM_MAX));
        sides[load].goes_on(calm).await;
        sides[victim].kill();
        let outage = if rng.bool() { 0 } else { rng.usize(1..=OUTAGE_MAX) };
        sides[(victim + rng.usize(1..=2)) % 3].goes_on(outage).await;
        println!(
            "{:>6.1} s  {} killed after {calm} of {}, back after {outage}",
            started.elapsed().as_secs_f64(),
            sides[victim].node.name,
            sides[load].node.name
        );
        sides[victim].restart().await;
    }
    let spoken = drain(&mut sides, crowd).await;
    let mut delivered = 0;
    for (at, side) in sides.iter().enumerate() {
        let heard = side.heard.lock().expect("no panic while it is held").events.len();
        let feed = side.node.api().hear(heard).await;
        let after = side.node.api().get(&format!("/v1/events?after={}", feed.len())).await;
        assert_eq!(after["events"], Value::Array(vec![]), "no event follows the expected ones");
        delivered += verify(side, at, &feed, &spoken);
    }
    let (sent, again) = wires.iter().map(Wire::counted).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let acknowledged: usize = sides.iter().map(|side| *side.acknowledged.borrow()).sum();
    let repeats: usize = spoken.iter().flatten().map(|one| one.repeats).sum();
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "figures: {kills} kills in {seconds:.0} s, {acknowledged} submissions acknowledged ({repeats} repeated over a kill), \
         {delivered} deliveries expected and made, 0 lost, 0 twice in a feed, 0 out of order; \
         {sent} items on the wire, {again} of them again; seed {seed}"
    );
}

/// Waits until all sides have received everything; returns what the speakers of each side submitted.
async fn drain(sides: &mut [Side], mut crowd: Crowd) -> [Vec<SubmittedTexts>; 3] {
    crowd.enough.send_replace(true);
    let mut spoken = [vec![], vec![], vec![]];
    while let Some(done) = soon("the last submissions", crowd.speakers.join_next()).await {
        let (side, one) = done.expect("a speaker does not fail");
        spoken[side].push(one);
    }
    for (at, side) in sides.iter_mut().enumerate() {
        let expected: usize = meant_for(at, &spoken).map(|one| one.texts.len()).sum();
        let name = side.node.name;
        let arrived = side.heard_count.wait_for(|count| *count >= expected);
        let arrived = tokio::select! {
            arrived = timeout(Duration::from_secs(60), arrived) => arrived.map(|count| *count.expect("the listener runs")),
            Some(ended) = crowd.listeners.join_next() => panic!("a listener ended: {ended:?}"),
        };
        let heard = *side.heard_count.borrow();
        assert!(arrived.is_ok(), "{name} received {heard} of {expected}");
    }
    crowd.listeners.shutdown().await;
    spoken
}

/// Returns what others submitted for the side number `at`.
fn meant_for(at: usize, spoken: &[Vec<SubmittedTexts>; 3]) -> impl Iterator<Item = &SubmittedTexts> {
    let others = spoken.iter().enumerate().filter(move |(side, _)| *side != at).flat_map(|(_, all)| all);
    others.filter(move |one| !matches!(one.way, SubmissionKind::Updates(to) if to != WAYS[at].0))
}

/// Compares the feed, read again from its beginning, with what the others submitted and what the listener received
/// meanwhile. Returns the number of delivered items.
fn verify(side: &Side, at: usize, feed: &[Value], spoken: &[Vec<SubmittedTexts>; 3]) -> usize {
    let heard = side.heard.lock().expect("no panic while it is held");
    assert!(heard.events.values().eq(feed), "the listener received what the feed holds");
    let positions = feed.iter().map(|event| event["position"].as_u64());
    assert!(positions.eq((1..=feed.len() as u64).map(Some)), "positions are without gaps");
    let kind = |event: &Value, kind: &str| event["kind"] == kind;
    for wrong in ["gap", "parked", "notice"] {
        let found = feed.iter().find(|event| kind(event, wrong));
        assert!(found.is_none(), "no parent was given up and no update renumbered: {found:?}");
    }
    for (from, _) in WAYS {
        let updates = feed.iter().filter(|event| kind(event, "update") && event["from"] == from);
        for (event, n) in updates.zip(1..) {
            assert_eq!(event["id"], format!("{from}#{n}"), "ids of updates are consecutive: {event}");
        }
    }
    let said: Vec<&str> = feed.iter().filter_map(said_in).collect();
    assert_eq!(said.iter().collect::<HashSet<_>>().len(), said.len(), "the same text under two ids");
    for one in meant_for(at, spoken) {
        let start = format!("{}/", one.name);
        let arrived: Vec<_> = said.iter().filter(|text| text.starts_with(&start)).collect();
        assert!(
            arrived.iter().eq(&one.texts.iter().collect::<Vec<_>>()),
            "{}: something is missing or out of order",
            one.name
        );
    }
    let expected: usize = meant_for(at, spoken).map(|one| one.texts.len()).sum();
    assert_eq!(said.len(), expected, "no event is without a submission");

    // Each message appears once and after all its parents. A feed does not contain the messages of its own messenger.
    let mut known: HashSet<String> = spoken[at].iter().flat_map(|one| one.ids.iter().cloned()).collect();
    for event in feed.iter().filter(|event| kind(event, "message")) {
        for parent in event["prev"].as_array().expect("a list") {
            let parent = format!("{}/{}", text(&parent[0]), text(&parent[1]));
            assert!(known.contains(&parent), "{} comes before {parent}", event["id"]);
        }
        assert!(known.insert(text(&event["id"]).to_owned()), "{} comes twice", event["id"]);
    }
    println!("{}: {} delivered, {} redelivered over the feed", side.node.name, said.len(), heard.redelivered);
    said.len()
}

/// Returns the submitted text if the event is an update or a message.
fn said_in(event: &Value) -> Option<&str> {
    match event["kind"].as_str()? {
        "update" => event["update"]["text"].as_str(),
        "message" => event["content"]["body"].as_str(),
        _ => None,
    }
}
