//! The service manager: what a gateway tells it, and the unit that the package installs.

use std::path::Path;
use std::process::Command;

use tokio::net::UnixDatagram;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;
use crate::fixtures::tools::{is_installed, repository_file};

/// A service manager that listens.
struct ServiceManager(UnixDatagram);

impl ServiceManager {
    /// Returns the next message with these words that is no sign of life.
    async fn hears(&self, words: &str) -> String {
        let heard = async {
            loop {
                let message = self.next().await;
                if message != "WATCHDOG=1\n" {
                    return message;
                }
            }
        };
        let message = soon(words, heard).await;
        assert!(message.contains(words), "{words}: {message}");
        message
    }

    async fn next(&self) -> String {
        let mut buffer = vec![0; 4096];
        let length = self.0.recv(&mut buffer).await.expect("a message");
        buffer.truncate(length);
        String::from_utf8(buffer).expect("text")
    }
}

#[tokio::test]
async fn manager_hears_states_of_gateway() {
    let (mut red, _blue) = GatewayProcess::pair("");
    let socket = red.folder().join("notify");
    let manager = ServiceManager(UnixDatagram::bind(&socket).expect("a socket"));
    let mut serve = red.serve(&[]);
    serve.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "90000");
    red.start_as(&mut serve).await;
    let ready = manager.hears("READY=1").await;
    assert!(ready.contains("STATUS=serves red with 1 peer"), "{ready}");
    for _ in 0..3 {
        let sign = async { while manager.next().await != "WATCHDOG=1\n" {} };
        soon("a sign of life", sign).await;
    }

    for (configuration, outcome) in [("rate = 7\n", "configuration reloaded"), ("rate = \"x\"\n", "is not reloaded")] {
        red.edit(|text| format!("{text}{configuration}"));
        red.configured();
        red.process().signal("HUP");
        let reloading = manager.hears("RELOADING=1").await;
        let time = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(time.is_some_and(|time| time.parse::<u64>().is_ok_and(|time| time > 0)), "{reloading}");
        assert_eq!(manager.hears("READY=1").await, "READY=1\n", "also if the configuration is refused");
        red.process().says(outcome).await;
    }

    red.process().term();
    assert_eq!(manager.hears("STOPPING=1").await, "STOPPING=1\n");
    assert_eq!(red.process().ended().await.code(), Some(0));
}

#[tokio::test]
async fn absent_manager_stops_no_gateway() {
    let mut red = GatewayProcess::new("red");
    let mut serve = red.serve(&[]);
    serve.env("NOTIFY_SOCKET", red.folder().join("nobody"));
    red.start_as(&mut serve).await;
    red.process().says("the service manager cannot be told").await;
    red.process().term();
    assert_eq!(red.process().ended().await.code(), Some(0));
}

/// Copies the units into a folder, with the program at another place; returns the path of the service.
fn units_in(folder: &Path, program: &str) -> String {
    for unit in ["fernpost.service", "fernpost.target"] {
        let text = std::fs::read_to_string(repository_file(&format!("config/systemd/{unit}"))).expect("it is there");
        std::fs::write(folder.join(unit), text.replace("/usr/bin/fernpost", program)).expect("written");
    }
    folder.join("fernpost.service").display().to_string()
}

#[test]
fn unit_is_valid_and_hardened() {
    if !is_installed("systemd-analyze", "systemd") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let unit = units_in(folder.path(), env!("CARGO_BIN_EXE_fernpost"));
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        let output = command.args(arguments).arg(&unit).env("SYSTEMD_COLORS", "0").output().expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let (is_valid, complaints) = analyze(&["verify", "--man=no"]);
    let ours: Vec<&str> = complaints.lines().filter(|line| line.contains("fernpost")).collect();
    assert!(is_valid && ours.is_empty(), "{complaints}");
    // The exposure in tenths: 2.0 at most.
    let (is_hardened, report) = analyze(&["security", "--offline=true", "--threshold=20", "--no-pager"]);
    assert!(is_hardened && report.contains("Overall exposure level"), "{report}");
}

#[test]
fn unit_starts_documented_commands() {
    let unit = std::fs::read_to_string(repository_file("config/systemd/fernpost.service")).expect("it is there");
    for line in [
        "Type=notify",
        "WatchdogSec=",
        "ReloadPropagatedFrom=fernpost.target",
        "User=fernpost",
        "StateDirectory=fernpost",
    ] {
        assert!(unit.lines().any(|one| one.starts_with(line)), "{line}");
    }
    let commands =
        unit.lines().filter_map(|line| line.strip_prefix("Exec")?.split_once('=').map(|(_, command)| command));
    let ours: Vec<&str> = commands.filter_map(|command| command.strip_prefix("/usr/bin/fernpost ")).collect();
    assert_eq!(
        ours,
        ["serve --config /etc/fernpost/fernpost.toml", "check config --config /etc/fernpost/fernpost.toml"]
    );
}
