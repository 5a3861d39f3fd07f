//! Transactions that a peer named and that never arrived, if the peer answers "not now" to the pull.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::model::{
    BadPdu, FeedItem, FetchRequest, OutboundBatch, Pdu, PullResponse, PushFailure, PushResponse, RequestDeadlines,
    ServerName,
};
use actors::ports::{Task, Transport};
use actors::testkit::TestPeers;
use fernpost::wire::pdu::ContentText;
use fixtures::disk::SurvivingBytes;
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::{PortsChange, TestNode};
use fixtures::peers::{server, usual_peers};
use fixtures::time::{seconds, world};
use tokio::time::Instant;

use crate::missing::asking::{carry, pdu, send, verdicts};

/// The peer's responses, one per request; after them it returns what was missed.
#[derive(Clone)]
struct PullScript {
    answers: Arc<Mutex<VecDeque<PushFailure>>>,
    /// The times at which the peer was asked, in seconds.
    asked: Arc<Mutex<Vec<u64>>>,
    since: Instant,
    /// True if the first response applies to all requests.
    stays: bool,
}

impl PullScript {
    fn of(answers: impl IntoIterator<Item = PushFailure>, stays: bool) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        Self { answers, asked: Arc::default(), since: Instant::now(), stays }
    }
}

/// The transport; it answers this pull from the script.
struct ScriptedPulls {
    inner: Arc<dyn Transport>,
    script: PullScript,
}

impl Transport for ScriptedPulls {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        self.inner.push(frame)
    }

    fn fetch(
        &self,
        from: &ServerName,
        want: FetchRequest,
        deadlines: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        self.inner.fetch(from, want, deadlines)
    }

    fn pull(&self, from: &ServerName, _: u64, _: RequestDeadlines) -> Task<Result<PullResponse, PushFailure>> {
        self.script.asked.lock().unwrap().push(self.script.since.elapsed().as_secs());
        let mut answers = self.script.answers.lock().unwrap();
        let failure = match self.script.stays {
            true => answers.front().cloned(),
            false => answers.pop_front(),
        };
        let missed =
            actors::model::PduText::read(&ContentText::default(), from, &pdu("green", "missed", "attic", &[]).into());
        let pulled = PullResponse { pdus: vec![Ok(missed.expect("sound"))], upto: None, more: false };
        Box::pin(async move { failure.map_or(Ok(pulled), Err) })
    }
}

fn says(status: u16, retry_after: Option<u64>) -> PushFailure {
    PushFailure::Troubled { status, reason: "no".into(), retry_after: retry_after.map(Duration::from_secs) }
}

/// Blue has learned of a transaction of green that never arrived.
async fn missing(script: &PullScript, book: TestPeers) -> (Arc<TestNetwork>, Rc<TestNode>) {
    let network = TestNetwork::new(1, CALM);
    let scripted = script.clone();
    let change: PortsChange = Rc::new(move |ports, _| {
        let (inner, script) = (ports.transport.clone(), scripted.clone());
        ports.transport = Arc::new(ScriptedPulls { inner, script });
    });
    let blue = TestNode::changed(&network, "blue", book, change).await;
    blue.with("garden", &["green"]).await;
    assert_eq!(verdicts(&send(&network, "green", "10", &[pdu("green", "a", "garden", &[])]).await), ["a accepted"]);
    let named = format!(r#""prev_ids":["30"],"pdus":[{}]"#, pdu("green", "b", "garden", &["green/a"]));
    assert_eq!(verdicts(&carry(&network, "green", "blue", "40", &named).await), ["b accepted"]);
    (network, blue)
}

fn notices(node: &TestNode) -> Vec<String> {
    let heard = node.heard.borrow();
    let text = |item: &FeedItem| match item {
        FeedItem::Notice { text, .. } => Some(text.clone()),
        _ => None,
    };
    heard.iter().filter_map(|entry| text(&entry.item)).collect()
}

/// Regression: one 429 or 503 ended the pull for good.
#[tokio::test(start_paused = true)]
async fn busy_peer_is_asked_until_answered() {
    world(async {
        let failures = [says(503, None), says(429, Some(20)), PushFailure::TimedOut, says(500, None)];
        let script = PullScript::of(failures, false);
        let (_network, blue) = missing(&script, usual_peers("blue")).await;
        seconds(10).await;
        assert_eq!(*script.asked.lock().unwrap(), [0, 1], "the pull is repeated after the requested delay");
        seconds(20).await;
        blue.restart(SurvivingBytes::Synced).await;
        seconds(10).await;
        let asked = script.asked.lock().unwrap().clone();
        assert_eq!(
            (asked[..4].to_vec(), asked.len()),
            (vec![0, 1, 21, 25], 5),
            "the pull is repeated without contact, also after a restart: {asked:?}"
        );
        assert_eq!(blue.feed().await, ["green/a", "green/b", "green/missed"]);
        blue.restart(SurvivingBytes::Synced).await;
        seconds(3600).await;
        assert_eq!(
            (script.asked.lock().unwrap().len(), notices(&blue)),
            (5, vec![]),
            "after a response the pull is not repeated"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unanswered_question_expires_with_notice() {
    world(async {
        let script = PullScript::of([says(503, None)], true);
        let book = usual_peers("blue").with_peer("green", |green| green.keep = Duration::from_secs(7200));
        let (_network, blue) = missing(&script, book).await;
        seconds(3600).await;
        blue.restart(SurvivingBytes::Synced).await;
        seconds(3590).await;
        blue.read().await;
        assert_eq!(notices(&blue), Vec::<String>::new());
        seconds(20).await;
        blue.read().await;
        let told = notices(&blue);
        assert!(
            matches!(&told[..], [one] if one.contains("green.example") && one.contains("2h (peers.keep)")),
            "{told:?}"
        );
        let asked = script.asked.lock().unwrap().len();
        assert!((20..40).contains(&asked), "{asked} questions");
        seconds(36_000).await;
        blue.restart(SurvivingBytes::Synced).await;
        seconds(60).await;
        assert_eq!(script.asked.lock().unwrap().len(), asked, "no further pull follows");
        assert_eq!(blue.gateway().peer(&server("green")).await.unwrap().backlog, 0);
    })
    .await;
}
