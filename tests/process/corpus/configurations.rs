//! Configurations that are refused: `check config` names the key, and `serve` does not start with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use serde::Deserialize;
use serde_json::Value;

use crate::corpus::table::{bytes, read_table};
use crate::fixtures::process::fernpost;
use crate::tls::authority::{FileAuthority, LeafKind};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BadConfiguration {
    name: String,
    text: String,
    /// True if the text names the server itself, or should and does not.
    #[serde(default)]
    whole: bool,
    /// Exit code of `serve`.
    #[serde(default = "two")]
    serve: i32,
    verdict: String,
}

fn two() -> i32 {
    2
}

fn inputs() -> Vec<BadConfiguration> {
    read_table("configurations").into_iter().map(|(_, input)| input).collect()
}

pub(super) fn names() -> Vec<String> {
    inputs().into_iter().map(|input| input.name).collect()
}

/// Makes the files that the table names.
fn files(folder: &Path) {
    let authority = FileAuthority::new();
    authority.issue(folder, "own", &["red.example"], LeafKind::Usual);
    authority.issue(folder, "other", &["red.example"], LeafKind::Usual);
    fs::copy(folder.join("own.key"), folder.join("open.key")).expect("copied");
    fs::set_permissions(folder.join("open.key"), fs::Permissions::from_mode(0o644)).expect("changed");
    fs::write(folder.join("garbage.pem"), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
        .expect("written");
    fs::write(folder.join("empty.token"), "\n").expect("written");
    fs::set_permissions(folder.join("empty.token"), fs::Permissions::from_mode(0o600)).expect("changed");
    fs::create_dir(folder.join("folder")).expect("a folder");
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = fernpost();
    command.args(arguments).arg("--config").arg(folder.join("fernpost.toml"));
    command.output().expect("the binary starts")
}

/// Returns what is wrong with the answers of the commands.
fn judge(folder: &Path, input: &BadConfiguration) -> Result<(), String> {
    let mut text = if input.whole { vec![] } else { b"server.name = \"red.example\"\n".to_vec() };
    text.extend(bytes(&input.text));
    fs::write(folder.join("fernpost.toml"), text).expect("written");
    let (code, key) = input.verdict.split_once(' ').expect("an exit code and a key");
    let checked = run(folder, &["check", "config", "--json"]);
    let said = if checked.stdout.is_empty() { &checked.stderr } else { &checked.stdout };
    let json: Value = serde_json::from_slice(said).unwrap_or_default();
    let findings: Vec<&Value> =
        json["checks"].as_array().into_iter().flatten().filter(|found| found["ok"] == false).collect();
    let words = |value: &Value| value.as_str().is_some_and(|words| words.contains(key));
    let is_named = match findings[..] {
        [finding] => finding["subject"] == key || (key.contains(".toml") && words(&finding["detail"])),
        _ => words(&json["error"]),
    };
    let served = run(folder, &["serve"]);
    let why = String::from_utf8_lossy(&served.stderr);
    let codes = (checked.status.code(), served.status.code());
    let is_refused = codes == (code.parse().ok(), Some(input.serve)) && why.contains(key) && !why.contains("panicked");
    if is_named && is_refused { Ok(()) } else { Err(format!("{codes:?} {json}\n{why}")) }
}

#[test]
fn bad_configurations_get_their_verdicts() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    files(folder);
    let judged = inputs().into_iter().map(|input| (judge(folder, &input), input.name));
    let wrong: Vec<String> =
        judged.filter_map(|(judged, name)| judged.err().map(|why| format!("{name}: {why}"))).collect();
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));

    let sound = "server.name = \"red.example\"\nfederation.tls = { cert = \"own.pem\", key = \"own.key\" }\n\
                 [peers.server.\"blue.example\"]\nauth = \"mtls\"\n";
    fs::write(folder.join("fernpost.toml"), sound).expect("written");
    let checked = run(folder, &["check", "config", "--json"]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
}
