//! A messenger that does not read, and a disk that becomes full: peers are told to wait, nothing is lost, and each refusal
//! names its limit.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::errors::{AdmissionError, ContextError};
use actors::testkit::TestDisk;
use bytes::Bytes;
use fernpost::egress::{EgressAnswer as Wanted, EgressRequest};
use fixtures::messenger::{draft, others};
use fixtures::network::{CALM, GatewayAnswer, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{seconds, world};

use crate::missing::asking::{carry, pdu, send, verdicts};

const NAMES: [&str; 3] = ["red", "green", "blue"];

/// Sends one push from red to blue.
pub(crate) async fn push(network: &TestNetwork, body: &str) -> String {
    let request = EgressRequest::post("/http/v1/updates".to_owned(), Bytes::from(body.to_owned()), Wanted::Needed);
    let answer = network.knock((server("red"), server("blue")), request).await.expect("blue lives");
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    String::from_utf8(answer.body.to_vec()).unwrap()
}

fn refused(answer: &GatewayAnswer) -> (u16, Option<u64>, String) {
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    (answer.status, answer.retry_after.map(|wait| wait.as_secs()), body)
}

/// Returns the number of unread events of blue.
fn unread(blue: &TestNode) -> u64 {
    let bounds = *blue.gateway().ports().archive.feed.feed_bounds().borrow();
    bounds.unread()
}

#[tokio::test(start_paused = true)]
async fn unread_feed_stays_bounded_without_loss() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let slow = |name| usual_peers(name).with_peer("blue", |blue| blue.batch_items = 5);
        let red = TestNode::start(&network, "red", slow("red")).await;
        let green = TestNode::start(&network, "green", slow("green")).await;
        let blue = TestNode::start(&network, "blue", usual_peers("blue").with_water(30, 10)).await;
        for node in [&red, &green, &blue] {
            node.with("garden", &others(&node.name, &NAMES)).await;
        }
        for n in 0..100 {
            red.say("garden", &format!("r{n}")).await;
            green.say("garden", &format!("g{n}")).await;
        }
        for _ in 0..60 {
            seconds(60).await;
            assert!(unread(&blue) <= 30 + 2 * 5 + 1, "{} are unread", unread(&blue));
        }
        let overload = blue.gateway().overload().unwrap();
        let closed = *overload.subscribe().borrow();
        assert!(closed.unread.is_some());
        assert!(overload.describe(closed)[0].1.contains("feed.high_water is 30"), "{:?}", overload.describe(closed));

        for _ in 0..60 {
            blue.read().await;
            seconds(15).await;
        }
        let feed = blue.feed().await;
        blue.check_order("after an hour without a reader");
        assert_eq!(blue.pdus().len(), 200, "{feed:?}");
        assert!(feed.iter().all(|line| !line.starts_with("gap")), "{feed:?}");
        let notices = feed.iter().filter(|line| line.contains("feed.high_water")).count();
        assert!((1..=8).contains(&notices), "one notice each time intake stops: {notices}");
        assert!(overload.subscribe().borrow().is_open());
        for node in [&red, &green] {
            assert_eq!(
                node.gateway().peer(&blue.name).await.unwrap().failures,
                0,
                "a wait does not count as a failure"
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn high_water_rejects_strong_passes_ephemeral() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = TestNode::start(&network, "blue", usual_peers("blue").with_water(2, 2)).await;
        blue.with("garden", &["red", "green"]).await;
        assert_eq!(
            push(&network, r#"{"strong":[{"n":1},{"n":2}],"seq":2}"#).await,
            r#"{"receive":"ok","seq":2,"window":1000}"#
        );
        seconds(1).await;
        let wait = r#"{"receive":"wait","wait":10,"reason":"feed.high_water is reached (2)"}"#;
        assert_eq!(push(&network, r#"{"strong":[{"n":3}],"seq":3}"#).await, wait);
        assert_eq!(push(&network, r#"{"weak":[{"n":3}],"seq":2}"#).await, r#"{"receive":"ok","seq":2,"window":1000}"#);
        let (status, again, body) = refused(&send(&network, "green", "1", &[pdu("green", "g", "garden", &[])]).await);
        assert_eq!((status, again), (429, Some(10)));
        assert!(body.contains("feed.high_water is reached (2)"), "{body}");
        assert_eq!(send(&network, "green", "2", &[]).await.status, 200, "an empty transaction is accepted");
        // Our own messenger may submit although it does not read.
        blue.say("garden", "own").await;

        blue.read().await;
        seconds(1).await;
        blue.read().await;
        assert_eq!(
            push(&network, r#"{"strong":[{"n":3}],"seq":3}"#).await,
            r#"{"receive":"ok","seq":3,"window":1000}"#
        );
    })
    .await;
}

/// Returns blue and its disk.
async fn on_a_small_disk(network: &Arc<TestNetwork>) -> (Rc<TestNode>, Arc<TestDisk>) {
    let disk = Arc::new(TestDisk::default());
    let book = usual_peers("blue").with_overload(|overload| overload.min_free = 1000);
    let given = disk.clone();
    let blue = TestNode::changed(network, "blue", book, Rc::new(move |ports, _| ports.disk = given.clone())).await;
    (blue, disk)
}

#[tokio::test(start_paused = true)]
async fn full_disk_rejects_writes_serves_reads() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let (blue, disk) = on_a_small_disk(&network).await;
        blue.with("garden", &["red", "green"]).await;
        assert_eq!(verdicts(&send(&network, "green", "1", &[pdu("green", "g", "garden", &[])]).await), ["g accepted"]);
        disk.leave(999);
        seconds(2).await;
        let words =
            "the disk has 999 B left (999 bytes), and store.min_free is 1000 B: nothing is accepted until there is room";
        let low = blue.try_say("garden", "own").await.unwrap_err();
        let limit = AdmissionError::DiskLow { free: 999, min_free: 1000, wait: Duration::from_secs(10) };
        assert_eq!(low, ContextError::from(limit).into());
        assert_eq!(low.to_string(), words);
        assert_eq!(blue.say_draft("garden", draft("again")).await.unwrap_err(), low);
        let wait = format!(r#"{{"receive":"wait","wait":10,"reason":"{words}"}}"#);
        assert_eq!(push(&network, r#"{"strong":[{"n":1}],"seq":1}"#).await, wait);
        let (status, again, body) = refused(&send(&network, "green", "2", &[pdu("green", "h", "garden", &[])]).await);
        assert_eq!((status, again), (429, Some(10)));
        assert!(body.contains("DISK_LOW") && body.contains(words), "{body}");

        assert_eq!(blue.feed().await[0], "green/g", "existing events can be read and acknowledged");
        assert_eq!(unread(&blue), 0);
        let overload = blue.gateway().overload().unwrap();
        let now = *overload.subscribe().borrow();
        assert!(overload.describe(now)[0].1.contains("store.min_free is 1000"));

        disk.leave(1100);
        seconds(2).await;
        assert!(blue.try_say("garden", "own").await.is_err(), "intake does not resume for each byte");
        disk.leave(1200);
        seconds(2).await;
        assert!(overload.subscribe().borrow().is_open(), "also without requests");
        blue.say("garden", "own").await;
        assert_eq!(
            push(&network, r#"{"strong":[{"n":1}],"seq":1}"#).await,
            r#"{"receive":"ok","seq":1,"window":1000}"#
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rate_refusal_names_its_limit() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let slow = |peer: &mut actors::limits::PeerLimits| (peer.rate, peer.intake_items) = (2, 2);
        let book = usual_peers("blue").with_peer("red", slow).with_peer("green", slow);
        let blue = TestNode::start(&network, "blue", book).await;
        blue.with("garden", &["red", "green"]).await;
        let ok = r#"{"receive":"ok","seq":2,"window":2}"#;
        assert_eq!(push(&network, r#"{"strong":[{"n":1},{"n":2}],"seq":2}"#).await, ok);
        let wait = r#"{"receive":"wait","wait":1,"reason":"peers.rate is reached (2)"}"#;
        assert_eq!(push(&network, r#"{"strong":[{"n":3},{"n":4}],"seq":4}"#).await, wait);
        assert_eq!(push(&network, r#"{"weak":[{"n":3}],"seq":2}"#).await, wait, "an ephemeral item takes a token too");
        assert_eq!(push(&network, r#"{"seq":2}"#).await, ok, "an empty request takes no token");
        let two =
            |n: u32| [pdu("green", &format!("{n}"), "garden", &[]), pdu("green", &format!("{}", n + 1), "garden", &[])];
        assert_eq!(send(&network, "green", "1", &two(1)).await.status, 200, "each peer has a bucket of its own");
        let (status, again, body) = refused(&send(&network, "green", "2", &two(3)).await);
        assert_eq!((status, again), (429, Some(1)));
        assert!(body.contains("peers.rate is reached (2)"), "{body}");
        seconds(1).await;
        assert_eq!(send(&network, "green", "2", &two(3)).await.status, 200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ephemeral_counts_towards_rate() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let slow = |peer: &mut actors::limits::PeerLimits| (peer.rate, peer.intake_items) = (2, 3);
        let blue = TestNode::start(&network, "blue", usual_peers("blue").with_peer("green", slow)).await;
        blue.with("garden", &["green"]).await;
        let edus = |count: usize| {
            let edu = r#"{"edu_type":"m.typing","origin":"green.example","content":{}}"#;
            format!(r#""edus":[{}]"#, vec![edu; count].join(","))
        };
        let and_a_message =
            |id: &str, count| format!(r#""pdus":[{}],{}"#, pdu("green", id, "garden", &[]), edus(count));
        let sent = async |transaction: &str, holds: &str| {
            let answer = carry(&network, "green", "blue", transaction, holds).await;
            if answer.status == 200 { Ok(()) } else { Err(refused(&answer)) }
        };
        assert_eq!(sent("1", &and_a_message("a", 2)).await, Ok(()));
        let (status, again, body) = sent("2", &edus(1)).await.unwrap_err();
        assert_eq!((status, again), (429, Some(1)));
        assert!(body.contains("peers.rate is reached (2)"), "{body}");
        assert_eq!(sent("2", &edus(0)).await, Ok(()), "an empty transaction takes no token");
        seconds(1).await;
        assert!(sent("3", &and_a_message("b", 2)).await.is_err(), "two tokens were refilled, and three are needed");
        assert_eq!(sent("4", &and_a_message("b", 1)).await, Ok(()));
        seconds(2).await;
        assert_eq!(sent("5", &edus(50)).await, Ok(()), "a batch larger than the bucket takes all tokens");
        assert!(sent("6", &edus(1)).await.is_err());
    })
    .await;
}
