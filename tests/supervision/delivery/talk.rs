//! Two gateways in one process, over a network that loses responses: each update arrives once, in order.

use std::sync::Arc;
use std::time::Duration;

use actors::limits::PeerLimits;
use actors::model::{PeerState, ServerName, SubmittedContent};
use actors::ports::FeedReader;
use actors::testkit::{TestClock, TestPeers};
use bytes::Bytes;
use fixtures::disk::FaultyDisk;
use fixtures::gateway::{GatewayFixture, UnlaunchedGateway, submission};
use fixtures::listener::PeerListener;
use fixtures::network::{CALM, LinkFaults, TestNetwork};
use fixtures::network_transport::NetworkTransport;
use fixtures::peers::{green, limits, red};
use fixtures::time::{BASE, world};

const UPDATES: u64 = 1_000;

const LOSSY: LinkFaults =
    LinkFaults { requests_lost: 0.1, answers_lost: 0.2, delay_max: Duration::from_millis(300), ..CALM };

/// Returns a gateway in the network, with a window small enough that a rewind crosses pushes.
async fn gateway(network: &Arc<TestNetwork>, name: ServerName) -> GatewayFixture {
    let mut core = UnlaunchedGateway::on_disk(name, &FaultyDisk::new(), Arc::new(TestClock::new(BASE)));
    core.ports.roster = Arc::new(TestPeers::everybody(PeerLimits { batch_items: 7, intake_items: 7, ..limits() }));
    core.ports.transport = Arc::new(NetworkTransport::of(network, &core.ports));
    let core = core.launch();
    PeerListener::join(&core.gateway, network).await;
    core
}

/// Submits at random times, one to six updates at a time; returns them in order.
async fn submit_all(core: &GatewayFixture, to: ServerName, mut chance: fastrand::Rng) -> Vec<Bytes> {
    let mut submitted = Vec::new();
    for call in 0.. {
        let left = UPDATES - submitted.len() as u64;
        if left == 0 {
            break;
        }
        let submission = submission(&format!("s{call}"), std::slice::from_ref(&to), chance.u64(1..=left.min(6)));
        let SubmittedContent::Updates(updates) = &submission.what else { panic!("updates were made") };
        submitted.extend(updates.iter().cloned());
        core.gateway.submit(submission).await.unwrap();
        tokio::time::sleep(Duration::from_millis(chance.u64(0..2_000))).await;
    }
    submitted
}

/// Waits until the feed holds this many updates; other events may be between them.
async fn arrived(core: &GatewayFixture, from: ServerName) -> Vec<(u64, u64, Bytes)> {
    let mut bounds = core.store.feed_bounds();
    bounds.wait_for(|bounds| bounds.tail.0 >= UPDATES).await.unwrap();
    loop {
        let updates = core.updates(&from).await;
        if updates.len() as u64 >= UPDATES {
            return updates;
        }
        bounds.changed().await.unwrap();
    }
}

async fn talk(seed: u64) {
    // The actors take their jitter from this thread's generator.
    fastrand::seed(seed);
    let mut chance = fastrand::Rng::with_seed(seed);
    let network = TestNetwork::new(chance.u64(..), LOSSY);
    let (one, two) = (gateway(&network, red()).await, gateway(&network, green()).await);
    let (from_one, from_two) = (chance.fork(), chance.fork());
    let both = async {
        let submitted = tokio::join!(submit_all(&one, green(), from_one), submit_all(&two, red(), from_two));
        (submitted, tokio::join!(arrived(&two, red()), arrived(&one, green())))
    };
    let a_day = Duration::from_secs(24 * 60 * 60);
    let both = tokio::time::timeout(a_day, both).await.unwrap_or_else(|_| panic!("seed {seed}: delivery has stopped"));

    let ((from_one, from_two), (at_two, at_one)) = both;
    for (submitted, arrived) in [(from_one, at_two), (from_two, at_one)] {
        assert!(arrived.iter().map(|(n, seq, _)| (*n, *seq)).eq((1..=UPDATES).map(|n| (n, n))), "seed {seed}");
        assert!(arrived.into_iter().map(|(_, _, bytes)| bytes).eq(submitted), "seed {seed}");
    }
    // The last responses may have been lost: the sender retries and learns that all is known.
    tokio::time::sleep(a_day).await;
    for (core, to) in [(&one, green()), (&two, red())] {
        let status = core.status(&to).await;
        assert_eq!((status.state, status.backlog), (PeerState::Idle, 0), "seed {seed}");
        assert_eq!(core.updates(&to).await.len() as u64, UPDATES, "seed {seed}: an update arrived twice");
    }
}

#[tokio::test(start_paused = true)]
async fn lossy_wire_delivers_updates_once() {
    for seed in [1, 2, 3] {
        world(talk(seed)).await;
    }
}
