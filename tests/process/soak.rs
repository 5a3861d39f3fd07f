//! `scripts/soak_hours.py`, for seconds: the hours are run by hand.

use std::process::Command;

use crate::fixtures::process::fernpost;
use crate::fixtures::tools::{is_installed, repository_file};

#[test]
fn short_soak_finds_no_fault() {
    if !is_installed("python3", "python3") || !is_installed("openssl", "openssl") {
        return;
    }
    // A version before this one, so that each gateway that is started again is upgraded.
    let folder = tempfile::tempdir().expect("a folder");
    let before = folder.path().join("before");
    std::fs::copy(fernpost().get_program(), &before).expect("a copy");
    let mut soak = Command::new("python3");
    soak.arg("-B").arg(repository_file("scripts/soak_hours.py")).args(["--minutes", "0.25", "--peers", "2"]);
    soak.arg("--binary").arg(fernpost().get_program()).arg("--before").arg(&before);
    let output = soak.output().expect("python3 is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for words in
        ["hub.example", "peer2.example", "upgrades: hub.example 1", "Everything was received once and in order"]
    {
        assert!(said.contains(words), "{words} is not shown:\n{said}");
    }
}
