//! Dead peers among healthy ones: how long the healthy wait because of them, in virtual time, in which work costs nothing
//! and only waiting counts. So the result is the same on every machine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::limits::PeerLimits;
use actors::model::{Item, OutboundBatch, PushFailure, ServerName};
use actors::testkit::transport::accepted;
use actors::testkit::{ScriptedTransport, TestPeers};
use fixtures::disk::FaultyDisk;
use fixtures::gateway::GatewayFixture;
use fixtures::peers::{limits, name};
use fixtures::time::{seconds, world};
use tokio::time::Instant;

/// Time that a healthy peer takes to answer.
const ANSWER: Duration = Duration::from_millis(5);

/// Interval between two submissions.
const PACE: Duration = Duration::from_millis(10);

const HEALTHY: usize = 10;
const SUBMISSIONS: usize = 300;

/// Arrival time of each update, by its bytes.
type Arrived = Arc<Mutex<HashMap<Vec<u8>, Instant>>>;

/// Answers as a peer: healthy ones respond, a third of the others refuse connections, and the rest are silent until the
/// deadline.
async fn answer(frame: OutboundBatch, arrived: Arrived) -> Result<actors::model::PushResponse, PushFailure> {
    let name = frame.to.as_str();
    if name.starts_with("well") {
        tokio::time::sleep(ANSWER).await;
        let now = Instant::now();
        for item in &frame.items {
            let Item::Update(bytes) = item else { panic!("only updates are sent") };
            arrived.lock().unwrap().insert(bytes.to_vec(), now);
        }
        return accepted(&frame);
    }
    if name.len().is_multiple_of(3) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        return Err(PushFailure::Unreachable("refused".into()));
    }
    tokio::time::sleep(frame.deadlines.total).await;
    Err(PushFailure::TimedOut)
}

/// Returns the time from submission to arrival at a healthy peer, for each submission, with `dead` dead peers; sorted.
async fn ways(dead: usize) -> Vec<Duration> {
    let arrived = Arrived::default();
    let ear = arrived.clone();
    let busy = PeerLimits { backoff_max: Duration::from_secs(8), failures_to_suspend: 1_000_000, ..limits() };
    let core = GatewayFixture::start(&FaultyDisk::new(), |ports| {
        ports.roster = Arc::new(TestPeers::everybody(busy));
        ports.transport = Arc::new(ScriptedTransport::new(move |frame| Box::pin(answer(frame, ear.clone()))));
    });
    let named = |prefix: &str, count| (0..count).map(|n| name(&format!("{prefix}{n}"))).collect::<Vec<ServerName>>();
    let healthy = named("well", HEALTHY);
    for (n, some) in named("dead", dead).chunks(50).enumerate() {
        core.submit(&format!("dead-{n}"), some, 1).await.unwrap();
    }
    // Time for all dead peers to fail more than once.
    seconds(120).await;
    let mut made = vec![];
    for (n, peer) in healthy.iter().cycle().take(SUBMISSIONS).enumerate() {
        let id = format!("well-{n}");
        made.push((format!(r#"{{"id":"{id}.0"}}"#), Instant::now()));
        core.submit(&id, std::slice::from_ref(peer), 1).await.unwrap();
        tokio::time::sleep(PACE).await;
    }
    seconds(60).await;
    let arrived = arrived.lock().unwrap();
    let mut ways: Vec<Duration> = made.iter().map(|(bytes, made)| arrived[bytes.as_bytes()] - *made).collect();
    ways.sort_unstable();
    ways
}

/// In other servers a few dead peers have stopped all delivery, because they held every worker.
#[tokio::test(start_paused = true)]
async fn healthy_peers_skip_dead_ones() {
    let without = world(ways(0)).await;
    let with = world(ways(400)).await;
    let p99 = |ways: &[Duration]| ways[ways.len() * 99 / 100];
    println!("p99 of {} deliveries: {:?} without dead peers, {:?} with 400", with.len(), p99(&without), p99(&with));
    assert_eq!(with, without, "all deliveries take equally long");
}
