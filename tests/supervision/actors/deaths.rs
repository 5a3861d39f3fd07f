//! Ring 2: an actor that exits outside its guard is replaced. Panics of other code do not end an actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::errors::{BatchError, UnavailableError};
use actors::limits::PeerLimits;
use actors::model::{
    Ack, BadPdu, FetchRequest, OutboundBatch, Pdu, PeerState, PushFailure, PushResponse, RequestDeadlines, Seq,
    ServerName, SuspendReason,
};
use actors::ports::{Task, Transport};
use actors::testkit::AllowAllPeers;
use fixtures::disk::Disk;
use fixtures::read_hooks::ReadHooks;

use crate::fixtures::ports::{Brittle, Observed, Prepared};
use crate::fixtures::rig::{Rig, at_rest, green, life, limits, red};

/// A fixture whose journal panics on request and which records loads; its peers accept everything.
fn brittle() -> (Rig, Arc<Brittle>, Arc<Observed>, Arc<Prepared>) {
    let (mut journal, mut archive) = (None, None);
    let transport = Prepared::new([]);
    let rig = Rig::start(&Disk::new(), |ports| {
        ports.journal = journal.insert(Arc::new(Brittle::new(ports.journal.clone()))).clone();
        archive = Some(Observed::new().install(ports));
        ports.transport = transport.clone();
    });
    (rig, journal.unwrap(), archive.unwrap(), transport)
}

#[tokio::test(start_paused = true)]
async fn unguarded_exit_replaces_actor() {
    life(async {
        let (rig, journal, _, _) = brittle();
        assert_eq!(rig.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));

        journal.break_once();
        let lost = [rig.begin_push(&red(), 2), rig.begin_push(&red(), 2), rig.begin_push(&red(), 3)];
        for asked in lost {
            assert_eq!(
                asked.await.unwrap(),
                Err(UnavailableError::OutcomeUnknown.into()),
                "requests in its mailbox fail and do not hang"
            );
        }
        assert_eq!(rig.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
        // The machine had accepted 2, the journal had not: the successor knows only what is on disk.
        for seq in [2, 2, 3] {
            assert_eq!(rig.push(&red(), seq).await, Ok(Ack::Ok(Seq(seq))));
        }
        assert_eq!(rig.fed(&red()).await, [(1, 1), (2, 2), (3, 3)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn exited_actor_restarts_without_traffic() {
    life(async {
        let (rig, journal, _, transport) = brittle();
        journal.break_once();
        rig.submit("s1", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(transport.times(), [0, 0], "the first acknowledgement was lost with the actor");
        assert_eq!(transport.frames()[0].label, transport.frames()[1].label);
        assert_eq!(rig.status(&red()).await.backlog, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn actor_exiting_at_start_is_replaced() {
    life(async {
        let rig = Rig::new();
        // Before it loads, the actor reads the clock outside its guard to compute its delay.
        rig.clock.break_once();
        assert_eq!(rig.push(&red(), 1).await, Err(UnavailableError::OutcomeUnknown.into()));
        assert_eq!(rig.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn repeated_exits_end_in_faulty() {
    life(async {
        let (rig, journal, archive, _) = brittle();
        for _ in 0..6 {
            assert_eq!(rig.status(&red()).await.state, PeerState::Idle);
            journal.break_once();
            assert_eq!(rig.push(&red(), 1).await, Err(UnavailableError::OutcomeUnknown.into()));
        }
        assert_eq!(rig.status(&red()).await.state, PeerState::Suspended(SuspendReason::Faulty));
        assert_eq!(archive.loads_of(&red()), [0, 0, 2_000, 6_000, 14_000, 30_000, 30_000]);
        assert_eq!(rig.push(&red(), 1).await, Err(BatchError::Faulty(red())));
        assert_eq!(rig.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn transport_panic_fails_only_attempt() {
    life(async {
        let transport =
            Prepared::new([|_: &OutboundBatch| panic!("no answer is ever read"), crate::fixtures::rig::taken]);
        let rig = Rig::start(&Disk::new(), |ports| ports.transport = transport.clone());
        rig.submit("s1", &[red()], 1).await.unwrap();
        transport.pushed(2).await;
        assert_eq!(transport.times(), [0, 1_000], "an ordinary back-off");
        at_rest().await;
        let status = rig.status(&red()).await;
        assert_eq!((status.backlog, status.failures), (0, 0));
        assert_eq!(rig.attempts(&red()).await[0], "unreachable: no answer is ever read");
    })
    .await;
}

/// A transport that panics once, before it returns a future.
struct PanickingTransport {
    calm: Arc<Prepared>,
    panics: AtomicBool,
}

impl Transport for PanickingTransport {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "no request is ever made");
        self.calm.push(frame)
    }

    fn fetch(
        &self,
        _: &ServerName,
        _: FetchRequest,
        _: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        Box::pin(async { Ok(vec![]) })
    }
}

#[tokio::test(start_paused = true)]
async fn early_transport_panic_fails_only_attempt() {
    life(async {
        let transport = Prepared::new([]);
        let mut archive = None;
        let rig = Rig::start(&Disk::new(), |ports| {
            ports.transport = Arc::new(PanickingTransport { calm: transport.clone(), panics: AtomicBool::new(true) });
            archive = Some(Observed::new().install(ports));
            ports.roster = Arc::new(AllowAllPeers(Arc::new(PeerLimits { intake_max: 1, ..limits() })));
        });
        rig.submit("s1", &[red()], 1).await.unwrap();
        transport.pushed(1).await;
        assert_eq!(transport.times(), [1_000], "an ordinary back-off");
        at_rest().await;
        assert_eq!(rig.attempts(&red()).await[0], "unreachable: no request is ever made");
        assert_eq!(archive.unwrap().loads_of(&red()).len(), 1, "the actor continues");
    })
    .await;
}
