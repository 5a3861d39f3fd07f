//! The store of another version: converted if it is of the version before, and refused if it is of a newer one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ::fixtures::clients::messenger_client::texts;
use fernpost::store::SCHEMA;
use redb::{Database, TableDefinition};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::{Process, fernpost};

/// Words of the log of a gateway that has opened its store.
const STARTED: &str = "ready version=";

const META: TableDefinition<&str, &str> = TableDefinition::new("meta");

/// Writes another schema version into a store that no process uses; the version before has no log.
fn set_schema(store: &Path, version: u32) {
    let database = Database::open(store).expect("a store");
    let transaction = database.begin_write().expect("a transaction");
    {
        let mut meta = transaction.open_table(META).expect("a table");
        meta.insert("schema", version.to_string().as_str()).expect("written");
        if version < SCHEMA {
            meta.remove("log").expect("removed");
        }
    }
    transaction.commit().expect("committed");
}

async fn stopped(gateway: &mut GatewayProcess) {
    gateway.process().term();
    assert!(gateway.process().ended().await.success());
}

#[tokio::test]
async fn older_store_is_copied_and_converted() {
    let (mut red, mut blue) = GatewayProcess::pair("backoff_min = \"100ms\"\nbackoff_max = \"200ms\"");
    red.start().await;
    red.api().say("m-1", "blue", "before").await;
    stopped(&mut red).await;
    set_schema(&red.store(), SCHEMA - 1);
    std::fs::remove_dir_all(red.folder().join("data/fernpost.journal")).expect("removed");

    // Without the copy nothing is converted.
    let copy = red.folder().join(format!("data/fernpost.schema-{}.redb", SCHEMA - 1));
    std::fs::create_dir(&copy).expect("made");
    let mut refused = Process::start(&mut red.serve(&[]));
    assert_eq!(refused.ended().await.code(), Some(2), "{}", refused.log());
    let words = format!("has schema version {} and is not converted to {SCHEMA}: it is copied first", SCHEMA - 1);
    assert!(refused.log().lines().last().is_some_and(|line| line.contains(&words)), "{}", refused.log());

    std::fs::remove_dir(&copy).expect("removed");
    red.start().await;
    let log = red.process().log();
    assert!(log.contains("the store was copied before its conversion") && log.contains("step=1 of=2"), "{log}");
    assert_eq!(copy.metadata().expect("a copy").permissions().mode() & 0o777, 0o600);
    red.api().say("m-2", "blue", "after").await;
    blue.start().await;
    assert_eq!(texts(&blue.api().hear(2).await), ["before", "after"]);
    let verified = fernpost().args(["store", "verify"]).arg(&copy).output().expect("the binary starts");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));

    stopped(&mut red).await;
    red.start().await;
    assert!(!red.process().log().contains("conver"), "only once: {}", red.process().log());
}

#[tokio::test]
async fn killed_conversion_is_continued() {
    let (mut red, mut blue) = GatewayProcess::pair("backoff_min = \"100ms\"\nbackoff_max = \"200ms\"");
    red.start().await;
    for number in 1..=20 {
        red.api().say(&format!("m-{number}"), "blue", &number.to_string()).await;
    }
    stopped(&mut red).await;
    set_schema(&red.store(), SCHEMA - 1);
    std::fs::remove_dir_all(red.folder().join("data/fernpost.journal")).expect("removed");

    // Each start is killed one line later than the one before: after the copy, and then as each step begins. A step may have been
    // committed before the kill arrives; then the next start begins with the one after it.
    let mut kills = 0;
    for line in ["the store was copied before its conversion", "step=1 of=", "step=2 of="] {
        let mut process = Process::start(&mut red.serve(&[]));
        let said = process.says_one_of(&[line, STARTED]).await;
        process.kill();
        kills += u32::from(!said.contains(STARTED));
    }
    assert!(kills > 1, "the conversion was interrupted {kills} times");

    red.start().await;
    red.api().say("m-21", "blue", "21").await;
    blue.start().await;
    let expected: Vec<_> = (1..=21).map(|number: u32| number.to_string()).collect();
    assert_eq!(texts(&blue.api().hear(21).await), expected);
    stopped(&mut red).await;
    let verified = fernpost().args(["store", "verify"]).arg(red.store()).output().expect("the binary starts");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[tokio::test]
async fn newer_store_is_refused_clearly() {
    let mut red = GatewayProcess::new("red");
    red.start().await;
    stopped(&mut red).await;
    set_schema(&red.store(), SCHEMA + 1);
    let mut process = Process::start(&mut red.serve(&[]));
    assert_eq!(process.ended().await.code(), Some(2), "{}", process.log());
    let log = process.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("schema version")).collect();
    let [line] = lines[..] else { panic!("{log}") };
    for words in [
        format!("has schema version {}, this program knows {SCHEMA}", SCHEMA + 1),
        "a newer version of Fernpost wrote it, so start that one".to_owned(),
        format!("fernpost.schema-{SCHEMA}.redb"),
    ] {
        assert!(line.contains(&words), "{words}: {line}");
    }
    let mut check = fernpost();
    let checked =
        check.args(["check", "store", "--json", "--config"]).arg(red.configured()).output().expect("it starts");
    assert!(String::from_utf8_lossy(&checked.stdout).contains("\"SCHEMA\""), "{checked:?}");
}
