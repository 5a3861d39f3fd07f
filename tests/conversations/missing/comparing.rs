//! Comparisons of histories between two gateways: what was lost is found, fetched under the usual rules, and delivered once.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::model::{Millis, PduDraft, RepairOutcome, ServerName};
use actors::ports::Task;
use actors::testkit::TestPeers;
use bytes::Bytes;
use fernpost::comparison::{
    CompareAnswerer, CompareLine, CompareLineFault, CompareRefusal, ComparisonReport, ComparisonVerdict,
    ContextVerifier, NightlyCounts, NightlyVerifier, PeerReply, RepairState, VerifyFailure, VerifyOrder,
};
use fixtures::messenger::{at, context, draft, others};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{BASE, seconds, world};
use tokio::time::Instant;

const NAMES: [&str; 3] = ["red", "green", "blue"];

/// The way of one gateway to the others, in memory; it also keeps the calls.
#[derive(Default)]
struct MemoryLine {
    us: String,
    answerers: HashMap<ServerName, CompareAnswerer>,
    calls: Mutex<Vec<Bytes>>,
    /// Refusals in the words of the peers.
    refusals: Mutex<Vec<CompareRefusal>>,
}

/// The line of a verifier; the test keeps a copy.
struct SharedLine(Arc<MemoryLine>);

impl CompareLine for SharedLine {
    fn ask(&self, peer: &ServerName, body: Bytes, _until: Instant) -> Task<Result<PeerReply, CompareLineFault>> {
        let (line, us) = (self.0.clone(), server(&self.0.us));
        line.calls.lock().unwrap().push(body.clone());
        let answerer = line.answerers.get(peer).cloned();
        Box::pin(async move {
            let Some(answerer) = answerer else { return Err(CompareLineFault::Unreachable("no route".to_owned())) };
            Ok(match answerer.answer(&us, &body, 1 << 20).await {
                Ok(body) => PeerReply { status: 200, body: body.into() },
                Err(refusal) => {
                    line.refusals.lock().unwrap().push(refusal);
                    PeerReply { status: 404, body: Bytes::from_static(br#"{"error":"no","code":"REFUSED"}"#) }
                }
            })
        })
    }
}

/// Returns the verifier of a gateway that can call these others.
fn verifier(node: &TestNode, others: &[&Rc<TestNode>]) -> (ContextVerifier, Arc<MemoryLine>) {
    let answerer = |node: &&Rc<TestNode>| (node.name.clone(), CompareAnswerer::new(node.gateway().ports().clone()));
    let us = node.name.as_str().split('.').next().unwrap().to_owned();
    let line = Arc::new(MemoryLine { us, answerers: others.iter().map(answerer).collect(), ..MemoryLine::default() });
    (ContextVerifier::new(node.gateway(), Arc::new(SharedLine(line.clone()))), line)
}

fn order(peer: &str) -> VerifyOrder {
    VerifyOrder { context: context("garden"), peer: server(peer), window: None, repairs: true }
}

async fn verified(node: &TestNode, with: &Rc<TestNode>) -> ComparisonReport {
    let name = with.name.as_str().split('.').next().unwrap();
    verifier(node, &[with]).0.verify(order(name)).await.unwrap()
}

/// Returns the configuration of a gateway that compares everything at once.
fn prompt(us: &str) -> TestPeers {
    usual_peers(us).with_contexts(|contexts| contexts.verify.settle = Duration::ZERO)
}

/// Returns red and blue with this configuration, in one context.
async fn pair(book: impl Fn(&str) -> TestPeers) -> (Arc<TestNetwork>, Rc<TestNode>, Rc<TestNode>) {
    let network = TestNetwork::new(1, CALM);
    let [red, blue] = ["red", "blue"].map(|name| TestNode::start(&network, name, book(name)));
    let (red, blue) = (red.await, blue.await);
    for node in [&red, &blue] {
        node.with("garden", &others(&node.name, &["red", "blue"])).await;
    }
    (network, red, blue)
}

/// Lets red say something that never reaches blue.
async fn lose(network: &TestNetwork, red: &TestNode, id: &str) {
    network.cut(&server("red"), &server("blue"));
    red.say("garden", id).await;
    seconds(1).await;
    red.gateway().drop_message(&id.parse().unwrap(), None).await.unwrap();
    network.heal();
}

fn pdus(report: &ComparisonReport) -> (Vec<String>, Vec<String>) {
    let words = |pdus: &[actors::model::PduRef]| pdus.iter().map(fixtures::messenger::named).collect();
    (words(&report.missing_here.listed), words(&report.missing_there.listed))
}

#[tokio::test(start_paused = true)]
async fn lost_message_is_found_and_repaired() {
    world(async {
        let (network, red, blue) = pair(prompt).await;
        for number in 0..100 {
            red.say("garden", &format!("a{number}")).await;
        }
        blue.say("garden", "b").await;
        seconds(5).await;
        lose(&network, &red, "lost").await;
        seconds(5).await;
        let report = verified(&red, &blue).await;
        assert_eq!((report.result(), report.here, report.there), (ComparisonVerdict::Differs, 102, 101));
        assert_eq!(pdus(&report), (vec![], vec!["red/lost".to_owned()]), "what is missing there is reported");
        assert_eq!(report.repair, RepairState::NotNeeded);
        let looked = VerifyOrder { repairs: false, ..order("red") };
        let report = verifier(&blue, &[&red]).0.verify(looked).await.unwrap();
        assert_eq!((pdus(&report).0, &report.repair), (vec!["red/lost".to_owned()], &RepairState::Left));
        assert!(!blue.feed().await.contains(&"red/lost".to_owned()), "nothing was fetched");
        let asked = network.asked().len();
        let report = verified(&blue, &red).await;
        let arrived = RepairOutcome { arrived: vec![at("red/lost")], ..RepairOutcome::default() };
        assert_eq!(report.repair, RepairState::Ended(arrived));
        assert_eq!(network.asked().len(), asked + 1, "it was fetched as a missing parent is: {:?}", network.asked());
        for (one, other) in [(&red, &blue), (&blue, &red)] {
            let report = verified(one, other).await;
            assert_eq!((report.result(), report.here, report.calls), (ComparisonVerdict::Equal, 102, 1));
        }
        seconds(60).await;
        let feed = blue.feed().await;
        assert_eq!(feed.last().map(String::as_str), Some("red/lost"));
        assert_eq!(feed.iter().filter(|event| *event == "red/lost").count(), 1);
        blue.check_order("after the repair");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn repaired_gap_is_reported_filled() {
    world(async {
        let (network, red, blue) = pair(prompt).await;
        red.say("garden", "a").await;
        seconds(5).await;
        lose(&network, &red, "lost").await;
        network.cut(&server("blue"), &server("red"));
        red.say("garden", "c").await;
        seconds(300).await;
        network.heal();
        assert_eq!(blue.feed().await, ["red/a", "gap red/lost before red/c", "red/c without red/lost"]);
        let report = verified(&blue, &red).await;
        assert_eq!(pdus(&report).0, ["red/lost"]);
        let feed = blue.feed().await;
        assert_eq!(feed[3..], ["red/lost late", "filled red/lost before red/c"], "{feed:?}");
        assert_eq!(verified(&blue, &red).await.result(), ComparisonVerdict::Equal);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn narrowed_message_is_no_difference() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let nodes = NAMES.map(|name| TestNode::start(&network, name, prompt(name)));
        let [red, green, blue] = nodes;
        let (red, green, blue) = (red.await, green.await, blue.await);
        for node in [&red, &green, &blue] {
            node.with("garden", &others(&node.name, &NAMES)).await;
        }
        let whisper = |id: &str, to: &str| PduDraft { to: Some(vec![server(to)]), ..draft(id) };
        red.say("garden", "a").await;
        red.say_draft("garden", whisper("g", "green")).await.unwrap();
        red.say_draft("garden", whisper("b", "blue")).await.unwrap();
        seconds(5).await;
        for (one, other) in [(&red, &blue), (&blue, &red), (&red, &green), (&green, &blue)] {
            let report = verified(one, other).await;
            let shared = if one.name == server("green") { 1 } else { 2 };
            assert_eq!(
                (report.result(), report.here),
                (ComparisonVerdict::Equal, shared),
                "{} {}",
                one.name,
                other.name
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn late_participant_compares_its_time() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let [red, blue] = ["red", "blue"].map(|name| TestNode::start(&network, name, prompt(name)));
        let (red, blue) = (red.await, blue.await);
        red.with("garden", &[]).await;
        for id in ["a", "b"] {
            red.say("garden", id).await;
        }
        seconds(100).await;
        red.with("garden", &["blue"]).await;
        let later = |id: &str, after: u64| PduDraft { accepted: Millis(BASE.0 + after), ..draft(id) };
        network.cut(&server("blue"), &server("red"));
        red.say_draft("garden", later("c", 100_000)).await.unwrap();
        seconds(200).await;
        network.heal();
        red.say_draft("garden", later("d", 300_000)).await.unwrap();
        seconds(5).await;
        for (one, other) in [(&red, &blue), (&blue, &red)] {
            let report = verified(one, other).await;
            assert_eq!((report.result(), report.here, report.there), (ComparisonVerdict::Equal, 1, 1), "{}", one.name);
            assert!(report.from > report.asked_from, "what lies before the edge is no difference");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn joined_history_is_not_compared() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let [red, blue] = ["red", "blue"].map(|name| TestNode::start(&network, name, prompt(name)));
        let (red, blue) = (red.await, blue.await);
        red.with("garden", &[]).await;
        for number in 0..30 {
            red.say("garden", &format!("a{number}")).await;
        }
        let topic = PduDraft { state: Some((String::new(), 0)), ..draft("topic") };
        red.say_draft("garden", topic).await.unwrap();
        red.with("garden", &["blue"]).await;
        blue.gateway().join(&context("garden"), server("red"), 10).await.unwrap();
        seconds(60).await;
        assert_eq!(blue.feed().await.len(), 11);
        let report = verified(&blue, &red).await;
        assert_eq!(
            (report.result(), report.here, report.there),
            (ComparisonVerdict::Equal, 0, 0),
            "there is no news yet"
        );
        assert_eq!(report.from, report.to);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pruned_history_is_not_compared() {
    world(async {
        let brief = |us: &str| match us {
            "blue" => prompt(us).with_contexts(|contexts| contexts.history.keep = Some(Duration::from_secs(7200))),
            _ => prompt(us),
        };
        let (_network, red, blue) = pair(brief).await;
        red.say("garden", "a").await;
        seconds(3 * 3600).await;
        let new = PduDraft { accepted: Millis(BASE.0 + 3 * 3_600_000), ..draft("b") };
        red.say_draft("garden", new).await.unwrap();
        seconds(5).await;
        blue.read().await;
        seconds(7000).await;
        for (one, other) in [(&red, &blue), (&blue, &red)] {
            let report = verified(one, other).await;
            assert_eq!(report.result(), ComparisonVerdict::Equal, "{report:?}");
            assert!(report.here <= 1 && report.from > BASE);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn comparison_is_refused_by_name() {
    world(async {
        let (_network, red, blue) = pair(prompt).await;
        red.say("garden", "a").await;
        seconds(1).await;
        let (to_red, line) = verifier(&blue, &[&red]);
        let failed = async |order: VerifyOrder| to_red.verify(order).await.unwrap_err();
        assert!(matches!(failed(order("grey")).await, VerifyFailure::NotAParticipant { .. }));
        assert!(matches!(failed(order("white")).await, VerifyFailure::Peer(_)));
        let attic = VerifyOrder { context: context("attic"), ..order("red") };
        assert!(matches!(failed(attic).await, VerifyFailure::Context(_)));
        assert!(line.calls.lock().unwrap().is_empty(), "nobody was called");

        blue.with("attic", &["red"]).await;
        red.with("attic", &["green"]).await;
        let attic = VerifyOrder { context: context("attic"), ..order("red") };
        assert!(matches!(failed(attic).await, VerifyFailure::Refused { .. }), "it takes no part there");
        blue.with("cellar", &["red"]).await;
        let cellar = VerifyOrder { context: context("cellar"), ..order("red") };
        assert!(matches!(failed(cellar).await, VerifyFailure::Refused { .. }), "there is none");
        let refusals = line.refusals.lock().unwrap().clone();
        assert_eq!(refusals, [CompareRefusal::NotShared, CompareRefusal::NotShared], "both are told the same");

        let (alone, _) = verifier(&blue, &[]);
        let unreachable = alone.verify(order("red")).await.unwrap_err();
        assert!(matches!(unreachable, VerifyFailure::Unreachable { .. }));
        let counts: Vec<_> = to_red.metrics().results().collect();
        assert_eq!(counts, [("equal", 0), ("differs", 0), ("incomplete", 0), ("failed", 5)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn other_profile_is_not_compared() {
    world(async {
        let deaf = |us: &str| match us {
            "red" => prompt(us).with_peer("blue", |peer| peer.honours_to = false),
            _ => prompt(us),
        };
        let (_network, red, blue) = pair(deaf).await;
        let (of_red, line) = verifier(&red, &[&blue]);
        assert_eq!(of_red.verify(order("blue")).await.unwrap_err(), VerifyFailure::NotFernpost(server("blue")));
        assert!(line.calls.lock().unwrap().is_empty());
        let (of_blue, line) = verifier(&blue, &[&red]);
        assert!(matches!(of_blue.verify(order("red")).await.unwrap_err(), VerifyFailure::Refused { .. }));
        assert_eq!(line.refusals.lock().unwrap()[..], [CompareRefusal::OtherProfile]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn comparison_stays_within_its_bounds() {
    world(async {
        let small = |us: &str| {
            prompt(us).with_contexts(|contexts| {
                let verify = &mut contexts.verify;
                (verify.pdus_max, verify.calls_max, verify.repair_max, verify.ids_max) = (50, 2, 3, 5);
            })
        };
        let (network, red, blue) = pair(small).await;
        for number in 0..100_u64 {
            let new = PduDraft { accepted: Millis(BASE.0 + number), ..draft(&format!("a{number}")) };
            red.say_draft("garden", new).await.unwrap();
        }
        seconds(5).await;
        let report = verified(&blue, &red).await;
        assert_eq!((report.result(), report.here, report.there), (ComparisonVerdict::Equal, 50, 50));
        assert_eq!(report.from, Millis(BASE.0 + 50), "the newest are compared");
        network.cut(&server("red"), &server("blue"));
        for number in 0..30_u64 {
            let id = format!("b{number}");
            let new = PduDraft { accepted: Millis(BASE.0 + 1000 + number), ..draft(&id) };
            red.say_draft("garden", new).await.unwrap();
            seconds(1).await;
            red.gateway().drop_message(&id.parse().unwrap(), None).await.unwrap();
        }
        network.heal();
        let report = verified(&blue, &red).await;
        assert_eq!((report.result(), report.calls), (ComparisonVerdict::Incomplete, 2), "the second call brings parts");
        let wide = |us: &str| small(us).with_contexts(|contexts| contexts.verify.calls_max = 9);
        blue.configure(wide("blue"));
        blue.restart(fixtures::disk::SurvivingBytes::Synced).await;
        let report = verified(&blue, &red).await;
        assert_eq!((report.missing_here.count, report.missing_here.listed.len()), (30, 5), "a bounded list");
        let RepairState::Ended(outcome) = report.repair else { panic!("{report:?}") };
        assert_eq!(outcome.arrived.len(), 3, "the next comparison fetches more");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nightly_run_repairs_by_itself() {
    world(async {
        let nightly = |us: &str| {
            prompt(us).with_contexts(|contexts| {
                contexts.verify.nightly.is_on = us == "blue";
                contexts.verify.nightly.jitter = Duration::ZERO;
            })
        };
        let (network, red, blue) = pair(nightly).await;
        red.say("garden", "a").await;
        blue.with("attic", &["white"]).await;
        seconds(5).await;
        lose(&network, &red, "lost").await;
        let folder = tempfile::tempdir().unwrap();
        let (of_blue, line) = verifier(&blue, &[&red]);
        let run = NightlyVerifier::new(of_blue.clone(), Arc::new(blue.store()), folder.path()).run();
        let run = tokio::task::spawn_local(run);
        // It is a quarter past ten in the evening.
        seconds(4 * 3600).await;
        assert!(line.calls.lock().unwrap().is_empty() && of_blue.metrics().last_night().is_none());
        seconds(3600).await;
        assert_eq!(blue.feed().await, ["red/a", "red/lost"]);
        let (_, counts) = of_blue.metrics().last_night().expect("the run has ended");
        assert_eq!(counts, NightlyCounts { contexts: 1, differing: 1, failed: 0 }, "white is asked by nobody");
        assert_eq!(of_blue.metrics().repaired(), 1);
        let calls = line.calls.lock().unwrap().len();
        seconds(20 * 3600).await;
        assert_eq!(line.calls.lock().unwrap().len(), calls, "once a night");
        seconds(4 * 3600).await;
        assert_eq!(line.calls.lock().unwrap().len(), calls + 1, "equal in one call");
        run.abort();
    })
    .await;
}
