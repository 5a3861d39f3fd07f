//! Ring 1: a panic in a machine restarts its actor in place, and only that actor.

use std::sync::Arc;

use actors::errors::{BatchError, UnavailableError};
use actors::model::{Ack, PeerState, Seq, SuspendReason};
use actors::ports::PeerReader;
use actors::testkit::ScriptedTransport;
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use fixtures::gateway::GatewayFixture;
use fixtures::peers::{green, red};
use fixtures::read_hooks::ReadHooks;
use fixtures::time::{all_has_run, at_rest, world};
use tokio::time::Instant;

use crate::ports::ObservedReads;

fn ok(seq: u64) -> Result<Ack, BatchError> {
    Ok(Ack::Ok(Seq(seq)))
}

/// A fixture that records loads; its peers accept everything.
fn observed(
    disk: &FaultyDisk,
    change: impl FnOnce(ObservedReads) -> ObservedReads,
) -> (GatewayFixture, Arc<ObservedReads>, Arc<ScriptedTransport>) {
    let mut archive = None;
    let transport = Arc::new(ScriptedTransport::replies([]));
    let core = GatewayFixture::start(disk, |ports| {
        archive = Some(change(ObservedReads::new()).install(ports));
        ports.transport = transport.clone();
    });
    (core, archive.unwrap(), transport)
}

#[tokio::test(start_paused = true)]
async fn machine_panic_restarts_only_its_actor() {
    world(async {
        let core = GatewayFixture::new();
        assert_eq!(core.push(&red(), 1).await, ok(1));
        assert_eq!(core.push(&green(), 1).await, ok(1));

        core.clock.break_once();
        let poisoned = core.begin_push(&red(), 2);
        let queued = [core.begin_push(&red(), 2), core.begin_push(&red(), 3), core.begin_push(&red(), 2)];
        let beside = core.begin_push(&green(), 2);
        assert_eq!(beside.await.unwrap(), ok(2));
        assert_eq!(poisoned.await.unwrap(), Err(UnavailableError::OutcomeUnknown.into()));
        for (asked, seq) in queued.into_iter().zip([2, 3, 2]) {
            assert_eq!(asked.await.unwrap(), ok(seq), "requests in the mailbox are answered after the reload");
        }
        assert_eq!(core.fed(&red()).await, [(1, 1), (2, 2), (3, 3)], "nothing twice, nothing lost");
        assert_eq!(core.fed(&green()).await, [(1, 1), (2, 2)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn restarting_actor_never_blocks_others() {
    world(async {
        let core = GatewayFixture::new();
        for _ in 0..2 {
            assert_eq!(core.status(&red()).await.expected_seq, Seq(1));
            core.clock.break_once();
            assert_eq!(core.push(&red(), 1).await, Err(UnavailableError::OutcomeUnknown.into()));
        }
        let crashed = Instant::now();
        let waits = core.begin_push(&red(), 1);
        assert_eq!(core.push(&green(), 1).await, ok(1));
        assert_eq!(crashed.elapsed().as_millis(), 0);
        assert_eq!(waits.await.unwrap(), ok(1));
        assert_eq!(crashed.elapsed().as_secs(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn crash_loop_ends_in_faulty() {
    let disk = FaultyDisk::new();
    world(async {
        let (core, archive, transport) = observed(&disk, |archive| archive);
        assert_eq!(core.push(&red(), 1).await, ok(1));
        for _ in 0..6 {
            // The next incarnation answers this request, so the reload is complete.
            assert_eq!(core.status(&red()).await.state, PeerState::Idle);
            core.clock.break_once();
            assert_eq!(core.push(&red(), 2).await, Err(UnavailableError::OutcomeUnknown.into()));
        }
        let status = core.status(&red()).await;
        assert_eq!(status.state, PeerState::Suspended(SuspendReason::Faulty));
        assert_eq!(status.expected_seq, Seq(2), "its numbers are still known");
        let loads = archive.loads_of(&red());
        assert_eq!(
            loads,
            [0, 0, 2_000, 6_000, 14_000, 30_000, 30_000],
            "the first is the start, the last is followed by `faulty`"
        );

        assert_eq!(core.push(&red(), 2).await, Err(BatchError::Faulty(red())));
        assert_eq!(core.submit("s1", &[red(), green()], 1).await, Ok(()));
        at_rest().await;
        let frames = transport.carried();
        assert_eq!(frames.iter().map(|frame| &frame.to).collect::<Vec<_>>(), [&green()]);
        assert_eq!(core.status(&red()).await.backlog, 1, "its items are kept");
        assert_eq!(core.push(&green(), 1).await, ok(1));
        core.settled().await;
    })
    .await;

    // `faulty` is a state of the process. The next process tries again.
    world(async {
        let transport = Arc::new(ScriptedTransport::replies([]));
        let core = GatewayFixture::start(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)), |ports| {
            ports.transport = transport.clone();
        });
        transport.pushed(1).await;
        assert_eq!(transport.carried()[0].to, red());
        assert_eq!(core.push(&red(), 2).await, ok(2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unreadable_peer_ends_faulty() {
    world(async {
        let (core, archive, _) = observed(&FaultyDisk::new(), |archive| archive.with_unreadable(red()));
        let waits = core.begin_push(&red(), 1);
        assert_eq!(core.push(&green(), 1).await, ok(1));
        assert_eq!(waits.await.unwrap(), Err(BatchError::Faulty(red())));
        assert_eq!(core.status(&red()).await.state, PeerState::Suspended(SuspendReason::Faulty));
        at_rest().await;
        assert_eq!(archive.loads_of(&red()), [0, 0, 2_000, 6_000, 14_000, 30_000, 30_000]);
        core.settled().await;
        let load = core.store.peer(&red()).await.unwrap();
        assert_eq!(load.record, None, "the unreadable record was not overwritten");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reload_waits_for_barrier() {
    world(async {
        let disk = FaultyDisk::new();
        let (core, archive, _) = observed(&disk, |archive| archive);
        core.start_peer(&red()).await;

        let hold = disk.hold();
        let first = core.begin_push(&red(), 1);
        hold.reached().await;
        core.clock.break_once();
        let crashing = core.begin_push(&red(), 2);
        let repeats = [core.begin_push(&red(), 1), core.begin_push(&red(), 2)];
        assert_eq!(crashing.await.unwrap(), Err(UnavailableError::OutcomeUnknown.into()), "the actor has crashed");
        all_has_run().await;
        assert_eq!(archive.loads_of(&red()).len(), 1);
        drop(hold);

        assert_eq!(first.await.unwrap(), ok(1), "the crashed incarnation answers this after its batch is committed");
        for (asked, seq) in repeats.into_iter().zip([1, 2]) {
            assert_eq!(asked.await.unwrap(), ok(seq));
        }
        assert_eq!(archive.loads_of(&red()).len(), 2);
        assert_eq!(core.fed(&red()).await, [(1, 1), (2, 2)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn crash_never_resends_acknowledged_item() {
    world(async {
        let (core, archive, transport) = observed(&FaultyDisk::new(), |archive| archive);
        core.submit("s1", &[red()], 1).await.unwrap();
        transport.pushed(1).await;
        all_has_run().await;
        assert_eq!(core.status(&red()).await.backlog, 0, "acknowledged, but the deferred record is not on disk yet");
        core.clock.break_once();
        assert_eq!(core.push(&red(), 1).await, Err(UnavailableError::OutcomeUnknown.into()));
        at_rest().await;
        assert_eq!(archive.loads_of(&red()), [0, 0]);
        assert_eq!(transport.carried().len(), 1);
        assert_eq!(core.status(&red()).await.backlog, 0);
    })
    .await;
}
