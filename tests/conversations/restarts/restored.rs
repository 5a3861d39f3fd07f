//! A gateway that has lost its disk and continues from a backup, among peers that remember more than it does.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use actors::model::{Digest, FeedItem, Position, ServerName, Submission, SubmittedContent};
use actors::ports::FeedReader;
use bytes::Bytes;
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use fixtures::messenger::{PduView, context, others};
use fixtures::network::{CALM, SentRequest, TestNetwork};
use fixtures::node::TestNode;
use fixtures::time::{seconds, world};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

const NAMES: [&str; 3] = ["red", "green", "blue"];

/// A row of the feed.
type Event = (u8, u64, u64, u64, &'static str, &'static str, &'static str, &'static [u8]);

struct Scene {
    network: Arc<TestNetwork>,
    nodes: [Rc<TestNode>; 3],
    /// Everything that each messenger ever read under an id, across all restores of its gateway.
    read: BTreeMap<(ServerName, String), Bytes>,
    /// Feed positions at which the current stores of the gateways begin.
    begins: [Position; 3],
}

impl Scene {
    async fn begin() -> Self {
        let network = TestNetwork::new(1, CALM);
        let [red, green, blue] = NAMES.map(|name| TestNode::usual(&network, name));
        let nodes = [red.await, green.await, blue.await];
        for node in &nodes {
            node.with("garden", &others(&node.name, &NAMES)).await;
        }
        Self { network, nodes, read: BTreeMap::new(), begins: [Position(0); 3] }
    }

    /// Each gateway sends two messages, and red and blue also exchange updates.
    async fn talk(&mut self, phase: &str) {
        for n in 1..=2 {
            for (node, name) in self.nodes.iter().zip(NAMES) {
                node.say("garden", &format!("{name}-{phase}{n}")).await;
                match name {
                    "red" => tell(node, &self.nodes[2], &format!("red-{phase}{n}")).await,
                    "blue" => tell(node, &self.nodes[0], &format!("blue-{phase}{n}")).await,
                    _ => {}
                }
            }
            seconds(3).await;
        }
        self.read().await;
    }

    /// Every messenger reads on. An id that it read before must have the same content.
    async fn read(&mut self) {
        for node in &self.nodes {
            node.read().await;
            for entry in node.heard.borrow().iter() {
                let (id, bytes) = match &entry.item {
                    FeedItem::Update { from, n, bytes, .. } => (format!("{from}#{n}"), bytes.clone()),
                    FeedItem::Pdu(pdu) => (pdu.reference.to_string(), pdu.bytes.clone()),
                    _ => continue,
                };
                let before = self.read.insert((node.name.clone(), id.clone()), bytes.clone());
                assert!(before.is_none_or(|before| before == bytes), "{id} at {} has other content now", node.name);
            }
        }
    }

    /// Restores a gateway. Its messenger keeps its cursor and must miss nothing. The events that it has read since the
    /// backup are set aside, because the restored gateway does not know them.
    async fn restore(&mut self, which: usize, backup: &FaultyDisk) {
        let node = self.nodes[which].clone();
        let copied = backup_tail(backup);
        node.restore(backup).await;
        let tail = node.store().feed_bounds().borrow().tail;
        let read = node.heard.borrow().last().expect("the messenger has read events").position;
        assert!(read > copied && read < tail, "the messenger has read more than the backup holds");
        node.cursor.set(read);
        node.heard.borrow_mut().retain(|entry| entry.position <= copied);
        self.begins[which] = tail;
    }
}

/// The newest position of the feed in a backup.
fn backup_tail(backup: &FaultyDisk) -> Position {
    let database =
        Database::builder().create_with_backend(FaultyDisk::with(backup.survivors(SurvivingBytes::Written))).unwrap();
    let feed: TableDefinition<'_, u64, Event> = TableDefinition::new("feed");
    let read = database.begin_read().unwrap();
    let feed = read.open_table(feed).unwrap();
    let last = feed.last().unwrap();
    Position(last.map_or(0, |(position, _)| position.value()))
}

async fn tell(node: &TestNode, to: &TestNode, text: &str) {
    let submission = Submission {
        id: format!("update-{text}").parse().unwrap(),
        digest: Digest([1; 16]),
        accepted: fixtures::time::BASE,
        servers: vec![to.name.clone()],
        left_out: vec![],
        receipt: false,
        what: SubmittedContent::Updates(vec![format!("{{\"text\":\"{text}\"}}").into()]),
    };
    node.gateway().submit(submission).await.unwrap();
}

/// Returns the texts of updates in the feed of the current store, in order.
fn updates(node: &TestNode, from: Position) -> Vec<String> {
    let heard = node.heard.borrow();
    let of_now = heard.iter().filter(|entry| entry.position >= from);
    let text = |item: &FeedItem| match item {
        FeedItem::Update { bytes, .. } => {
            let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            Some(json["text"].as_str().unwrap().to_owned())
        }
        _ => None,
    };
    of_now.filter_map(|entry| text(&entry.item)).collect()
}

fn notices(node: &TestNode) -> Vec<String> {
    let heard = node.heard.borrow();
    let text = |item: &FeedItem| match item {
        FeedItem::Notice { text, .. } => Some(text.clone()),
        _ => None,
    };
    heard.iter().filter_map(|entry| text(&entry.item)).collect()
}

/// Checks that each PDU appears once, and none before its parents unless a gap was announced. A parent of its own that it
/// no longer knows is a gap as well.
fn check_order(node: &TestNode, about: &str) {
    let (mut seen, mut gaps) = (BTreeSet::new(), BTreeSet::new());
    for entry in node.heard.borrow().iter() {
        match &entry.item {
            FeedItem::Gap { missing, .. } => gaps.extend(missing.iter().cloned()),
            FeedItem::Pdu(pdu) => {
                for parent in PduView::of(pdu).prev() {
                    let there = seen.contains(&parent) || parent.origin == node.name || gaps.contains(&parent);
                    assert!(there, "{about}: {} sees {} before {parent}", node.name, pdu.reference);
                }
                assert!(seen.insert(pdu.reference.clone()), "{about}: {} sees {} twice", node.name, pdu.reference);
            }
            _ => {}
        }
    }
}

/// Checks that a transaction id stands for the same PDUs for ever, across all restores.
fn check_transactions(network: &TestNetwork, about: &str) {
    let mut seen: BTreeMap<(ServerName, ServerName, String), serde_json::Value> = BTreeMap::new();
    for sent in network.sent() {
        let path = sent.request.path.split('?').next().unwrap().to_owned();
        if path.contains("/send/") {
            let body: serde_json::Value = serde_json::from_slice(&sent.request.body).unwrap();
            let key = (sent.from, sent.to, path);
            let before = seen.insert(key.clone(), body["pdus"].clone());
            assert!(before.is_none_or(|before| before == body["pdus"]), "{about}: {key:?} is two transactions");
        }
    }
}

/// The gateways in `lost` lose their disks and start again from backups; red's backup is the oldest.
async fn lose(lost: &[usize]) {
    let about = format!("{:?} restored", lost.iter().map(|at| NAMES[*at]).collect::<Vec<_>>());
    let mut scene = Scene::begin().await;
    scene.talk("a").await;
    let red = scene.nodes[0].backup().await;
    scene.talk("b").await;
    let backups = [red, scene.nodes[1].backup().await, scene.nodes[2].backup().await];
    scene.talk("c").await;
    seconds(30).await;
    scene.read().await;
    for &which in lost {
        scene.restore(which, &backups[which]).await;
    }
    scene.talk("d").await;
    scene.talk("e").await;
    seconds(7200).await;
    scene.read().await;

    check_transactions(&scene.network, &about);
    for (at, node) in scene.nodes.iter().enumerate() {
        check_order(node, &about);
        let feed = node.feed().await;
        for (other, name) in NAMES.iter().enumerate().filter(|(other, _)| *other != at) {
            for text in ["d1", "d2", "e1", "e2"].map(|text| format!("{name}/{name}-{text}")) {
                let times = feed.iter().filter(|event| event.split(' ').next() == Some(text.as_str())).count();
                assert_eq!(times, 1, "{about}: {text} at {}: {feed:#?}", node.name);
            }
            let backlog = node.gateway().peer(&scene.nodes[other].name).await.unwrap().backlog;
            assert_eq!(backlog, 0, "{about}: {} for {name}: {:#?}", node.name, notices(node));
        }
        let status = node.gateway().context(&context("garden")).await.unwrap();
        assert_eq!(status.held, 0, "{about}: {}", node.name);
        if lost == [at] {
            // PDUs that it composed after the backup are refused when they come back, because nothing proves their author;
            // replies to them are delivered with a gap.
            let own = format!("{0}/{0}-c2", NAMES[at]);
            let gaps: Vec<_> = feed.iter().filter(|event| event.starts_with("gap ") && event.contains(&own)).collect();
            assert_eq!(gaps.len(), 1, "{about}: {feed:#?}");
        }
        let told = notices(node).iter().any(|text| text.contains("was restored at"));
        assert_eq!(told, lost.contains(&at), "{about}: {}: {:#?}", node.name, notices(node));
    }
    for (at, other, name) in [(0, 2, "blue"), (2, 0, "red")] {
        let node = &scene.nodes[at];
        // Items of a peer that kept its disk arrive again after a loss, and nothing arrives twice.
        let from = scene.begins[at];
        let mut expected: Vec<String> = vec![];
        let phases = match (lost.contains(&at), lost.contains(&other)) {
            // Red lost everything after its first backup, blue everything after its second.
            (true, false) if at == 0 => "bcde",
            (true, false) => "cde",
            // Blue still has the items that it sent before its own backup.
            (true, true) if at == 0 => "bde",
            (true, true) => "de",
            (false, _) => "abcde",
        };
        for phase in phases.chars() {
            expected.extend((1..=2).map(|n| format!("{name}-{phase}{n}")));
        }
        assert_eq!(updates(node, from), expected, "{about}: {} from {name}: {:#?}", node.name, notices(node));
    }
}

#[tokio::test(start_paused = true)]
async fn restored_gateways_converge() {
    for lost in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]] {
        world(lose(lost)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn restored_updates_are_not_duplicated() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (red, blue) = (TestNode::usual(&network, "red").await, TestNode::usual(&network, "blue").await);
        // The gateways exchange a push first, so that pushes carry ranges.
        tell(&red, &blue, "0").await;
        seconds(5).await;
        network.cut(&red.name, &blue.name);
        tell(&red, &blue, "1").await;
        tell(&red, &blue, "2").await;
        let backup = red.backup().await;
        network.mend(&red.name, &blue.name);
        seconds(600).await;
        tell(&red, &blue, "3").await;
        seconds(5).await;
        red.restore(&backup).await;
        network.cut(&red.name, &blue.name);
        for text in ["4", "5"] {
            tell(&red, &blue, text).await;
        }
        network.mend(&red.name, &blue.name);
        seconds(3600).await;
        blue.read().await;
        red.read().await;
        assert_eq!(updates(&blue, Position(0)), ["0", "1", "2", "3", "4", "5"], "{:#?}", notices(&red));
        assert!(notices(&red).iter().any(|text| text.contains("numbered from 5")), "{:#?}", notices(&red));
        assert!(notices(&blue).iter().any(|text| text.contains("reused number")), "{:#?}", notices(&blue));
    })
    .await;
}

/// Returns blue, and green which has received one message, with a copy of green at that time.
async fn heard_once() -> (Arc<TestNetwork>, Rc<TestNode>, Rc<TestNode>, FaultyDisk) {
    let network = TestNetwork::new(1, CALM);
    let (blue, green) = (TestNode::usual(&network, "blue").await, TestNode::usual(&network, "green").await);
    blue.with("garden", &["green"]).await;
    blue.say("garden", "1").await;
    seconds(5).await;
    let backup = green.backup().await;
    (network, blue, green, backup)
}

/// Returns the ids received in a context, in order. Blue sends to green by transactions.
fn heard(green: &TestNode, room: &str) -> Vec<String> {
    let pdus = green.pdus().into_iter().filter(|pdu| pdu.context == context(room));
    pdus.map(|pdu| pdu.reference.id.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn restored_gateway_pulls_lost_pdus() {
    world(async {
        let (network, blue, green, backup) = heard_once().await;
        blue.say("garden", "2").await;
        // The backup does not know this context: its last message must not hide the first.
        blue.with("attic", &["green"]).await;
        for text in ["3", "4", "5", "6", "7", "8"] {
            blue.say("attic", text).await;
            seconds(1).await;
        }
        seconds(60).await;
        green.restore(&backup).await;
        seconds(60).await;
        green.read().await;
        assert_eq!(heard(&green, "garden"), ["1", "2"], "{:#?}", notices(&green));
        assert_eq!(heard(&green, "attic"), ["3", "4", "5", "6", "7", "8"], "{:#?}", notices(&green));
        // The peer was asked once, and not at each start.
        let of_blue = |sent: &SentRequest| sent.to == blue.name && sent.request.path.contains("/pull/");
        let pulls = |network: &TestNetwork| network.sent().iter().filter(|sent| of_blue(sent)).count();
        let before = pulls(&network);
        green.restart(SurvivingBytes::Synced).await;
        seconds(60).await;
        assert_eq!((before, pulls(&network)), (1, 1));
        blue.say("attic", "9").await;
        seconds(60).await;
        green.read().await;
        assert_eq!(heard(&green, "attic").last().map(String::as_str), Some("9"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn offline_peer_is_pulled_from_backup() {
    world(async {
        let (network, blue, green, backup) = heard_once().await;
        blue.with("attic", &["green"]).await;
        blue.say("attic", "2").await;
        seconds(5).await;
        network.cut(&green.name, &blue.name);
        green.restore(&backup).await;
        seconds(60).await;
        // New messages before blue can be asked, and a crash on top, do not change the start of the pull.
        blue.say("garden", "3").await;
        seconds(60).await;
        green.restart(SurvivingBytes::Synced).await;
        network.mend(&green.name, &blue.name);
        blue.say("garden", "4").await;
        seconds(60).await;
        green.read().await;
        assert_eq!(heard(&green, "garden"), ["1", "3", "4"], "{:#?}", notices(&green));
        assert_eq!(heard(&green, "attic"), ["2"], "{:#?}", notices(&green));
    })
    .await;
}

/// A peer that the backup does not know is asked as well: the lost store may have held everything that it ever sent.
#[tokio::test(start_paused = true)]
async fn peers_unknown_to_backup_are_asked() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (blue, green) = (TestNode::usual(&network, "blue").await, TestNode::usual(&network, "green").await);
        let backup = green.backup().await;
        blue.with("garden", &["green"]).await;
        blue.say("garden", "1").await;
        seconds(5).await;
        green.restore(&backup).await;
        seconds(60).await;
        green.read().await;
        assert_eq!(heard(&green, "garden"), ["1"], "{:#?}", notices(&green));
    })
    .await;
}
