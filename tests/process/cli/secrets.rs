//! Files of secrets that others can read, and core dumps.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::{Process, fernpost};

fn set_mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).expect("it is ours");
}

/// Starts a gateway that refuses to run; returns its exit code and what it logs.
async fn refused(node: &GatewayProcess, overrides: &[&str]) -> (Option<i32>, String) {
    let mut process = Process::start(&mut node.serve(overrides));
    let ended = process.ended().await;
    (ended.code(), process.log())
}

#[tokio::test]
async fn open_token_keeps_gateway_down() {
    let mut node = GatewayProcess::new("red");
    node.write_secret("token", "sesame\n");
    let file = node.folder().join("token");
    symlink("token", node.folder().join("link")).expect("a link");
    node.start_with(&["admin.token_file=link"]).await;
    assert!(!node.kill().contains("every user"), "the mode of a link does not count");

    set_mode(&file, 0o644);
    let (code, why) = refused(&node, &["admin.token_file=link"]).await;
    assert_eq!(code, Some(1), "{why}");
    assert!(why.contains("link has the mode 0644") && why.contains("run chmod o= "), "{why}");
    for _ in 0..2 {
        node.start_with(&["admin.token_file=link", "server.allow_open_secrets=true"]).await;
        let log = node.kill();
        assert!(log.contains("WARN") && log.contains("0644") && log.contains("run chmod o= "), "{log}");
        assert!(!log.contains("sesame"), "{log}");
    }
}

#[tokio::test]
async fn open_signing_key_keeps_gateway_down() {
    let mut node = GatewayProcess::new("red");
    node.start().await;
    node.kill();
    let file = node.folder().join("data/keys/1.key");
    set_mode(&file, 0o640);
    let (code, why) = refused(&node, &[]).await;
    assert_eq!(code, Some(1), "{why}");
    assert!(why.contains("0640") && why.contains(&format!("run chmod 600 {}", file.display())), "{why}");
    node.start_with(&["server.allow_open_secrets=true"]).await;
    let log = node.kill();
    assert!(log.contains("a signing key is open to others") && log.contains("0640"), "{log}");

    let check = |overrides: &[&str]| {
        let mut check = fernpost();
        check.args(["check", "keys", "--config"]).arg(node.configured());
        let output = check.args(overrides).output().expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, found) = check(&[]);
    assert!(code == Some(1) && found.contains("error: keys ") && found.contains("\n  chmod 600 "), "{found}");
    let (code, found) = check(&["--set", "server.allow_open_secrets=true"]);
    assert!(code == Some(0) && found.contains("warning: keys ") && found.contains("\n  chmod 600 "), "{found}");
}

/// Both are asked to leave a core dump: the shell does, so that the system writes them.
#[tokio::test]
async fn aborted_gateway_leaves_no_dump() {
    let mut node = GatewayProcess::new("red");
    let folder = tempfile::tempdir().expect("a folder");
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c unlimited; kill -ABRT $$"]).current_dir(folder.path()).stderr(Stdio::null());
    let shell = shell.status().expect("a shell");
    let serve = node.serve(&[]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"]).arg(serve.get_program()).args(serve.get_args());
    limited.env_clear().current_dir(folder.path());
    node.start_as(&mut limited).await;
    let process = node.process();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("it runs");
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).expect("Linux says so");
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    process.signal("ABRT");
    let ended = process.ended().await;
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false));
    let files = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(files, usize::from(shell.core_dumped()), "a dump of the shell alone, where the system writes them");
}
