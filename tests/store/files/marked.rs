//! The marker beside a store: a store that is missing, empty or from elsewhere is never replaced silently.

use std::path::Path;

use fernpost::store::{FILE, MARKER, OpenError, StoreLocation};
use fixtures::disk::FaultyDisk;
use tempfile::TempDir;

use crate::fixtures::world::{World, notice};

fn open(folder: &Path, as_found: bool) -> Result<World, OpenError> {
    let place = StoreLocation::file(folder.join(FILE));
    World::open(&FaultyDisk::new(), |options| (options.place, options.as_found) = (place, as_found))
}

/// Returns how an opening ended, and the number of events in the feed.
async fn opened(folder: &Path, as_found: bool) -> String {
    let world = match open(folder, as_found) {
        Ok(world) => world,
        Err(OpenError::Missing { .. }) => return "missing".to_owned(),
        Err(OpenError::Empty { .. }) => return "empty".to_owned(),
        Err(OpenError::Unmarked { .. }) => return "unmarked".to_owned(),
        Err(error) => return error.to_string(),
    };
    let events = world.feed().await.len();
    world.store.close().await;
    format!("open, {events} events")
}

/// Creates a folder with a store that was used.
async fn used() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path(), false).unwrap();
    world.commit(vec![notice("kept")]).await;
    world.store.close().await;
    folder
}

#[tokio::test]
async fn stores_and_markers_belong_together() {
    type Change = fn(&Path, &Path);
    let cases: [(&str, Change, &str, &str); 7] = [
        ("both", |_, _| {}, "open, 1 events", "open, 1 events"),
        ("no store", |store, _| std::fs::remove_file(store).unwrap(), "missing", "open, 0 events"),
        ("empty store", |store, _| std::fs::write(store, "").unwrap(), "empty", "open, 0 events"),
        ("no marker", |_, marker| std::fs::remove_file(marker).unwrap(), "unmarked", "open, 1 events"),
        (
            "empty store, no marker",
            |store, marker| {
                std::fs::write(store, "").unwrap();
                std::fs::remove_file(marker).unwrap();
            },
            "empty",
            "open, 0 events",
        ),
        (
            "neither",
            |store, marker| {
                std::fs::remove_file(store).unwrap();
                std::fs::remove_file(marker).unwrap();
            },
            "open, 0 events",
            "open, 0 events",
        ),
        (
            "garbage in the marker",
            |_, marker| std::fs::write(marker, [0xff, 0]).unwrap(),
            "open, 1 events",
            "open, 1 events",
        ),
    ];
    for (what, change, expected, insisting) in cases {
        for (as_found, expected) in [(false, expected), (true, insisting)] {
            let folder = used().await;
            change(&folder.path().join(FILE), &folder.path().join(MARKER));
            assert_eq!(opened(folder.path(), as_found).await, expected, "{what}, {as_found}");
            if expected.starts_with("open") {
                assert_eq!(opened(folder.path(), false).await, expected, "{what}: from then on store and marker exist");
            }
        }
    }
}

#[tokio::test]
async fn refusals_name_file_and_flag() {
    let folder = used().await;
    let (store, marker) = (folder.path().join(FILE), folder.path().join(MARKER));
    std::fs::rename(&store, folder.path().join("elsewhere")).unwrap();
    let said = || open(folder.path(), false).err().expect("refused").to_string();
    let words = |said: &str, words: &[&str]| {
        for word in words {
            assert!(said.contains(word) && !said.contains('\n'), "{word}: {said}");
        }
    };
    words(&said(), &[FILE, MARKER, "is missing", "mounted", "store restore", "--accept-data-dir"]);
    std::fs::write(&store, "").unwrap();
    words(&said(), &[FILE, "is an empty file", "store restore", "--accept-data-dir"]);
    assert_eq!(std::fs::read(&store).unwrap(), b"", "nothing was touched");
    std::fs::rename(folder.path().join("elsewhere"), &store).unwrap();
    std::fs::remove_file(&marker).unwrap();
    words(&said(), &[FILE, MARKER, "is missing", "store verify", "store restore", "--accept-data-dir"]);
    assert!(!marker.exists(), "nothing was touched");
}

#[tokio::test]
async fn interrupted_first_starts_go_on() {
    // The file while the engine creates it: its first bytes are written last.
    for left in [None, Some(vec![]), Some(vec![0; 5]), Some(vec![0; 8192])] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MARKER), "state = making\nrestores = 0\n").unwrap();
        if let Some(bytes) = &left {
            std::fs::write(folder.path().join(FILE), bytes).unwrap();
        }
        let about = format!("{:?} bytes", left.map(|bytes| bytes.len()));
        assert_eq!(opened(folder.path(), false).await, "open, 0 events", "{about}");
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        assert_eq!(opened(folder.path(), false).await, "missing", "{about}: from then on the marker says `made`");
    }
    // The power fails after the store was created and before its marker was updated.
    let folder = used().await;
    std::fs::write(folder.path().join(MARKER), "state = making\nrestores = 0\n").unwrap();
    assert_eq!(opened(folder.path(), false).await, "open, 1 events");
}
