//! Commands that follow a running gateway: `events tail`, `peer watch` and `top`.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;
use crate::fixtures::terminal::TerminalProcess;

/// A command that prints lines until it is dropped.
struct Follower {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Follower {
    fn start(gateway: &GatewayProcess, words: &[&str]) -> Self {
        let mut command = follow(gateway, words);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines: Some(lines) }
    }

    /// Waits for the next line.
    async fn line(&mut self) -> String {
        let mut lines = self.lines.take().expect("one reader at a time");
        let (line, lines) = tokio::task::spawn_blocking(move || (lines.next(), lines)).await.expect("no panic");
        self.lines = Some(lines);
        line.expect("it goes on").expect("text")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(gateway: &GatewayProcess, words: &[&str]) -> Command {
    let mut command = fernpost();
    command.args(words).arg("--config").arg(gateway.configured());
    command
}

async fn run(gateway: &GatewayProcess, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = follow(gateway, words);
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts")).await;
    let output = output.expect("no panic");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn events_tail_reads_without_moving() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    blue.start().await;
    let mut tail = Follower::start(&red, &["events", "tail", "--from", "1", "--json"]);
    for n in 1..=3 {
        blue.api().say(&format!("m-{n}"), "red", "one\u{1b}[2Jtwo").await;
    }
    for n in 1..=3 {
        let event: Value = serde_json::from_str(&tail.line().await).expect("one event a line");
        assert_eq!((&event["position"], &event["kind"]), (&n.into(), &"update".into()), "{event}");
    }
    let (code, shown, _) = run(&red, &["events", "tail", "--from", "2", "--limit", "2"]).await;
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!((code, lines.len()), (Some(0), 2), "{shown}");
    assert!(lines[0].starts_with("      2  20") && lines[0].contains("  update "), "{shown}");
    assert!(lines[0].contains("from=blue") && lines[0].contains("\\u001b[2J") && !shown.contains('\u{1b}'), "{shown}");
    let (_, shown, _) =
        run(&red, &["events", "tail", "--from", "1", "--kind", "update", "--limit", "3", "--json"]).await;
    assert_eq!(shown.lines().count(), 3, "{shown}");
    // The messenger still reads everything.
    let page = red.api().get("/v1/events").await;
    assert_eq!(page["events"].as_array().map(Vec::len), Some(3), "{page}");
    let (code, shown, words) = run(&red, &["events", "tail", "--from", "900", "--json"]).await;
    assert_eq!((code, shown.as_str()), (Some(2), ""));
    assert!(words.contains("BEYOND_TAIL"), "{words}");
}

#[tokio::test]
async fn peer_watch_prints_state_changes() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    blue.start().await;
    let mut watch = Follower::start(&red, &["peer", "watch", "blue", "--json"]);
    let first: Value = serde_json::from_str(&watch.line().await).expect("JSON");
    assert_eq!((&first["server"], &first["to"], &first["from"]), (&"blue".into(), &"idle".into(), &Value::Null));
    let mut all = Follower::start(&red, &["peer", "watch"]);
    run(&red, &["peer", "suspend", "blue"]).await;
    let next: Value = serde_json::from_str(&watch.line().await).expect("JSON");
    assert_eq!((&next["from"], &next["to"], &next["reason"]), (&"idle".into(), &"suspended".into(), &"admin".into()));
    let line = all.line().await;
    assert!(line.starts_with("20") && line.ends_with("suspended (admin)"), "{line}");
    run(&red, &["peer", "resume", "blue"]).await;
    let line = all.line().await;
    assert!(line.contains("  blue  suspended (admin) -> "), "{line}");
    let (code, _, words) = run(&red, &["peer", "watch", "bleu"]).await;
    assert_eq!(code, Some(2));
    assert!(words.contains("did you mean blue?"), "{words}");
}

#[tokio::test]
async fn top_shows_gateway_and_quits() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.start().await;
    red.api().say("m-1", "blue", "hello").await;
    run(&red, &["peer", "suspend", "blue"]).await;
    let (code, shown, _) = run(&red, &["top", "--json"]).await;
    let answers: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((code, &answers["status"]["server"]), (Some(0), &"red".into()), "{shown}");
    assert_eq!(answers["flow"]["minutes"].as_array().map(Vec::len), Some(60), "{shown}");
    let (code, _, words) = run(&red, &["top"]).await;
    assert_eq!(code, Some(2));
    assert!(words.contains("needs a terminal"), "{words}");

    let screen = |red: &GatewayProcess| {
        let mut command = follow(red, &["top", "--every", "200ms"]);
        let mut screen = TerminalProcess::start_in(&mut command, (80, 24));
        // Spaces may be moves of the cursor, so single words are waited for.
        screen.shows("order:", 1);
        assert!(screen.edits() && screen.screen().contains("\u{1b}[?1049h"), "{}", screen.screen());
        screen
    };
    let mut shown = screen(&red);
    shown.shows("operator;", 1);
    shown.shows("resume", 1);
    shown.types("n");
    shown.types("q");
    assert_eq!(shown.child.wait().expect("a child of ours").code(), Some(0));
    assert!(!shown.edits(), "the terminal is as before");

    for signal in ["INT", "TERM"] {
        let mut shown = screen(&red);
        let sent = Command::new("kill").args([&format!("-{signal}"), &shown.child.id().to_string()]).status();
        assert!(sent.expect("a signal").success());
        assert_eq!(shown.child.wait().expect("a child of ours").code(), Some(0), "{signal}");
        assert!(!shown.edits(), "{signal}: the terminal is as before");
        shown.shows("\u{1b}[?1049l", 1);
    }
}
