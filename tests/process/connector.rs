//! The XMPP connector between two gateways and two Prosodies, with XMPP clients on both sides.
//!
//! The conversations are programs in Python, because their clients are slixmpp. They are left out where it is absent.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::fixtures::process::fernpost;
use crate::fixtures::tools::{python_with_slixmpp, repository_file};

/// Runs a program of the repository with the gateway's binary as its last argument. It ends with 0 if all is well, and ends by
/// itself after two minutes.
fn run(file: &str, arguments: &[&str]) {
    let Some(python) = python_with_slixmpp() else { return };
    let binary = PathBuf::from(fernpost().get_program());
    let mut program = Command::new(python);
    program.arg(repository_file(file)).args(arguments).arg(std::path::absolute(binary).expect("a path"));
    let output = program.stdin(Stdio::null()).output().expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    println!("{}", String::from_utf8_lossy(&text));
    assert!(output.status.success(), "{file} failed");
}

#[test]
fn rooms_behave_for_xmpp_clients() {
    run("tests/connector/rooms.py", &[]);
}

#[test]
fn killed_connectors_lose_nothing() {
    run("scripts/xmpp_outage.py", &["--check", "--binary"]);
}
