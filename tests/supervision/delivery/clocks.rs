//! Timers drive delivery: at start, after a wait, after a failure; and only the newest timer counts.

use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::limits::PeerLimits;
use actors::model::{Ack, PeerState, Seq, ServerName};
use actors::ports::{CommitPriority, Journal, Ownership};
use actors::testkit::transport::{accepted, unreachable, wait};
use actors::testkit::{ScriptedTransport, TestClock, TestPeers};
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use fixtures::gateway::{GatewayFixture, submission};
use fixtures::peers::{limits, red, server};
use fixtures::read_hooks::ReadHooks;
use fixtures::time::{BASE, at_rest, seconds, world};

use crate::ports::ObservedReads;

fn names(count: usize) -> Vec<ServerName> {
    (0..count).map(|n| server(&format!("peer-{n:05}"))).collect()
}

#[tokio::test(start_paused = true)]
async fn boot_wake_ups_are_spread() {
    const PEERS: u32 = 100;
    let disk = FaultyDisk::new();
    world(async {
        let core = GatewayFixture::start(&disk, |_| {});
        let fence = core.store.claim(&red()).unwrap();
        let queued = Change::Submitted(submission("s1", &names(PEERS as usize), 1));
        core.store.submit(fence, vec![queued], CommitPriority::Now).committed().await.unwrap();
    })
    .await;

    let disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Synced));
    world(async {
        let transport = Arc::new(ScriptedTransport::replies([]));
        let core = GatewayFixture::start(&disk, |ports| ports.transport = transport.clone());
        transport.pushed(PEERS).await;
        let steps: Vec<u64> = (0..u64::from(PEERS)).map(|n| 50 * n).collect();
        assert_eq!(transport.times(), steps);
        at_rest().await;
        for name in names(PEERS as usize) {
            assert_eq!(core.status(&name).await.backlog, 0, "{name}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_backlogs_wake_within_two_minutes() {
    for peers in [7_000, 10_000] {
        world(async {
            let mut archive = None;
            let _rig = GatewayFixture::start(&FaultyDisk::new(), |ports| {
                archive = Some(ObservedReads::new().with_behind(names(peers)).install(ports));
            });
            seconds(300).await;
            let loads = archive.unwrap().loads();
            assert_eq!(loads.len(), peers);
            assert!(loads[peers - 1] <= 120_000, "the last of {peers} was sent to after {} ms", loads[peers - 1]);
            let in_a_second = peers / 120 + 2;
            let crowded = loads.windows(in_a_second + 1).find(|window| window[in_a_second] - window[0] < 1_000);
            assert_eq!(crowded, None, "more than {in_a_second} in a second");
        })
        .await;
    }
}

/// The read of peers with work is repeated until it succeeds, because traffic alone may never come.
#[tokio::test(start_paused = true)]
async fn failed_read_of_work_is_repeated() {
    world(async {
        let mut archive = None;
        let _rig = GatewayFixture::start(&FaultyDisk::new(), |ports| {
            archive = Some(ObservedReads::new().with_behind(names(1)).with_failures(3).install(ports));
        });
        seconds(60).await;
        assert_eq!(archive.unwrap().loads(), [7_000], "after pauses of 1, 2 and 4 seconds");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn requested_wait_survives_restart() {
    let clock = Arc::new(TestClock::new(BASE));
    let transport = Arc::new(ScriptedTransport::replies([|_: &_| wait(600), |_: &_| wait(600)]));
    let mut disk = FaultyDisk::new();

    world(async {
        let core = GatewayFixture::with_clock(&disk, clock.clone(), |ports| ports.transport = transport.clone());
        core.submit("s1", &[red()], 1).await.unwrap();
        transport.pushed(2).await;
        assert_eq!(transport.times(), [0, 600_000]);
        seconds(200).await;
        // The peer has requested a wait, which its own traffic does not end.
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
        core.submit("s2", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(core.status(&red()).await.state, PeerState::Waiting);
    })
    .await;

    // Two more restarts, the second of which also ends within the wait.
    for _ in 0..2 {
        disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Synced));
        world(async {
            let core = GatewayFixture::with_clock(&disk, clock.clone(), |ports| ports.transport = transport.clone());
            seconds(100).await;
            assert_eq!(core.status(&red()).await.state, PeerState::Waiting);
            assert_eq!(transport.times().len(), 2);
        })
        .await;
    }
    disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Synced));
    world(async {
        let core = GatewayFixture::with_clock(&disk, clock.clone(), |ports| ports.transport = transport.clone());
        transport.pushed(1).await;
        assert_eq!(transport.times(), [0, 600_000, 1_200_000]);
        at_rest().await;
        assert_eq!(core.status(&red()).await.backlog, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn wait_elapsed_while_down_ends() {
    let clock = Arc::new(TestClock::new(BASE));
    let transport = Arc::new(ScriptedTransport::replies([|_: &_| wait(600)]));
    let disk = FaultyDisk::new();
    world(async {
        let core = GatewayFixture::with_clock(&disk, clock.clone(), |ports| ports.transport = transport.clone());
        core.submit("s1", &[red()], 1).await.unwrap();
        transport.pushed(1).await;
        at_rest().await;
    })
    .await;
    seconds(1_000).await;
    let disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Synced));
    world(async {
        let _rig = GatewayFixture::with_clock(&disk, clock.clone(), |ports| ports.transport = transport.clone());
        transport.pushed(1).await;
        assert_eq!(transport.times(), [0, 1_001_000]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stale_timer_is_ignored() {
    let limits = Arc::new(PeerLimits { backoff_min: Duration::from_secs(10), ..limits() });
    world(async {
        // The attempt at 0 s fails, so the next is due at 10 s. Contact at 4 s brings it forward, and the peer requests a
        // wait of 600 s.
        let transport = Arc::new(ScriptedTransport::replies([|_: &_| unreachable(), |_: &_| wait(600), accepted]));
        let core = GatewayFixture::start(&FaultyDisk::new(), |ports| {
            ports.transport = transport.clone();
            ports.roster = Arc::new(TestPeers::everybody(limits));
        });
        core.submit("s1", &[red()], 1).await.unwrap();
        transport.pushed(1).await;
        seconds(4).await;
        assert_eq!(core.status(&red()).await.state, PeerState::BackingOff);
        core.push(&red(), 1).await.unwrap();
        transport.pushed(2).await;
        assert_eq!(transport.times(), [0, 4_000, 604_000], "the timer for 10 s fired, or was waited for");
    })
    .await;
}
