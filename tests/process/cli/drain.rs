//! `fernpost peer drain`: what it waits for, and when it gives up.

use std::process::Output;
use std::time::Duration;

use ::fixtures::clients::http_caller::HttpCaller;
use serde_json::{Value, json};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::{fernpost, soon};

/// Runs `peer drain`; returns the exit code, and what is printed.
async fn drain(node: &GatewayProcess, name: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut command = fernpost();
    command.args(["peer", "drain", name]).args(more).arg("--config").arg(node.configured());
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts")).await;
    let Output { status, stdout, stderr } = output.expect("no panic");
    (status.code(), String::from_utf8([stdout, stderr].concat()).expect("text"))
}

/// Returns what is left for blue.
async fn left(red: &GatewayProcess) -> Value {
    let left = HttpCaller::at(red.admin).get("/admin/v1/peers/blue/drain").await;
    json!([left["queued"], left["relayed"], left["receipts_awaited"], left["drained"]])
}

#[tokio::test]
async fn drain_waits_for_queue_and_receipts() {
    let (mut red, mut blue) = GatewayProcess::pair("receipts = true\nbackoff_max = \"1s\"");
    red.start().await;
    let update = |receipt: bool| json!({"to": ["blue"], "strong": [{}], "receipt": receipt}).to_string();
    red.api().submit("updates/u-1", &update(true)).await;
    red.api().submit("updates/u-2", &update(false)).await;
    let (code, said) = drain(&red, "blue", &["--for", "100ms"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not drained in time; left: 2 items queued"), "{said}");
    blue.start().await;
    red.api().until_state("u-2", "blue", "acknowledged").await;
    assert_eq!(left(&red).await, json!([0, 0, 1, false]), "the other one has not asked");
    let (code, said) = drain(&red, "blue", &["--for", "100ms", "--json"]).await;
    let failure: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &failure["code"]), (Some(1), &json!("NOT_DRAINED")), "{said}");
    assert!(said.contains("left: 1 receipt awaited"), "{said}");
    let waits = drain(&red, "blue", &["--json"]);
    let read = async {
        blue.api().hear(2).await;
        blue.api().acknowledge(2).await;
    };
    let ((code, said), ()) = soon("the receipt", async { tokio::join!(waits, read) }).await;
    let end: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &end["drained"], &end["state"]), (Some(0), &json!(true), &json!("idle")), "{said}");
    assert_eq!(drain(&red, "blue", &[]).await, (Some(0), "blue has everything\n".to_owned()));
}

#[tokio::test]
async fn drain_of_suspended_peer_ends() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.start().await;
    let operator = HttpCaller::at(red.admin);
    operator.call_expecting(200, reqwest::Method::POST, "/admin/v1/peers/blue/suspend", "").await;
    assert_eq!(drain(&red, "blue", &[]).await.0, Some(0), "there is nothing to send");
    red.api().submit("updates/u-1", r#"{"to":["blue"],"strong":[{}],"receipt":true}"#).await;
    let (code, said) = soon("an end", drain(&red, "blue", &[])).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("blue is suspended (admin), so nothing is sent to it; left: 1 item queued"), "{said}");
    let (code, said) = drain(&red, "pink", &[]).await;
    assert_eq!(code, Some(2), "{said}");
}

/// Without receipts on our side none will come, so none is waited for.
#[tokio::test]
async fn drain_awaits_no_impossible_receipt() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    blue.start().await;
    red.api().submit("updates/u-1", r#"{"to":["blue"],"strong":[{}],"receipt":true}"#).await;
    let ended = tokio::time::timeout(Duration::from_secs(60), drain(&red, "blue", &[])).await.expect("an end");
    assert_eq!(ended, (Some(0), "blue has everything\n".to_owned()));
}
