//! `fernpost message list` and `trace`: submissions by peer, context, state and age, and what came in.

use serde_json::Value;

use crate::cli::operator::{json, operate, works};
use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;
use crate::fixtures::terminal::TerminalProcess;

/// Returns the ids of the submissions that a list with these options has.
async fn listed(node: &GatewayProcess, options: &[&str]) -> Vec<String> {
    let page = json(node, &[&["message", "list"], options].concat()).await;
    let rows = page["messages"].as_array().expect("a list");
    rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn messages_are_listed_by_state() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.peer("grey", "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.2/32\"]");
    red.start().await;
    blue.start().await;
    red.api().set_participants("#garden", &["blue", "grey"]).await;
    red.api().say_in("#garden", "a-context", "text").await;
    red.api().say("b-blue", "blue", "text").await;
    red.api().say("c-grey", "grey", "text").await;
    for id in ["a-context", "b-blue"] {
        red.api().until_state(id, "blue", "acknowledged").await;
    }
    assert_eq!(listed(&red, &[]).await, ["a-context", "b-blue", "c-grey"]);
    assert_eq!(listed(&red, &["--peer", "blue"]).await, ["a-context", "b-blue"]);
    assert_eq!(listed(&red, &["--context", "#garden"]).await, ["a-context"]);
    assert_eq!(listed(&red, &["--state", "queued"]).await, ["a-context", "c-grey"]);
    assert_eq!(listed(&red, &["--state", "queued", "--peer", "blue"]).await, [""; 0]);
    assert_eq!(listed(&red, &["--state", "acknowledged"]).await, ["a-context", "b-blue"]);
    assert_eq!(listed(&red, &["--older-than", "1h"]).await, [""; 0]);
    assert_eq!(listed(&red, &["--older-than", "0s"]).await.len(), 3);
    let page = json(&red, &["message", "list", "--limit", "2"]).await;
    assert_eq!((page["messages"].as_array().map(Vec::len), &page["next"]), (Some(2), &"b-blue".into()), "{page}");
    assert_eq!(listed(&red, &["--after", "b-blue"]).await, ["c-grey"]);
    let row = &page["messages"][0];
    assert_eq!((&row["context"], &row["peers"]["grey"]), (&"#garden".into(), &"queued".into()), "{row}");

    works(&red, &["message", "drop", "c-grey", "--yes"]).await;
    assert_eq!(listed(&red, &["--state", "parked"]).await, ["c-grey"]);
    let shown = works(&red, &["message", "list", "--peer", "grey"]).await;
    assert!(shown.starts_with("ID") && shown.contains("grey parked") && !shown.contains("blue"), "{shown}");
    let (code, _, why) = operate(&red, &["message", "list", "--older-than", "soon"]).await;
    assert!(code == Some(2) && why.contains("\"soon\" is no age"), "{why}");
}

#[tokio::test]
async fn trace_follows_pdus_and_updates() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    blue.start().await;
    for node in [&red, &blue] {
        node.api().set_participants("#garden", &["red", "blue"]).await;
    }
    let pdu = red.api().say_in("#garden", "m-pdu", "text").await;
    red.api().say("m-update", "blue", "text").await;
    let events = blue.api().hear(2).await;
    let position = |id: &str| {
        let event = events.iter().find(|event| event["id"] == id).unwrap_or_else(|| panic!("{id}: {events:?}"));
        event["position"].as_u64().expect("a position")
    };
    let (of_pdu, of_update) = (format!("red/{pdu}"), "red#1".to_owned());

    // The sender's own PDU leads to its submission.
    red.api().until_state("m-pdu", "blue", "acknowledged").await;
    let trace = json(&red, &["message", "trace", &of_pdu]).await;
    assert_eq!((&trace["id"], &trace["peers"]["blue"]["state"]), (&"m-pdu".into(), &"acknowledged".into()), "{trace}");

    let trace = json(&blue, &["message", "trace", &of_pdu]).await;
    let of = |key: &str| trace[key].clone();
    assert_eq!(
        [of("kind"), of("state"), of("from"), of("context")],
        ["pdu", "delivered", "red", "#garden"].map(Value::from)
    );
    assert_eq!((of("position"), of("acknowledged")), (position(&of_pdu).into(), false.into()), "{trace}");
    let trace = json(&blue, &["message", "trace", &of_update]).await;
    assert_eq!((&trace["kind"], &trace["position"]), (&"update".into(), &position(&of_update).into()), "{trace}");
    blue.api().acknowledge(position(&of_pdu).max(position(&of_update))).await;
    for id in [&of_pdu, &of_update] {
        let shown = works(&blue, &["message", "trace", id]).await;
        assert!(shown.contains("acknowledged by the messenger") && shown.contains("from        red"), "{shown}");
    }
    for id in ["red#9", "red#0", "red/none", "nobody#1"] {
        let (code, _, why) = operate(&blue, &["message", "trace", id]).await;
        assert!(code == Some(2) && !why.is_empty(), "{id}: {why}");
    }
}

#[tokio::test]
async fn drop_asks_on_terminal() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.start().await;
    works(&red, &["peer", "suspend", "blue"]).await;
    red.api().say("m-1", "blue", "text").await;
    for (keys, code, left) in [("n\n", 2, 1), ("y\n", 0, 0)] {
        let mut command = fernpost();
        command.args(["message", "drop", "m-1", "--config"]).arg(red.configured());
        let mut asked = TerminalProcess::start(&mut command);
        asked.shows("Do this to m-1? [y/N] ", 1);
        asked.types(keys);
        assert_eq!(asked.child.wait().expect("a child of ours").code(), Some(code));
        let queue = json(&red, &["queue", "show", "blue"]).await;
        assert_eq!(queue["items"].as_array().map(Vec::len), Some(left), "{queue}");
    }
}
