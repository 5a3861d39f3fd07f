//! A gateway that keeps texts for two days only, among others that keep them for ever.

use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::model::{JoinStage, Millis, PduDraft};
use actors::ports::{CommitPriority, ContextReader, Journal, Ownership, PduStatus};
use actors::testkit::{TestPeers, at_once};
use fernpost::egress::{EgressAnswer as Wanted, EgressRequest};
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use fixtures::messenger::{at, context, draft, named, others};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{seconds, world};

use crate::missing::asking::{pdu, send, verdicts};

const DAY: u64 = 86_400;

fn forgetful(us: &str) -> TestPeers {
    usual_peers(us).with_contexts(|contexts| contexts.history.keep = Some(Duration::from_secs(2 * DAY)))
}

fn topic(id: &str) -> PduDraft {
    PduDraft { state: Some((String::new(), 0)), kind: "topic".into(), ..draft(id) }
}

/// Calls of these tests to a gateway that prunes its history.
trait PrunedHistory {
    /// Trims the feed up to the last event that was read.
    async fn trim(&self);

    /// Returns the PDUs of the context that the node still has, newest first, each with the parents that it lacks.
    async fn shows(&self) -> Vec<String>;

    fn knows(&self, text: &str) -> Option<PduStatus>;

    async fn forgotten(&self) -> u64;

    /// Checks that the rows of the store are consistent.
    fn is_sound(&self);
}

impl PrunedHistory for TestNode {
    async fn trim(&self) {
        self.read().await;
        let store = self.store();
        let trimmed = Change::FeedTrimmed { before: Millis(u64::MAX), rows_max: 1_000 };
        store.submit(store.claim_feed().unwrap(), vec![trimmed], CommitPriority::Now).committed().await.unwrap();
    }

    async fn shows(&self) -> Vec<String> {
        let page = self.store().timeline(&context("garden"), None, 1_000, u64::MAX).await.unwrap();
        let line = |(_, pdu): &(i64, actors::model::FeedPdu)| {
            let gap: String = pdu.shown.gap.iter().map(|parent| format!(" without {}", named(parent))).collect();
            format!("{}{gap}", named(&pdu.reference))
        };
        page.iter().map(line).collect()
    }

    fn knows(&self, text: &str) -> Option<PduStatus> {
        at_once(self.store().look_up(&context("garden"), vec![], vec![at(text)])).unwrap().remove(&at(text))
    }

    async fn forgotten(&self) -> u64 {
        self.store().stats().await.unwrap().forgotten()
    }

    fn is_sound(&self) {
        let verified =
            fernpost::store::verify_backend(FaultyDisk::with(self.disk().survivors(SurvivingBytes::Synced))).unwrap();
        assert_eq!(verified.findings, []);
    }
}

async fn get(network: &TestNetwork, path: &str) -> (u16, String) {
    let asked = EgressRequest::get(path.to_owned(), Wanted::Needed);
    let answer = network.knock((server("red"), server("blue")), asked).await.expect("it lives");
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn pruned_pdu_stays_known() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = TestNode::start(&network, "blue", forgetful("blue")).await;
        blue.with("garden", &["red", "green"]).await;
        let said = |id: &str, prev: &[&str]| pdu("red", id, "garden", prev);
        let first = [said("a", &[]), said("b", &["red/a"]), said("c", &["red/b"])];
        assert_eq!(verdicts(&send(&network, "red", "1", &first).await), ["a accepted", "b accepted", "c accepted"]);
        assert_eq!(blue.feed().await, ["red/a", "red/b", "red/c"]);
        seconds(3 * DAY).await;
        assert_eq!(blue.forgotten().await, 0, "the feed still names it, so the messenger may read it again");
        blue.trim().await;
        seconds(700).await;
        assert_eq!(blue.shows().await, ["red/c without red/b"], "a head stays");
        assert_eq!(blue.forgotten().await, 2);
        blue.is_sound();

        for life in 0..2 {
            // The PDUs arrive again from their origin, and from another server that has just received them.
            let again = send(&network, "red", &format!("2{life}"), &first).await;
            assert_eq!(verdicts(&again), ["a duplicate", "b duplicate", "c duplicate"]);
            let again = send(&network, "green", &format!("2{life}"), &first[1..2]).await;
            assert_eq!(verdicts(&again), ["b duplicate"]);
            assert_eq!(get(&network, "/matrix/federation/v1/pdu/red.example/b/").await.0, 404);
            assert_eq!(get(&network, "/matrix/federation/v1/pdu/red.example/c/").await.0, 200);
            let path = "/matrix/federation/v1/backfill/garden/?v=c,red.example&v=b,red.example&limit=9";
            let (status, body) = get(&network, path).await;
            assert!(status == 200 && body.contains(r#""text":"c""#) && !body.contains(r#""text":"b""#), "{body}");
            blue.restart(SurvivingBytes::Synced).await;
        }
        // A late reply to a pruned PDU: the parent is known, so it is neither waited for nor fetched.
        let late = send(&network, "red", "3", &[said("d", &["red/a", "red/b"])]).await;
        assert_eq!(verdicts(&late), ["d accepted"]);
        assert_eq!(
            blue.knows("red/d"),
            Some(PduStatus::Delivered { context: context("garden"), depth: 2, history: false })
        );
        seconds(100).await;
        assert_eq!(blue.feed().await[3..], ["red/d"], "no gap, and no PDU twice");
        assert!(network.asked().is_empty(), "{:?}", network.asked());
        assert_eq!(blue.gateway().fetch_older(&context("garden"), 9).await.unwrap(), 0, "pruned PDUs are not fetched");
        assert_eq!(blue.shows().await, ["red/d without red/a without red/b", "red/c without red/b"]);
        blue.check_order("blue");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn retention_keeps_queued_pdus() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = TestNode::start(
            &network,
            "blue",
            forgetful("blue").with_peer("red", |red| {
                red.retain = Duration::from_secs(DAY);
            }),
        )
        .await;
        let red = TestNode::usual(&network, "red").await;
        blue.with("garden", &["red"]).await;
        red.with("garden", &["blue"]).await;
        network.cut(&blue.name, &red.name);
        for n in 0..5 {
            blue.say("garden", &format!("m{n}")).await;
        }
        seconds(5 * DAY).await;
        assert_eq!(blue.forgotten().await, 0, "it is queued");
        network.mend(&blue.name, &red.name);
        seconds(DAY).await;
        assert_eq!(red.feed().await, ["blue/m0", "blue/m1", "blue/m2", "blue/m3", "blue/m4"]);
        // Red may be restored from a backup and request older items, which are kept for `retain`. After a restart blue
        // checks whether rows are left to trim.
        assert_eq!(blue.forgotten().await, 0);
        blue.restart(SurvivingBytes::Synced).await;
        blue.say("garden", "news").await;
        seconds(DAY).await;
        assert_eq!(blue.shows().await, ["blue/news without blue/m4"]);
        assert_eq!((red.feed().await.len(), blue.forgotten().await), (6, 5));
        blue.is_sound();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pruning_keeps_state_for_joiners() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let names = ["red", "green", "blue"];
        let blue = TestNode::start(&network, "blue", forgetful("blue")).await;
        let [red, green] = [TestNode::usual(&network, "red").await, TestNode::usual(&network, "green").await];
        red.with("garden", &["blue"]).await;
        blue.with("garden", &["red"]).await;
        red.say_draft("garden", topic("t1")).await.unwrap();
        seconds(1).await;
        red.say("garden", "r1").await;
        seconds(1).await;
        red.say_draft("garden", topic("t2")).await.unwrap();
        for n in 2..6 {
            seconds(1).await;
            red.say("garden", &format!("r{n}")).await;
        }
        seconds(3 * DAY).await;
        blue.trim().await;
        seconds(700).await;
        // The current state, the state that it replaced, and the head.
        assert_eq!(blue.shows().await, ["red/r5 without red/r4", "red/t2 without red/r1", "red/t1"]);
        assert_eq!(blue.forgotten().await, 4);
        let state = blue.store().current_state(&context("garden"), None, 9, u64::MAX).await.unwrap().state;
        assert_eq!(state.iter().map(|one| named(&one.reference)).collect::<Vec<_>>(), ["red/t2"]);
        assert_eq!(
            blue.store().state_set(&context("garden"), &("topic".into(), String::new())).await.unwrap().len(),
            2
        );

        for node in [&red, &blue] {
            node.with("garden", &others(&node.name, &names)).await;
        }
        green.gateway().join(&context("garden"), server("blue"), 50).await.unwrap();
        seconds(60).await;
        let status = green.gateway().context(&context("garden")).await.unwrap();
        assert_eq!(status.record.join.map(|join| join.stage), Some(JoinStage::Done));
        let holder = green.store().state_holder(&context("garden"), &("topic".into(), String::new())).await.unwrap();
        assert_eq!(holder.map(|holder| named(&holder.reference)), Some("red/t2".to_owned()));
        assert!(!green.shows().await.iter().any(|line| line.starts_with("red/r4")), "blue has pruned it");
        // The following state finds the state that it replaces, and red resolves it as blue does.
        blue.say_draft("garden", topic("t3")).await.unwrap();
        seconds(5).await;
        for node in [&red, &blue] {
            let holder = node.store().state_holder(&context("garden"), &("topic".into(), String::new())).await.unwrap();
            assert_eq!(holder.map(|holder| named(&holder.reference)), Some("blue/t3".to_owned()));
        }
        blue.is_sound();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn history_age_counts_from_arrival() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let red = TestNode::usual(&network, "red").await;
        let blue = TestNode::start(&network, "blue", forgetful("blue")).await;
        red.with("garden", &["green"]).await;
        for n in 0..10 {
            red.say("garden", &format!("r{n}")).await;
            seconds(1).await;
        }
        red.say_draft("garden", topic("t")).await.unwrap();
        // The PDUs were composed five days ago and delivered here today.
        seconds(5 * DAY).await;
        red.with("garden", &["green", "blue"]).await;
        blue.gateway().join(&context("garden"), server("red"), 4).await.unwrap();
        seconds(60).await;
        blue.trim().await;
        seconds(DAY).await;
        assert_eq!(blue.shows().await.len(), 5);
        assert_eq!(blue.gateway().fetch_older(&context("garden"), 3).await.unwrap(), 3);
        seconds(DAY + 3_600).await;
        blue.trim().await;
        seconds(700).await;
        // The state PDU, which is a head as well, and the PDU of a day later are left.
        let left = ["red/t without red/r9", "red/r5", "red/r4", "red/r3 without red/r2"];
        assert_eq!((blue.shows().await, blue.forgotten().await), (left.map(str::to_owned).to_vec(), 4));
        // Earlier PDUs are fetched as before; pruned PDUs that are returned again are ignored.
        blue.gateway().join(&context("garden"), server("red"), 50).await.unwrap();
        seconds(60).await;
        assert_eq!(blue.shows().await.len(), 4 + 3, "{:?}", blue.shows().await);
        blue.read().await;
        let mut heard: Vec<String> = blue.pdus().iter().map(|pdu| named(&pdu.reference)).collect();
        heard.sort();
        let said = (0..10).map(|n| format!("red/r{n}")).chain(["red/t".to_owned()]);
        assert_eq!(heard, said.collect::<Vec<_>>(), "each once");
        assert!(blue.pdus().iter().all(|pdu| pdu.shown.history));
        blue.is_sound();
    })
    .await;
}

/// Pruning does not interrupt exchange: two gateways that prune continue to exchange messages.
#[tokio::test(start_paused = true)]
async fn pruning_peers_converge_despite_crashes() {
    world(async {
        let network: Arc<TestNetwork> = TestNetwork::new(7, CALM);
        let names = ["red", "blue"];
        let retains =
            |book: TestPeers, other: &str| book.with_peer(other, |peer| peer.retain = Duration::from_secs(DAY));
        let red = TestNode::start(&network, "red", retains(forgetful("red"), "blue")).await;
        let blue = TestNode::start(&network, "blue", retains(forgetful("blue"), "red")).await;
        for node in [&red, &blue] {
            node.with("garden", &others(&node.name, &names)).await;
        }
        for day in 0..21 {
            for n in 0..5 {
                red.say("garden", &format!("r{day}.{n}")).await;
                blue.say("garden", &format!("b{day}.{n}")).await;
                seconds(100).await;
            }
            red.trim().await;
            blue.trim().await;
            [&red, &blue][day % 2].restart(SurvivingBytes::Torn(day as u64)).await;
            seconds(DAY / 2).await;
            [&red, &blue][day % 2].restart(SurvivingBytes::Written).await;
            seconds(DAY / 2).await;
        }
        for node in [&red, &blue] {
            node.read().await;
            node.check_order("after three weeks");
            assert_eq!(node.pdus().len(), 105);
            let (shown, forgotten) = (node.shows().await.len() as u64, node.forgotten().await);
            assert!(shown + forgotten == 210 && (10..=40).contains(&shown), "{shown} left, {forgotten} forgotten");
            node.is_sound();
        }
    })
    .await;
}
