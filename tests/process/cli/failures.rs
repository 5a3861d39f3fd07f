//! Failures of commands as programs read them: with `--json` one JSON object on stderr, and nothing on stdout.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;

/// Returns exit code, standard output and standard error.
async fn ran(mut command: Command) -> (Option<i32>, String, String) {
    // The command runs on a blocking thread, because the test's thread drives the server that the command waits for.
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts"));
    let output = output.await.expect("no panic");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn command(words: &[&str]) -> Command {
    let mut command = fernpost();
    command.args(words);
    command
}

/// Runs a command that fails for this gateway; returns its exit code and its error code.
async fn fails(node: &GatewayProcess, words: &[&str]) -> (Option<i32>, String) {
    let mut asked = command(words);
    asked.args(["--json", "--config"]).arg(node.configured());
    told(asked).await
}

async fn told(command: Command) -> (Option<i32>, String) {
    let (code, printed, complaint) = ran(command).await;
    let told: Value = serde_json::from_str(&complaint).unwrap_or_else(|_| panic!("no JSON: {complaint:?}"));
    assert!(printed.is_empty() && complaint.lines().count() == 1, "{printed}{complaint}");
    assert!(told["error"].as_str().is_some_and(|words| !words.is_empty()), "{told}");
    (code, told["code"].as_str().expect("a code").to_owned())
}

#[tokio::test]
async fn json_failure_is_one_stderr_object() {
    let (mut red, _blue) = GatewayProcess::pair("");
    let failed = |code: &str| (Some(2), code.to_owned());
    assert_eq!(fails(&red, &["peer", "list"]).await, failed("NO_ANSWER"));
    assert_eq!(fails(&red, &["store", "verify"]).await, failed("STORE"));
    assert_eq!(fails(&red, &["store", "restore", "nowhere"]).await, failed("STORE"));
    assert_eq!(fails(&red, &["peer", "list", "--set", "nothing=1"]).await, failed("CONFIGURATION"));
    assert_eq!(told(command(&["peer", "list", "--json", "--config", "nowhere.toml"])).await, failed("CONFIGURATION"));
    assert_eq!(
        told(command(&["check", "config", "--json", "--config", "nowhere.toml"])).await,
        failed("CONFIGURATION")
    );
    assert_eq!(told(command(&["peer", "list", "--json", "--admin", "nowhere"])).await, failed("USAGE"));
    assert_eq!(told(command(&["peer", "show", "--json"])).await, failed("USAGE"));
    assert_eq!(told(command(&["peer", "shwo", "--json"])).await, failed("USAGE"));

    red.start().await;
    assert_eq!(fails(&red, &["peer", "show", "bleu"]).await, failed("UNKNOWN_PEER"));
    assert_eq!(fails(&red, &["message", "trace", "never"]).await, failed("UNKNOWN_ID"));
    assert_eq!(fails(&red, &["quarantine", "drop", "--all-of", "blue"]).await, failed("USAGE"));
    let (code, printed, complaint) = ran(command(&["peer", "show", "-h", "--json"])).await;
    assert!(code == Some(0) && printed.contains("Usage") && complaint.is_empty(), "help is no failure: {complaint}");
}

/// No request can hold such a path, because JSON is UTF-8.
#[tokio::test]
async fn backup_path_must_be_utf8() {
    let mut backup = command(&["store", "backup", "--json", "--admin", "http://127.0.0.1:9"]);
    backup.arg(OsStr::from_bytes(b"red\xff.backup"));
    assert_eq!(told(backup).await, (Some(2), "USAGE".to_owned()));
}

#[tokio::test]
async fn checked_configuration_is_told_as_json() {
    let (mut red, _blue) = GatewayProcess::pair("");
    let checked = |node: &GatewayProcess| {
        let mut check = command(&["check", "config", "--json", "--config"]);
        check.arg(node.configured());
        ran(check)
    };
    let (code, printed, complaint) = checked(&red).await;
    let told: Value = serde_json::from_str(&printed).expect("JSON");
    assert!(code == Some(0) && complaint.is_empty(), "{complaint}");
    assert_eq!((&told["ok"], told["checks"].as_array().map(Vec::len)), (&json!(true), Some(1)), "{told}");
    let found = &told["checks"][0];
    assert_eq!([&found["check"], &found["ok"], &found["level"]], [&json!("config"), &json!(true), &json!("info")]);
    assert!(found["detail"].as_str().is_some_and(|words| words.ends_with("red with 1 peer")), "{told}");

    // A file stands in the place of the data folder, and a size has no unit.
    std::fs::write(red.folder().join("data"), "x").expect("a writable folder");
    red.peer("green", "addresses = [\"http://127.0.0.1:9\"]\nallow_from = [\"127.0.0.9/32\"]\nbatch_bytes = \"32\"");
    let (code, printed, _) = checked(&red).await;
    let told: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((code, &told["ok"]), (Some(1), &json!(false)), "{told}");
    let problem =
        |place: usize| (told["checks"][place]["subject"].clone(), told["checks"][place]["detail"].to_string());
    assert!(problem(0).0 == "peers.server.green.batch_bytes" && problem(0).1.contains("32MiB"), "{told}");
    assert!(problem(1).0 == "server.data_dir" && problem(1).1.contains("is a file"), "{told}");
    let mut keys = command(&["check", "keys", "--json", "--config"]);
    keys.arg(red.configured());
    let (code, printed, _) = ran(keys).await;
    assert_eq!(
        (code, &serde_json::from_str::<Value>(&printed).expect("JSON")),
        (Some(1), &told),
        "no other check runs"
    );
    let (_, defaults, _) = ran(command(&["config", "defaults", "--json"])).await;
    let defaults: Value = serde_json::from_str(&defaults).expect("JSON");
    assert_eq!(defaults["store"]["cache"], "32MiB");
}

#[tokio::test]
async fn piped_cells_are_never_cut() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.start().await;
    let long = format!("room-{}", "x".repeat(200));
    red.api().set_participants(&long, &["blue"]).await;
    // A name must not contain control characters that would act on the terminal on which it is shown.
    let steering = "/v1/contexts/%C2%9B31m";
    let set = red.api().call(Method::PUT, steering, "{\"servers\":[]}").await.expect("an answer");
    let mut list = command(&["context", "list", "--config"]);
    list.arg(red.configured());
    let (code, printed, _) = ran(list).await;
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains(&long) && !printed.contains('\u{2026}'), "{printed}");
    assert!(!printed.contains('\u{9b}') && (set.0 != 200 || printed.contains("\\u009b31m")), "{printed:?} {set:?}");
}

#[tokio::test]
async fn values_of_peer_name_their_places() {
    let mut red = GatewayProcess::new("red");
    red.peer("blue.example", "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.1/32\"]\nretain = \"1d\"");
    red.edit(|text| format!("{text}[peers.default]\nrate = 7\n[peers.pattern.\"*.example\"]\nintake_max = 9\n"));
    let show = |name: &str| {
        let mut show = command(&["config", "show", "--json", "--peer", name, "--config"]);
        show.arg(red.configured());
        show
    };
    let (code, printed, complaint) = ran(show("blue.example")).await;
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    let shown: Value = serde_json::from_str(&printed).expect("JSON");
    let rows = shown["values"].as_array().expect("rows");
    let of = |key: &str| {
        let key = format!("peers.server.\"blue.example\".{key}");
        let row = rows.iter().find(|row| row["key"] == *key).unwrap_or_else(|| panic!("{key}: {printed}"));
        (row["value"].clone(), row["from"].as_str().expect("a place").to_owned())
    };
    assert_eq!(of("jitter"), (json!(0.2), "default".to_owned()));
    for (key, value, place) in [
        ("retain", json!("1d"), "fernpost.toml, line "),
        ("rate", json!(7), "peers.default (fernpost.toml, line "),
        ("intake_max", json!(9), "pattern \"*.example\" (fernpost.toml, line "),
    ] {
        let (shown, from) = of(key);
        assert!(shown == value && from.contains(place), "{key}: {shown} {from}");
    }
    let unlisted = show("green.example");
    assert_eq!(told(unlisted).await, (Some(1), "NOT_LISTED".to_owned()));
}
