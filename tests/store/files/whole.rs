//! The store as a whole: measured, copied while it works, verified, and restored from a copy.

use std::path::Path;
use std::sync::{Arc, Mutex};

use actors::model::{FeedItem, Index, Seq};
use actors::ports::PeerReader;
use fernpost::store::{self, BackupError, OpenError, RestoreError, StoreLocation, VerifyResult};
use fixtures::disk::{DiskBytes, FaultyDisk, SurvivingBytes};
use redb::{Database, TableDefinition, WriteTransaction};

use crate::fixtures::blocks::{FEED, ITEMS, OUTBOX, OUTBOX_BLOCKS, PDUS, TIMELINE, take_out_of_blocks};
use crate::fixtures::scenario::{BATCHES, Scenario};
use crate::fixtures::talk::{heard, room, theirs, waits};
use crate::fixtures::world::{World, green, moved, notice, red, refused, server, submitted};

const META: TableDefinition<&str, &str> = TableDefinition::new("meta");

fn sound(disk: &FaultyDisk) -> VerifyResult {
    let verified = store::verify_backend(FaultyDisk::with(disk.survivors(SurvivingBytes::Written))).unwrap();
    assert_eq!(verified.findings, [], "{verified:?}");
    verified
}

/// Changes rows directly in the file.
pub(crate) fn tampered(disk: &FaultyDisk, change: impl FnOnce(&WriteTransaction)) -> FaultyDisk {
    let disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Written));
    let database = Database::builder().create_with_backend(disk.clone()).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
    drop(database);
    FaultyDisk::with(disk.survivors(SurvivingBytes::Written))
}

/// Turns a backup into a store by removing its mark, so that its opening announces no restore.
pub(crate) fn unmarked(copy: &FaultyDisk) -> FaultyDisk {
    tampered(copy, |transaction| {
        transaction.open_table(META).unwrap().remove("taken").unwrap();
    })
}

async fn played(scenario: Scenario, disk: &FaultyDisk, batches: u64) -> World {
    let world = World::on(disk);
    for n in 1..=batches {
        world.commit(scenario.batch(n)).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn backup_is_consistent_during_commits() {
    for scenario in Scenario::ALL {
        let disk = FaultyDisk::new();
        let world = Arc::new(played(scenario, &disk, 3).await);
        let copy = FaultyDisk::new();
        let (moments, seen) = (Arc::new(Mutex::new(vec![])), Arc::clone(&world));
        let noted = moments.clone();
        // At each step of the copy one more batch is committed before the copy continues.
        let runtime = tokio::runtime::Handle::current();
        let mut next = 4;
        let backup = world.store.backup_into(copy.clone(), move |progress| {
            noted.lock().unwrap().push(progress);
            if next <= BATCHES {
                runtime.block_on(seen.commit(scenario.batch(next)));
                next += 1;
            }
        });
        let backup = backup.await.unwrap();
        let moments = moments.lock().unwrap().clone();
        assert!(moments.len() > 9 && moments.is_sorted_by_key(|moment| moment.rows), "{moments:?}");
        assert!(moments.iter().all(|moment| moment.rows_total == backup.rows), "{moments:?}");
        assert_eq!(moments.last().map(|last| (last.rows, last.bytes)), Some((backup.rows, backup.bytes)));
        assert_eq!(scenario.surviving_batches(&world, "the batch that was copied").await, BATCHES);

        let verified = sound(&copy);
        assert_eq!((verified.server.as_str(), verified.taken), ("blue.example", Some(backup.taken)));
        // Without its mark the copy is a store that was stopped at that moment.
        let plain = unmarked(&copy);
        assert_eq!(scenario.surviving_batches(&World::on(&plain), "the copy").await, 3);
    }
}

#[tokio::test]
async fn backup_file_is_private_never_overwrites() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let world = played(Scenario::Talk, &FaultyDisk::new(), 5).await;
    let path = folder.path().join("blue.backup");
    world.store.backup(&path, |_| {}).await.unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&path).unwrap();
    let again = world.store.backup(&path, |_| {}).await.unwrap_err();
    assert!(matches!(again, BackupError::Exists(_)) && again.to_string().contains("name another file"), "{again}");
    let nowhere = world.store.backup("/nowhere/at/all", |_| {}).await.unwrap_err();
    assert!(nowhere.to_string().contains("/nowhere/at/all cannot be written"), "{nowhere}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a draft was left behind");
}

#[tokio::test]
async fn aborted_backup_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let world = played(Scenario::Updates, &FaultyDisk::new(), 5).await;
    let path = folder.path().join("blue.backup");
    let error = world.store.backup(&path, |_| panic!("the caller")).await.unwrap_err();
    assert!(matches!(error, BackupError::Abandoned(_)), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    world.commit(vec![notice("it goes on")]).await;
}

#[tokio::test(start_paused = true)]
async fn stats_count_rows_and_file_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let place = StoreLocation::file(folder.path().join("blue.redb"));
    let world = World::open(&FaultyDisk::new(), |options| options.place = place).unwrap();
    world.commit(vec![submitted("a", &[red(), green()], 3), notice("n")]).await;
    let stats = world.store.stats().await.unwrap();
    let rows = |name: &str| stats.tables.iter().find(|table| table.name == name).map(|table| table.rows);
    let counted = ["outbox", "items", "submissions", "feed", "peers"].map(rows);
    assert_eq!(counted, [Some(6), Some(3), Some(1), Some(1), Some(0)]);
    assert!(stats.tables.len() >= 17);
    assert_eq!((stats.schema, stats.epoch), (store::SCHEMA, world.fence().epoch));
    let (live, file) = (stats.live_bytes, stats.file_bytes.unwrap());
    assert_eq!(file, folder.path().join("blue.redb").metadata().unwrap().len());
    assert_eq!(stats.dead_bytes(), Some(file - live));
    assert!(live > 0);
    assert_eq!(stats.counts, world.store.counters());
}

#[tokio::test(start_paused = true)]
async fn verify_accepts_store_leaves_file_unchanged() {
    for scenario in Scenario::ALL {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blue.redb");
        for quick_repair in [true, false] {
            // The file after SIGKILL: it was not closed, and without quick repair it can be read only after a repair.
            let disk = FaultyDisk::new();
            let world = World::open(&disk, |options| options.quick_repair = quick_repair).unwrap();
            for n in 1..=BATCHES {
                world.commit(scenario.batch(n)).await;
            }
            let DiskBytes { file: bytes, segments } = disk.survivors(SurvivingBytes::Synced);
            std::fs::write(&path, &bytes).unwrap();
            std::fs::create_dir_all(path.with_extension("journal")).unwrap();
            for (number, segment) in &segments {
                let path = path.with_extension("journal").join(format!("{number:08}.segment"));
                std::fs::write(path, &segment.bytes).unwrap();
            }
            let verified = store::verify(&path).unwrap();
            let rows = |name: &str| verified.tables.iter().find(|table| table.name == name).unwrap().rows;
            assert!(rows("feed") > 0, "the rows of the log are verified, too");
            assert_eq!(
                (verified.findings.as_slice(), verified.more, verified.epoch),
                (&[][..], 0, world.fence().epoch)
            );
            assert!(std::fs::read(&path).unwrap() == bytes, "{scenario:?}, {quick_repair}: the file was changed");
        }
    }
}

#[tokio::test]
async fn verify_detects_damaged_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blue.redb");
    assert!(matches!(store::verify(&path), Err(OpenError::Unusable { .. })), "the file does not exist");
    let world = World::open(&FaultyDisk::new(), |options| options.place = StoreLocation::file(&path)).unwrap();
    world.commit(Scenario::Talk.batch(1)).await;
    assert!(matches!(store::verify(&path), Err(OpenError::InUse { .. })), "the store is open");
    world.store.close().await;
    drop(world);

    let bytes = std::fs::read(&path).unwrap();
    let found = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        store::verify(&path).map(|verified| verified.findings)
    };
    assert_eq!(found(&bytes).unwrap(), []);
    assert_ne!(found(&[]).unwrap(), [], "an empty file");
    assert!(!matches!(found(b"no database at all, but long enough to be one"), Ok(findings) if findings.is_empty()));
    // Flips one bit in a text of ours.
    let at = bytes.windows(6).position(|window| window == b"pdu\":\"").unwrap();
    let mut flipped = bytes.clone();
    flipped[at] ^= 1;
    assert_ne!(found(&flipped).unwrap(), [], "a flipped bit");
}

const PEERS: TableDefinition<&str, &[u8]> = TableDefinition::new("peers");
type Held = (u64, u64, bool, u64, &'static [u8], &'static [u8]);
const CURSOR: TableDefinition<&str, u64> = TableDefinition::new("feed_cursor");
const CONTEXTS: TableDefinition<&str, &[u8]> = TableDefinition::new("contexts");
const TAKEN: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("taken");

#[tokio::test(start_paused = true)]
async fn verify_detects_contradicting_rows() {
    let disk = FaultyDisk::new();
    let world = played(Scenario::Updates, &disk, 3).await;
    let here = room("here");
    world.commit(vec![heard(&here, &theirs("told"), &[], 1), waits(&here, &theirs("waits"), &[theirs("away")])]).await;
    world.commit(Scenario::Talk.batch(1)).await;
    world.store.close().await;
    type Tamper = fn(&WriteTransaction);
    let cases: [(&str, &str, Tamper); 13] = [
        ("items", "referred to and missing", |t| drop(t.open_table(ITEMS).unwrap().pop_last().unwrap())),
        ("items", "rows name it", |t| drop(t.open_table(ITEMS).unwrap().insert(77, (2, &b"{}"[..])).unwrap())),
        ("outbox_blocks", "are counted", |t| drop(t.open_table(OUTBOX_BLOCKS).unwrap().pop_last().unwrap())),
        ("outbox", "which is missing", |t| {
            let row = (1, 0, false, 0, "red.example", "nowhere", "s");
            t.open_table(OUTBOX).unwrap().insert(("red.example", 90), row).unwrap();
        }),
        ("peers", "cannot be understood", |t| {
            t.open_table(PEERS).unwrap().insert("red.example", &b"{}"[..]).unwrap();
        }),
        ("taken", "is cut off", |t| {
            drop(t.open_table(TAKEN).unwrap().insert(("red.example", 9), &b"abc"[..]).unwrap());
        }),
        ("submissions", "which is missing", |t| {
            t.open_table(PDUS).unwrap().remove(("blue.example", "m01")).unwrap();
        }),
        ("submissions", "but its outbox ends at", |t| {
            let mut outbox = t.open_table(OUTBOX).unwrap();
            outbox.retain(|(server, index), _| server != "red.example" || index < 2).unwrap();
            t.open_table(PEERS).unwrap().remove("red.example").unwrap();
        }),
        ("feed", "the events between", |t| drop(t.open_table(FEED).unwrap().remove(6).unwrap())),
        ("feed", "is acknowledged", |t| drop(t.open_table(CURSOR).unwrap().insert("messenger", 900).unwrap())),
        ("timeline", "positions: ", |t| {
            t.open_table(TIMELINE).unwrap().remove(("here", 1)).unwrap();
        }),
        ("timeline", "no row of its own", |t| drop(t.open_table(CONTEXTS).unwrap().remove("c01").unwrap())),
        ("pdus", "neither delivered nor held", |t| {
            let held: TableDefinition<(&str, &str, &str), Held> = TableDefinition::new("held");
            t.open_table(held).unwrap().remove(("here", "red.example", "waits")).unwrap();
        }),
    ];
    for (table, words, tamper) in cases {
        let tampered = tampered(&disk, |transaction| {
            if !table.ends_with("_blocks") {
                take_out_of_blocks(transaction);
            }
            tamper(transaction);
        });
        let verified = store::verify_backend(tampered).unwrap();
        let told = verified.findings.iter().any(|finding| finding.table == table && finding.what.contains(words));
        assert!(told, "{table}: {words}: {:#?}", verified.findings);
    }
}

/// Copies the store of `world` into a file.
async fn saved(world: &World, path: &Path) {
    world.store.backup(path, |_| {}).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn restore_refuses_damage_and_existing_store() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, data) = (folder.path().join("blue.backup"), folder.path().join("data"));
    let world = played(Scenario::Talk, &FaultyDisk::new(), 5).await;
    saved(&world, &backup).await;

    let bytes = std::fs::read(&backup).unwrap();
    let at = bytes.windows(6).position(|window| window == b"pdu\":\"").unwrap();
    let mut flipped = bytes.clone();
    flipped[at] ^= 1;
    let broken = folder.path().join("broken");
    std::fs::write(&broken, flipped).unwrap();
    let error = store::restore(&broken, &data).unwrap_err();
    assert!(matches!(error, RestoreError::Damaged(_)) && error.to_string().contains("use an older one"), "{error}");
    assert!(matches!(store::restore(folder.path().join("nothing"), &data), Err(RestoreError::File { .. })));
    assert!(!data.exists(), "a folder was left behind");

    let restored = store::restore(&backup, &data).unwrap();
    assert_eq!(restored.path, data.join(store::FILE));
    assert!(matches!(store::restore(&backup, &data), Err(RestoreError::Exists(_))));
    let open = World::open(&FaultyDisk::new(), |options| options.place = StoreLocation::file(&restored.path)).unwrap();
    assert!(matches!(store::restore(&backup, &data), Err(RestoreError::InUse(_))));
    assert!(matches!(store::restore(&restored.path, folder.path().join("other")), Err(RestoreError::InUse(_))));
    open.store.close().await;
    drop(open);
    let error = store::restore(&restored.path, folder.path().join("other")).unwrap_err();
    assert!(matches!(error, RestoreError::NoBackup(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn restored_store_announces_and_advances_counters() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    // Grey has never answered: it has rows but no record.
    world.commit(vec![moved(red(), 1, 3), submitted("a", &[red(), server("grey")], 4), refused(red(), 4, 9)]).await;
    let copy = FaultyDisk::new();
    world.store.backup_into(copy.clone(), |_| {}).await.unwrap();

    let begin = |copy: &FaultyDisk, minutes: u64| {
        let copy = FaultyDisk::with(copy.survivors(SurvivingBytes::Written));
        (World::later(&copy, minutes), copy)
    };
    let (restored, place) = begin(&copy, 10);
    let feed = restored.feed().await;
    let [(position, FeedItem::Notice { text, server: None })] = &feed[..] else { panic!("{feed:?}") };
    for words in [
        "at 1970-01-01T00:10:00Z from a backup of 1970-01-01T00:00:00Z",
        &format!("the feed continues at position {position} after 0"),
        "Submit again",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let load = restored.store.peer(&red()).await.unwrap();
    let record = load.record.unwrap();
    let first = record.inbound.taken;
    assert!(text.contains(&format!("continue from {first}")), "{text}");
    // A push never holds rows from both sides of the restore.
    let places = |record: &actors::model::PeerRecord| {
        record.outbound.segments.iter().map(|segment| (segment.first, segment.number)).collect::<Vec<_>>()
    };
    assert_eq!(places(&record), [(Index(1), Seq(1)), (Index(6), Seq(6))]);
    let grey = restored.store.peer(&server("grey")).await.unwrap().record.unwrap();
    assert_eq!(places(&grey), [(Index(1), Seq(1)), (Index(5), Seq(5))]);
    assert_eq!(grey.inbound.taken, first, "the ids of a peer that only the lost store knew continue as well");
    let new = restored.store.peer(&server("never.met")).await.unwrap().record.unwrap();
    assert_eq!(new.inbound.taken, first);
    restored.store.close().await;

    let again = World::later(&FaultyDisk::with(place.survivors(SurvivingBytes::Written)), 20);
    assert_eq!(again.feed().await.len(), 1, "said once");
    assert_eq!(again.store.peer(&red()).await.unwrap().record.unwrap().inbound.taken, first);

    let (second, _) = begin(&copy, 30);
    let later = second.store.peer(&red()).await.unwrap().record.unwrap().inbound.taken;
    assert!(later >= first + 20 * 60 * 1_000_000, "ids repeat after a second restore: {first}, {later}");
}

/// A copy of a restored store is restored while the clock is behind the first restore: the clock alone would assign the ids
/// of the first one again, to other updates.
#[tokio::test(start_paused = true)]
async fn restore_with_earlier_clock_skips_ids() {
    let world = World::on(&FaultyDisk::new());
    world.commit(vec![moved(red(), 1, 3)]).await;
    let restored = async |world: &World, minutes: u64| {
        let copy = FaultyDisk::new();
        world.store.backup_into(copy.clone(), |_| {}).await.unwrap();
        let restored = World::later(&FaultyDisk::with(copy.survivors(SurvivingBytes::Written)), minutes);
        let taken = restored.store.peer(&red()).await.unwrap().record.unwrap().inbound.taken;
        (restored, taken)
    };
    let (first, ids) = restored(&world, 20).await;
    let (second, later) = restored(&first, 10).await;
    assert!(later > ids + 1_000_000, "{later} may be among the ids that continue from {ids}");
    let (_, latest) = restored(&second, 10).await;
    assert!(latest > later + 1_000_000, "{latest} may be among the ids that continue from {later}");
}
