//! Ring 2: an actor that exits outside its guard is replaced. Panics of other code do not end an actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::errors::{BatchError, UnavailableError};
use actors::limits::PeerLimits;
use actors::model::{Ack, OutboundBatch, PeerState, Seq, SuspendReason};
use actors::testkit::transport::accepted;
use actors::testkit::{ScriptedTransport, TestPeers};
use fixtures::disk::FaultyDisk;
use fixtures::gateway::GatewayFixture;
use fixtures::peers::{green, limits, red};
use fixtures::read_hooks::ReadHooks;
use fixtures::time::{at_rest, world};

use crate::ports::{ObservedReads, PanickingJournal};

/// A fixture whose journal panics on request and which records loads; its peers accept everything.
fn brittle() -> (GatewayFixture, Arc<PanickingJournal>, Arc<ObservedReads>, Arc<ScriptedTransport>) {
    let (mut journal, mut archive) = (None, None);
    let transport = Arc::new(ScriptedTransport::replies([]));
    let core = GatewayFixture::start(&FaultyDisk::new(), |ports| {
        ports.journal = journal.insert(Arc::new(PanickingJournal::new(ports.journal.clone()))).clone();
        archive = Some(ObservedReads::new().install(ports));
        ports.transport = transport.clone();
    });
    (core, journal.unwrap(), archive.unwrap(), transport)
}

#[tokio::test(start_paused = true)]
async fn unguarded_exit_replaces_actor() {
    world(async {
        let (core, journal, _, _) = brittle();
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));

        journal.break_once();
        let lost = [core.begin_push(&red(), 2), core.begin_push(&red(), 2), core.begin_push(&red(), 3)];
        for asked in lost {
            assert_eq!(
                asked.await.unwrap(),
                Err(UnavailableError::OutcomeUnknown.into()),
                "requests in its mailbox fail and do not hang"
            );
        }
        assert_eq!(core.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
        // The machine had accepted 2, the journal had not: the successor knows only what is on disk.
        for seq in [2, 2, 3] {
            assert_eq!(core.push(&red(), seq).await, Ok(Ack::Ok(Seq(seq))));
        }
        assert_eq!(core.fed(&red()).await, [(1, 1), (2, 2), (3, 3)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn exited_actor_restarts_without_traffic() {
    world(async {
        let (core, journal, _, transport) = brittle();
        journal.break_once();
        core.submit("s1", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(transport.times(), [0, 0], "the first acknowledgement was lost with the actor");
        assert_eq!(transport.carried()[0].label, transport.carried()[1].label);
        assert_eq!(core.status(&red()).await.backlog, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn actor_exiting_at_start_is_replaced() {
    world(async {
        let core = GatewayFixture::new();
        // Before it loads, the actor reads the clock outside its guard to compute its delay.
        core.clock.break_once();
        assert_eq!(core.push(&red(), 1).await, Err(UnavailableError::OutcomeUnknown.into()));
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn repeated_exits_end_in_faulty() {
    world(async {
        let (core, journal, archive, _) = brittle();
        core.start_peer(&red()).await;
        for _ in 0..6 {
            assert_eq!(core.status(&red()).await.state, PeerState::Idle);
            journal.break_once();
            assert_eq!(core.push(&red(), 1).await, Err(UnavailableError::OutcomeUnknown.into()));
        }
        assert_eq!(core.status(&red()).await.state, PeerState::Suspended(SuspendReason::Faulty));
        assert_eq!(archive.loads_of(&red()), [0, 0, 2_000, 6_000, 14_000, 30_000, 30_000]);
        assert_eq!(core.push(&red(), 1).await, Err(BatchError::Faulty(red())));
        assert_eq!(core.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn transport_panic_fails_only_attempt() {
    world(async {
        let transport =
            Arc::new(ScriptedTransport::replies([|_: &OutboundBatch| panic!("no answer is ever read"), accepted]));
        let core = GatewayFixture::start(&FaultyDisk::new(), |ports| ports.transport = transport.clone());
        core.submit("s1", &[red()], 1).await.unwrap();
        transport.pushed(2).await;
        assert_eq!(transport.times(), [0, 1_000], "an ordinary back-off");
        at_rest().await;
        let status = core.status(&red()).await;
        assert_eq!((status.backlog, status.failures), (0, 0));
        assert_eq!(core.attempts(&red()).await[0], "unreachable: no answer is ever read");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn early_transport_panic_fails_only_attempt() {
    world(async {
        let panics = AtomicBool::new(true);
        let transport = Arc::new(ScriptedTransport::new(move |batch| {
            assert!(!panics.swap(false, Ordering::SeqCst), "no request is ever made");
            Box::pin(async move { accepted(&batch) })
        }));
        let mut archive = None;
        let core = GatewayFixture::start(&FaultyDisk::new(), |ports| {
            ports.transport = transport.clone();
            archive = Some(ObservedReads::new().install(ports));
            ports.roster = Arc::new(TestPeers::everybody(PeerLimits { intake_max: 1, ..limits() }));
        });
        core.submit("s1", &[red()], 1).await.unwrap();
        transport.pushed(1).await;
        assert_eq!(transport.times(), [1_000], "an ordinary back-off");
        at_rest().await;
        assert_eq!(core.attempts(&red()).await[0], "unreachable: no request is ever made");
        assert_eq!(archive.unwrap().loads_of(&red()).len(), 1, "the actor continues");
    })
    .await;
}
