//! `fernpost store export` and `import`: a gateway moves by lines of JSON, and a cut file is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use ::fixtures::clients::messenger_client::texts;
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;

/// Runs a command; returns its exit code, its output and its complaints.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn store(words: &[&str], gateway: &GatewayProcess) -> Command {
    let mut command = fernpost();
    command.arg("store").args(words).arg("--config").arg(gateway.configured()).stdin(Stdio::null());
    command
}

#[tokio::test]
async fn gateway_moves_by_its_lines() {
    let (mut red, mut blue) = GatewayProcess::pair("backoff_min = \"100ms\"\nbackoff_max = \"200ms\"");
    red.start().await;
    blue.start().await;
    red.api().say("m-1", "blue", "one").await;
    assert_eq!(texts(&blue.api().hear(1).await), ["one"]);
    let lines = red.folder().join("red.jsonl");
    let file = lines.to_str().expect("text").to_owned();
    let (code, _, why) = run(&mut store(&["export", &file], &red));
    assert!(code == Some(2) && why.contains("in use by another process") && !lines.exists(), "{why}");
    red.api().say("m-2", "blue", "two").await;
    red.kill();

    let (code, said, why) = run(&mut store(&["export", &file, "--json"], &red));
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{why}"));
    assert!(code == Some(0) && report["rows"].as_u64() >= Some(9) && report["server"] == "red", "{report}");
    let mode = lines.metadata().expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it has the texts of messages");
    let (_, piped, told) = run(&mut store(&["export", "-"], &red));
    assert!(piped.starts_with("{\"fernpost_export\":1,") && told.contains("rows"), "{told}");
    let (code, _, why) = run(&mut store(&["export", &file], &red));
    assert!(code == Some(2) && why.contains("never overwritten"), "{why}");

    let data = red.folder().join("data");
    let (code, _, why) = run(&mut store(&["import", &file], &red));
    assert!(code == Some(2) && why.contains("is there already"), "{why}");
    std::fs::rename(&data, red.folder().join("old")).expect("renamed");
    cut_file_is_refused(&lines, &red);
    let (code, said, why) = run(&mut store(&["import", &file, "--moved"], &red));
    assert!(code == Some(0) && said.contains("never again where the rows come from"), "{said}{why}");
    std::fs::create_dir_all(data.join("keys")).expect("a folder");
    for key in red.folder().join("old/keys").read_dir().expect("a folder") {
        let key = key.expect("readable");
        std::fs::copy(key.path(), data.join("keys").join(key.file_name())).expect("copied");
    }
    red.start().await;
    red.api().say("m-3", "blue", "three").await;
    assert_eq!(texts(&blue.api().hear(3).await), ["one", "two", "three"]);
}

fn cut_file_is_refused(lines: &Path, red: &GatewayProcess) {
    let text = std::fs::read_to_string(lines).expect("text");
    let cut = red.folder().join("cut.jsonl");
    let last = text.trim_end().rfind('\n').expect("lines");
    std::fs::write(&cut, &text[..=last]).expect("written");
    let (code, said, why) = run(&mut store(&["import", cut.to_str().expect("text"), "--json"], red));
    let number = text.lines().count();
    assert!(code == Some(1) && said.is_empty(), "{why}");
    assert!(
        why.contains("BAD_LINE") && why.contains(&format!("line {number}:")) && why.contains("it was cut"),
        "{why}"
    );
    assert!(!red.folder().join("data").exists());
}
