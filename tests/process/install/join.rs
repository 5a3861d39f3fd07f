//! `fernpost join-token`: two operators connect their servers by one line each.

use std::io::Write;
use std::process::Stdio;

use ::fixtures::clients::messenger_client::texts;
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;
use crate::tls::authority::{FileAuthority, LeafKind};

/// Returns the line of a gateway that is reached by HTTP.
fn line_of(node: &GatewayProcess, arguments: &[&str]) -> String {
    line_at(&format!("http://{}", node.federation), node, arguments)
}

/// Returns the line of a gateway with this address in it.
fn line_at(address: &str, node: &GatewayProcess, arguments: &[&str]) -> String {
    let mut command = fernpost();
    command.args(["join-token", "new", "--address", address, "--config"]).arg(node.configured()).args(arguments);
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let line = String::from_utf8(output.stdout).expect("text");
    assert_eq!(line.lines().count(), 1, "{line}");
    line.trim_end().to_owned()
}

/// Uses a line at a gateway, and returns the exit code and the JSON from stdout or stderr.
fn take(node: &GatewayProcess, line: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = fernpost();
    command.args(["join-token", "use", "--json", "--config"]).arg(node.configured()).args(arguments).arg(line);
    let output = command.output().expect("it runs");
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    (
        output.status.code(),
        serde_json::from_slice(&text).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&text))),
    )
}

/// Two gateways that know nobody.
async fn strangers() -> (GatewayProcess, GatewayProcess) {
    let (mut red, mut blue) = (GatewayProcess::new("red"), GatewayProcess::new("blue"));
    red.start().await;
    blue.start().await;
    (red, blue)
}

#[tokio::test]
async fn two_lines_connect_two_gateways() {
    let (red, blue) = strangers().await;
    let (code, report) = take(&blue, &line_of(&red, &[]), &[]);
    assert_eq!((code, &report["state"], &report["reloaded"]), (Some(0), &"half".into(), &true.into()), "{report}");
    let file = report["file"].as_str().expect("it was written").to_owned();
    assert!(file.ends_with("conf.d/peer-red.toml"), "{file}");
    let (code, report) = take(&red, &line_of(&blue, &[]), &[]);
    assert_eq!((code, &report["state"]), (Some(0), &"connected".into()), "{report}");

    // Both are in force without a restart.
    blue.api().say("m-1", "red", "from blue").await;
    red.api().say("m-1", "blue", "from red").await;
    for (gateway, text) in [(&red, "from blue"), (&blue, "from red")] {
        let events = gateway.api().hear(1).await;
        assert_eq!((texts(&events), &events[0]["verified"]), (vec![text], &"signature".into()));
    }

    // The same line again changes nothing and checks the connection.
    let before = std::fs::read(&file).expect("it is there");
    let (code, report) = take(&blue, &line_of(&red, &[]), &[]);
    assert_eq!((code, &report["state"], &report["file"]), (Some(0), &"connected".into(), &Value::Null), "{report}");
    assert_eq!(std::fs::read(&file).expect("it is there"), before);
}

/// The certificates have issuers that nobody trusts: the fingerprints in the lines are enough.
#[tokio::test]
async fn pinned_certificates_connect_two_gateways() {
    let [mut red, mut blue] = ["red", "blue"].map(|name| {
        let mut gateway = GatewayProcess::new(name);
        let pair = FileAuthority::new().issue(gateway.folder(), "own", &[name], LeafKind::Usual);
        gateway.tls("federation", &pair.cert, &pair.key);
        gateway
    });
    red.start().await;
    blue.start().await;
    let line = |node: &GatewayProcess| line_at(&format!("https://{}", node.federation), node, &["--auth", "mtls"]);
    let (code, report) = take(&blue, &line(&red), &[]);
    assert_eq!((code, &report["state"]), (Some(0), &"half".into()), "{report}");
    let (code, report) = take(&red, &line(&blue), &[]);
    assert_eq!((code, &report["state"]), (Some(0), &"connected".into()), "{report}");
    blue.api().say("m-1", "red", "from blue").await;
    let events = red.api().hear(1).await;
    assert_eq!((texts(&events), &events[0]["verified"]), (vec!["from blue"], &"mtls".into()));

    let plain = GatewayProcess::new("green");
    let (code, report) = take(&plain, &line(&red), &[]);
    assert_eq!((code, &report["code"]), (Some(1), &"NO_CERTIFICATE".into()), "{report}");
}

#[tokio::test]
async fn words_say_next_step() {
    let (red, blue) = (GatewayProcess::new("red"), GatewayProcess::new("blue"));
    for node in [&red, &blue] {
        let made = fernpost().args(["keys", "new", "--config"]).arg(node.configured()).output().expect("it runs");
        assert!(made.status.success());
    }
    let mut command = fernpost();
    command.args(["join-token", "use", "--config"]).arg(blue.configured()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let line = line_of(&red, &[]);
    let (head, tail) = line.split_at(60);
    let broken = format!("> {head}\n  {tail}\n").replace("> ", "");
    child.stdin.take().expect("piped").write_all(broken.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1), "nobody runs: {said}");
    for words in
        ["red is listed in", "No gateway runs; start it with", "red is not reached", "What to do", "peer explain red"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test]
async fn unfit_lines_are_refused_by_name() {
    let (red, blue) = strangers().await;
    let line = line_of(&red, &[]);
    let refused = |node: &GatewayProcess, line: &str, code: &str, names: &[&str]| {
        let (exit, report) = take(node, line, &[]);
        assert_eq!((exit, &report["code"]), (Some(1), &code.into()), "{report}");
        let words = report["error"].as_str().expect("words");
        assert!(names.iter().all(|name| words.contains(name)), "{words}");
    };
    refused(&red, &line, "OWN_NAME", &["red", "this server"]);
    refused(&blue, &line_of(&red, &["--valid", "1ms"]), "TOKEN_EXPIRED", &["red", "expired at"]);
    let (signed, _) = line.split_once('.').expect("two parts");
    let (_, signature) =
        line_of(&blue, &[]).split_once('.').map(|(one, other)| (one.to_owned(), other.to_owned())).expect("two parts");
    refused(&blue, &format!("{signed}.{signature}"), "BAD_SIGNATURE", &["red", "was changed"]);
    refused(&blue, &line[..line.len() - 9], "BAD_TOKEN", &["cut off"]);
    refused(&blue, "hello", "BAD_TOKEN", &["does not begin with"]);
    let bad = GatewayProcess::new("x.bad.example");
    let made = fernpost().args(["keys", "new", "--config"]).arg(bad.configured()).output().expect("it runs");
    assert!(made.status.success());
    refused(&blue, &line_of(&bad, &[]), "DENIED", &["x.bad.example", "federation.deny"]);
    assert!(!blue.folder().join("conf.d").exists(), "nothing was written");
}

#[tokio::test]
async fn other_keys_need_confirmation() {
    let (red, blue) = strangers().await;
    assert_eq!(take(&blue, &line_of(&red, &[]), &[]).0, Some(0));
    let file = blue.folder().join("conf.d/peer-red.toml");
    let before = std::fs::read_to_string(&file).expect("it is there");
    let impostor = GatewayProcess::new("red");
    let made = fernpost().args(["keys", "new", "--config"]).arg(impostor.configured()).output().expect("it runs");
    assert!(made.status.success());
    let line = line_of(&impostor, &[]);
    let (code, report) = take(&blue, &line, &[]);
    assert_eq!((code, &report["code"]), (Some(1), &"OTHER_KEYS".into()), "{report}");
    assert!(report["error"].as_str().is_some_and(|words| words.contains("red is listed already")), "{report}");
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), before);
    let (code, report) = take(&blue, &line, &["--replace"]);
    assert_eq!((code, &report["state"]), (Some(1), &"unreached".into()), "nobody runs there: {report}");
    assert_ne!(std::fs::read_to_string(&file).expect("it is there"), before);
}
