//! Compaction of a store that no process uses.

use std::path::Path;

use actors::change::Change;
use actors::model::{Millis, Position};
use actors::ports::FeedReader;
use fernpost::store::{self, CompactError, OpenError, StoreLocation, StoreOptions};
use fixtures::disk::FaultyDisk;
use redb::{Database, TableDefinition};

use crate::fixtures::scenario::Scenario;
use crate::fixtures::world::{World, notice};

const META: TableDefinition<&str, &str> = TableDefinition::new("meta");

fn open(folder: &Path) -> World {
    let place = StoreLocation::file(folder.join(store::FILE));
    World::open(&FaultyDisk::new(), |options| options.place = place).unwrap()
}

#[tokio::test(start_paused = true)]
async fn compaction_shrinks_file_and_keeps_rows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(store::FILE);
    let place = StoreLocation::file(&file);
    let each_group = |options: &mut StoreOptions| (options.place, options.memtable) = (place, 1);
    let world = World::open(&FaultyDisk::new(), each_group).unwrap();
    for n in 1..=6 {
        world.commit(Scenario::Updates.batch(n)).await;
    }
    world.commit((0..2_000).map(|n| notice(&format!("{n} {}", "x".repeat(2_000)))).collect()).await;
    // The rows are in the file before they are removed.
    while file.metadata().unwrap().len() < 2 << 20 {
        world.commit(vec![notice("more")]).await;
    }
    let tail = Position(world.store.feed_bounds().borrow().tail.0 - 1);
    world.commit(vec![Change::FeedAcked { upto: tail }]).await;
    world.commit(vec![Change::FeedTrimmed { before: Millis(u64::MAX), rows_max: 10_000 }]).await;
    let in_use = store::compact(&file);
    assert!(matches!(in_use, Err(CompactError::Open(OpenError::InUse { .. }))), "{in_use:?}");
    world.store.close().await;
    drop(world);

    let before = store::verify(&file).unwrap();
    let report = store::compact(&file).unwrap();
    assert!(report.after < report.before / 2, "{report:?}");
    assert_eq!(report.after, file.metadata().unwrap().len());
    let after = store::verify(&file).unwrap();
    assert_eq!((after.findings.as_slice(), after.epoch), (&[][..], before.epoch));
    let rows = |tables: &[store::TableStats]| tables.iter().map(|table| table.rows).collect::<Vec<_>>();
    assert_eq!(rows(&after.tables), rows(&before.tables));
    open(folder.path()).commit(Scenario::Updates.batch(7)).await;
}

#[test]
fn compaction_refuses_what_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.redb");
    assert!(matches!(store::compact(&file), Err(CompactError::Open(OpenError::Unusable { .. }))));
    drop(Database::create(&file).unwrap());
    let refused = store::compact(&file).unwrap_err().to_string();
    assert!(refused.contains("it is a database, and not a store"), "{refused}");
    let database = Database::create(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("schema", "99").unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refused = store::compact(&file).unwrap_err();
    assert!(matches!(refused, CompactError::Open(OpenError::Schema { .. })), "{refused}");
}
