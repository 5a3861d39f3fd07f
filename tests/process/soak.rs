//! `scripts/soak_hours.py`, for seconds: the hours are run by hand.

use std::process::Command;

use crate::fixtures::process::fernpost;
use crate::fixtures::tools::{is_installed, repository_file};

#[test]
fn short_soak_finds_no_fault() {
    if !is_installed("python3", "python3") || !is_installed("openssl", "openssl") {
        return;
    }
    let mut soak = Command::new("python3");
    soak.arg("-B").arg(repository_file("scripts/soak_hours.py")).args(["--minutes", "0.25", "--peers", "2"]);
    let output = soak.arg("--binary").arg(fernpost().get_program()).output().expect("python3 is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for words in ["hub.example", "peer2.example", "Everything was received once and in order"] {
        assert!(said.contains(words), "{words} is not shown:\n{said}");
    }
}
