//! The conversion of a store of the schema version before, which ends at every write and every sync.

use std::path::Path;

use fernpost::store::{self, OpenError, SCHEMA, StoreLocation};
use fixtures::disk::{DiskBytes, FaultyDisk, SurvivingBytes};
use redb::{Database, ReadableDatabase, TableDefinition, TableHandle};

use crate::fixtures::blocks::take_out_of_blocks;
use crate::fixtures::scenario::Scenario;
use crate::fixtures::world::{World, notice, server};

const META: TableDefinition<&str, &str> = TableDefinition::new("meta");
const RECEIPTS: TableDefinition<(&str, u64), &str> = TableDefinition::new("requested_receipts");
/// A row of the older index.
type OldIndexRow = (&'static str, u64, u64, u64);

const OLD_INDEX: TableDefinition<(&str, &str, &str), OldIndexRow> = TableDefinition::new("strangers");

/// Makes a store one of an earlier version: without a log, a newer table and blocks of rows, with an older index.
fn aged(database: &Database) {
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction.open_table(META).unwrap();
        meta.insert("schema", (SCHEMA - 1).to_string().as_str()).unwrap();
        meta.remove("log").unwrap();
        transaction.open_table(OLD_INDEX).unwrap();
    }
    take_out_of_blocks(&transaction);
    for blocks in ["outbox_blocks", "item_blocks", "feed_blocks", "pdu_blocks", "timeline_blocks", "seen_blocks"] {
        transaction.delete_table(TableDefinition::<u64, u64>::new(blocks)).unwrap();
    }
    transaction.delete_table(RECEIPTS).unwrap();
    transaction.commit().unwrap();
}

/// Returns a store of the version before in which updates were sent.
async fn older() -> DiskBytes {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    for n in 1..=3 {
        world.commit(Scenario::Updates.batch(n)).await;
    }
    world.store.close().await;
    drop(world);
    let disk = FaultyDisk::with(disk.survivors(SurvivingBytes::Synced).file);
    aged(&Database::builder().create_with_backend(disk.clone()).unwrap());
    disk.survivors(SurvivingBytes::Synced)
}

/// Returns the schema version in the file, and the number of steps that are done.
fn version(bytes: &DiskBytes) -> (String, Option<String>) {
    let database = Database::builder().create_with_backend(FaultyDisk::with(bytes.clone())).unwrap();
    let read = database.begin_read().unwrap();
    let meta = read.open_table(META).unwrap();
    let text = |key| meta.get(key).unwrap().map(|row| row.value().to_owned());
    (text("schema").unwrap(), text("migration"))
}

async fn is_converted(bytes: DiskBytes, context: &str) {
    let disk = FaultyDisk::with(bytes);
    let world = World::on(&disk);
    assert_eq!(Scenario::Updates.surviving_batches(&world, context).await, 3, "{context}");
    world.commit(Scenario::Updates.batch(4)).await;
    world.store.close().await;
    drop(world);
    let bytes = disk.survivors(SurvivingBytes::Synced);
    assert_eq!(version(&bytes), (SCHEMA.to_string(), None), "{context}");
    let database = Database::builder().create_with_backend(FaultyDisk::with(bytes.clone())).unwrap();
    let tables: Vec<String> =
        database.begin_read().unwrap().list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    assert!(
        tables.contains(&"requested_receipts".to_owned()) && !tables.contains(&"strangers".to_owned()),
        "{context}"
    );
    drop(database);
    assert_eq!(store::verify_backend(FaultyDisk::with(bytes)).unwrap().findings, [], "{context}");
}

#[tokio::test(start_paused = true)]
async fn interrupted_conversion_continues_with_missing_step() {
    let before = older().await;
    let mut seen = std::collections::BTreeSet::new();
    for by_write in [false, true] {
        for k in 1.. {
            let disk = FaultyDisk::with(before.clone());
            if by_write {
                disk.fail_write_at(k);
            } else {
                disk.fail_at(k);
            }
            let opened = World::open(&disk, |_| {}).is_ok();
            for survives in [SurvivingBytes::Synced, SurvivingBytes::Written, SurvivingBytes::Torn(k)] {
                let bytes = disk.survivors(survives);
                seen.insert(version(&bytes));
                is_converted(bytes, &format!("fault {k}, {by_write}, {survives:?}")).await;
            }
            if opened {
                break;
            }
        }
    }
    let half = format!("{}-to-{SCHEMA}", SCHEMA - 1);
    for steps in ["0", "1", "2"] {
        assert!(seen.contains(&(half.clone(), Some(steps.to_owned()))), "{steps}: {seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn half_converted_store_fits_no_version() {
    let before = older().await;
    let half = format!("{}-to-{SCHEMA}", SCHEMA - 1);
    let found = (1..).find_map(|k| {
        let disk = FaultyDisk::with(before.clone());
        disk.fail_at(k);
        let _ = World::open(&disk, |_| {});
        let bytes = disk.survivors(SurvivingBytes::Synced);
        (version(&bytes).0 == half).then_some(bytes)
    });
    let error = store::verify_backend(FaultyDisk::with(found.unwrap())).unwrap_err();
    assert!(matches!(&error, OpenError::Schema { found, .. } if *found == half), "{error}");
    assert!(error.to_string().contains("its conversion was interrupted"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn store_of_another_is_not_converted() {
    let disk = FaultyDisk::with(older().await);
    let Err(error) = World::open(&disk, |options| options.server = server("red.example")) else { panic!("opened") };
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert_eq!(version(&disk.survivors(SurvivingBytes::Synced)).0, (SCHEMA - 1).to_string());
}

fn open(folder: &Path) -> Result<World, OpenError> {
    let place = StoreLocation::file(folder.join(store::FILE));
    World::open(&FaultyDisk::new(), |options| options.place = place)
}

/// The copy opens as the store did before, with what it had then.
#[tokio::test(start_paused = true)]
async fn conversion_keeps_copy_beside_store() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path()).unwrap();
    world.commit(vec![notice("before")]).await;
    world.store.close().await;
    drop(world);
    aged(&Database::open(folder.path().join(store::FILE)).unwrap());
    let world = open(folder.path()).unwrap();
    world.commit(vec![notice("after")]).await;
    world.store.close().await;
    drop(world);
    let copy = folder.path().join(format!("fernpost.schema-{}.redb", SCHEMA - 1));
    let database = Database::open(&copy).unwrap();
    let read = database.begin_read().unwrap();
    let schema = read.open_table(META).unwrap().get("schema").unwrap().map(|row| row.value().to_owned());
    assert_eq!(schema, Some((SCHEMA - 1).to_string()));
    assert!(read.open_table(META).unwrap().get("migration").unwrap().is_none(), "it was made first");
    drop((read, database));
    std::fs::rename(&copy, folder.path().join(store::FILE)).unwrap();
    std::fs::remove_dir_all(folder.path().join("fernpost.journal")).unwrap();
    assert_eq!(open(folder.path()).unwrap().feed().await.len(), 1);
    assert!(copy.exists(), "a second conversion copies again");
}
