//! Scheduled backups of a running gateway: files, retention, and what tells of a failure.

use std::path::PathBuf;
use std::time::Duration;

use ::fixtures::clients::http_caller::HttpCaller;
use reqwest::{Client, Method};
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::{fernpost, soon};

/// Interval of looks at the folder.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Runs a command for a gateway; returns its exit code and what it printed.
async fn run(gateway: &GatewayProcess, words: &[&str]) -> (Option<i32>, String) {
    let mut command = fernpost();
    command.args(words).arg("--config").arg(gateway.configured());
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts"));
    let output = output.await.expect("it ran");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Returns the names in a folder, ordered.
fn names(folder: &PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

async fn metric(gateway: &GatewayProcess, name: &str) -> Option<f64> {
    let client = Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(format!("http://{}/metrics", gateway.admin)).send().await.expect("an answer");
    let text = answer.text().await.expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(value.parse().expect("a number"))
}

#[tokio::test]
async fn schedule_keeps_newest_verified_backups() {
    let (mut red, _blue) = GatewayProcess::pair("");
    let folder = red.folder().join("backups");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("notes.txt"), "mine").expect("written");
    std::fs::write(folder.join("red-20200101T000000Z.backup.unverified"), "half").expect("written");
    red.edit(|text| {
        format!("{text}[store]\nmin_free = \"0B\"\n[store.backup]\nfolder = \"backups\"\nevery = \"1s\"\nkeep = 2\n")
    });
    red.start().await;
    red.api().say("m-1", "blue", "in the backup").await;
    let first = async {
        loop {
            let found = names(&folder).into_iter().find(|name| name.ends_with(".backup"));
            if let Some(found) = found {
                return found;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let first = soon("the first backup", first).await;
    let gone = async {
        while names(&folder).contains(&first) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    soon("the end of the first backup", gone).await;
    let (code, said) = run(&red, &["store", "backups", "--now", "--json"]).await;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &said["keep"], &said["problem"]), (Some(0), &2.into(), &Value::Null), "{said}");
    assert!(metric(&red, "fernpost_backup_age_seconds").await.expect("a backup") < 30.0);
    assert_eq!(metric(&red, "fernpost_backup_failing").await, Some(0.0));
    red.process().term();
    assert!(red.process().ended().await.success());

    let files = names(&folder);
    let backups: Vec<&String> = files.iter().filter(|name| name.ends_with(".backup")).collect();
    assert!((1..=3).contains(&backups.len()) && files.contains(&"notes.txt".to_owned()), "{files:?}");
    let newest = folder.join(backups.last().expect("a backup"));
    let (code, said) = run_on_file(&newest).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("red, opened once, backup taken at"), "{said}");
}

/// Verifies a file.
async fn run_on_file(file: &std::path::Path) -> (Option<i32>, String) {
    let output = fernpost().args(["store", "verify"]).arg(file).output().expect("the binary starts");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn failing_backup_is_named_everywhere() {
    let mut red = GatewayProcess::new("red");
    red.edit(|text| format!("{text}[store.backup]\nfolder = \"unmounted\"\n"));
    red.start().await;
    red.process().says("scheduled backup failed").await;
    let (code, said) = run(&red, &["status"]).await;
    assert!(code == Some(1) && said.contains("backup: the last backup failed: the folder"), "{said}");
    let (code, said) = run(&red, &["store", "backups"]).await;
    assert!(code == Some(1) && said.contains("create it, or mount its disk; there is none"), "{said}");
    assert_eq!(metric(&red, "fernpost_backup_failing").await, Some(1.0));
    let (status, ready) = HttpCaller::at(red.admin).call(Method::GET, "/health/ready", "").await.expect("an answer");
    assert_eq!((status, &ready["warnings"][0]["what"]), (200, &"backup".into()), "{ready}");
    assert!(!red.folder().join("unmounted").exists());

    // A reload takes the schedule away, and the failure with it.
    red.edit(|text| text.replace("folder = \"unmounted\"\n", ""));
    assert_eq!(run(&red, &["reload"]).await.0, Some(0));
    let fine = async {
        while run(&red, &["status"]).await.0 != Some(0) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    soon("a status without problems", fine).await;
    let (code, said) = run(&red, &["store", "backups", "--now", "--json"]).await;
    assert!(code == Some(2) && said.contains("NO_SCHEDULE"), "{said}");
}
