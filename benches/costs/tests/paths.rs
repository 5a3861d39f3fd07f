//! The program whose instructions are counted runs each of its paths. This test also has the program built with the tests.

use std::process::Command;

#[test]
fn counted_paths_run() {
    for path in ["update", "push", "message"] {
        let status = Command::new(env!("CARGO_BIN_EXE_instructions")).arg(path).status().unwrap();
        assert!(status.success(), "{path}: {status}");
    }
}
