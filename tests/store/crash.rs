//! The disk fails, or the power goes, at every sync: what was acknowledged is there, and no batch is there by half.

use actors::change::Change;
use actors::model::{FeedItem, Index, Millis, Position};
use actors::ports::{Archive, Journal, Lost};

use crate::disk::{Disk, Survives};
use crate::world::{World, digest, green, id, moved, notice, red, submitted, taken};

const BATCHES: u64 = 12;

/// Batch `n` (from 1) of the scenario. Each leaves a mark in four tables and in the feed, so that a part of one would show,
/// and trims what earlier ones left.
fn batch(n: u64) -> Vec<Change> {
    let trimmed = Change::OutboxTrimmed {
        server: green(),
        upto: Index(n.saturating_sub(2)),
        keep_items: 1,
        queued_before: Millis(0),
        rows_max: 2,
    };
    vec![
        notice(&format!("begin {n}")),
        submitted(&format!("s{n}"), &[red(), green()], 1),
        taken(n, n + 1, n.saturating_sub(3)),
        moved(red(), n - 1, n + 1),
        trimmed,
        Change::FeedAcked { upto: Position(n) },
        Change::FeedTrimmed { before: Millis(u64::MAX), rows_max: 1 },
        notice(&format!("end {n}")),
    ]
}

/// Open what is left: exactly the first batches are there, each whole; how many?
async fn surviving_batches(world: &World, context: &str) -> u64 {
    let load = world.store.peer(&red()).await.unwrap();
    let count = load.tail.0;
    let expected = load.record.as_ref().map_or(1, |record| record.inbound.expected.0);
    assert_eq!(expected, count + 1, "{context}: the record stands for other batches than the outbox");
    for n in 1..=BATCHES {
        let there = world.store.submission(&id(&format!("s{n}"))).await.unwrap().is_some();
        assert_eq!(there, n <= count, "{context}: submission {n} of {count}");
    }
    assert_eq!(world.outbox(&red()).await.len() as u64, count, "{context}");
    assert_eq!(world.outbox(&green()).await.last().map_or(0, |(index, _)| *index), count, "{context}");
    // A batch takes one number, and its predecessor said that nothing more than three below it is wanted.
    let wanted: Vec<_> = (1..=count).skip(usize::try_from(count.saturating_sub(4)).unwrap()).map(digest).collect();
    assert_eq!(load.digests, wanted, "{context}");
    let bounds = *world.store.feed_bounds().borrow();
    assert_eq!((bounds.tail.0, bounds.acked.0), (2 * count, count), "{context}");
    let feed = world.feed().await;
    let first = feed.first().map_or(1, |(position, _)| *position);
    assert!(feed.iter().map(|(position, _)| *position).eq(first..=2 * count), "{context}: the feed has a gap");
    for (position, item) in feed {
        let text =
            if position % 2 == 1 { format!("begin {}", position.div_ceil(2)) } else { format!("end {}", position / 2) };
        assert_eq!(item, FeedItem::Notice { text, server: None }, "{context}");
    }
    count
}

/// After whatever happened, the store works and gives no number twice.
async fn goes_on(world: &World, count: u64, context: &str) {
    world.commit(batch(count + 1)).await;
    assert_eq!(surviving_batches(world, context).await, count + 1, "{context}");
}

async fn reopened(disk: &Disk, survives: Survives, acknowledged: u64, context: &str) {
    let context = format!("{context}, {survives:?}");
    let world = World::on(&Disk::with(disk.survivors(survives)));
    let count = surviving_batches(&world, &context).await;
    assert!(count >= acknowledged, "{context}: {acknowledged} acknowledged, {count} found");
    goes_on(&world, count, &context).await;
    world.store.close().await;
}

/// Whether batches come one by one, or all at once and share groups.
#[derive(Debug, Clone, Copy)]
enum Pace {
    OneByOne,
    Together,
}

/// Play the scenario on a failing disk: how many batches were acknowledged, and whether the journal failed.
async fn play_until_failure(disk: &Disk, pace: Pace, quick_repair: bool, k: u64) -> (u64, bool) {
    let world = World::open(disk, |options| {
        options.quick_repair = quick_repair;
        options.group_max = 5;
    });
    let world = world.unwrap();
    disk.fail_at(k);
    let mut acknowledged = 0;
    let mut failed = false;
    let mut note = |n: u64, outcome: Result<(), Lost>| match outcome {
        Ok(()) => {
            assert!(!failed, "batch {n} was acknowledged after an earlier one was lost");
            acknowledged = n;
        }
        Err(Lost) => failed = true,
    };
    match pace {
        Pace::OneByOne => {
            for n in 1..=BATCHES {
                note(n, world.submit(batch(n)).committed().await);
            }
        }
        Pace::Together => {
            let tickets: Vec<_> = (1..=BATCHES).map(|n| (n, world.submit(batch(n)))).collect();
            for (n, ticket) in tickets {
                note(n, ticket.committed().await);
            }
        }
    }
    if failed {
        let failure = world.store.failed().await.to_string();
        assert!(failure.contains("could not be committed") && failure.contains("check the disk"), "{failure}");
        assert_eq!(world.submit(vec![notice("late")]).committed().await, Err(Lost));
        assert_eq!(world.store.barrier().committed().await, Err(Lost));
    } else {
        world.store.close().await;
    }
    (acknowledged, failed)
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_at_any_sync_loses_nothing_acknowledged_and_ends_the_journal() {
    for (pace, quick_repair) in [(Pace::OneByOne, true), (Pace::OneByOne, false), (Pace::Together, true)] {
        let mut k = 1;
        loop {
            let disk = Disk::new();
            let (acknowledged, failed) = play_until_failure(&disk, pace, quick_repair, k).await;
            let context = format!("{pace:?}, quick repair {quick_repair}, sync {k} failed");
            for survives in [Survives::Synced, Survives::Written, Survives::Torn(k), Survives::Torn(k + 77)] {
                reopened(&disk, survives, acknowledged, &context).await;
            }
            if !failed {
                assert_eq!(acknowledged, BATCHES);
                break;
            }
            k += 1;
        }
        assert!(k > 3, "the scenario has only {k} syncs");
    }
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_after_any_sync_loses_nothing_acknowledged_before_it() {
    for quick_repair in [true, false] {
        for k in 0.. {
            let disk = Disk::new();
            let world = World::open(&disk, |options| options.quick_repair = quick_repair).unwrap();
            disk.cut_after(k);
            let mut acknowledged = 0;
            for n in 1..=BATCHES {
                world.submit(batch(n)).committed().await.unwrap();
                if !disk.is_cut() {
                    acknowledged = n;
                }
            }
            let context = format!("quick repair {quick_repair}, power gone after sync {k}");
            for survives in [Survives::Synced, Survives::Torn(k), Survives::Torn(k + 99)] {
                reopened(&disk, survives, acknowledged, &context).await;
            }
            if acknowledged == BATCHES {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_between_hand_over_and_commit_loses_the_batch_and_its_ticket_together() {
    let disk = Disk::new();
    let world = World::on(&disk);
    world.commit(batch(1)).await;
    let hold = disk.hold();
    let ticket = world.submit(batch(2));
    // The repeat of the same request: it changes nothing, but its answer rests on the batch in flight.
    hold.reached().await;
    let repeat = world.store.barrier();
    let survivors = disk.survivors(Survives::Synced);
    let after = World::on(&Disk::with(survivors));
    assert_eq!(surviving_batches(&after, "held").await, 1);
    let waits = tokio::spawn(async move { (ticket.committed().await, repeat.committed().await) });
    tokio::task::yield_now().await;
    assert!(!waits.is_finished(), "somebody was answered before the disk was");
    drop(hold);
    assert_eq!(waits.await.unwrap(), (Ok(()), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_applying_ends_the_journal_and_loses_what_stood_behind() {
    struct Broken;
    impl actors::ports::Clock for Broken {
        fn now(&self) -> Millis {
            panic!("no time")
        }
    }
    use fernpost::store::{Place, Store, StoreOptions};
    let options = StoreOptions::new(Place::backend(Disk::new()), green());
    let store = Store::open(options, std::sync::Arc::new(Broken), std::sync::Arc::new(|_| {})).unwrap();
    let fence = actors::ports::Ownership::claim(&store, &red()).unwrap();
    let submit = || store.submit(fence, vec![notice("x")], actors::ports::Urgency::Now);
    let (first, second) = (submit(), submit());
    assert_eq!((first.committed().await, second.committed().await), (Err(Lost), Err(Lost)));
    assert!(store.failed().await.to_string().contains("the writer panicked (no time)"));
}

#[test]
fn a_writer_dropped_with_its_runtime_leaves_no_ticket_hanging() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime();
    let world = first.block_on(async { World::new() });
    let early = world.ride(vec![notice("early")]);
    drop(first);
    let late = world.submit(vec![notice("late")]);
    let outcome = runtime().block_on(async { (early.committed().await, late.committed().await) });
    assert_eq!(outcome, (Err(Lost), Err(Lost)));
    assert!(runtime().block_on(world.store.failed()).to_string().contains("dropped with the runtime"));
}
