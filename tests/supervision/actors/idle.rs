//! Peers that leave memory because they are idle: which leave, which stay, and that nothing is lost or doubled on the way.

use std::sync::Arc;
use std::time::Duration;

use actors::limits::PeerLimits;
use actors::model::{Ack, PeerCommand, PeerState, PeerStatus, Seq, ServerName, SuspendReason};
use actors::testkit::transport::{accepted, unreachable, wait};
use actors::testkit::{ReplaceablePeers, ScriptedTransport, TestPeers};
use fixtures::disk::FaultyDisk;
use fixtures::gateway::GatewayFixture;
use fixtures::peers::{green, limits, red, server};
use fixtures::read_hooks::ReadHooks;
use fixtures::time::{at_rest, seconds, world};
use tokio::task::spawn_local;

use crate::ports::ObservedReads;

/// A gateway whose peers leave memory after half a minute.
struct IdleGateway {
    core: GatewayFixture,
    archive: Arc<ObservedReads>,
    transport: Arc<ScriptedTransport>,
}

const IDLE_AFTER: Duration = Duration::from_secs(30);

impl IdleGateway {
    fn start(disk: &FaultyDisk, transport: ScriptedTransport) -> Self {
        let limits =
            PeerLimits { backoff_min: Duration::from_secs(600), wait_max: Duration::from_secs(600), ..limits() };
        Self::with(disk, TestPeers::everybody(limits).with_idle_after(IDLE_AFTER), transport)
    }

    fn with(disk: &FaultyDisk, peers: TestPeers, transport: ScriptedTransport) -> Self {
        let (mut archive, transport) = (None, Arc::new(transport));
        let core = GatewayFixture::start(disk, |ports| {
            ports.roster = Arc::new(peers);
            ports.transport = transport.clone();
            archive = Some(ObservedReads::new().install(ports));
        });
        Self { core, archive: archive.unwrap(), transport }
    }

    /// Returns the number of peers in memory, by state.
    fn in_memory(&self) -> Vec<(&'static str, u64)> {
        self.core.gateway.metrics().peers.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    fn loads_of(&self, server: &ServerName) -> usize {
        self.archive.loads_of(server).len()
    }

    /// Returns the ids of the updates that were sent to a peer, in order.
    fn sent(&self, to: &ServerName) -> Vec<String> {
        sent_to(&self.transport, to)
    }
}

fn sent_to(transport: &ScriptedTransport, to: &ServerName) -> Vec<String> {
    let batches = transport.carried().into_iter().filter(|batch| batch.to == *to);
    batches.flat_map(|batch| batch.items).map(|item| id_of(item.bytes())).collect()
}

fn id_of(body: &[u8]) -> String {
    let body = std::str::from_utf8(body).unwrap();
    body.strip_prefix(r#"{"id":""#)
        .and_then(|rest| rest.strip_suffix(r#""}"#))
        .expect("an update of `submit`")
        .to_owned()
}

fn peaceful() -> ScriptedTransport {
    ScriptedTransport::answering(accepted)
}

fn blue() -> ServerName {
    server("blue")
}

#[tokio::test(start_paused = true)]
async fn idle_peer_leaves_and_returns() {
    world(async {
        let gateway = IdleGateway::start(&FaultyDisk::new(), peaceful());
        let core = &gateway.core;
        core.submit("s1", &[red()], 2).await.unwrap();
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
        at_rest().await;
        let before = core.status(&red()).await;
        assert_eq!((before.state, before.acked.0, before.expected_seq), (PeerState::Idle, 2, Seq(2)));
        seconds(29).await;
        assert_eq!(gateway.in_memory(), [("idle", 1)]);
        seconds(10).await;
        assert_eq!(gateway.in_memory(), []);

        assert_eq!(core.status(&red()).await, before, "its status is read from the store");
        assert_eq!((core.gateway.peers(), gateway.in_memory(), gateway.loads_of(&red())), (vec![], vec![], 2));
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))), "what it sent before is known");
        assert_eq!(core.push(&red(), 2).await, Ok(Ack::Ok(Seq(2))));
        core.submit("s2", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(gateway.in_memory(), [("idle", 1)]);
        assert_eq!(gateway.sent(&red()), ["s1.0", "s1.1", "s2.0"]);
        assert_eq!(core.fed(&red()).await, [(1, 1), (2, 2)]);
        seconds(40).await;
        assert_eq!(gateway.in_memory(), [], "it leaves again");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn used_peer_stays_in_memory() {
    world(async {
        let gateway = IdleGateway::start(&FaultyDisk::new(), peaceful());
        for round in 1..=10 {
            assert_eq!(gateway.core.push(&red(), round).await, Ok(Ack::Ok(Seq(round))));
            gateway.core.submit(&format!("s{round}"), &[green()], 1).await.unwrap();
            seconds(25).await;
        }
        assert_eq!((gateway.loads_of(&red()), gateway.loads_of(&green())), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn submission_returns_idle_peer() {
    world(async {
        let gateway = IdleGateway::start(&FaultyDisk::new(), peaceful());
        for round in 0..3 {
            assert_eq!(gateway.in_memory(), []);
            gateway.core.submit(&format!("s{round}"), &[red(), green()], 1).await.unwrap();
            at_rest().await;
            assert_eq!(gateway.in_memory(), [("idle", 2)]);
            seconds(40).await;
        }
        for server in [red(), green()] {
            assert_eq!(gateway.sent(&server), ["s0.0", "s1.0", "s2.0"], "{server}");
        }
        assert_eq!((gateway.loads_of(&red()), gateway.loads_of(&green())), (3, 3));
    })
    .await;
}

/// Returns the states of the three peers that something has to happen to.
async fn states(core: &GatewayFixture) -> Vec<(PeerState, u64, u32)> {
    let mut states = vec![];
    for server in [red(), green(), blue()] {
        let PeerStatus { state, backlog, failures, .. } = core.status(&server).await;
        states.push((state, backlog, failures));
    }
    states
}

#[tokio::test(start_paused = true)]
async fn peers_with_state_stay() {
    let disk = FaultyDisk::new();
    let transport = || {
        ScriptedTransport::answering(|batch| match batch.to {
            _ if batch.to == red() => wait(600),
            _ if batch.to == green() => unreachable(),
            _ => accepted(batch),
        })
    };
    let expected =
        [(PeerState::Waiting, 1, 0), (PeerState::BackingOff, 1, 1), (PeerState::Suspended(SuspendReason::Admin), 0, 0)];
    world(async {
        let gateway = IdleGateway::start(&disk, transport());
        gateway.core.submit("s1", &[red(), green()], 1).await.unwrap();
        gateway.core.gateway.order(&blue(), PeerCommand::Suspend).await.unwrap();
        seconds(300).await;
        assert_eq!(gateway.in_memory(), [("waiting", 1), ("backing_off", 1), ("suspended", 1)]);
        assert_eq!(states(&gateway.core).await, expected);
        assert_eq!(gateway.archive.loads().len(), 3, "none of them was loaded again");
    })
    .await;
    world(async {
        let gateway = IdleGateway::start(&disk, transport());
        seconds(60).await;
        assert_eq!(states(&gateway.core).await, expected, "after a restart");
        assert_eq!(gateway.core.push(&blue(), 1).await, Ok(Ack::Ok(Seq(1))));
        seconds(60).await;
        assert_eq!(gateway.in_memory(), [("waiting", 1), ("backing_off", 1), ("suspended", 1)]);
        assert!(gateway.transport.carried().is_empty(), "the remaining delays are kept");
        gateway.core.gateway.order(&blue(), PeerCommand::Resume).await.unwrap();
        seconds(60).await;
        assert_eq!(gateway.in_memory(), [("waiting", 1), ("backing_off", 1)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn restart_finds_peers_that_left() {
    let disk = FaultyDisk::new();
    world(async {
        let gateway = IdleGateway::start(&disk, peaceful());
        gateway.core.submit("s1", &[red()], 2).await.unwrap();
        assert_eq!(gateway.core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
        seconds(60).await;
        assert_eq!(gateway.in_memory(), []);
    })
    .await;
    world(async {
        let gateway = IdleGateway::start(&disk, peaceful());
        assert_eq!(gateway.core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
        assert_eq!(gateway.core.push(&red(), 2).await, Ok(Ack::Ok(Seq(2))));
        gateway.core.submit("s2", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(gateway.sent(&red()), ["s2.0"]);
        assert_eq!(gateway.core.fed(&red()).await, [(1, 1), (2, 2)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reload_changes_idle_time() {
    world(async {
        let peers = |seconds| TestPeers::everybody(limits()).with_idle_after(Duration::from_secs(seconds));
        let roster = Arc::new(ReplaceablePeers::new(peers(3600)));
        let core = GatewayFixture::start(&FaultyDisk::new(), |ports| ports.roster = roster.clone());
        let in_memory = || core.gateway.metrics().peers.into_iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
        seconds(120).await;
        assert_eq!(in_memory(), 1);
        roster.replace(peers(8));
        core.gateway.change_config(vec![]).await.unwrap();
        seconds(12).await;
        assert_eq!(in_memory(), 0);
    })
    .await;
}

/// Pushes, submissions, commands and looks of operators come at the moments at which peers leave.
#[tokio::test(start_paused = true)]
async fn leaving_peers_lose_nothing() {
    const ROUNDS: u64 = 60;
    world(async {
        let peers = TestPeers::everybody(limits()).with_idle_after(Duration::from_millis(400));
        let transport = peaceful().delayed(Duration::from_millis(3));
        let gateway = IdleGateway::with(&FaultyDisk::new(), peers, transport);
        let core = Arc::new(gateway.core);
        let peers: Vec<_> = (0..6).map(|n| server(&format!("p{n}"))).collect();
        let begun = peers.iter().cloned().enumerate().map(|(place, peer)| {
            let core = core.clone();
            spawn_local(async move {
                let mut chance = fastrand::Rng::with_seed(place as u64);
                for seq in 1..=ROUNDS {
                    // A look comes each tenth of a second, and a peer leaves at the fifth one: the pauses end around it.
                    tokio::time::sleep(Duration::from_millis(100 * chance.u64(0..7) + chance.u64(0..3))).await;
                    assert_eq!(core.push(&peer, seq).await, Ok(Ack::Ok(Seq(seq))));
                    tokio::time::sleep(Duration::from_millis(100 * chance.u64(0..7))).await;
                    core.submit(&format!("s{place}-{seq}"), std::slice::from_ref(&peer), 1).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(100 * chance.u64(3..7))).await;
                    match chance.u8(0..3) {
                        0 => drop(core.gateway.order(&peer, PeerCommand::Retry).await),
                        1 => drop(core.gateway.peer(&peer).await.unwrap()),
                        _ => {}
                    }
                }
            })
        });
        for begun in begun.collect::<Vec<_>>() {
            begun.await.unwrap();
        }
        seconds(2).await;
        for (place, peer) in peers.iter().enumerate() {
            assert!(core.fed(peer).await.into_iter().eq((1..=ROUNDS).map(|n| (n, n))), "{peer}");
            let sent: Vec<_> = (1..=ROUNDS).map(|n| format!("s{place}-{n}.0")).collect();
            assert_eq!(sent_to(&gateway.transport, peer), sent, "{peer}");
            assert_eq!(core.status(peer).await.backlog, 0);
        }
        let loads = gateway.archive.loads().len() as u64;
        assert!(loads > ROUNDS, "{loads} loads: peers hardly left");
    })
    .await;
}
