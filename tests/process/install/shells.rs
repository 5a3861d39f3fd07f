//! Completions and manual pages: they are there for every command, and the shells and `man` accept them.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::fixtures::process::fernpost;
use crate::fixtures::tools::is_installed;

fn printed(arguments: &[&str]) -> String {
    let output = fernpost().args(arguments).output().expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the names of the commands that the help of a command lists.
fn commands_in_help(path: &[String]) -> Vec<String> {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let help = printed(&arguments);
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_manual_page() {
    let folder = tempfile::tempdir().expect("a folder");
    printed(&["man", folder.path().to_str().expect("text")]);
    let entries = std::fs::read_dir(folder.path()).expect("it is there");
    let pages: BTreeSet<String> =
        entries.map(|entry| entry.expect("readable").file_name().into_string().expect("text")).collect();
    let mut expected = BTreeSet::new();
    let mut paths = vec![Vec::new()];
    while let Some(path) = paths.pop() {
        let name: Vec<&str> = std::iter::once("fernpost").chain(path.iter().map(String::as_str)).collect();
        let page = format!("{}.1", name.join("-"));
        let text = std::fs::read_to_string(folder.path().join(&page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        for command in commands_in_help(&path) {
            assert!(text.contains(&command.replace('-', "\\-")), "{page} does not name {command}");
            paths.push([path.clone(), vec![command]].concat());
        }
        expected.insert(page);
    }
    assert!(expected.len() > 40, "the help was read: {expected:?}");
    assert_eq!(pages, expected);
    let root = printed(&["man"]);
    assert_eq!(root, std::fs::read_to_string(folder.path().join("fernpost.1")).expect("it is there"));
    if is_installed("man", "man-db") {
        let mut man = Command::new("man");
        man.args(["--warnings", "-l"]).arg(folder.path().join("fernpost.1")).env("LC_ALL", "C.UTF-8");
        let output = man.stdin(Stdio::null()).output().expect("man starts");
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && complaints.is_empty(), "{complaints}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("A durable federation gateway"));
    }
}

#[test]
fn shells_accept_their_completions() {
    for (shell, package) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
        let script = printed(&["completions", shell]);
        for command in commands_in_help(&[]) {
            assert!(script.contains(&command), "{shell}: {command}");
        }
        if is_installed(shell, package) {
            let mut check = Command::new(shell);
            let mut check = check.arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
            check.stdin.take().expect("piped").write_all(script.as_bytes()).expect("it reads");
            let output = check.wait_with_output().expect("it ends");
            assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        }
    }
}

#[test]
fn bash_completes_commands_and_options() {
    if !is_installed("bash", "bash") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("fernpost.bash");
    std::fs::write(&script, printed(&["completions", "bash"])).expect("written");
    let complete = |words: &str| {
        let count = words.split(' ').count() - 1;
        let ask = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={count}; _fernpost fernpost \"${{COMP_WORDS[{count}]}}\" ''; \
             echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output().expect("bash starts");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    assert_eq!(complete("fernpost join"), "join-token");
    assert_eq!(complete("fernpost join-token u"), "use");
    assert_eq!(complete("fernpost serve --acc"), "--accept-data-dir");
}
