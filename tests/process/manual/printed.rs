//! `fernpost manual`: topics for people, for programs and on a terminal.

use std::process::Output;

use fernpost::admin::manual::TOPICS;
use serde_json::Value;

use crate::fixtures::process::fernpost;
use crate::fixtures::terminal::TerminalProcess;

fn manual(words: &[&str]) -> Output {
    fernpost().arg("manual").args(words).output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn manual_prints_list_and_topics() {
    let list = manual(&[]);
    assert_eq!((list.status.code(), &*list.stderr), (Some(0), &b""[..]));
    for topic in TOPICS {
        let line =
            text(&list.stdout).lines().find(|line| line.split(' ').next() == Some(topic.name)).map(str::to_owned);
        assert!(line.is_some_and(|line| line.ends_with(topic.summary)), "{} is not listed", topic.name);
        let printed = manual(&[topic.name]);
        assert_eq!((printed.status.code(), text(&printed.stdout)), (Some(0), topic.text.to_owned()), "{}", topic.name);
    }
}

#[test]
fn manual_prints_topics_as_json() {
    let list: Value = serde_json::from_slice(&manual(&["--json"]).stdout).expect("JSON");
    let names: Vec<&str> =
        list["topics"].as_array().expect("a list").iter().filter_map(|t| t["name"].as_str()).collect();
    assert_eq!(names, TOPICS.iter().map(|topic| topic.name).collect::<Vec<_>>());
    let topic: Value = serde_json::from_slice(&manual(&["start", "--json"]).stdout).expect("JSON");
    assert!(topic["text"].as_str().is_some_and(|text| text.starts_with("# Five-minute start\n")), "{topic}");
}

#[test]
fn search_finds_codes_in_topics() {
    let found = manual(&["--search", "outbox_full"]);
    assert_eq!(found.status.code(), Some(0));
    let said = text(&found.stdout);
    assert!(
        said.contains("messenger: Errors\n  | `OUTBOX_FULL` | 429 |") && said.contains("trouble: Messages"),
        "{said}"
    );
    let of_topic: Value =
        serde_json::from_slice(&manual(&["trouble", "--search", "OUTBOX_FULL", "--json"]).stdout).expect("JSON");
    let lines = of_topic["lines"].as_array().expect("a list");
    assert!(!lines.is_empty() && lines.iter().all(|line| line["topic"] == "trouble"), "{of_topic}");
    let nothing = manual(&["--search", "no such text anywhere"]);
    assert_eq!((nothing.status.code(), &*nothing.stdout), (Some(1), &b""[..]));
}

#[test]
fn unknown_topic_exits_2() {
    let wrong = manual(&["troubles"]);
    assert_eq!((wrong.status.code(), &*wrong.stdout), (Some(2), &b""[..]));
    assert!(text(&wrong.stderr).contains("did you mean trouble?"), "{}", text(&wrong.stderr));
    let wrong = manual(&["troubles", "--json"]);
    let error: Value = serde_json::from_slice(&wrong.stderr).expect("JSON");
    assert_eq!((wrong.status.code(), &error["code"]), (Some(2), &Value::from("USAGE")));
}

#[test]
fn terminal_shows_headings_bold() {
    let mut shown = TerminalProcess::start(fernpost().args(["manual", "start"]));
    shown.shows("\u{1b}[1m## Two gateways\u{1b}[0m", 1);
    assert_eq!(shown.child.wait().expect("a child of ours").code(), Some(0));
}
