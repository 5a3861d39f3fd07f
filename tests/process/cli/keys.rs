//! `fernpost keys`, and the key directory that a running gateway serves.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;
use crate::fixtures::raw::Raw;

/// Runs `fernpost keys` and returns its exit code and its JSON, from stdout or stderr.
fn keys(node: &GatewayProcess, arguments: &[&str]) -> (i32, Value) {
    let output = command(node, arguments).arg("--json").output().expect("the binary starts");
    let code = output.status.code().expect("it exits");
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    (code, serde_json::from_slice(&text).expect("JSON"))
}

fn command(node: &GatewayProcess, arguments: &[&str]) -> Command {
    let mut command = fernpost();
    command.arg("keys").args(arguments).arg("--config").arg(node.configured());
    command
}

/// Id and state of each key.
fn states(node: &GatewayProcess) -> Vec<(String, String)> {
    let (code, list) = keys(node, &["list"]);
    assert_eq!(code, 0, "{list}");
    let text = |key: &Value, name: &str| key[name].as_str().expect("a text").to_owned();
    list["keys"].as_array().expect("a list").iter().map(|key| (text(key, "id"), text(key, "state"))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn keys_are_rotated_with_overlap() {
    let node = GatewayProcess::new("red");
    assert_eq!(states(&node), []);
    let (code, first) = keys(&node, &["new", "--id", "2026"]);
    assert_eq!((code, &first["state"], &first["id"]), (0, &"active".into(), &"2026".into()), "the first signs at once");
    assert_eq!(keys(&node, &["rotate"]).1["state"], "next");
    assert_eq!(states(&node), pairs(&[("2026", "active"), ("2027", "next")]));
    let (code, waits) = keys(&node, &["rotate"]);
    assert_eq!((code, &waits["code"]), (1, &"KEY_WAITS".into()), "{waits}");
    let (code, now) = keys(&node, &["rotate", "--now"]);
    assert_eq!((code, &now["id"], &now["state"]), (0, &"2027".into(), &"active".into()), "the one that waits");
    assert_eq!(states(&node), pairs(&[("2026", "old"), ("2027", "active")]));
    let (code, refused) = keys(&node, &["new", "--id", "2026"]);
    assert_eq!((code, &refused["error"]), (2, &"a key with the id 2026 exists; choose another one with --id".into()));
    let (code, refused) = keys(&node, &["new", "--overlap", "9000y"]);
    assert_eq!((code, &refused["code"]), (2, &"USAGE".into()), "{refused}");
    assert!(refused["error"].as_str().is_some_and(|words| words.contains("a year at most")), "{refused}");
    let (code, refused) = keys(&node, &["new", "--id", "a/b"]);
    assert_eq!((code, &refused["code"]), (2, &"USAGE".into()));
}

#[test]
fn private_halves_are_never_printed() {
    let node = GatewayProcess::new("red");
    let output = command(&node, &["new"]).output().expect("the binary starts");
    let file = std::fs::read_to_string(node.folder().join("data/keys/1.key")).expect("it is there");
    let secret = file.split('"').nth(5).expect("three values").trim_end_matches('=');
    for output in [output, command(&node, &["list"]).output().expect("the binary starts")] {
        let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(printed.contains('1') && !printed.contains(secret), "{printed}");
    }
    std::fs::set_permissions(node.folder().join("data/keys/1.key"), PermissionsExt::from_mode(0o644))
        .expect("it is ours");
    let (code, refused) = keys(&node, &["list"]);
    assert_eq!((code, &refused["code"]), (1, &"OPEN_MODE".into()));
    assert!(refused["error"].as_str().is_some_and(|why| why.contains("chmod 600")), "{refused}");
}

/// Anyone may read the directory, also one who is no peer; a gateway that cannot read one of its keys does not start.
#[tokio::test]
async fn gateway_serves_its_key_directory() {
    let mut node = GatewayProcess::new("red");
    node.start().await;
    assert_eq!(states(&node), pairs(&[("1", "active")]), "the first start has made a key");
    let (_, list) = keys(&node, &["list"]);
    let answer = Raw::connect(Ipv4Addr::new(127, 9, 9, 9), node.federation)
        .await
        .text(b"GET /.well-known/http-message-signatures-directory HTTP/1.1\r\nHost: red\r\nConnection: close\r\n\r\n")
        .await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let head = head.to_lowercase();
    assert!(head.contains("content-type: application/http-message-signatures-directory+json"), "{head}");
    assert!(head.contains("cache-control: max-age=3600"), "{head}");
    let directory: Value = serde_json::from_str(body).expect("JSON");
    let url_safe = list["keys"][0]["public"].as_str().expect("a text").replace('+', "-").replace('/', "_");
    assert_eq!(directory["keys"][0]["x"], url_safe.as_str());
    assert_eq!(directory["keys"][0]["kid"], "1");
    let check = || {
        let mut check = fernpost();
        let output = check.args(["check", "keys", "--json", "--config"]).arg(node.configured()).output();
        let output = output.expect("the binary starts");
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), found["checks"].as_array().expect("a list").clone())
    };
    let (code, found) = check();
    assert_eq!((code, &found[1]["level"]), (Some(0), &"info".into()), "{found:?}");
    assert_eq!(keys(&node, &["new"]).0, 0);
    let (code, found) = check();
    assert_eq!((code, &found[2]["code"]), (Some(1), &"OTHER_KEYS".into()), "{found:?}");
    std::fs::remove_file(node.folder().join("data/keys/2.key")).expect("it is ours");
    node.kill();
    node.write_secret("data/keys/2.key", "x");
    let output = node.serve(&[]).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("2.key") && said.contains("the signing keys cannot be used"), "{said}");
}

#[tokio::test]
async fn data_folder_is_for_its_owner() {
    let mut node = GatewayProcess::new("red");
    node.start().await;
    let data = node.folder().join("data");
    assert_eq!(std::fs::metadata(&data).expect("it is there").permissions().mode() & 0o7777, 0o700);
    assert!(!node.kill().contains("can enter the data folder"), "a sound folder");
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).expect("it is ours");
    node.start().await;
    let log = node.kill();
    assert!(log.contains("every user of this machine can enter the data folder") && log.contains("0755"), "{log}");
}
