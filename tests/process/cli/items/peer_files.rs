//! `fernpost peer add` and `remove`: the file of a peer in `conf.d`, the reload, and what refuses; `peer show`: where values come from.

use ::fixtures::clients::messenger_client::texts;
use serde_json::Value;

use crate::cli::operator::{json, operate, works};
use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;
use crate::fixtures::terminal::TerminalProcess;

/// Adds a peer that is authenticated by its address, and returns the exit code, and the JSON from stdout or stderr.
async fn add(node: &GatewayProcess, name: &str, address: &str) -> (Option<i32>, Value) {
    let words =
        ["peer", "add", name, "--address", address, "--auth", "network", "--allow-from", "127.0.0.1/32", "--json"];
    let (code, printed, complaints) = operate(node, &words).await;
    let text = if printed.is_empty() { complaints } else { printed };
    (code, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")))
}

fn file_of(node: &GatewayProcess, name: &str) -> std::path::PathBuf {
    node.folder().join(format!("conf.d/peer-{name}.toml"))
}

#[tokio::test]
async fn added_peers_talk_without_restart() {
    let (mut red, mut blue) = (GatewayProcess::new("red"), GatewayProcess::new("blue"));
    red.start().await;
    blue.start().await;
    for (node, other) in [(&red, &blue), (&blue, &red)] {
        let (code, report) = add(node, other.name, &format!("http://{}", other.federation)).await;
        assert_eq!((code, &report["reloaded"]), (Some(0), &true.into()), "{report}");
        let file = file_of(node, other.name);
        assert_eq!(report["file"].as_str(), file.to_str());
        let text = std::fs::read_to_string(file).expect("it was written");
        assert!(text.contains(&format!("[peers.server.\"{}\"]\nauth = \"network\"\n", other.name)), "{text}");
    }
    red.api().say("m-1", "blue", "from red").await;
    assert_eq!(texts(&blue.api().hear(1).await), ["from red"]);
    red.api().until_backlog("blue", 0).await;

    let (code, report) = add(&red, "blue", "http://127.0.0.1:1").await;
    assert_eq!((code, &report["code"]), (Some(1), &"ALREADY_LISTED".into()), "{report}");
    assert!(report["error"].as_str().is_some_and(|words| words.contains("conf.d/peer-blue.toml")), "{report}");
    let said = works(&red, &["peer", "remove", "blue"]).await;
    assert!(said.contains("blue is no peer") && said.contains("The gateway sends nothing to it any more"), "{said}");
    assert!(!file_of(&red, "blue").exists());
    let (code, _, why) = operate(&red, &["peer", "show", "blue"]).await;
    assert!(code == Some(2) && why.contains("blue is not a peer"), "{why}");
}

#[tokio::test]
async fn refused_peer_file_is_taken_back() {
    let mut red = GatewayProcess::new("red");
    red.start().await;
    let file = file_of(&red, "blue");
    let (code, report) = add(&red, "blue", "ftp://10.0.0.2").await;
    assert_eq!((code, &report["code"]), (Some(1), &"CONFIGURATION".into()), "{report}");
    assert!(report["error"].as_str().is_some_and(|words| words.contains("blue was not listed")), "{report}");
    assert!(!file.exists(), "the check refuses it");

    // Only the gateway looks at its signing keys.
    let keys = red.folder().join("data/keys");
    let away = red.folder().join("data/away");
    std::fs::rename(&keys, &away).expect("it is there");
    std::fs::create_dir(&keys).expect("a folder");
    std::fs::set_permissions(&keys, std::fs::metadata(&away).expect("it is there").permissions()).expect("it is ours");
    let (code, report) = add(&red, "blue", "https://10.0.0.2:9880").await;
    assert_eq!((code, &report["code"]), (Some(1), &"CONFIGURATION".into()), "{report}");
    assert!(
        report["error"].as_str().is_some_and(|words| words.contains("the folder of signing keys is empty")),
        "{report}"
    );
    assert!(!file.exists(), "the reload refuses it");

    let (code, _, why) = operate(&red, &["peer", "add", "blue"]).await;
    assert!(code == Some(2) && why.contains("--fingerprint") && why.contains("--key"), "{why}");
    let (code, _, why) = operate(&red, &["peer", "add", "x.bad.example", "--auth", "mtls"]).await;
    assert!(code == Some(1) && why.contains("federation.deny"), "{why}");
    assert!(!red.folder().join("conf.d/peer-x.bad.example.toml").exists());
}

#[tokio::test]
async fn backlog_of_removed_peer_asks() {
    let mut red = GatewayProcess::new("red");
    red.peer("green", "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.2/32\"]");
    red.start().await;
    let (code, report) = add(&red, "blue", "http://127.0.0.1:1").await;
    assert_eq!(code, Some(0), "{report}");
    red.api().say("m-1", "blue", "text").await;
    let (code, printed, why) = operate(&red, &["peer", "remove", "blue"]).await;
    assert_eq!((code, printed.as_str()), (Some(2), ""), "{why}");
    assert!(why.contains("the queue of blue has 1 item") && why.contains("add --yes"), "{why}");
    assert!(file_of(&red, "blue").exists());

    let config = red.configured();
    let mut asked = TerminalProcess::start(fernpost().args(["peer", "remove", "blue", "--config"]).arg(&config));
    asked.shows("Remove blue? [y/N] ", 1);
    asked.types("n\n");
    assert_eq!(asked.child.wait().expect("a child of ours").code(), Some(2));
    assert!(file_of(&red, "blue").exists());
    let mut asked = TerminalProcess::start(fernpost().args(["peer", "remove", "blue", "--config"]).arg(&config));
    asked.shows("Remove blue? [y/N] ", 1);
    asked.types("y\n");
    assert_eq!(asked.child.wait().expect("a child of ours").code(), Some(0));
    assert!(!file_of(&red, "blue").exists());
    let peer = json(&red, &["peer", "show", "blue"]).await;
    assert_eq!((&peer["reason"], &peer["backlog"]), (&"not_listed".into(), &1.into()), "{peer}");

    // The section of another file is never changed.
    let before = std::fs::read(&config).expect("it is there");
    let (code, _, why) = operate(&red, &["peer", "remove", "green", "--yes"]).await;
    assert!(code == Some(1) && why.contains("green is listed by") && why.contains("fernpost.toml"), "{why}");
    assert_eq!(std::fs::read(&config).expect("it is there"), before);
    red.kill();
    assert_eq!(add(&red, "blue", "http://127.0.0.1:1").await.1["reloaded"], false);
    let (code, _, why) = operate(&red, &["peer", "remove", "blue"]).await;
    assert!(code == Some(2) && why.contains("no gateway runs"), "{why}");
    works(&red, &["peer", "remove", "blue", "--yes"]).await;
    let (code, _, why) = operate(&red, &["peer", "remove", "blue", "--yes"]).await;
    assert!(code == Some(1) && why.contains("blue is not listed"), "{why}");
}

#[tokio::test]
async fn peer_show_names_value_origins() {
    let mut red = GatewayProcess::new("red");
    red.edit(|text| format!("{text}[peers.default]\nkeep = \"9d\"\n[peers.pattern.\"b*\"]\nintake_max = 7\n"));
    red.peer("blue", "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.2/32\"]\nretain = \"1d\"");
    red.start().await;
    let origins = json(&red, &["peer", "show", "blue"]).await["origins"].take();
    let of = |key: &str| origins[key].as_str().unwrap_or_else(|| panic!("{key}: {origins}")).to_owned();
    assert!(of("keep").starts_with("peers.default (fernpost.toml, line "), "{origins}");
    assert!(of("intake_max").starts_with("pattern \"b*\" (fernpost.toml, line "), "{origins}");
    assert!(of("retain").starts_with("fernpost.toml, line "), "{origins}");
    assert_eq!((of("jitter"), of("auth").starts_with("fernpost.toml, line ")), ("default".to_owned(), true));
    let shown = works(&red, &["peer", "show", "blue"]).await;
    let line = shown.lines().find(|line| line.starts_with("    keep ")).expect("a line");
    assert!(line.contains(" 9d ") && line.contains("peers.default (fernpost.toml, line "), "{line}");

    // A section that is taken out of the file stays in force until the reload.
    red.edit(|text| text.replace("retain = \"1d\"\n", ""));
    let origins = json(&red, &["peer", "show", "blue"]).await["origins"].take();
    assert_eq!(origins["retain"], "peers.server.\"blue\"", "{origins}");
    works(&red, &["reload"]).await;
    assert_eq!(json(&red, &["peer", "show", "blue"]).await["origins"]["retain"], "default");
}
