//! Dead peers among healthy ones: what the healthy wait for them, in virtual time, in which work costs nothing and only waiting
//! does. So the figure is the same on every machine, however busy it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::limits::PeerLimits;
use actors::model::{Item, OutboundBatch, PushFailure, ServerName};
use actors::testkit::{AllowAllPeers, ScriptedTransport};
use tokio::time::Instant;

use crate::disk::Disk;
use crate::fixtures::rig::{Rig, life, limits, seconds, server, taken};

/// The time that a healthy peer takes to answer.
const ANSWER: Duration = Duration::from_millis(5);

/// Between two submissions.
const PACE: Duration = Duration::from_millis(10);

const HEALTHY: usize = 10;
const SUBMISSIONS: usize = 300;

/// The moment at which each update arrived, by the update's bytes.
type Arrived = Arc<Mutex<HashMap<Vec<u8>, Instant>>>;

/// The behaviour of a peer: healthy ones answer, a third of the others refuse connections, and the rest are silent until the
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
        return taken(&frame);
    }
    if name.len().is_multiple_of(3) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        return Err(PushFailure::Unreachable("refused".to_owned()));
    }
    tokio::time::sleep(frame.deadlines.total).await;
    Err(PushFailure::TimedOut)
}

/// The time from submission to arrival at a healthy peer, for each submission, with `dead` dead peers; sorted.
async fn ways(dead: usize) -> Vec<Duration> {
    let arrived = Arrived::default();
    let ear = arrived.clone();
    let busy = PeerLimits { backoff_max: Duration::from_secs(8), failures_to_suspend: 1_000_000, ..limits() };
    let rig = Rig::start(&Disk::new(), |ports| {
        ports.roster = Arc::new(AllowAllPeers(Arc::new(busy)));
        ports.transport = Arc::new(ScriptedTransport::new(move |frame| Box::pin(answer(frame, ear.clone()))));
    });
    let named = |prefix: &str, count| (0..count).map(|n| server(&format!("{prefix}{n}"))).collect::<Vec<ServerName>>();
    let healthy = named("well", HEALTHY);
    for (n, some) in named("dead", dead).chunks(50).enumerate() {
        rig.submit(&format!("dead-{n}"), some, 1).await.unwrap();
    }
    // Long enough for all of them to fail more than once.
    seconds(120).await;
    let mut made = vec![];
    for (n, peer) in healthy.iter().cycle().take(SUBMISSIONS).enumerate() {
        let id = format!("well-{n}");
        made.push((format!(r#"{{"id":"{id}.0"}}"#), Instant::now()));
        rig.submit(&id, std::slice::from_ref(peer), 1).await.unwrap();
        tokio::time::sleep(PACE).await;
    }
    seconds(60).await;
    let arrived = arrived.lock().unwrap();
    let mut ways: Vec<Duration> = made.iter().map(|(bytes, made)| arrived[bytes.as_bytes()] - *made).collect();
    ways.sort_unstable();
    ways
}

/// A few dead servers have stopped all delivery elsewhere, because they held every worker.
#[tokio::test(start_paused = true)]
async fn healthy_peers_skip_dead_ones() {
    let without = life(ways(0)).await;
    let with = life(ways(400)).await;
    let p99 = |ways: &[Duration]| ways[ways.len() * 99 / 100];
    println!("p99 of {} ways: {:?} without dead peers, {:?} with 400", with.len(), p99(&without), p99(&with));
    assert_eq!(with, without, "each way takes as long");
}
