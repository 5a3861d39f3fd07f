//! A peer is down for long: its queue uses disk and not memory, a start does not walk the queue, and everything arrives in
//! order.
//!
//! `scripts/outage.sh 1000000` runs the same test with a release build and a long queue.

use std::time::Duration;

use ::fixtures::clients::messenger_client::MessengerClient;
use tokio::time::{Instant, timeout};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;

/// Default number of queued items.
const ITEMS: u64 = 20_000;
/// Number of updates per submission.
const BATCH: usize = 500;
/// Maximum growth of memory with the length of the queue: pages of the store, and variation of the allocator.
const GROWTH_MAX_KB: u64 = 48 << 10;
/// Maximum time until a gateway is ready, however large its store is.
const READY_MAX: Duration = Duration::from_secs(5);
/// An attempt at least every half second finds the peer soon after it is back.
const LIMITS: &str =
    "outbox_items = 100000000\nbackoff_min = \"50ms\"\nbackoff_max = \"500ms\"\nfailures_to_suspend = 1000000";

fn items() -> u64 {
    let text = std::env::var("FERNPOST_OUTAGE").ok();
    text.map_or(ITEMS, |text| text.parse().unwrap_or_else(|_| panic!("FERNPOST_OUTAGE is not a number: {text:?}")))
}

/// Submits updates numbered from `first` up to `end`, one call after the other.
async fn queue(api: &MessengerClient, first: u64, end: u64) {
    let padding = "x".repeat(120);
    for from in (first..end).step_by(BATCH) {
        let upto = end.min(from + BATCH as u64);
        let strong: Vec<String> = (from..upto).map(|n| format!("{{\"n\":{n},\"padding\":\"{padding}\"}}")).collect();
        let body = format!("{{\"to\":[\"blue\"],\"strong\":[{}]}}", strong.join(","));
        api.submit(&format!("updates/from-{from}"), &body).await;
    }
}

/// Reads and acknowledges the feed until all numbers have arrived, in order and each once.
async fn hear_all(api: &MessengerClient, count: u64) {
    let (mut after, mut next) = (0, 0);
    while next < count {
        let page = api.page(after).await;
        for event in page["events"].as_array().expect("a list") {
            after = event["position"].as_u64().expect("a position");
            if event["kind"] == "update" {
                assert_eq!(event["update"]["n"], next, "out of order, or twice");
                next += 1;
            }
        }
        api.acknowledge(after).await;
    }
}

/// Waits until this many items are queued: the peer's actor learns of a commit slightly later than the submitter.
async fn queued(api: &MessengerClient, count: u64) {
    let settles = async {
        while api.get("/v1/peers").await["peers"][0]["backlog"] != count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the backlog", settles).await;
}

/// Returns the time that a start takes until the gateway is ready.
async fn start(node: &mut GatewayProcess) -> Duration {
    let began = Instant::now();
    node.start().await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_outage_recovers_in_order() {
    let count = items();
    let patience = Duration::from_secs(120 + count / 500);
    timeout(patience, outage(count)).await.unwrap_or_else(|_| panic!("not within {} s", patience.as_secs()));
}

async fn outage(count: u64) {
    let (mut red, mut blue) = GatewayProcess::pair(LIMITS);
    red.start().await;
    let began = Instant::now();
    queue(&red.api(), 0, count / 10).await;
    let short = red.process().memory_kb();
    queue(&red.api(), count / 10, count).await;
    let took = began.elapsed();
    let long = red.process().memory_kb();
    queued(&red.api(), count).await;
    let file = std::fs::metadata(red.store()).expect("it is there").len() >> 20;
    println!(
        "queued {count} items in {:.1} s ({:.0}/s); peak memory {} MB at a tenth, {} MB at the end; {file} MB on disk",
        took.as_secs_f64(),
        count as f64 / took.as_secs_f64(),
        short >> 10,
        long >> 10
    );
    assert!(long <= short + GROWTH_MAX_KB, "memory follows the queue: {short} kB, then {long} kB");

    red.process().term();
    assert_eq!(red.process().ended().await.code(), Some(0), "{}", red.process().log());
    let after_stop = start(&mut red).await;
    red.kill();
    let after_kill = start(&mut red).await;
    queued(&red.api(), count).await;
    println!(
        "ready {} ms after a clean stop, {} ms after SIGKILL; {} MB then",
        after_stop.as_millis(),
        after_kill.as_millis(),
        red.process().memory_kb() >> 10
    );
    assert!(after_stop.max(after_kill) <= READY_MAX, "{after_stop:?} and {after_kill:?}");

    let began = Instant::now();
    blue.start().await;
    hear_all(&blue.api(), count).await;
    let drained = began.elapsed();
    let (sender, receiver) = (red.process().memory_kb(), blue.process().memory_kb());
    println!(
        "delivered in {:.1} s ({:.0}/s), in order, none twice; peak memory of the sender {} MB, of the receiver {} MB",
        drained.as_secs_f64(),
        count as f64 / drained.as_secs_f64(),
        sender >> 10,
        receiver >> 10
    );
    assert!(sender <= short + GROWTH_MAX_KB, "memory follows the queue while it drains: {short} kB, then {sender} kB");
    queued(&red.api(), 0).await;
}
