//! The command line as a shell sees it: exit codes, and messages that name what is wrong.

use std::process::Command;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::{Process, fernpost};

/// Returns exit code, standard output and standard error.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A configuration with five different problems.
const WRONG: &str = "[server]\nname = \"red..example\"\n[federation]\nlisten = \"0.0.0.0:9880\"\nmode = \"closed\"\n\
                     [peers.default]\nbatch_item = 5\n[peers.server.blue]\naddresses = [\"ftp://blue\"]\n";
const NAMED: [&str; 5] = ["server.name", "federation.listen", "federation.mode", "batch_items", "peers.server.blue"];

#[tokio::test]
async fn invalid_configuration_exits_2_with_problems() {
    let red = GatewayProcess::new("red");
    let file = red.configured();
    std::fs::write(&file, WRONG).expect("a writable folder");
    let mut serve = fernpost();
    let mut process = Process::start(serve.args(["serve", "--config"]).arg(&file));
    assert_eq!(process.ended().await.code(), Some(2), "{}", process.log());
    let (code, checked, _) = run(fernpost().args(["check", "config", "--config"]).arg(&file));
    assert_eq!(code, Some(1), "found something wrong");
    assert_eq!(process.log(), checked.trim_end(), "serve and check print the same problems");
    for key in NAMED {
        assert!(checked.contains(key), "{key} is not named:\n{checked}");
    }
    assert!(checked.lines().all(|line| line.contains('`')), "each line names a key:\n{checked}");
    assert!(!red.store().exists(), "nothing was begun");

    let missing = red.folder().join("elsewhere.toml");
    let (code, _, why) = run(fernpost().args(["check", "config", "--config"]).arg(&missing));
    assert!(code == Some(2) && why.contains("elsewhere.toml") && why.lines().count() == 1, "could not run: {why}");
}

#[test]
fn valid_configuration_is_reported() {
    let (red, _blue) = GatewayProcess::pair("");
    let (code, said, complaints) = run(fernpost().args(["check", "config", "--config"]).arg(red.configured()));
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    assert!(said.contains("fine") && said.contains("red") && said.contains("1 peer"), "{said}");
    let mut check = fernpost();
    check.env("FERNPOST__STORE__GROUP_MAX", "many").args(["check", "config", "--config"]).arg(red.configured());
    let variable = check.output();
    assert_eq!(variable.expect("it runs").status.code(), Some(1), "a variable overrides the file");
}

#[test]
fn defaults_are_valid_configuration() {
    let (code, manual, _) = run(fernpost().args(["config", "defaults"]));
    assert_eq!(code, Some(0));
    let table: toml::Table = toml::from_str(&manual).expect("TOML");
    assert!(table["store"].get("group_max").is_some());
    // A configuration needs nothing but a name.
    let red = GatewayProcess::new("red");
    let file = red.configured();
    std::fs::write(&file, manual).expect("a writable folder");
    let mut check = fernpost();
    let (code, said, _) = run(check.args(["check", "config", "--set", "server.name=red", "--config"]).arg(&file));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn wrong_usage_exits_2_with_help() {
    for wrong in [
        &["servve"][..],
        &[],
        &["check", "nothing"],
        &["serve", "--set", "novalue"],
        &["config", "defaults", "--nothing"],
    ] {
        let (code, said, how) = run(fernpost().args(wrong));
        assert_eq!((code, said.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(how.contains("Usage") || how.contains("--help"), "{wrong:?}: {how}");
    }
    for asked in ["--help", "--version"] {
        assert_eq!(run(fernpost().arg(asked)).0, Some(0), "{asked}");
    }
}

#[test]
fn failed_restore_leaves_no_folder() {
    let red = GatewayProcess::new("red");
    let backup = red.folder().join("backup.redb");
    std::fs::write(&backup, "no backup").expect("a writable folder");
    for from in [backup, red.folder().join("missing.redb")] {
        let to = red.folder().join("new").join("data");
        let (code, said, why) = run(fernpost().args(["store", "restore"]).arg(&from).arg("--to").arg(&to));
        assert!(code != Some(0) && said.is_empty() && why.lines().count() == 1, "{why}");
        assert!(!red.folder().join("new").exists(), "{why}");
    }
}
