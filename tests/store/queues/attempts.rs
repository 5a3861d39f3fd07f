//! Delivery attempts in the store: the trace finds them, also after a restart, and they are bounded.

use actors::change::Change;
use actors::model::{
    Attempt, AttemptError, DELIVERED_SPANS_IN_ROW, DeadLetterReason, DeliveredSpan, FailureCode, Index, Millis,
    PeerRecord, ServerName,
};
use actors::ports::PeerReader;
use fernpost::store::verify_backend;
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::world::{World, green, moved, red, submitted};

fn failed(n: u64, (first, last): (u64, u64), keep: u32) -> Change {
    let (time, first, last) = (Millis(n), Index(first), Index(last));
    Change::AttemptFailed {
        server: red(),
        attempt: Attempt { time, first, last, result: format!("failure {n}"), code: Some(FailureCode::Http(503)) },
        keep,
    }
}

fn span(first: u64, last: u64, time: u64) -> DeliveredSpan {
    DeliveredSpan { time: Millis(time), first: Index(first), last: Index(last), blind: false }
}

/// Returns a full row: one delivery per item from `first` on, each at the time `offset` after its index.
fn row(server: &ServerName, first: u64, offset: u64) -> Change {
    let spans = (first..first + DELIVERED_SPANS_IN_ROW as u64).map(|n| span(n, n, n + offset)).collect();
    Change::Delivered { server: server.clone(), spans }
}

/// Returns `(time, result)` of the attempts found for these items.
async fn found(world: &World, server: &ServerName, first: u64, last: u64) -> Vec<(u64, String)> {
    let attempts = world.store.attempts(server, Index(first), Index(last)).await.unwrap();
    attempts.into_iter().map(|attempt| (attempt.time.0, attempt.result)).collect()
}

fn said(list: &[(u64, &str)]) -> Vec<(u64, String)> {
    list.iter().map(|(time, result)| (*time, (*result).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn failed_attempts_survive_restart_and_bound() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    for n in 1..=5 {
        world.commit(vec![failed(n, (n, n + 1), 3)]).await;
    }
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    assert_eq!(found(&world, &red(), 1, 9).await, said(&[(3, "failure 3"), (4, "failure 4"), (5, "failure 5")]));
    assert_eq!(
        found(&world, &red(), 4, 4).await,
        said(&[(3, "failure 3"), (4, "failure 4")]),
        "the attempts that carried the item"
    );
    assert_eq!(found(&world, &green(), 1, 9).await, []);
    let code = Some(FailureCode::Http(503));
    let newest = world.store.peer(&red()).await.unwrap().last_error;
    assert_eq!(newest, Some(AttemptError { words: "failure 5".into(), code }));
    let attempts = world.store.attempts(&red(), Index(5), Index(5)).await.unwrap();
    assert!(attempts.iter().all(|attempt| attempt.code == code), "{attempts:?}");
    // A lower limit takes effect with the next attempt.
    world.commit(vec![failed(6, (9, 9), 1)]).await;
    assert_eq!(found(&world, &red(), 1, 9).await, said(&[(6, "failure 6")]));
}

#[tokio::test(start_paused = true)]
async fn delivery_is_found_by_its_item() {
    let world = World::new();
    let mut record = PeerRecord::new(red());
    record.outbound.delivered =
        vec![span(1_617, 1_617, 9_001), DeliveredSpan { blind: true, ..span(1_618, 1_620, 9_002) }];
    let mut changes: Vec<_> = (0..100).map(|n| row(&red(), 1 + 16 * n, 0)).collect();
    changes.extend([row(&green(), 1, 50), failed(700, (700, 702), 20), Change::PeerRecordUpdated(Box::new(record))]);
    world.commit(changes).await;
    let taken = "acknowledged";
    assert_eq!(found(&world, &red(), 1, 1).await, said(&[(1, taken)]));
    assert_eq!(found(&world, &red(), 16, 17).await, said(&[(16, taken), (17, taken)]), "the items span two rows");
    assert_eq!(found(&world, &red(), 701, 701).await, said(&[(700, "failure 700"), (701, taken)]));
    assert_eq!(
        found(&world, &red(), 1_617, 1_617).await,
        said(&[(9_001, taken)]),
        "the delivery is only in the peer's record"
    );
    let blind = "acknowledged, by a response that is not JSON";
    assert_eq!(found(&world, &red(), 1_619, 1_619).await, said(&[(9_002, blind)]));
    assert_eq!(found(&world, &red(), 1_621, 2_000).await, []);
    assert_eq!(found(&world, &green(), 2, 2).await, said(&[(52, taken)]));
    let before = world.store.counters().rows_read;
    found(&world, &red(), 3, 3).await;
    assert!(world.store.counters().rows_read - before <= 10, "the walk ends where later items begin");
}

/// A restored peer receives items again; the rows of these lie among those of the first time.
#[tokio::test(start_paused = true)]
async fn repeated_delivery_keeps_first_time() {
    let world = World::new();
    let first = Change::Delivered { server: red(), spans: vec![span(1, 10, 10), span(11, 60, 60), span(61, 100, 100)] };
    let again = Change::Delivered { server: red(), spans: vec![span(61, 61, 200), span(62, 62, 201)] };
    world.commit(vec![first, again]).await;
    assert_eq!(found(&world, &red(), 60, 60).await, said(&[(60, "acknowledged")]));
    assert_eq!(found(&world, &red(), 62, 62).await, said(&[(100, "acknowledged"), (201, "acknowledged")]));
}

#[tokio::test(start_paused = true)]
async fn old_deliveries_trimmed_row_by_row() {
    let world = World::new();
    let rows = |server: ServerName| (0..5).map(move |n| row(&server, 1 + 16 * n, 0)).collect::<Vec<_>>();
    world.commit([rows(red()), rows(green())].concat()).await;
    let old = async |before, after| world.store.old_deliveries(Millis(before), after).await.unwrap();
    let forgotten =
        |before, rows_max| Change::DeliveriesForgotten { server: green(), before: Millis(before), rows_max };
    assert_eq!(old(16, None).await, None, "the oldest row is not older");
    assert_eq!(old(17, None).await, Some((green(), Index(16))));
    assert_eq!(old(17, Some(green())).await, Some((red(), Index(16))));
    assert_eq!(old(17, Some(red())).await, None);
    world.commit(vec![forgotten(60, 2)]).await;
    assert_eq!(old(60, None).await, Some((green(), Index(48))), "at most `rows_max` rows are removed");
    world.commit(vec![forgotten(60, 2)]).await;
    assert_eq!(old(60, None).await, Some((red(), Index(16))));
    assert_eq!(found(&world, &green(), 48, 49).await, said(&[(49, "acknowledged")]));
}

/// The peer accepted the update, so it stays in the outbox for the case that the peer is restored. Both rows refer to its
/// item.
#[tokio::test(start_paused = true)]
async fn update_parked_by_peer_stays_whole() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let parked = |index: u64| {
        let (first, last, reason) = (Index(index), Index(index), "BAD_PDU".to_owned());
        Change::OutboxDeadLettered { server: red(), first, last, fate: DeadLetterReason::ParkedByPeer, reason, keep: 9 }
    };
    world
        .commit(vec![
            submitted("a", &[red(), green()], 3),
            parked(1),
            parked(2),
            failed(1, (1, 3), 9),
            row(&red(), 1, 0),
        ])
        .await;
    let mut record = PeerRecord::new(red());
    record.outbound.acked = Index(3);
    let trimmed = |server, upto| Change::OutboxTrimmed {
        server,
        upto: Index(upto),
        keep_items: 0,
        queued_before: Millis(u64::MAX),
        rows_max: 9,
    };
    assert_eq!(world.outbox(&red()).await.len(), 3);
    let letters = world.store.dead_letters(&red(), Index(1), Index(9)).await.unwrap();
    assert_eq!(
        letters.iter().map(|letter| (letter.index.0, letter.fate)).collect::<Vec<_>>(),
        [(1, DeadLetterReason::ParkedByPeer), (2, DeadLetterReason::ParkedByPeer)]
    );
    let (red_moved, green_moved) = (Change::PeerRecordUpdated(Box::new(record)), moved(green(), 3, 1));
    world.commit(vec![red_moved, green_moved, trimmed(red(), 4), trimmed(green(), 4)]).await;
    let forget = Change::DeadLetterDeleted { server: red(), index: Index(1) };
    world.commit(vec![forget, Change::DeadLetterRequeued { server: red(), index: Index(2) }]).await;
    let queued = world.outbox(&red()).await;
    assert_eq!((queued.len(), &queued[0].1[..]), (1, &br#"{"text":"a.1"}"#[..]), "sent again whole");
    world.store.close().await;
    let verified = verify_backend(FaultyDisk::with(disk.survivors(SurvivingBytes::Synced))).unwrap();
    assert!(verified.is_sound(), "{:?}", verified.findings);
}
