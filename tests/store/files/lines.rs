//! The rows of a store as lines of JSON: what an export has, and what an import refuses.

use std::path::{Path, PathBuf};

use actors::model::{FeedItem, Millis};
use fernpost::store::{self, ImportError, ImportKind, SCHEMA, StoreLocation};
use fixtures::disk::FaultyDisk;
use tempfile::TempDir;

use crate::fixtures::scenario::Scenario;
use crate::fixtures::world::{World, notice};

fn open(folder: &Path) -> World {
    let place = StoreLocation::file(folder.join(store::FILE));
    World::open(&FaultyDisk::new(), |options| options.place = place).unwrap()
}

/// Returns a folder with a store in which this scenario was played.
async fn played(scenario: Scenario) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path());
    for n in 1..=6 {
        world.commit(scenario.batch(n)).await;
    }
    world.store.close().await;
    folder
}

fn exported(file: &Path) -> String {
    let mut out = Vec::new();
    let report = store::export(file, &mut out, Millis(7_000), &mut |_| {}).unwrap();
    assert_eq!(report.bytes, out.len() as u64);
    String::from_utf8(out).unwrap()
}

fn imported(text: &str, folder: &Path, kind: ImportKind) -> Result<PathBuf, ImportError> {
    store::import(&mut text.as_bytes(), folder, kind, &mut |_| {}).map(|report| report.path)
}

#[tokio::test(start_paused = true)]
async fn moved_export_gives_equal_store() {
    for scenario in Scenario::ALL {
        let folder = played(scenario).await;
        let file = folder.path().join(store::FILE);
        let text = exported(&file);
        let other = folder.path().join("other");
        let copy = imported(&text, &other, ImportKind::Moved).unwrap();
        let (one, two) = (store::verify(&file).unwrap(), store::verify(&copy).unwrap());
        assert_eq!((two.findings.as_slice(), two.server, two.epoch), (&[][..], one.server, one.epoch), "{scenario:?}");
        assert_eq!(exported(&copy), text, "{scenario:?}");
        let rows = |tables: &[store::TableStats]| -> Vec<(String, u64)> {
            let counted = tables.iter().filter(|table| table.name != "meta");
            counted.map(|table| (table.name.clone(), table.rows)).collect()
        };
        assert_eq!(rows(&two.tables), rows(&one.tables), "{scenario:?}");
        let world = open(&other);
        let feed = world.feed().await;
        assert!(
            !feed.iter().any(|(_, item)| matches!(item, FeedItem::Notice { text, .. } if text.contains("restored")))
        );
        world.commit(scenario.batch(7)).await;
        world.store.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn imported_backup_announces_itself() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path());
    world.commit(vec![notice("kept")]).await;
    world.store.close().await;
    drop(world);
    let text = exported(&folder.path().join(store::FILE));
    let other = folder.path().join("other");
    imported(&text, &other, ImportKind::Backup).unwrap();
    let feed = open(&other).feed().await;
    assert!(
        matches!(&feed[1].1, FeedItem::Notice { text, .. } if text.contains("backup of 1970-01-01T00:00:07Z")),
        "{feed:?}"
    );
    assert!(matches!(imported(&text, &other, ImportKind::Backup), Err(ImportError::InUse(_) | ImportError::Exists(_))));
}

/// The rows that only the log of an unclosed store has are exported, too.
#[tokio::test(start_paused = true)]
async fn unclosed_store_exports_whole_log() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path());
    world.commit(vec![notice("only in the log")]).await;
    let copy = folder.path().join("copy");
    std::fs::create_dir_all(copy.join("fernpost.journal")).unwrap();
    std::fs::copy(folder.path().join(store::FILE), copy.join(store::FILE)).unwrap();
    for segment in folder.path().join("fernpost.journal").read_dir().unwrap() {
        let segment = segment.unwrap();
        std::fs::copy(segment.path(), copy.join("fernpost.journal").join(segment.file_name())).unwrap();
    }
    let before = std::fs::read(copy.join(store::FILE)).unwrap();
    let text = exported(&copy.join(store::FILE));
    assert!(text.contains(r#"{"table":"feed","#), "{text}");
    assert!(!text.contains(r#""key":"log""#), "{text}");
    assert_eq!(std::fs::read(copy.join(store::FILE)).unwrap(), before, "the file is not changed");
    drop(world);
}

#[tokio::test(start_paused = true)]
async fn changed_export_is_refused_by_line() {
    let folder = played(Scenario::Updates).await;
    let text = exported(&folder.path().join(store::FILE));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let target = folder.path().join("new").join("data");
    let refused = |text: &str| match imported(text, &target, ImportKind::Moved) {
        Err(ImportError::Line { line, why }) => (line, why),
        other => panic!("{other:?}"),
    };
    for kept in 0..lines.len() {
        let (line, why) = refused(&lines[..kept].concat());
        assert_eq!(line, kept as u64 + 1, "{why}");
        assert!(why.contains("was cut") || kept == 0, "{why}");
        let (line, why) = refused(&text[..lines[..=kept].concat().len() - 2]);
        assert!(line == kept as u64 + 1 && why.contains("ends within this line"), "{line} {why}");
    }
    let without = |gone: usize| [&lines[..gone], &lines[gone + 1..]].concat().concat();
    let last = lines.len() as u64;
    assert!(refused(&without(3)).1.contains("do not fit the counts and the digest"));
    let doubled = text.replacen(lines[3], &lines[3].repeat(2), 1);
    assert_eq!(refused(&doubled).0, last + 1);
    let flipped = text.replacen(r#""key":"epoch","value":"1""#, r#""key":"epoch","value":"2""#, 1);
    assert_ne!(flipped, text);
    assert_eq!(refused(&flipped).0, last);
    assert_eq!(refused(&format!("{text}\n")).0, last + 1);
    let (line, why) = refused(&text.replacen(r#""table":"outbox""#, r#""table":"nowhere""#, 1));
    assert!(line > 1 && why.contains("\"nowhere\" is not expected here"), "{line} {why}");
    let (line, why) = refused(&text.replacen(&format!("\"schema\":{SCHEMA}"), r#""schema":99"#, 1));
    let words = format!("schema version 99, this program knows {SCHEMA}");
    assert!(line == 1 && why.contains(&words), "{why}");
    let row = r#"{"table":"outbox","key":{"base64":"AA=="},"value":""}"#;
    let (_, why) = refused(&text.replacen(r#"{"table":"outbox""#, &format!("{row}\n{}", r#"{"table":"outbox""#), 1));
    assert!(why.contains("has not the form of its table"), "{why}");
    assert!(!folder.path().join("new").exists(), "nothing is left behind");
}
