//! The disk fails, or the power fails, at every sync: acknowledged batches are on disk, and each batch is on disk whole or
//! not at all.

use actors::ports::{Journal, JournalStopped};
use actors::testkit::TestClock;
use fernpost::store::{self, StoreOptions};
use fixtures::disk::{DiskBytes, FaultyDisk, SurvivingBytes};

use crate::fixtures::scenario::{BATCHES, Scenario};
use crate::fixtures::world::{World, green, notice, red, submitted};

/// Checks that after a failure the store works and assigns no number twice.
async fn goes_on(scenario: Scenario, world: &World, count: u64, context: &str) {
    world.commit(scenario.batch(count + 1)).await;
    assert_eq!(scenario.surviving_batches(world, context).await, count + 1, "{context}");
}

async fn reopened(scenario: Scenario, disk: &FaultyDisk, survives: SurvivingBytes, acknowledged: u64, context: &str) {
    let context = format!("{scenario:?}: {context}, {survives:?}");
    sound(&disk.survivors(survives), &context);
    let world = World::on(&FaultyDisk::with(disk.survivors(survives)));
    let count = scenario.surviving_batches(&world, &context).await;
    assert!(count >= acknowledged, "{context}: {acknowledged} acknowledged, {count} found");
    goes_on(scenario, &world, count, &context).await;
    world.store.close().await;
}

/// Checks that the rows are consistent.
fn sound(bytes: &DiskBytes, context: &str) {
    let verified = store::verify_backend(FaultyDisk::with(bytes.clone())).unwrap();
    assert_eq!(verified.findings, [], "{context}");
}

/// The operation that fails.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The k-th sync.
    Sync(u64),
    /// The k-th write.
    Write(u64),
}

impl Fault {
    fn befall(self, disk: &FaultyDisk) {
        match self {
            Self::Sync(k) => disk.fail_at(k),
            Self::Write(k) => disk.fail_write_at(k),
        }
    }
}

/// The order of the batches: one by one, or all at once in shared groups.
#[derive(Debug, Clone, Copy)]
enum Pace {
    OneByOne,
    Together,
}

/// Frequency of checkpoints, besides the one at the close.
#[derive(Debug, Clone, Copy)]
enum Checkpoints {
    /// Not at all: all batches are only in the log.
    AtClose,
    /// While further groups are written into the log.
    Beside,
    /// After each group, before the next.
    EachGroup,
}

impl Checkpoints {
    const ALL: [Self; 3] = [Self::AtClose, Self::Beside, Self::EachGroup];

    fn set(self, options: &mut StoreOptions) {
        match self {
            Self::AtClose => {}
            Self::Beside => options.memtable = 8 << 10,
            Self::EachGroup => options.memtable = 1,
        }
        // Segments are used again after a few groups.
        options.log_max = 128 << 10;
    }
}

/// Plays the scenario on a failing disk, and closes the store; returns how many batches were acknowledged.
async fn play_until_failure(
    scenario: Scenario,
    disk: &FaultyDisk,
    (pace, checkpoints, quick_repair): SweepCase,
    fault: Fault,
) -> u64 {
    let world = World::open(disk, |options| {
        options.quick_repair = quick_repair;
        options.group_max = 5;
        checkpoints.set(options);
    });
    let world = world.unwrap();
    fault.befall(disk);
    let mut acknowledged = 0;
    let mut failed = false;
    let mut note = |n: u64, outcome: Result<(), JournalStopped>| match outcome {
        Ok(()) => {
            assert!(!failed, "batch {n} was acknowledged after an earlier one was lost");
            acknowledged = n;
        }
        Err(JournalStopped) => failed = true,
    };
    match pace {
        Pace::OneByOne => {
            for n in 1..=BATCHES {
                note(n, world.submit(scenario.batch(n)).committed().await);
            }
        }
        Pace::Together => {
            let tickets: Vec<_> = (1..=BATCHES).map(|n| (n, world.submit(scenario.batch(n)))).collect();
            for (n, ticket) in tickets {
                note(n, ticket.committed().await);
            }
        }
    }
    if failed {
        let failure = world.store.failed().await.to_string();
        assert!(failure.contains("could not be committed") && failure.contains("check the disk"), "{failure}");
        assert_eq!(world.submit(vec![notice("late")]).committed().await, Err(JournalStopped));
        assert_eq!(world.store.barrier().committed().await, Err(JournalStopped));
    } else {
        assert_eq!(acknowledged, BATCHES);
        tokio::select! {
            () = world.store.close() => {}
            _ = world.store.failed() => {}
        }
    }
    acknowledged
}

type SweepCase = (Pace, Checkpoints, bool);

/// Returns the cases of a sweep: without quick repair only one, because it concerns the file alone.
fn cases() -> impl Iterator<Item = SweepCase> {
    let with = |pace| Checkpoints::ALL.map(|checkpoints| (pace, checkpoints, true));
    let without = [(Pace::OneByOne, Checkpoints::EachGroup, false)];
    with(Pace::OneByOne).into_iter().chain(with(Pace::Together)).chain(without)
}

#[tokio::test(start_paused = true)]
async fn sync_error_keeps_acknowledged_data() {
    for scenario in Scenario::ALL {
        for case in cases() {
            fail_at_each_sync(scenario, case).await;
        }
    }
}

async fn fail_at_each_sync(scenario: Scenario, case: SweepCase) {
    let mut k = 1;
    loop {
        let disk = FaultyDisk::new();
        let acknowledged = play_until_failure(scenario, &disk, case, Fault::Sync(k)).await;
        let context = format!("{case:?}, sync {k} failed");
        for survives in
            [SurvivingBytes::Synced, SurvivingBytes::Written, SurvivingBytes::Torn(k), SurvivingBytes::Torn(k + 77)]
        {
            reopened(scenario, &disk, survives, acknowledged, &context).await;
        }
        if !disk.has_failed() {
            break;
        }
        k += 1;
    }
    assert!(k > 3, "the scenario has only {k} syncs");
}

/// Returns the distance of the write faults that are tried, starting from another one per scenario. All of them are tried
/// on request only.
fn step() -> u64 {
    if std::env::var_os("FERNPOST_SWEEP").is_some() { 1 } else { 23 }
}

#[tokio::test(start_paused = true)]
async fn write_error_keeps_acknowledged_data() {
    for (scenario, first) in Scenario::ALL.into_iter().zip(1..) {
        for case in cases() {
            let mut k = first.min(step());
            loop {
                let disk = FaultyDisk::new();
                let fault = Fault::Write(k);
                let acknowledged = play_until_failure(scenario, &disk, case, fault).await;
                let context = format!("{case:?}, {fault:?} failed");
                for survives in [SurvivingBytes::Synced, SurvivingBytes::Written, SurvivingBytes::Torn(k)] {
                    reopened(scenario, &disk, survives, acknowledged, &context).await;
                }
                if !disk.has_failed() {
                    break;
                }
                k += step();
            }
            println!("{scenario:?}, {case:?}: {k} writes");
        }
    }
}

/// The copy's disk fails at a write or a sync, or loses power after a sync: the result is no backup or a complete one, and
/// the store that is copied is not affected.
#[tokio::test(start_paused = true)]
async fn failed_backup_is_invalid_and_harmless() {
    for fault in [Fault::Sync, Fault::Write] {
        for k in (1..).step_by(if matches!(fault(1), Fault::Write(_)) { 5 } else { 1 }) {
            let world = World::new();
            world.commit(Scenario::Talk.batch(1)).await;
            world.commit(Scenario::Talk.batch(2)).await;
            let copy = FaultyDisk::new();
            fault(k).befall(&copy);
            let taken = world.store.backup_into(copy.clone(), |_| {}).await;
            world.commit(Scenario::Talk.batch(3)).await;
            assert_eq!(Scenario::Talk.surviving_batches(&world, "copied").await, 3);
            for survives in [SurvivingBytes::Synced, SurvivingBytes::Written, SurvivingBytes::Torn(k)] {
                let context = format!("{:?} of the copy failed, {survives:?}", fault(k));
                let bytes = copy.survivors(survives);
                match &taken {
                    Ok(_) => sound(&bytes, &context),
                    // A partial copy is never marked as a backup. The last fault comes after the copy is complete.
                    Err(_) => {
                        let found = store::verify_backend(FaultyDisk::with(bytes));
                        let half = |found: &store::VerifyResult| found.taken.is_some() && !found.is_sound();
                        assert!(!found.is_ok_and(|found| half(&found)), "{context}");
                    }
                }
            }
            if taken.is_ok() {
                assert!(k > 10, "the copy has only {k} of them");
                break;
            }
        }
    }
}

/// The disk of the store fails at a write during a backup: the backup is complete and of one moment.
#[tokio::test(start_paused = true)]
async fn backup_survives_failing_store() {
    for scenario in Scenario::ALL {
        for k in (1..400).step_by(23) {
            let disk = FaultyDisk::new();
            let world = std::sync::Arc::new(World::on(&disk));
            for n in 1..=3 {
                world.commit(scenario.batch(n)).await;
            }
            disk.fail_write_at(k);
            let (writes, runtime) = (world.clone(), tokio::runtime::Handle::current());
            let (copy, mut next) = (FaultyDisk::new(), 4);
            let taken = world.store.backup_into(copy.clone(), move |_| {
                if next <= BATCHES {
                    // The write may fail; the copy continues.
                    let _ = runtime.block_on(writes.submit(scenario.batch(next)).committed());
                    next += 1;
                }
            });
            taken.await.unwrap();
            let context = format!("{scenario:?}: write {k} failed during the copy");
            sound(&copy.survivors(SurvivingBytes::Synced), &context);
            let plain = crate::files::whole::unmarked(&copy);
            assert_eq!(scenario.surviving_batches(&World::on(&plain), &context).await, 3);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn power_cut_keeps_acknowledged_data() {
    for scenario in Scenario::ALL {
        for checkpoints in Checkpoints::ALL {
            for quick_repair in [true, false] {
                cut_after_each_sync(scenario, checkpoints, quick_repair).await;
            }
        }
    }
}

async fn cut_after_each_sync(scenario: Scenario, checkpoints: Checkpoints, quick_repair: bool) {
    for k in 0.. {
        let disk = FaultyDisk::new();
        let world = World::open(&disk, |options| {
            options.quick_repair = quick_repair;
            checkpoints.set(options);
        });
        let world = world.unwrap();
        disk.cut_after(k);
        let mut acknowledged = 0;
        for n in 1..=BATCHES {
            world.submit(scenario.batch(n)).committed().await.unwrap();
            if !disk.is_cut() {
                acknowledged = n;
            }
        }
        world.store.close().await;
        let context = format!("{checkpoints:?}, quick repair {quick_repair}, power gone after sync {k}");
        for survives in [SurvivingBytes::Synced, SurvivingBytes::Torn(k), SurvivingBytes::Torn(k + 99)] {
            reopened(scenario, &disk, survives, acknowledged, &context).await;
        }
        if !disk.is_cut() {
            assert_eq!(acknowledged, BATCHES);
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn crash_before_commit_answers_nobody() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    world.commit(Scenario::Updates.batch(1)).await;
    let hold = disk.hold();
    let ticket = world.submit(Scenario::Updates.batch(2));
    // The same request is repeated: it changes nothing, but its answer depends on the batch in flight.
    hold.reached().await;
    let repeat = world.store.barrier();
    let survivors = disk.survivors(SurvivingBytes::Synced);
    let after = World::on(&FaultyDisk::with(survivors));
    assert_eq!(Scenario::Updates.surviving_batches(&after, "held").await, 1);
    let waits = tokio::spawn(async move { (ticket.committed().await, repeat.committed().await) });
    tokio::task::yield_now().await;
    assert!(!waits.is_finished(), "a ticket completed before the sync");
    drop(hold);
    assert_eq!(waits.await.unwrap(), (Ok(()), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn writer_panic_ends_journal() {
    use fernpost::store::{Store, StoreLocation};
    let options = StoreOptions::new(StoreLocation::backend(FaultyDisk::new()), green());
    let store = Store::open(options, std::sync::Arc::new(TestClock::failing()), std::sync::Arc::new(|_| {})).unwrap();
    let fence = actors::ports::Ownership::claim(&store, &red()).unwrap();
    let submit = || store.submit(fence, vec![notice("x")], actors::ports::CommitPriority::Now);
    let (first, second) = (submit(), submit());
    assert_eq!((first.committed().await, second.committed().await), (Err(JournalStopped), Err(JournalStopped)));
    assert!(store.failed().await.to_string().contains("the writer panicked (the clock breaks"));
}

#[test]
fn dropped_runtime_fails_all_tickets() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime();
    let world = first.block_on(async { World::new() });
    let early = world.ride(vec![notice("early")]);
    drop(first);
    let late = world.submit(vec![notice("late")]);
    let outcome = runtime().block_on(async { (early.committed().await, late.committed().await) });
    assert_eq!(outcome, (Err(JournalStopped), Err(JournalStopped)));
    assert!(runtime().block_on(world.store.failed()).to_string().contains("dropped with the runtime"));
}

#[tokio::test]
async fn outboxes_grow_before_tickets_complete() {
    use fernpost::store::{Store, StoreLocation};
    let (grown, has_grown) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let wake = move |_| {
        grown.send(()).unwrap();
        released.recv().unwrap();
    };
    let wake = std::sync::Mutex::new(wake);
    let options = StoreOptions::new(StoreLocation::backend(FaultyDisk::new()), green());
    let clock = std::sync::Arc::new(TestClock::fixed(actors::model::Millis(0)));
    let store = Store::open(options, clock, std::sync::Arc::new(move |news| wake.lock().unwrap()(news))).unwrap();
    let fence = actors::ports::Ownership::claim(&store, &red()).unwrap();
    let ticket = store.submit(fence, vec![submitted("m", &[red()], 1)], actors::ports::CommitPriority::Now);
    let waits = tokio::spawn(ticket.committed());
    // The writer waits in the notification now. Its group is on disk, but the submitter does not know of it.
    tokio::task::spawn_blocking(move || has_grown.recv().unwrap()).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!waits.is_finished(), "the ticket completed before the outbox was announced");
    release.send(()).unwrap();
    assert_eq!(waits.await.unwrap(), Ok(()));
}
