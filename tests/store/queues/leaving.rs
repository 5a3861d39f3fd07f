//! Items that leave an outbox, records of sent transactions, and counts of pending items, across a restart.

use actors::change::Change;
use actors::model::{DeadLetterReason, Index, Millis, PeerRecord, SentPage};
use actors::ports::{PeerReader, SubmissionReader};
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::talk::{ours, room, said, text};
use crate::fixtures::world::{World, green, id, moved, red, server, submitted};

fn left(first: u64, last: u64, fate: DeadLetterReason, keep: u64) -> Change {
    let (first, last, reason) = (Index(first), Index(last), "why".to_owned());
    Change::OutboxDeadLettered { server: red(), first, last, fate, reason, keep }
}

fn sent(id: u64, first: u64, last: u64) -> Change {
    Change::TransactionSent { server: red(), id, first: Index(first), last: Index(last) }
}

fn told(page: &SentPage) -> (Vec<String>, Option<u64>, bool) {
    (page.pdus.iter().map(|(id, pdu, _)| format!("{id} {}", pdu.id)).collect(), page.last, page.more)
}

#[tokio::test(start_paused = true)]
async fn missed_transactions_are_paged_whole() {
    let world = World::new();
    for n in 1..=6 {
        world.commit(said(&room("c"), &ours(&format!("m{n}")), &[red()], n)).await;
    }
    world.commit(vec![sent(10, 1, 2), sent(20, 3, 3), sent(30, 4, 5), moved(red(), 5, 1)]).await;
    let open = Some((40, Index(6), Index(6)));
    let after =
        async |after, open, items| told(&world.store.sent_after(&red(), after, open, items, 1 << 20).await.unwrap());
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (all, last, more) = after(0, open, 100).await;
    assert_eq!(all, names(&["10 m1", "10 m2", "20 m3", "30 m4", "30 m5", "40 m6"]));
    assert_eq!((last, more), (Some(40), false), "the transaction in flight counts as sent");
    assert_eq!(after(0, open, 3).await, (names(&["10 m1", "10 m2", "20 m3"]), Some(20), true));
    assert_eq!(
        after(20, open, 1).await,
        (names(&["30 m4", "30 m5"]), Some(30), true),
        "a transaction is returned whole, however long"
    );
    assert_eq!(after(30, open, 1).await, (names(&["40 m6"]), Some(40), false));
    assert_eq!(after(40, open, 1).await, (vec![], None, false));
    assert_eq!(after(u64::MAX, None, 1).await, (vec![], None, false));
    // The transaction was acknowledged while the request was in progress.
    world.commit(vec![sent(40, 6, 6)]).await;
    assert_eq!(after(30, open, 9).await.0, names(&["40 m6"]), "an acknowledged transaction is returned once");

    let trimmed =
        Change::OutboxTrimmed { server: red(), upto: Index(6), keep_items: 2, queued_before: Millis(0), rows_max: 100 };
    world.commit(vec![trimmed]).await;
    assert_eq!(
        after(0, None, 100).await.0,
        names(&["30 m4", "30 m5", "40 m6"]),
        "transactions without rows are not returned"
    );
}

#[tokio::test(start_paused = true)]
async fn outbox_index_is_never_reused() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    world.commit(vec![submitted("a", &[red()], 4)]).await;
    let whole = world.store.peer(&red()).await.unwrap().queued_bytes;
    assert!(whole > 0);
    let mut record = PeerRecord::new(red());
    (record.outbound.acked, record.outbound.acked_bytes, record.outbound.highest_index_assigned) =
        (Index(1), whole / 4, Index(4));
    // An operator removes the newest two.
    world.commit(vec![left(3, 4, DeadLetterReason::Dropped, 9), Change::PeerRecordUpdated(Box::new(record))]).await;
    world.store.close().await;
    let disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Synced));
    let world = World::on(&disk);
    let load = world.store.peer(&red()).await.unwrap();
    assert_eq!((load.tail, load.queued_bytes), (Index(4), whole / 2));
    world.commit(vec![submitted("b", &[red()], 1)]).await;
    assert_eq!(world.outbox(&red()).await.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2, 5]);
    let letters = world.store.dead_letters(&red(), Index(1), Index(9)).await.unwrap();
    assert_eq!(
        letters.iter().map(|letter| (letter.index.0, letter.fate)).collect::<Vec<_>>(),
        [(3, DeadLetterReason::Dropped), (4, DeadLetterReason::Dropped)]
    );

    // The requeued item is at the end of the queue and marked as requeued.
    world.commit(vec![Change::DeadLetterRequeued { server: red(), index: Index(3) }]).await;
    let rows = world.store.outbox_from(&red(), Index(5), 9, 1 << 20).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.index.0, row.again, row.submission.clone())).collect();
    assert_eq!(rows, [(5, false, id("b")), (6, true, id("a"))]);
    world.store.close().await;
}

/// The items of a submission go to the end of another outbox, whatever they are, and their submission records both servers.
#[tokio::test(start_paused = true)]
async fn moved_items_survive_restart() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let mut changes = vec![submitted("a", &[red()], 1), submitted("b", &[red()], 2), submitted("c", &[green()], 1)];
    changes.extend(said(&room("c"), &ours("m"), &[red()], 1));
    world.commit(changes).await;
    let moves = |first, last, submission| Change::OutboxMoved {
        server: red(),
        first: Index(first),
        last: Index(last),
        to: green(),
        submission: id(submission),
    };
    world.commit(vec![moves(2, 3, "b"), moves(4, 4, "m")]).await;
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    let indexes: Vec<_> = world.outbox(&red()).await.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [1]);
    let rows = world.store.outbox_from(&green(), Index(1), 9, 1 << 20).await.unwrap();
    let rows: Vec<_> =
        rows.iter().map(|row| (row.index.0, row.submission.to_string(), row.context.is_some())).collect();
    let row = |index, submission: &str, is_pdu| (index, submission.to_owned(), is_pdu);
    assert_eq!(rows, [row(1, "c", false), row(2, "b", false), row(3, "b", false), row(4, "m", true)]);
    let record = world.store.submission(&id("b")).await.unwrap().expect("remembered");
    assert_eq!(record.runs(&green()).collect::<Vec<_>>(), [(Index(2), Index(3))]);
    assert_eq!(record.dropped, [red()]);
    let updates = world.store.submitted_updates(&id("b")).await.unwrap().map(|updates| updates.len());
    assert_eq!(updates, Some(2), "the items moved with their references");
    world.store.close().await;
}

/// Regression: if a message found no room in a server's outbox, no queue named it, so it could not be sent to that server
/// later.
#[tokio::test(start_paused = true)]
async fn skipped_recipient_is_queued_once() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let mut changes = said(&room("c"), &ours("m"), &[green()], 1);
    if let Some(Change::Submitted(submission)) = changes.last_mut() {
        submission.left_out = vec![red()];
    }
    world.commit(changes).await;
    assert_eq!(world.outbox(&red()).await, []);
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    let record = world.store.submission(&id("m")).await.unwrap().expect("remembered");
    assert_eq!((record.queued, record.left_out), (vec![(green(), Index(1))], vec![red()]));

    let queued = |server| vec![Change::SkippedRecipientQueued { server, submission: id("m") }];
    world.woken().await;
    world.commit(queued(red())).await;
    let woken: Vec<_> = world.woken().await.into_iter().map(|woken| (woken.server, woken.tail)).collect();
    assert_eq!(woken, [(red(), Index(1))]);
    for nothing in [red(), green(), server("blue")] {
        world.commit(queued(nothing)).await;
    }
    let rows = world.store.outbox_from(&red(), Index(1), 9, 1 << 20).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.index.0, row.again, row.item.bytes().clone())).collect();
    assert_eq!(rows, [(1, true, text(&ours("m")))]);
    let record = world.store.submission(&id("m")).await.unwrap().expect("remembered");
    assert_eq!((record.queued, record.left_out), (vec![(green(), Index(1)), (red(), Index(1))], vec![]));
}
