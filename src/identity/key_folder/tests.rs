//! Keys on disk: made, read again, and refused.

use super::*;

fn folder() -> (tempfile::TempDir, KeyFolder) {
    let data = tempfile::tempdir().expect("a folder");
    let keys = KeyFolder::in_data_dir(data.path());
    (data, keys)
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn first_key_is_made_once() {
    let (_data, keys) = folder();
    assert!(keys.load(false).expect("no folder is no error").0.keys().is_empty());
    let (ring, open) = keys.load_or_begin(false, at(1_800_000_000)).expect("it is made");
    assert_eq!((ring.keys().len(), ring.keys()[0].key.id().as_str(), open.len()), (1, "1", 0));
    assert_eq!((mode(keys.path()), mode(&keys.path().join("1.key"))), (0o700, 0o600));
    let (again, _) = keys.load_or_begin(false, at(1_900_000_000)).expect("it is read");
    assert_eq!(again.keys()[0].key.public(), ring.keys()[0].key.public());
    assert_eq!(again.keys()[0].created, at(1_800_000_000));
}

#[test]
fn further_keys_get_next_number() {
    let (_data, keys) = folder();
    let first = keys.create(None, at(5), at(5)).expect("made");
    let named = keys.create(Some("2026-11".parse().expect("an id")), at(5), at(6)).expect("made");
    let third = keys.create(None, at(5), at(7)).expect("made");
    let ids = [&first, &named, &third].map(|key| key.key.id().to_string());
    assert_eq!(ids, ["1", "2026-11", "2"]);
    assert!(first.key.public() != third.key.public());
    let exists = keys.create(Some("2".parse().expect("an id")), at(5), at(5)).expect_err("it exists");
    assert_eq!(exists.to_string(), "a key with the id 2 exists; choose another one with --id");
    let (ring, _) = keys.load(false).expect("all are read");
    assert_eq!(ring.keys().iter().map(|key| key.signs_from).collect::<Vec<_>>(), [at(5), at(6), at(7)]);
    assert_eq!(ring.keys()[2].key.public(), third.key.public());
}

/// Items that an old key signed may still be kept, so no key leaves by itself.
#[test]
fn rotation_keeps_every_old_key() {
    let (_data, keys) = folder();
    for n in 0..KEYS_MAX as u64 {
        keys.create(None, at(n), at(n)).expect("there is room");
    }
    let (ring, _) = keys.load(false).expect("all are read");
    assert_eq!((ring.public_keys().len(), ring.active(at(1_000)).map(|key| key.id().as_str())), (KEYS_MAX, Some("32")));
    let refused = keys.create(None, at(99), at(99)).expect_err("there is no room").to_string();
    assert!(refused.starts_with("there are 32 keys") && refused.contains("keys/1.key, the oldest one"), "{refused}");
    std::fs::remove_file(keys.path().join("1.key")).expect("the operator may");
    keys.create(None, at(99), at(99)).expect("there is room again");
}

#[test]
fn open_key_file_is_refused() {
    let (_data, keys) = folder();
    keys.create(None, at(5), at(5)).expect("made");
    let file = keys.path().join("1.key");
    for bits in [0o640, 0o604, 0o610] {
        std::fs::set_permissions(&file, Permissions::from_mode(bits)).expect("it is ours");
        let refused = keys.load(false).expect_err("it is open").to_string();
        assert!(refused.contains(&format!("its mode is {bits:04o}")), "{refused}");
        assert!(refused.ends_with(&format!("run chmod 600 {}", file.display())), "{refused}");
        let (ring, open) = keys.load(true).expect("allowed");
        assert_eq!((ring.keys().len(), open.len()), (1, 1));
    }
}

/// A folder with a file that cannot be read is not one without keys: no first key is made beside it.
#[test]
fn unreadable_key_stops_start() {
    let sound = "created = \"2026-11-29T18:00:00Z\"\nsigns_from = \"2026-11-29T18:00:00Z\"\n";
    for (text, why) in [
        ("".to_owned(), "it is no signing key: missing field `created`"),
        (format!("{sound}secret = \"AAAA\"\n"), "secret has 3 bytes instead of 32"),
        (format!("{sound}secret = \"*\"\n"), "secret is not base64"),
        (format!("{sound}secret = \"SESAME\"\nother = 1\n"), "it is no signing key: unknown field `other`"),
        (sound.replace("2026", "x").to_string() + "secret = \"\"\n", "created is no time"),
        ("x".repeat(5000), "it has 5000 bytes; a signing key has 4096 at most"),
    ] {
        let (_data, keys) = folder();
        keys.create(None, at(5), at(5)).expect("made");
        std::fs::write(keys.path().join("1.key"), &text).expect("it is ours");
        let refused = keys.load_or_begin(false, at(9)).expect_err(why).to_string();
        assert!(refused.contains(why) && !refused.contains("SESAME"), "{refused}");
        assert_eq!(std::fs::read_dir(keys.path()).expect("it is there").count(), 1);
    }
    let (_data, keys) = folder();
    keys.create(None, at(5), at(5)).expect("made");
    std::fs::rename(keys.path().join("1.key"), keys.path().join("a b.key")).expect("it is ours");
    assert!(keys.load(false).expect_err("bad name").to_string().contains("its name is no key id"));
}

#[test]
fn files_hold_no_second_copy() {
    let (_data, keys) = folder();
    keys.create(None, at(5), at(5)).expect("made");
    let names: Vec<_> = std::fs::read_dir(keys.path()).expect("it is there").flatten().map(|e| e.file_name()).collect();
    assert_eq!(names, ["1.key"], "no draft is left");
}

#[test]
fn key_can_sign_earlier() {
    let (_data, keys) = folder();
    keys.create(None, at(5), at(5)).expect("made");
    let next = keys.create(None, at(10), at(3600)).expect("made");
    assert_eq!(keys.set_signs_from(&next, at(20)).expect("written").signs_from, at(20));
    let (ring, _) = keys.load(false).expect("all are read");
    assert_eq!(ring.active(at(20)).map(|key| key.public()), Some(next.key.public()));
    assert_eq!((ring.keys()[1].created, mode(&keys.path().join("2.key"))), (at(10), 0o600));
}

#[test]
fn open_key_folder_is_refused() {
    let (_data, keys) = folder();
    keys.create(None, at(5), at(5)).expect("made");
    std::fs::create_dir(keys.path().join("2.key")).expect("it is ours");
    assert!(keys.load(false).expect_err("no file").to_string().ends_with("2.key: it is no file"));
    std::fs::set_permissions(keys.path(), Permissions::from_mode(0o770)).expect("it is ours");
    let refused = keys.load(true).expect_err("it is open").to_string();
    assert!(refused.contains("its mode is 0770") && refused.contains("run chmod 700"), "{refused}");
}
