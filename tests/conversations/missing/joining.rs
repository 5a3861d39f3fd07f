//! Late servers: a server joins a context by its state and some history, and fetches older history on request.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::gateway::Gateway;
use actors::model::{FeedItem, JoinStage, PduDraft};
use actors::ports::ContextReader;
use fixtures::messenger::{at, context, draft, named};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{seconds, world};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::missing::asking::{pdu, send_to, verdicts};

fn topic(id: &str) -> PduDraft {
    PduDraft { state: Some((String::new(), 0)), kind: "topic".into(), ..draft(id) }
}

/// Returns the feed's PDUs, with history and late PDUs marked.
fn heard(node: &TestNode) -> Vec<String> {
    let mark = |entry: &actors::model::FeedEntry| match &entry.item {
        FeedItem::Pdu(pdu) => {
            let mark = if pdu.shown.history { " history" } else { "" };
            let late = if pdu.shown.late { " late" } else { "" };
            Some(format!("{}{mark}{late}", named(&pdu.reference)))
        }
        FeedItem::Gap { .. } => Some("gap".to_owned()),
        _ => None,
    };
    node.heard.borrow().iter().filter_map(mark).collect()
}

/// Red and green have exchanged messages for a while, and then blue is added.
async fn garden(network: &Arc<TestNetwork>) -> [Rc<TestNode>; 3] {
    let [red, green, blue] = [
        TestNode::usual(network, "red").await,
        TestNode::usual(network, "green").await,
        TestNode::usual(network, "blue").await,
    ];
    red.with("garden", &["green"]).await;
    green.with("garden", &["red"]).await;
    for n in 0..30 {
        red.say("garden", &format!("r{n:02}")).await;
        seconds(1).await;
        green.say("garden", &format!("g{n:02}")).await;
        seconds(1).await;
    }
    red.say_draft("garden", topic("t1")).await.unwrap();
    seconds(1).await;
    for n in 30..35 {
        green.say("garden", &format!("g{n:02}")).await;
        seconds(1).await;
    }
    red.say_draft("garden", topic("t2")).await.unwrap();
    seconds(1).await;
    red.with("garden", &["green", "blue"]).await;
    green.with("garden", &["red", "blue"]).await;
    [red, green, blue]
}

#[tokio::test(start_paused = true)]
async fn joiner_gets_state_history_then_live() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let [red, green, blue] = garden(&network).await;
        blue.with("garden", &["red", "green"]).await;
        blue.gateway().join(&context("garden"), server("red"), 10).await.unwrap();
        seconds(10).await;
        blue.read().await;
        let status = blue.gateway().context(&context("garden")).await.unwrap();
        let join = status.record.join.clone().expect("it was joined");
        assert_eq!((join.stage, join.left, join.came), (JoinStage::Done, 0, 11));
        let past = heard(&blue);
        assert_eq!(past[0], "red/t2 history", "the state comes first: {past:?}");
        assert_eq!(past.len(), 11);
        assert_eq!(past[10], "green/g34 history", "history is in causal order: {past:?}");
        red.say("garden", "news").await;
        seconds(5).await;
        blue.say("garden", "thanks").await;
        seconds(5).await;
        for node in [&red, &green, &blue] {
            node.read().await;
        }
        assert_eq!(heard(&blue)[11..], ["red/news"], "no gap, and no PDU twice");
        assert_eq!(heard(&green).last().map(String::as_str), Some("blue/thanks"));
        let prev = green.pdus().last().map(|pdu| fixtures::messenger::PduView::of(pdu).prev()).unwrap();
        assert_eq!(prev, [at("red/news")]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn history_pages_reach_the_beginning() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let [_red, _green, blue] = garden(&network).await;
        blue.gateway().join(&context("garden"), server("green"), 5).await.unwrap();
        seconds(10).await;
        let mut came = 0;
        loop {
            match blue.gateway().fetch_older(&context("garden"), 20).await.unwrap() {
                0 => break,
                more => came += more,
            }
        }
        // There are 30 of each, five more of green and two topics; the join has brought both topics and five others.
        assert_eq!(came, 67 - 7);
        let timeline = blue.store().timeline(&context("garden"), None, 1000, u64::MAX).await.unwrap();
        let ids: Vec<String> = timeline.iter().map(|(_, pdu)| named(&pdu.reference)).collect();
        assert_eq!((ids.len(), ids.last().map(String::as_str)), (67, Some("red/r00")));
        assert!(timeline.iter().all(|(_, pdu)| pdu.shown.gap.is_empty()), "no parent is missing any more");
        blue.read().await;
        let heard = heard(&blue);
        assert!(heard.iter().all(|line| line.ends_with(" history")), "{heard:?}");
        let status = blue.gateway().context(&context("garden")).await.unwrap();
        assert!(status.gaps.is_empty());
    })
    .await;
}

/// Red has sent to green: p01 to p15, a topic, x01 to x15. Green has received the PDUs up to `heard`. Then red adds blue
/// with another topic, which is blue's first PDU of the context.
async fn long_garden(network: &Arc<TestNetwork>, heard: usize) -> [Rc<TestNode>; 3] {
    let [red, green, blue] = [
        TestNode::usual(network, "red").await,
        TestNode::usual(network, "green").await,
        TestNode::usual(network, "blue").await,
    ];
    red.with("garden", &["green"]).await;
    green.with("garden", &["red"]).await;
    for n in 1..=15 {
        red.say("garden", &format!("p{n:02}")).await;
        if n == heard {
            seconds(5).await;
            network.cut(&red.name, &green.name);
        }
    }
    red.say_draft("garden", topic("t1")).await.unwrap();
    for n in 1..=15 {
        red.say("garden", &format!("x{n:02}")).await;
    }
    red.with("garden", &["green", "blue"]).await;
    red.say_draft("garden", topic("t2")).await.unwrap();
    seconds(30).await;
    blue.read().await;
    let news: Vec<String> = heard_of(&blue, |line| !line.ends_with(" history"));
    assert_eq!(
        news,
        ["red/x13", "red/x14", "red/x15", "red/t2"],
        "the history edge is close to the first received PDU"
    );
    let history: Vec<String> = heard_of(&blue, |line| line.ends_with(" history"));
    let expected: Vec<String> = (6..=15).map(|n| format!("red/p{n:02} history")).collect();
    assert_eq!(history, [expected, vec!["red/t1 history".to_owned()]].concat(), "ten steps back from the first topic");
    [red, green, blue]
}

fn heard_of(node: &TestNode, is_meant: impl Fn(&String) -> bool) -> Vec<String> {
    heard(node).into_iter().filter(is_meant).collect()
}

/// The predecessor of a new state message is fetched by itself; the PDUs before the predecessor are history as well.
#[tokio::test(start_paused = true)]
async fn history_continues_behind_fetched_state() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let [_red, _green, blue] = long_garden(&network, 0).await;
        let status = blue.gateway().context(&context("garden")).await.unwrap();
        let edge: Vec<String> = status.gaps.iter().filter(|gap| gap.edge).map(|gap| named(&gap.missing)).collect();
        assert_eq!(edge, ["red/p05", "red/x12"], "the status lists where history continues");
        while blue.gateway().fetch_older(&context("garden"), 1).await.unwrap() > 0 {}
        blue.read().await;
        let further = heard(&blue).split_off(15);
        assert!(further.iter().all(|line| line.ends_with(" history")), "{further:?}");
        assert_eq!((further.len(), further.last().map(String::as_str)), (17, Some("red/p01 history")));
        assert!(blue.gateway().context(&context("garden")).await.unwrap().gaps.is_empty());
    })
    .await;
}

/// The same, if a new PDU names a PDU there: it is waited for as usual.
#[tokio::test(start_paused = true)]
async fn live_pdu_waits_behind_fetched_state() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let [_red, green, blue] = long_garden(&network, 5).await;
        // Green has received none of the later PDUs: it replies to p05.
        green.with("garden", &["red", "blue"]).await;
        blue.with("garden", &["red", "green"]).await;
        green.say("garden", "c").await;
        seconds(10).await;
        blue.read().await;
        let further = heard(&blue).split_off(15);
        assert_eq!(further, ["red/p01", "red/p02", "red/p03", "red/p04", "red/p05", "green/c"]);
    })
    .await;
}

/// History reads that wait for a slow join use no permits of peers' requests, and all of them are answered in the end.
#[tokio::test(start_paused = true)]
async fn reads_behind_slow_join_block_nothing() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let [red, _green, blue] = garden(&network).await;
        blue.with("garden", &["red", "green"]).await;
        network.hold(&blue.name, &red.name);
        blue.gateway().join(&context("garden"), server("red"), 10).await.unwrap();
        let read = |gateway: Gateway| spawn_local(async move { gateway.fetch_older(&context("garden"), 5).await });
        let reads: Vec<_> = (0..200).map(|_| read(blue.gateway())).collect();
        seconds(5).await;
        assert!(reads.iter().all(|read| !read.is_finished()), "the reads wait for the join's request");
        let meanwhile = [pdu("green", "meanwhile", "garden", &[])];
        let answer = timeout(Duration::from_secs(1), send_to(&network, "green", "blue", "1", &meanwhile)).await;
        assert_eq!(verdicts(&answer.expect("the request is not delayed")), ["meanwhile accepted"]);
        seconds(5).await;
        network.release(&blue.name, &red.name);
        seconds(60).await;
        for read in reads {
            assert_eq!(read.await.unwrap(), Ok(1), "the join's request brought the state");
        }
        let again = send_to(&network, "green", "blue", "2", &[pdu("green", "afterwards", "garden", &[])]).await;
        assert_eq!(verdicts(&again), ["afterwards accepted"], "the context is not busy");
        let status = blue.gateway().context(&context("garden")).await.unwrap();
        assert_eq!(status.record.join.map(|join| (join.stage, join.left)), Some((JoinStage::Done, 0)));
    })
    .await;
}

/// Beyond `contexts.history.reads_max` a read is refused with the limit's name; a read whose caller has gone releases its
/// permit.
#[tokio::test(start_paused = true)]
async fn reads_beyond_their_limit_are_refused() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let book = usual_peers("blue").with_contexts(|limits| limits.history.reads_max = 2);
        let blue = TestNode::start(&network, "blue", book).await;
        network.hold(&blue.name, &server("red"));
        blue.gateway().join(&context("garden"), server("red"), 10).await.unwrap();
        let read = |gateway: Gateway| spawn_local(async move { gateway.fetch_older(&context("garden"), 5).await });
        let reads: Vec<_> = (0..3).map(|_| read(blue.gateway())).collect();
        seconds(1).await;
        let refused = reads.iter().filter(|read| read.is_finished()).count();
        assert_eq!(refused, 1);
        reads.iter().for_each(|read| read.abort());
        seconds(1).await;
        let again: Vec<_> = (0..3).map(|_| read(blue.gateway())).collect();
        seconds(1).await;
        for (place, read) in again.into_iter().enumerate() {
            assert_eq!(read.is_finished(), place == 2);
            if read.is_finished() {
                let refusal = read.await.unwrap().unwrap_err();
                assert_eq!(refusal.to_string(), "contexts.history.reads_max is reached (2)");
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nonparticipant_join_fails_with_reason() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let red = TestNode::usual(&network, "red").await;
        let blue = TestNode::usual(&network, "blue").await;
        red.with("garden", &["green"]).await;
        red.say("garden", "secret").await;
        blue.gateway().join(&context("garden"), server("red"), 5).await.unwrap();
        seconds(400).await;
        let status = blue.gateway().context(&context("garden")).await.unwrap();
        let join = status.record.join.expect("the join was requested");
        assert_eq!((join.stage, join.came), (JoinStage::Failed, 0));
        let reason = join.reason.expect("it says why");
        assert!(reason.contains("refused with status"), "{reason}");
        blue.read().await;
        assert!(heard(&blue).is_empty());
        let notice = |item: &FeedItem| match item {
            FeedItem::Notice { text, server: Some(peer) } => Some(format!("{peer}: {text}")),
            _ => None,
        };
        let notices: Vec<String> = blue.heard.borrow().iter().filter_map(|entry| notice(&entry.item)).collect();
        assert!(notices.len() == 1 && notices[0].contains(&reason) && notices[0].starts_with("red"), "{notices:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn join_survives_gateway_restart() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let [red, _green, blue] = garden(&network).await;
        network.cut(&blue.name, &red.name);
        blue.gateway().join(&context("garden"), server("red"), 10).await.unwrap();
        blue.restart(fixtures::disk::SurvivingBytes::Synced).await;
        network.mend(&blue.name, &red.name);
        // The test does not query the context meanwhile, because a query would start its actor.
        seconds(30).await;
        let record = blue.gateway().record(&context("garden")).await.unwrap();
        assert_eq!(record.join.map(|join| join.stage), Some(JoinStage::Done));
    })
    .await;
}
