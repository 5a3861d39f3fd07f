//! OTLP: two gateway processes and a collector on loopback. It needs the feature: `cargo test --features otlp --test otlp`.

mod collector;
mod traced_gateway;

use fixtures::clients::messenger_client::message;
use fixtures::receivers::push_receiver::PushReceiver;

use crate::collector::{CollectedSpan, Collector};
use crate::traced_gateway::TracedGateway;

/// Red and blue, which send their spans to one collector.
struct TracedPair {
    red: TracedGateway,
    blue: TracedGateway,
    collector: Collector,
}

impl TracedPair {
    /// Starts both with these lines in the configuration of each, and in blue's section of red.
    async fn start(otlp: &str, red_at_blue: &str, messenger: &str) -> Self {
        let collector = Collector::start().await;
        let otlp = format!("[otlp]\nendpoint = \"http://{}\"\ninterval = \"1h\"\n{otlp}\n", collector.address);
        let (mut red, mut blue) = (TracedGateway::new("red"), TracedGateway::new("blue"));
        let peer = |other: &TracedGateway, more: &str| {
            format!(
                "[peers.server.\"{}\"]\nauth = \"network\"\nallow_from = [\"127.0.0.1/32\"]\naddresses = [\"http://{}\"]\n{more}\n",
                other.name, other.federation
            )
        };
        let (of_red, of_blue) = (peer(&red, red_at_blue), peer(&blue, ""));
        red.start(&format!("{otlp}{of_blue}")).await;
        blue.start(&format!("{otlp}{messenger}{of_red}")).await;
        Self { red, blue, collector }
    }

    /// Stops both, which sends what waits, and returns all spans.
    async fn spans(mut self) -> Vec<CollectedSpan> {
        self.red.stop().await;
        self.blue.stop().await;
        self.collector.spans()
    }
}

/// Returns the only span with this name of this server.
fn only<'a>(spans: &'a [CollectedSpan], server: &str, name: &str) -> &'a CollectedSpan {
    let of_name: Vec<_> = spans.iter().filter(|span| span.server == server && span.name == name).collect();
    assert_eq!(of_name.len(), 1, "{server} {name}: {spans:#?}");
    of_name[0]
}

/// One message is one trace, from the request of the messenger here to the push to the messenger there. Nothing is sent before the
/// gateways drain, so the end of each sends what waits.
#[tokio::test]
async fn message_is_one_trace_across_servers() {
    let mut messenger = PushReceiver::taking();
    let push = format!("[messenger.push]\nurl = \"http://{}\"\n", messenger.listen().await);
    let pair = TracedPair::start("", "", &push).await;
    let api = pair.red.api();
    api.set_participants("#room", &["blue"]).await;
    api.submit_message("m-1", &message("#room", "a text that no span may contain")).await;
    api.until_state("m-1", "blue", "acknowledged").await;
    messenger.until("the event", |calls| calls.iter().any(|call| call.body.contains("no span may contain"))).await;
    let raw = pair.collector.clone();
    let spans = pair.spans().await;
    let submission = spans.iter().find(|span| span.name == "submission").expect("a root");
    assert!(submission.parent.is_empty());
    let trace: Vec<_> = spans.iter().filter(|span| span.trace == submission.trace).cloned().collect();
    let push = only(&trace, "red", "push");
    let receipt = only(&trace, "blue", "receipt");
    assert_eq!((&push.parent, &receipt.parent), (&submission.id, &push.id));
    assert_eq!(only(&trace, "red", "commit").parent, submission.id);
    assert!(trace.iter().any(|span| span.server == "blue" && span.name == "commit" && span.parent == receipt.id));
    assert_eq!(only(&trace, "blue", "messenger push").parent, receipt.id);
    assert!(!raw.contains(b"no span may contain"));
}

/// The header of a peer that is no Fernpost is not believed, and none is sent to it.
#[tokio::test]
async fn only_fernposts_carry_traces() {
    let pair = TracedPair::start("", "profile = \"actor-2016\"", "").await;
    pair.red.api().say("m-1", "blue", "hello").await;
    pair.red.api().until_state("m-1", "blue", "acknowledged").await;
    pair.blue.api().say("m-2", "red", "and back").await;
    pair.blue.api().until_state("m-2", "red", "acknowledged").await;
    let spans = pair.spans().await;
    let names = |server: &str| {
        let mut names: Vec<_> = spans.iter().filter(|span| span.server == server).map(|span| &*span.name).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("red"), ["commit", "push", "submission"]);
    assert_eq!(names("blue"), ["commit", "push", "submission"]);
}

/// Submissions that are not sampled make no span on either side, and spans that cannot be sent hold nothing up.
#[tokio::test]
async fn unsampled_and_unsent_spans_cost_nothing() {
    let pair = TracedPair::start("ratio = 0.0", "", "").await;
    pair.red.api().say("m-1", "blue", "hello").await;
    pair.red.api().until_state("m-1", "blue", "acknowledged").await;
    assert!(pair.spans().await.is_empty());

    let pair = TracedPair::start("queue_max = 1", "", "").await;
    pair.collector.refuse();
    for n in 0..3 {
        pair.red.api().say(&format!("m-{n}"), "blue", "hello").await;
        pair.red.api().until_state(&format!("m-{n}"), "blue", "acknowledged").await;
    }
    let metrics = pair.red.metrics().await;
    assert!(metrics.contains("fernpost_otlp_spans_total{result=\"exported\"} 0"), "{metrics}");
    assert!(pair.spans().await.is_empty());
}
