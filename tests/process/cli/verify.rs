//! `fernpost context verify` between two gateways: exit codes, what is printed, and the repair.

use serde_json::{Value, json};

use super::operator::{operate, works};
use crate::fixtures::node::GatewayProcess;

/// Compares the garden with a peer; returns the exit code, and the answer as JSON.
async fn verify(node: &GatewayProcess, with: &str, more: &[&str]) -> (Option<i32>, Value) {
    let words = [&["context", "verify", "#garden", "--with", with, "--json"], more].concat();
    let (code, printed, complaints) = operate(node, &words).await;
    let text = if printed.is_empty() { &complaints } else { &printed };
    (code, serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

#[tokio::test]
async fn verify_finds_and_repairs_loss() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    for node in [&mut red, &mut blue] {
        node.edit(|configuration| format!("{configuration}[contexts.verify]\nsettle = \"0s\"\n"));
        node.start().await;
    }
    red.api().set_participants("#garden", &["blue"]).await;
    blue.api().set_participants("#garden", &["red"]).await;
    for number in 0..3 {
        red.api().say_in("#garden", &format!("m-{number}"), &format!("text {number}")).await;
    }
    blue.api().hear(3).await;
    assert!(
        works(&blue, &["context", "verify", "#garden", "--with", "red"]).await.starts_with("#garden: equal at red\n")
    );
    works(&red, &["peer", "suspend", "blue"]).await;
    red.api().say_in("#garden", "m-lost", "lost").await;
    works(&red, &["message", "drop", "m-lost", "--yes"]).await;
    works(&red, &["peer", "resume", "blue"]).await;

    let (code, answer) = verify(&red, "blue", &[]).await;
    let counts =
        |answer: &Value| json!([answer["result"], answer["missing_here"]["count"], answer["missing_there"]["count"]]);
    assert_eq!((code, counts(&answer)), (Some(1), json!(["differs", 0, 1])), "{answer}");
    assert_eq!((&answer["here"], &answer["there"], &answer["repair"]), (&json!(4), &json!(3), &Value::Null));
    let lost = answer["missing_there"]["pdus"][0].clone();

    let (code, answer) = verify(&blue, "red", &["--no-repair"]).await;
    assert_eq!((code, counts(&answer)), (Some(1), json!(["differs", 1, 0])), "{answer}");
    assert_eq!((&answer["missing_here"]["pdus"], &answer["repair"]), (&json!([lost]), &Value::Null));
    let (code, printed, _) = operate(&blue, &["context", "verify", "#garden", "--with", "red"]).await;
    assert_eq!(code, Some(1), "{printed}");
    for line in [
        "#garden: differs from red",
        "compared      3 here, 4 items there",
        "missing here  1 item: red/",
        "fetched       1 item",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    let events = blue.api().hear(4).await;
    let bodies: Vec<&Value> = events.iter().map(|event| &event["content"]["body"]).collect();
    assert_eq!(bodies, ["text 0", "text 1", "text 2", "lost"], "{events:?}");
    for (node, with) in [(&red, "blue"), (&blue, "red")] {
        let (code, answer) = verify(node, with, &["--window", "1h"]).await;
        assert_eq!((code, &answer["result"], &answer["calls"]), (Some(0), &json!("equal"), &json!(1)), "{answer}");
    }

    let metrics = reqwest::get(format!("http://{}/metrics", blue.admin)).await.expect("it answers");
    let metrics = metrics.text().await.expect("text");
    for line in ["fernpost_verifications_total{result=\"differs\"} 2", "fernpost_verify_repaired_total 1"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }

    let failed = async |node: &GatewayProcess, with: &str, code: &str| {
        let (exit, failure) = verify(node, with, &[]).await;
        assert_eq!((exit, &failure["code"]), (Some(2), &json!(code)), "{failure}");
    };
    failed(&blue, "pink", "UNKNOWN_PEER").await;
    red.api().set_participants("#garden", &[]).await;
    failed(&blue, "red", "PEER_REFUSED").await;
    failed(&red, "blue", "NOT_A_PARTICIPANT").await;
    red.kill();
    failed(&blue, "red", "PEER_UNREACHABLE").await;
    works(&blue, &["peer", "suspend", "red"]).await;
    failed(&blue, "red", "PEER_SUSPENDED").await;
}

/// Calls need no dialect, so servers that exchange transactions compare, too.
#[tokio::test]
async fn servers_with_transactions_compare_too() {
    let (mut red, mut blue) = GatewayProcess::pair("dialect = \"transactions\"");
    for node in [&mut red, &mut blue] {
        node.edit(|configuration| format!("{configuration}[contexts.verify]\nsettle = \"0s\"\n"));
        node.start().await;
    }
    red.api().set_participants("#garden", &["blue"]).await;
    blue.api().set_participants("#garden", &["red"]).await;
    red.api().say_in("#garden", "m-1", "text").await;
    blue.api().hear(1).await;
    let (code, answer) = verify(&blue, "red", &[]).await;
    assert_eq!((code, &answer["here"], &answer["calls"]), (Some(0), &json!(1), &json!(1)), "{answer}");
}
