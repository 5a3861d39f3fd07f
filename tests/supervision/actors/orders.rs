//! Commands of operators, executed by real actors and stored in the real store.

use std::sync::Arc;

use actors::errors::{CommandError, OutboxFullError, UnavailableError};
use actors::model::{Ack, PeerCommand, PeerState, Seq, SuspendReason};
use actors::testkit::ScriptedTransport;
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use fixtures::gateway::GatewayFixture;
use fixtures::peers::{limits, red};
use fixtures::time::{at_rest, world};

#[tokio::test(start_paused = true)]
async fn answered_command_survives_power_cut() {
    let disk = FaultyDisk::new();
    let survived = world(async {
        let core = GatewayFixture::start(&disk, |ports| ports.transport = Arc::new(ScriptedTransport::replies([])));
        assert_eq!(
            core.gateway.order(&red(), PeerCommand::Suspend).await.unwrap().state,
            PeerState::Suspended(SuspendReason::Admin)
        );
        assert_eq!(
            core.gateway.order(&red(), PeerCommand::Expect { number: Seq(40), yes: false }).await.unwrap().expected_seq,
            Seq(40)
        );
        core.submit("s1", &[red()], 1).await.unwrap();
        disk.survivors(SurvivingBytes::Synced)
    })
    .await;
    world(async {
        let transport = Arc::new(ScriptedTransport::replies([]));
        let core = GatewayFixture::start(&FaultyDisk::with(survived), |ports| ports.transport = transport.clone());
        at_rest().await;
        assert_eq!(transport.carried().len(), 0, "a suspended peer is sent to after a restart");
        assert_eq!(core.push(&red(), 40).await, Ok(Ack::Ok(Seq(40))), "items from it are accepted");
        core.gateway.order(&red(), PeerCommand::Resume).await.unwrap();
        transport.pushed(1).await;
        at_rest().await;
        assert_eq!(core.status(&red()).await.state, PeerState::Idle);
        core.settled().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn suspending_peer_aborts_in_flight_request() {
    world(async {
        let in_flight = Arc::new(());
        let held = in_flight.clone();
        let silent = ScriptedTransport::new(move |_| {
            let held = held.clone();
            Box::pin(async move {
                let _held = held;
                std::future::pending().await
            })
        });
        let core = GatewayFixture::start(&FaultyDisk::new(), |ports| ports.transport = Arc::new(silent));
        core.submit("s1", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(core.status(&red()).await.state, PeerState::Sending);
        assert_eq!(Arc::strong_count(&in_flight), 3);
        core.gateway.order(&red(), PeerCommand::Suspend).await.unwrap();
        at_rest().await;
        assert_eq!(Arc::strong_count(&in_flight), 2, "the request in flight continues");
        core.settled().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn resume_restarts_faulty_peer() {
    world(async {
        let core = GatewayFixture::start(&FaultyDisk::new(), |ports| {
            ports.transport = Arc::new(ScriptedTransport::replies([]));
        });
        for _ in 0..6 {
            assert_eq!(core.status(&red()).await.state, PeerState::Idle);
            core.clock.break_once();
            assert_eq!(core.push(&red(), 1).await, Err(UnavailableError::OutcomeUnknown.into()));
        }
        assert_eq!(core.gateway.order(&red(), PeerCommand::Retry).await, Err(CommandError::Faulty(red())));
        assert_eq!(core.gateway.order(&red(), PeerCommand::Resume).await.unwrap().state, PeerState::Idle);
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
        core.settled().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn outbox_byte_limit_survives_restart() {
    use actors::limits::PeerLimits;
    use actors::testkit::TestPeers;

    let disk = FaultyDisk::new();
    let small = || Arc::new(PeerLimits { outbox_bytes: 26, ..limits() });
    let full = || Err(OutboxFullError { server: red(), key: "peers.outbox_bytes", limit: 26 }.into());
    let survived = world(async {
        let core = GatewayFixture::start(&disk, |ports| ports.roster = Arc::new(TestPeers::everybody(small())));
        // Each update has thirteen bytes.
        core.submit("s1", &[red()], 1).await.unwrap();
        core.submit("s2", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(core.submit("s3", &[red()], 1).await, full());
        disk.survivors(SurvivingBytes::Synced)
    })
    .await;
    world(async {
        let core = GatewayFixture::start(&FaultyDisk::with(survived), |ports| {
            ports.roster = Arc::new(TestPeers::everybody(small()));
        });
        assert_eq!(
            core.status(&red()).await.backlog_bytes,
            26,
            "the number of pending items is unknown after a restart"
        );
        assert_eq!(core.submit("s3", &[red()], 1).await, full());
        core.settled().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dropped_item_is_sent_after_retry() {
    let disk = FaultyDisk::new();
    world(async {
        let transport = Arc::new(ScriptedTransport::replies([]));
        let core = GatewayFixture::start(&disk, |ports| ports.transport = transport.clone());
        core.gateway.order(&red(), PeerCommand::Suspend).await.unwrap();
        for id in ["s1", "s2"] {
            core.submit(id, &[red()], 1).await.unwrap();
        }
        let (s1, nobody) = ("s1".parse().unwrap(), "nobody".parse().unwrap());
        core.gateway.drop_message(&s1, None).await.unwrap();
        assert_eq!(core.gateway.drop_message(&nobody, None).await, Err(CommandError::UnknownSubmission(nobody)));
        core.gateway.order(&red(), PeerCommand::Resume).await.unwrap();
        at_rest().await;
        let carried = || transport.carried().iter().flat_map(|frame| frame.items.clone()).count();
        assert_eq!((carried(), core.status(&red()).await.backlog), (1, 0));
        assert_eq!(core.gateway.retry_message(&s1, Some(&red())).await, Ok(1));
        at_rest().await;
        assert_eq!((carried(), core.status(&red()).await.backlog), (2, 0));
        assert_eq!(core.gateway.retry_message(&s1, None).await, Ok(0), "it is no dead letter any more");
        core.settled().await;
    })
    .await;
}
