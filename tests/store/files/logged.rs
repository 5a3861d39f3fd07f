//! The log beside the store's file: when checkpoints are made, what a slow one holds up, and what is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use actors::ports::Journal;
use fernpost::store::{self, FILE, MARKER, OpenError, StoreLocation, VerifyFinding};
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::fixtures::world::{World, notice};

const SECOND: Duration = Duration::from_secs(1);

/// Checkpoints follow what is written; a store to which nothing is written does nothing.
#[tokio::test(start_paused = true)]
async fn idle_store_makes_no_checkpoints() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    world.commit(vec![notice("a")]).await;
    let logged = disk.syncs();
    tokio::time::sleep(SECOND - Duration::from_millis(1)).await;
    assert_eq!(disk.syncs(), logged, "a checkpoint came early");
    tokio::time::sleep(Duration::from_millis(2)).await;
    world.store.barrier().committed().await.unwrap();
    tokio::time::sleep(SECOND).await;
    let checkpointed = disk.syncs();
    assert!(checkpointed > logged, "no checkpoint was made");
    tokio::time::sleep(3_600 * SECOND).await;
    assert_eq!(disk.syncs(), checkpointed, "an idle store wrote to its disk");
}

/// While a checkpoint is slow, groups are committed until the memory is full, and then wait for it.
#[tokio::test]
async fn slow_checkpoint_slows_writer() {
    let disk = FaultyDisk::new();
    let world = World::open(&disk, |options| {
        options.memtable = 64 << 10;
        options.group_max = 1;
    });
    let world = world.unwrap();
    let hold = disk.hold_checkpoints();
    let text = "x".repeat(1_000);
    let tickets: Vec<_> = (0..200).map(|_| world.submit(vec![notice(&text)])).collect();
    hold.reached().await;
    let mut tickets = tickets.into_iter();
    let mut committed = 0;
    for ticket in tickets.by_ref() {
        if tokio::time::timeout(SECOND, ticket.committed()).await.is_err() {
            break;
        }
        committed += 1;
    }
    // Half the memory is sealed, and half is written while the checkpoint runs.
    assert!((50..70).contains(&committed), "{committed} groups of 1 KiB were committed");
    drop(hold);
    for ticket in tickets {
        ticket.committed().await.unwrap();
    }
    assert_eq!(world.feed().await.len(), 200);
}

/// A full log: requests are told to wait until a checkpoint has made room.
#[tokio::test]
async fn full_log_refuses_intake() {
    let disk = FaultyDisk::new();
    let world = World::open(&disk, |options| {
        options.log_max = 64 << 10;
        options.group_max = 1;
    });
    let world = world.unwrap();
    assert!(!world.store.pressure().is_high());
    let hold = disk.hold_checkpoints();
    let text = "x".repeat(1_000);
    let tickets: Vec<_> = (0..100).map(|_| world.submit(vec![notice(&text)])).collect();
    hold.reached().await;
    let mut tickets = tickets.into_iter();
    for ticket in tickets.by_ref() {
        if tokio::time::timeout(SECOND, ticket.committed()).await.is_err() {
            break;
        }
    }
    let pressure = world.store.pressure();
    assert!(pressure.is_high() && pressure.full_log == Some(64 << 10), "{pressure:?}");
    drop(hold);
    for ticket in tickets {
        ticket.committed().await.unwrap();
    }
    world.store.close().await;
    let kept: u64 = disk.survivors(SurvivingBytes::Synced).segments.values().map(|segment| segment.length).sum();
    assert!(kept <= 2 * (64 << 10), "the log has {kept} bytes");
}

/// A store in a folder, which is not closed; returns it with a copy of its file in another folder.
async fn copied(with_log: bool) -> (tempfile::TempDir, tempfile::TempDir, World) {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = StoreLocation::file(folder.path().join(FILE));
    let world = World::open(&FaultyDisk::new(), |options| {
        options.place = place;
        options.checkpoint = Duration::from_secs(3_600);
    });
    let world = world.unwrap();
    world.commit(vec![notice("in the log")]).await;
    for name in [FILE, MARKER] {
        std::fs::copy(folder.path().join(name), other.path().join(name)).unwrap();
    }
    let log = |folder: &Path| folder.join(FILE).with_extension("journal");
    if with_log {
        std::fs::create_dir(log(other.path())).unwrap();
        for entry in std::fs::read_dir(log(folder.path())).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), log(other.path()).join(entry.file_name())).unwrap();
        }
    }
    (folder, other, world)
}

fn open(folder: &Path, as_found: bool) -> Result<World, OpenError> {
    let place = StoreLocation::file(folder.join(FILE));
    World::open(&FaultyDisk::new(), |options| (options.place, options.as_found) = (place, as_found))
}

#[tokio::test]
async fn lost_log_is_refused() {
    let (_folder, other, _world) = copied(false).await;
    let Err(error) = open(other.path(), false) else { panic!("opened") };
    assert!(matches!(error, OpenError::LogMissing { .. }));
    for word in ["fernpost.redb", "fernpost.journal", "store restore", "--accept-data-dir"] {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    let verified = store::verify(other.path().join(FILE)).unwrap();
    let told = |finding: &VerifyFinding| finding.what.contains("its log is missing");
    assert!(verified.findings.iter().any(told), "{verified:?}");
    assert!(open(other.path(), true).is_ok(), "the operator accepts the loss");
}

#[tokio::test]
async fn log_in_folder_is_replayed() {
    let (folder, other, _world) = copied(true).await;
    let world = open(other.path(), false).unwrap();
    assert_eq!(world.feed().await.len(), 1);
    world.store.close().await;
    let log = folder.path().join(FILE).with_extension("journal");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&log), 0o700);
    let segments: Vec<_> = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(segments.iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600]);
}

#[tokio::test]
async fn closed_store_needs_no_log() {
    let (folder, _other, world) = copied(false).await;
    world.store.close().await;
    drop(world);
    std::fs::remove_dir_all(folder.path().join(FILE).with_extension("journal")).unwrap();
    assert_eq!(store::verify(folder.path().join(FILE)).unwrap().findings, []);
    let world = open(folder.path(), false).unwrap();
    assert_eq!(world.feed().await.len(), 1);
}

/// A damaged record before others is reported, by an opening and by a verification.
#[tokio::test]
async fn damaged_log_is_reported() {
    let (folder, other, world) = copied(false).await;
    world.commit(vec![notice("second")]).await;
    let log = other.path().join(FILE).with_extension("journal");
    std::fs::create_dir(&log).unwrap();
    let mut bytes = std::fs::read(folder.path().join("fernpost.journal/00000000.segment")).unwrap();
    bytes[60] ^= 1;
    std::fs::write(log.join("00000000.segment"), bytes).unwrap();
    let Err(error) = open(other.path(), false) else { panic!("opened") };
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("its log lacks group 1 and has group 2"), "{error}");
    let verified = store::verify(other.path().join(FILE)).unwrap();
    assert!(verified.findings.iter().any(|finding| finding.what.contains("lacks group 1")), "{verified:?}");
}
