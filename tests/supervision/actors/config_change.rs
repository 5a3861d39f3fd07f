//! A configuration that is replaced while actors run: other limits, peers that leave and return, names that are denied.

use std::sync::Arc;
use std::time::Duration;

use actors::errors::{ContextError, PeerError};
use actors::limits::PeerLimits;
use actors::model::{Ack, PeerState, ServerName, SuspendReason};
use actors::testkit::transport::unreachable;
use actors::testkit::{ReplaceablePeers, ScriptedTransport, TestPeers};
use fixtures::disk::FaultyDisk;
use fixtures::gateway::GatewayFixture;
use fixtures::peers::{green, limits, red};
use fixtures::time::{at_rest, seconds, world};

/// A gateway whose configuration can be replaced.
struct ReloadedGateway {
    core: GatewayFixture,
    peers: Arc<ReplaceablePeers>,
    transport: Arc<ScriptedTransport>,
}

/// Returns a configuration that lists these servers. A failed attempt is repeated well after [`at_rest`] has returned: two
/// timers of the same time fire in either order.
fn listing(servers: &[ServerName]) -> TestPeers {
    let limits = PeerLimits { backoff_min: Duration::from_secs(60), ..limits() };
    servers.iter().fold(TestPeers::none(), |peers, server| peers.listing(server.clone(), limits.clone()))
}

impl ReloadedGateway {
    fn start(peers: TestPeers, transport: ScriptedTransport) -> Self {
        let (peers, transport) = (Arc::new(ReplaceablePeers::new(peers)), Arc::new(transport));
        let core = GatewayFixture::start(&FaultyDisk::new(), |ports| {
            ports.roster = peers.clone();
            ports.transport = transport.clone();
        });
        Self { core, peers, transport }
    }

    async fn change(&self, peers: TestPeers, new_peers: &[ServerName]) {
        self.peers.replace(peers);
        self.core.gateway.change_config(new_peers.to_vec()).await.unwrap();
    }

    async fn state(&self, server: &ServerName) -> (PeerState, u64) {
        let status = self.core.status(server).await;
        (status.state, status.backlog)
    }

    fn sent(&self) -> usize {
        self.transport.carried().iter().map(|frame| frame.items.len()).sum()
    }
}

#[tokio::test(start_paused = true)]
async fn removed_peer_is_refused_and_returns() {
    world(async {
        let gateway =
            ReloadedGateway::start(listing(&[red(), green()]), ScriptedTransport::replies([|_| unreachable()]));
        gateway.core.submit("m", &[green()], 2).await.unwrap();
        at_rest().await;
        assert_eq!(gateway.state(&green()).await, (PeerState::BackingOff, 2));

        gateway.change(listing(&[red()]), &[]).await;
        let stranger = || PeerError::UnknownPeer(green());
        assert_eq!(gateway.core.push(&green(), 1).await, Err(stranger().into()));
        assert_eq!(gateway.core.submit("n", &[green()], 1).await, Err(stranger().into()));
        assert_eq!(gateway.state(&green()).await, (PeerState::Suspended(SuspendReason::NotListed), 2));
        seconds(3600).await;
        assert_eq!(gateway.sent(), 1, "nothing more is sent to it");

        gateway.change(listing(&[red()]).denying(green()), &[]).await;
        assert_eq!(gateway.core.submit("n", &[green()], 1).await, Err(PeerError::Denied(green()).into()));
        assert_eq!(gateway.state(&green()).await, (PeerState::Suspended(SuspendReason::Denied), 2));

        gateway.change(listing(&[red(), green()]), &[green()]).await;
        assert_eq!(gateway.core.push(&green(), 1).await, Ok(Ack::Ok(actors::model::Seq(1))));
        at_rest().await;
        assert_eq!((gateway.state(&green()).await, gateway.sent()), ((PeerState::Idle, 0), 3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn added_peer_needs_no_restart() {
    world(async {
        let gateway = ReloadedGateway::start(listing(&[red()]), ScriptedTransport::replies([]));
        assert_eq!(gateway.core.push(&green(), 1).await, Err(PeerError::UnknownPeer(green()).into()));
        gateway.change(listing(&[red(), green()]), &[green()]).await;
        assert_eq!(gateway.core.push(&green(), 1).await, Ok(Ack::Ok(actors::model::Seq(1))));
        gateway.core.submit("m", &[green()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(gateway.sent(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn evicted_peer_returns_with_new_limits() {
    world(async {
        let gateway = ReloadedGateway::start(listing(&[red(), green()]), ScriptedTransport::replies([]));
        for (id, server) in [("m", red()), ("n", green())] {
            gateway.core.submit(id, &[server], 1).await.unwrap();
        }
        at_rest().await;
        seconds(600).await;
        // One of the two has to leave; both have the new limits when they are wanted again.
        let paused = |peers: TestPeers| {
            peers.with_peer("red", |red| red.paused = true).with_peer("green", |green| green.paused = true)
        };
        gateway.change(paused(listing(&[red(), green()])).with_resident_max(1), &[]).await;
        for (id, server) in [("o", red()), ("p", green())] {
            gateway.core.submit(id, std::slice::from_ref(&server), 1).await.unwrap();
            at_rest().await;
            assert_eq!(gateway.state(&server).await, (PeerState::Suspended(SuspendReason::Admin), 1));
        }
        assert_eq!(gateway.sent(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn changed_limits_reach_admission() {
    world(async {
        let gateway = ReloadedGateway::start(listing(&[red()]), ScriptedTransport::silent());
        gateway.core.push(&red(), 1).await.unwrap();
        let slow =
            |peers: TestPeers| peers.with_peer("red", |red| (red.rate, red.intake_items, red.outbox_items) = (1, 1, 1));
        gateway.change(slow(listing(&[red()])), &[]).await;
        gateway.core.push(&red(), 2).await.unwrap();
        let limited = gateway.core.push(&red(), 3).await.unwrap_err();
        assert!(limited.to_string().starts_with("peers.rate is reached (1)"), "{limited}");
        seconds(1).await;
        gateway.core.push(&red(), 3).await.unwrap();
        gateway.core.submit("m", &[red()], 1).await.unwrap();
        at_rest().await;
        let full = gateway.core.submit("n", &[red()], 1).await.unwrap_err();
        assert!(full.to_string().contains("the limit is 1 (peers.outbox_items)"), "{full}");
        gateway.change(listing(&[red()]), &[]).await;
        gateway.core.submit("n", &[red()], 1).await.unwrap();
        gateway.core.push(&red(), 4).await.unwrap();
        gateway.core.push(&red(), 5).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn changed_limits_reach_contexts() {
    world(async {
        let gateway = ReloadedGateway::start(listing(&[red(), green()]), ScriptedTransport::replies([]));
        let context = "#room".parse().unwrap();
        gateway.core.gateway.set_participants(&context, vec![red(), green()]).await.unwrap();
        let one = |peers: TestPeers| {
            peers.with_contexts(|contexts| {
                contexts.participants_max = 1;
                contexts.idle = Duration::from_secs(5);
            })
        };
        gateway.change(one(listing(&[red(), green()])), &[]).await;
        let refused = gateway.core.gateway.set_participants(&context, vec![red(), green()]).await;
        assert!(matches!(refused, Err(ContextError::TooManyParticipants { count: 2, max: 1 })), "{refused:?}");
        // The context leaves memory after the new time, and has the new limits when it returns.
        seconds(6).await;
        let refused = gateway.core.gateway.set_participants(&context, vec![red(), green()]).await;
        assert!(matches!(refused, Err(ContextError::TooManyParticipants { count: 2, max: 1 })), "{refused:?}");
        gateway.change(listing(&[red(), green()]), &[]).await;
        gateway.core.gateway.set_participants(&context, vec![red(), green()]).await.unwrap();
    })
    .await;
}
