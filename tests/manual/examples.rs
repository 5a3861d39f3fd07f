//! Examples: TOML is read as a configuration, JSON as JSON, and shell by the shell.

use std::process::Command;

use fernpost::settings::{Settings, Sources};
use serde_json::Value;

use crate::pages::{PageExample, assert_complete, pages};

/// A public key in place of `<BASE64>`.
const KEY: &str = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";

fn examples(language: &str) -> Vec<PageExample> {
    let all = pages().into_iter().flat_map(|page| page.examples());
    all.filter(|example| example.language.split(' ').next() == Some(language)).collect()
}

/// An example is part of a configuration: the name of the server and the proof of a peer are added where it has none.
#[test]
fn configuration_examples_are_accepted() {
    let examples = examples("toml");
    assert!(examples.len() >= 5, "{}", examples.len());
    let mut complaints = Vec::new();
    for example in examples {
        let text = example.text.replace("<BASE64>", KEY);
        let mut flags = vec![("peers.default.auth".to_owned(), "signature".to_owned())];
        if !text.contains("[server]") {
            flags.push(("server.name".to_owned(), "red.example".to_owned()));
        }
        let folder = tempfile::tempdir().expect("a folder");
        // The files of secrets that it names beside itself, such as token_file.
        let named = text.split("_file = \"").skip(1).filter_map(|rest| rest.split('"').next());
        for name in named.filter(|name| !name.contains('/')) {
            let secret = format!("a-secret-that-is-long-enough-in-{name}\n");
            std::fs::write(folder.path().join(name), secret).expect("a writable folder");
        }
        let sources = Sources { flags, ..Sources::text(text, folder.path()) };
        if let Err(problems) = Settings::load(&sources) {
            complaints.push(format!("{}: {problems}", example.place));
        }
    }
    assert_complete(&complaints);
}

#[test]
fn json_examples_are_json() {
    let mut complaints = Vec::new();
    for example in examples("json") {
        let mut values = serde_json::Deserializer::from_str(&example.text).into_iter::<Value>();
        if let Some(error) = values.find_map(Result::err) {
            complaints.push(format!("{}: {error}", example.place));
        }
    }
    assert_complete(&complaints);
}

#[test]
fn shell_examples_are_shell() {
    let mut complaints = Vec::new();
    for example in examples("sh") {
        let mut bash = Command::new("bash");
        let output = bash.args(["-n", "-c"]).arg(&example.text).output().expect("bash is installed");
        if !output.status.success() {
            complaints.push(format!("{}: {}", example.place, String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert_complete(&complaints);
}

#[test]
fn python_examples_are_python() {
    for example in examples("python") {
        let mut python = Command::new("python3");
        let Ok(output) = python.args(["-c", "import ast, sys; ast.parse(sys.argv[1])"]).arg(&example.text).output()
        else {
            eprintln!("not tested, because python3 is not installed");
            return;
        };
        assert!(output.status.success(), "{}: {}", example.place, String::from_utf8_lossy(&output.stderr));
    }
}
