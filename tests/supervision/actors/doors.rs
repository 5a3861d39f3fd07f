//! Admission permits: they bound an actor's mailbox, and each of them is returned.

use std::sync::Arc;
use std::time::Duration;

use actors::errors::{AdmissionError, BatchError, UnavailableError};
use actors::limits::PeerLimits;
use actors::model::{Ack, Seq};
use actors::testkit::TestPeers;
use fixtures::disk::FaultyDisk;
use fixtures::gateway::{GatewayFixture, PendingAnswer};
use fixtures::peers::{green, limits, red};
use fixtures::time::{at_rest, world};

const PERMITS: u64 = 3;

fn core(disk: &FaultyDisk) -> GatewayFixture {
    let limits = PeerLimits { intake_max: 3, ..limits() };
    GatewayFixture::start(disk, |ports| ports.roster = Arc::new(TestPeers::everybody(limits)))
}

/// Checks that while a sync is held, as many pushes as there are permits wait for it; the next push to this peer, and only
/// to this one, is told to retry.
async fn all_permits_are_there(disk: &FaultyDisk, core: &GatewayFixture, first: u64) {
    let hold = disk.hold();
    let pushes: Vec<PendingAnswer<Ack, BatchError>> =
        (first..first + PERMITS).map(|seq| core.begin_push(&red(), seq)).collect();
    let beside = core.begin_push(&green(), first);
    hold.reached().await;
    let busy = AdmissionError::LimitReached { limit: "peers.intake_max", value: PERMITS, wait: Duration::from_secs(1) };
    let busy = BatchError::from(busy);
    assert_eq!(core.push(&red(), first).await, Err(busy));
    assert!(pushes.iter().chain([&beside]).all(|push| !push.is_finished()));
    drop(hold);
    for (push, seq) in pushes.into_iter().zip(first..) {
        assert_eq!(push.await.unwrap(), Ok(Ack::Ok(Seq(seq))));
    }
    assert!(beside.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_permits_must_wait() {
    world(async {
        let disk = FaultyDisk::new();
        let core = core(&disk);
        all_permits_are_there(&disk, &core, 1).await;
        all_permits_are_there(&disk, &core, 1 + PERMITS).await;
        assert_eq!(core.fed(&red()).await.len(), 6);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn crash_returns_all_permits() {
    world(async {
        let disk = FaultyDisk::new();
        let core = core(&disk);
        core.start_peer(&red()).await;
        core.clock.break_once();
        let pushes: Vec<PendingAnswer<Ack, BatchError>> = (0..PERMITS).map(|_| core.begin_push(&red(), 1)).collect();
        let mut answers = vec![];
        for push in pushes {
            answers.push(push.await.unwrap());
        }
        let ok = Ok(Ack::Ok(Seq(1)));
        assert_eq!(answers, [Err(UnavailableError::OutcomeUnknown.into()), ok.clone(), ok]);
        all_permits_are_there(&disk, &core, 2).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn aborted_caller_returns_permit_when_done() {
    world(async {
        let disk = FaultyDisk::new();
        let core = core(&disk);
        let hold = disk.hold();
        let pushes: Vec<PendingAnswer<Ack, BatchError>> =
            (1..=PERMITS).map(|seq| core.begin_push(&red(), seq)).collect();
        hold.reached().await;
        pushes.iter().for_each(PendingAnswer::abort);
        let busy = core.push(&red(), 4).await.unwrap_err();
        assert!(busy.admission().is_some(), "the requests are still in progress: {busy}");
        drop(hold);
        core.settled().await;
        at_rest().await;
        all_permits_are_there(&disk, &core, 1 + PERMITS).await;
    })
    .await;
}
