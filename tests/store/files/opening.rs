//! The owner of a store, and the programs that may open it.

use actors::model::Position;
use actors::ports::{CommitPriority, FeedReader, Journal, JournalStopped};
use fernpost::store::{OpenError, SCHEMA, StoreLocation, verify_backend};
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use redb::{Database, TableDefinition};

use crate::fixtures::world::{World, notice, red, server, submitted};

const META: TableDefinition<&str, &str> = TableDefinition::new("meta");

async fn used() -> FaultyDisk {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    world.commit(vec![submitted("a", &[red()], 2), notice("n")]).await;
    world.store.close().await;
    FaultyDisk::with(disk.survivors(SurvivingBytes::Synced))
}

#[tokio::test]
async fn foreign_store_is_refused() {
    let disk = used().await;
    let Err(error) = World::open(&disk, |options| options.server = server("red.example")) else { panic!("opened") };
    assert!(matches!(error, OpenError::Foreign { .. }));
    assert!(error.to_string().contains("belongs to blue.example"), "{error}");
}

#[tokio::test]
async fn other_schema_version_is_refused() {
    let (older, newer) = ("3".to_owned(), (SCHEMA + 1).to_string());
    for version in [older.as_str(), newer.as_str(), "banana"] {
        let disk = used().await;
        let database = Database::builder().create_with_backend(disk.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("schema", version).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let Err(error) = World::open(&disk, |_| {}) else { panic!("opened") };
        assert!(matches!(error, OpenError::Schema { .. }));
        let words = format!("schema version {version}, this program knows {SCHEMA}");
        assert!(error.to_string().contains(&words), "{error}");
    }
}

/// A store of the version before has no log, and is opened as it is.
#[tokio::test]
async fn store_without_log_opens() {
    let disk = FaultyDisk::with(used().await.survivors(SurvivingBytes::Synced).file);
    let database = Database::builder().create_with_backend(disk.clone()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("schema", "4").unwrap();
    transaction.open_table(META).unwrap().remove("log").unwrap();
    transaction.commit().unwrap();
    drop(database);
    let verified = verify_backend(FaultyDisk::with(disk.survivors(SurvivingBytes::Synced))).unwrap();
    assert_eq!(verified.findings, []);
    let world = World::on(&disk);
    assert_eq!((world.feed().await.len(), world.outbox(&red()).await.len()), (1, 2));
    world.commit(vec![notice("in the log")]).await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    assert_eq!(world.feed().await.len(), 2);
}

#[tokio::test]
async fn reopened_store_rejects_old_epoch() {
    let disk = used().await;
    let world = World::on(&disk);
    let old = world.fence();
    world.store.close().await;
    let world = World::on(&FaultyDisk::with(disk.survivors(SurvivingBytes::Synced)));
    assert_eq!(world.fence().epoch, old.epoch + 1);
    let late = world.store.submit(old, vec![notice("late")], CommitPriority::Now);
    assert_eq!(late.committed().await, Err(JournalStopped));
}

#[tokio::test]
async fn second_opener_gets_in_use_error() {
    let folder = tempfile::tempdir().unwrap();
    let place = || StoreLocation::file(folder.path().join("blue.redb"));
    let world = World::open(&FaultyDisk::new(), |options| options.place = place()).unwrap();
    world.commit(vec![notice("kept")]).await;
    let Err(error) = World::open(&FaultyDisk::new(), |options| options.place = place()) else { panic!("opened") };
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(error.to_string().contains("blue.redb is in use by another process"), "{error}");

    world.store.close().await;
    drop(world);
    let world = World::open(&FaultyDisk::new(), |options| options.place = place()).unwrap();
    assert_eq!(world.store.feed_bounds().borrow().tail, Position(1));
}

#[tokio::test]
async fn missing_folder_is_named() {
    let Err(error) =
        World::open(&FaultyDisk::new(), |options| options.place = StoreLocation::file("/nowhere/at/all.redb"))
    else {
        panic!("opened")
    };
    assert!(error.to_string().contains("/nowhere/at/all.redb cannot be opened"), "{error}");
}
