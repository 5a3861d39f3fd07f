//! Commands of operators, executed by real actors and stored in the real store.

use std::sync::Arc;

use actors::errors::{CommandError, OutboxFullError, UnavailableError};
use actors::model::{Ack, PeerCommand, PeerState, Seq, SuspendReason};
use actors::testkit::ScriptedTransport;
use fixtures::disk::{Disk, Survives};

use crate::fixtures::ports::Prepared;
use crate::fixtures::rig::{Rig, at_rest, life, red};

#[tokio::test(start_paused = true)]
async fn answered_command_survives_power_cut() {
    let disk = Disk::new();
    let survived = life(async {
        let rig = Rig::start(&disk, |ports| ports.transport = Prepared::new([]));
        assert_eq!(
            rig.gateway.order(&red(), PeerCommand::Suspend).await.unwrap().state,
            PeerState::Suspended(SuspendReason::Admin)
        );
        assert_eq!(
            rig.gateway.order(&red(), PeerCommand::Expect { number: Seq(40), yes: false }).await.unwrap().expected_seq,
            Seq(40)
        );
        rig.submit("s1", &[red()], 1).await.unwrap();
        disk.survivors(Survives::Synced)
    })
    .await;
    life(async {
        let transport = Prepared::new([]);
        let rig = Rig::start(&Disk::with(survived), |ports| ports.transport = transport.clone());
        at_rest().await;
        assert_eq!(transport.frames().len(), 0, "a suspended peer is sent to after a restart");
        assert_eq!(rig.push(&red(), 40).await, Ok(Ack::Ok(Seq(40))), "items from it are accepted");
        rig.gateway.order(&red(), PeerCommand::Resume).await.unwrap();
        transport.pushed(1).await;
        at_rest().await;
        assert_eq!(rig.status(&red()).await.state, PeerState::Idle);
        rig.settled().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn suspending_peer_aborts_in_flight_request() {
    life(async {
        let in_flight = Arc::new(());
        let held = in_flight.clone();
        let silent = ScriptedTransport::new(move |_| {
            let held = held.clone();
            Box::pin(async move {
                let _held = held;
                std::future::pending().await
            })
        });
        let rig = Rig::start(&Disk::new(), |ports| ports.transport = Arc::new(silent));
        rig.submit("s1", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(rig.status(&red()).await.state, PeerState::Sending);
        assert_eq!(Arc::strong_count(&in_flight), 3);
        rig.gateway.order(&red(), PeerCommand::Suspend).await.unwrap();
        at_rest().await;
        assert_eq!(Arc::strong_count(&in_flight), 2, "the request in flight continues");
        rig.settled().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn resume_restarts_faulty_peer() {
    life(async {
        let rig = Rig::start(&Disk::new(), |ports| ports.transport = Prepared::new([]));
        for _ in 0..6 {
            assert_eq!(rig.status(&red()).await.state, PeerState::Idle);
            rig.clock.break_once();
            assert_eq!(rig.push(&red(), 1).await, Err(UnavailableError::OutcomeUnknown.into()));
        }
        assert_eq!(rig.gateway.order(&red(), PeerCommand::Retry).await, Err(CommandError::Faulty(red())));
        assert_eq!(rig.gateway.order(&red(), PeerCommand::Resume).await.unwrap().state, PeerState::Idle);
        assert_eq!(rig.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
        rig.settled().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn outbox_byte_limit_survives_restart() {
    use actors::limits::PeerLimits;
    use actors::testkit::AllowAllPeers;

    let disk = Disk::new();
    let small = || Arc::new(PeerLimits { outbox_bytes: 26, ..crate::fixtures::rig::limits() });
    let full = || Err(OutboxFullError { server: red(), key: "peers.outbox_bytes", limit: 26 }.into());
    let survived = life(async {
        let rig = Rig::start(&disk, |ports| ports.roster = Arc::new(AllowAllPeers(small())));
        // Each update has thirteen bytes.
        rig.submit("s1", &[red()], 1).await.unwrap();
        rig.submit("s2", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(rig.submit("s3", &[red()], 1).await, full());
        disk.survivors(Survives::Synced)
    })
    .await;
    life(async {
        let rig = Rig::start(&Disk::with(survived), |ports| ports.roster = Arc::new(AllowAllPeers(small())));
        assert_eq!(
            rig.status(&red()).await.backlog_bytes,
            26,
            "the number of pending items is unknown after a restart"
        );
        assert_eq!(rig.submit("s3", &[red()], 1).await, full());
        rig.settled().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dropped_item_is_sent_after_retry() {
    let disk = Disk::new();
    life(async {
        let transport = Prepared::new([]);
        let rig = Rig::start(&disk, |ports| ports.transport = transport.clone());
        rig.gateway.order(&red(), PeerCommand::Suspend).await.unwrap();
        for id in ["s1", "s2"] {
            rig.submit(id, &[red()], 1).await.unwrap();
        }
        let (s1, nobody) = ("s1".parse().unwrap(), "nobody".parse().unwrap());
        rig.gateway.drop_message(&s1, None).await.unwrap();
        assert_eq!(rig.gateway.drop_message(&nobody, None).await, Err(CommandError::UnknownSubmission(nobody)));
        rig.gateway.order(&red(), PeerCommand::Resume).await.unwrap();
        at_rest().await;
        let carried = || transport.frames().iter().flat_map(|frame| frame.items.clone()).count();
        assert_eq!((carried(), rig.status(&red()).await.backlog), (1, 0));
        assert_eq!(rig.gateway.retry_message(&s1, Some(&red())).await, Ok(1));
        at_rest().await;
        assert_eq!((carried(), rig.status(&red()).await.backlog), (2, 0));
        assert_eq!(rig.gateway.retry_message(&s1, None).await, Ok(0), "it is no dead letter any more");
        rig.settled().await;
    })
    .await;
}
