//! The examples that are marked `sh run`, against real gateways.

use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::fixtures::node::own_address;
use crate::fixtures::tools::{is_installed, repository_file};
use crate::manual::page_script::PageScript;

/// Gateways of the examples.
const NAMES: [&str; 3] = ["red", "blue", "green"];

/// Commands that start the gateways of `config/two-gateways`.
const START: &str = "for name in red blue green; do\n  fernpost serve --config config/two-gateways/$name.toml 2>$name.log &\ndone\n\
    for name in red blue green; do\n  until fernpost health --config config/two-gateways/$name.toml; do sleep 0.1; done\n\
    done >>shown.log 2>&1\n";

#[track_caller]
fn assert_ran(folder: &Path, output: &Output) {
    let logs = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let said = [&*output.stdout, &*output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{}: {said}\n{}\n{}", output.status, logs("red.log"), logs("blue.log"));
}

#[test]
fn messenger_examples_run_as_written() {
    if !is_installed("curl", "curl") {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let mut script = PageScript::at(own_address());
    let configurations = folder.path().join("config/two-gateways");
    std::fs::create_dir_all(&configurations).expect("a writable folder");
    for name in NAMES {
        let file = format!("{name}.toml");
        let text = std::fs::read_to_string(repository_file(&format!("config/two-gateways/{file}"))).expect("text");
        std::fs::write(configurations.join(&file), script.addressed(&text)).expect("a writable folder");
    }
    script.add(START);
    let of_readme = script.add_page("README.md");
    let of_page = script.add_page("docs/messenger.md");
    assert!(of_readme >= 4 && of_page > 40, "{of_readme} and {of_page} answers are checked");
    assert_ran(folder.path(), &script.run(folder.path()));
}

#[test]
fn start_examples_run_as_written() {
    if !is_installed("curl", "curl") {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let mut script = PageScript::at(own_address());
    let count = script.add_page("docs/start.md");
    assert!(count >= 6, "{count} answers are checked");
    let output = script.run(folder.path());
    assert_ran(folder.path(), &output);
    let said = String::from_utf8_lossy(&output.stdout);
    for words in ["both servers are connected", "acknowledged", "CONNECT_REFUSED", "problems     none"] {
        assert!(said.contains(words), "{words} is not shown:\n{said}");
    }
}
