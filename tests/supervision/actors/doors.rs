//! Admission permits: they bound an actor's mailbox, and each of them is returned.

use std::sync::Arc;
use std::time::Duration;

use actors::errors::{AdmissionError, BatchError, UnavailableError};
use actors::limits::PeerLimits;
use actors::model::{Ack, Seq};
use actors::testkit::AllowAllPeers;
use fixtures::disk::Disk;

use crate::fixtures::rig::{Asked, Rig, green, life, limits, red};

const PERMITS: u64 = 3;

fn rig(disk: &Disk) -> Rig {
    let limits = PeerLimits { intake_max: 3, ..limits() };
    Rig::start(disk, |ports| ports.roster = Arc::new(AllowAllPeers(Arc::new(limits))))
}

/// Checks that while a sync is held, as many pushes as there are permits wait for it; the next push to this peer, and only
/// to this one, is told to retry.
async fn all_permits_are_there(disk: &Disk, rig: &Rig, first: u64) {
    let hold = disk.hold();
    let pushes: Vec<Asked<Ack, BatchError>> = (first..first + PERMITS).map(|seq| rig.begin_push(&red(), seq)).collect();
    let beside = rig.begin_push(&green(), first);
    hold.reached().await;
    let busy = AdmissionError::LimitReached { limit: "peers.intake_max", value: PERMITS, wait: Duration::from_secs(1) };
    let busy = BatchError::from(busy);
    assert_eq!(rig.push(&red(), first).await, Err(busy));
    assert!(pushes.iter().chain([&beside]).all(|push| !push.is_finished()));
    drop(hold);
    for (push, seq) in pushes.into_iter().zip(first..) {
        assert_eq!(push.await.unwrap(), Ok(Ack::Ok(Seq(seq))));
    }
    assert!(beside.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_permits_must_wait() {
    life(async {
        let disk = Disk::new();
        let rig = rig(&disk);
        all_permits_are_there(&disk, &rig, 1).await;
        all_permits_are_there(&disk, &rig, 1 + PERMITS).await;
        assert_eq!(rig.fed(&red()).await.len(), 6);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn crash_returns_all_permits() {
    life(async {
        let disk = Disk::new();
        let rig = rig(&disk);
        assert_eq!(rig.status(&red()).await.expected_seq, Seq(1));
        rig.clock.break_once();
        let pushes: Vec<Asked<Ack, BatchError>> = (0..PERMITS).map(|_| rig.begin_push(&red(), 1)).collect();
        let mut answers = vec![];
        for push in pushes {
            answers.push(push.await.unwrap());
        }
        let ok = Ok(Ack::Ok(Seq(1)));
        assert_eq!(answers, [Err(UnavailableError::OutcomeUnknown.into()), ok.clone(), ok]);
        all_permits_are_there(&disk, &rig, 2).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn aborted_caller_returns_permit_when_done() {
    life(async {
        let disk = Disk::new();
        let rig = rig(&disk);
        let hold = disk.hold();
        let pushes: Vec<Asked<Ack, BatchError>> = (1..=PERMITS).map(|seq| rig.begin_push(&red(), seq)).collect();
        hold.reached().await;
        pushes.iter().for_each(Asked::abort);
        let busy = rig.push(&red(), 4).await.unwrap_err();
        assert!(busy.admission().is_some(), "the requests are still in progress: {busy}");
        drop(hold);
        rig.settled().await;
        crate::fixtures::rig::at_rest().await;
        all_permits_are_there(&disk, &rig, 1 + PERMITS).await;
    })
    .await;
}
