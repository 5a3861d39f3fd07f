//! Events that the messenger refuses: what operators see of them, and how they are pushed again.

use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver, ReceivedCall};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixtures::process::fernpost;
use crate::push::{PushingPair, listening};

impl PushingPair {
    /// Runs `fernpost quarantine` for blue; returns its exit code and what it printed.
    async fn quarantine(&self, words: &[&str]) -> (Option<i32>, String) {
        let mut command = fernpost();
        command.arg("quarantine").args(words).arg("--config").arg(self.blue.configured());
        let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts")).await;
        let output = output.expect("no panic");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(printed).expect("text"))
    }

    async fn admin_text(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.blue.admin)).await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    async fn health(&self) -> (u16, Value) {
        let (status, text) = self.admin_text("/health/ready").await;
        (status, serde_json::from_str(&text).expect("JSON"))
    }
}

fn refusing(positions: &'static [u64]) -> impl FnMut(&ReceivedCall) -> MessengerReply + Send {
    move |call| {
        let found = |position: &u64| positions.contains(position);
        let refused: Vec<u64> = match call.is_transaction() {
            true => call.positions().into_iter().filter(found).collect(),
            false => vec![],
        };
        let refused: Vec<Value> = refused.iter().map(|at| json!({ "position": at, "reason": "who?" })).collect();
        MessengerReply::Status(200, json!({ "refused": refused }).to_string())
    }
}

#[tokio::test]
async fn released_event_is_pushed_last() {
    let (receiver, address) = listening(PushReceiver::answering(refusing(&[2, 3]))).await;
    let pair = PushingPair::start(address, &[]).await;
    pair.say(1, 4).await;
    receiver.acknowledged(4).await;
    pair.nothing_unread().await;
    let (code, printed) = pair.quarantine(&["list", "--messenger", "--json"]).await;
    let list: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((code, list["items"].as_array().map(Vec::len)), (Some(0), Some(2)), "{printed}");
    assert_eq!(
        (&list["items"][0]["reason"], &list["items"][0]["event"]["update"]["text"]),
        (&json!("who?"), &json!("2"))
    );
    let (_, printed) = pair.quarantine(&["list", "--messenger"]).await;
    assert!(printed.contains("red#3") && printed.contains("who?"), "{printed}");

    receiver.answer(|_| MessengerReply::taken());
    assert_eq!(pair.quarantine(&["release", "--messenger", "2"]).await.0, Some(0));
    pair.say(5, 1).await;
    let calls = receiver.acknowledged(5).await;
    let calls = match calls.iter().rev().any(|call| call.body.contains("\"released\":true")) {
        true => calls,
        false => receiver.transactions(calls.len() + 1).await,
    };
    let again = calls.iter().find(|call| call.body.contains("\"released\":true")).expect("it comes again");
    let event = &again.events()[0];
    assert_eq!(
        (&event["position"], &event["update"]["text"], &event["released"]),
        (&json!(2), &json!("2"), &json!(true))
    );
    let (code, printed) = pair.quarantine(&["release", "--messenger", "2"]).await;
    assert!(code == Some(2) && printed.contains("has not refused event 2"), "{printed}");
    assert!(pair.quarantine(&["drop", "--messenger", "all"]).await.1.contains("add --yes"));
    assert_eq!(
        pair.quarantine(&["drop", "--messenger", "all", "--yes"]).await,
        (Some(0), "1 item dropped\n".to_owned())
    );

    let (_, metrics) = pair.admin_text("/metrics").await;
    for line in ["fernpost_push_parked_total 2", "fernpost_push_events_total 4", "fernpost_push_backoff_seconds 0"] {
        assert!(metrics.contains(&format!("\n{line}\n")), "{line}: {metrics}");
    }
    assert!(metrics.contains("fernpost_push_batches_total{result=\"acknowledged\"}"), "{metrics}");
}

#[tokio::test]
async fn refused_events_survive_a_kill() {
    let (receiver, address) = listening(PushReceiver::answering(refusing(&[1]))).await;
    let url = format!("http://{address}");
    let mut pair = PushingPair::start_to(&url, &[]).await;
    pair.say(1, 2).await;
    receiver.acknowledged(2).await;
    pair.nothing_unread().await;
    drop(pair.blue.kill());
    // Without push mode nothing can be pushed again.
    pair.blue.start().await;
    let (code, printed) = pair.quarantine(&["release", "--messenger", "1"]).await;
    assert!(code == Some(2) && printed.contains("push mode is off"), "{printed}");
    drop(pair.blue.kill());
    receiver.answer(|call| match call.is_transaction() {
        true => MessengerReply::status(503),
        false => MessengerReply::taken(),
    });
    pair.start_blue(&url, &[]).await;
    assert_eq!(pair.quarantine(&["release", "--messenger", "all", "--yes"]).await.0, Some(0));
    let before = receiver.transactions(2).await.len();
    drop(pair.blue.kill());
    receiver.answer(refusing(&[1]));
    pair.start_blue(&url, &[]).await;
    let calls = receiver.transactions(before + 1).await;
    assert!(calls.last().is_some_and(|call| call.body.contains("\"released\":true")), "the release is on disk");
    let listed = async { while !pair.quarantine(&["list", "--messenger"]).await.1.contains("who?") {} };
    crate::fixtures::process::soon("it is refused again", listed).await;
}

#[tokio::test]
async fn health_names_state_of_push() {
    let script = |call: &ReceivedCall| MessengerReply::status(if call.is_transaction() { 503 } else { 200 });
    let (receiver, address) = listening(PushReceiver::answering(script)).await;
    let pair = PushingPair::start(address, &["messenger.push.poison_after=1"]).await;
    let (status, health) = pair.health().await;
    assert_eq!(
        (status, &health["messenger"]["state"], &health["messenger"]["unread"]),
        (200, &json!("delivering"), &json!(0))
    );
    pair.say(1, 5).await;
    receiver.transactions(2).await;
    let (status, health) = pair.health().await;
    assert_eq!((status, &health["messenger"]["state"]), (200, &json!("backing_off")), "no illness of the gateway");
    assert!(health["messenger"]["since"].is_string() && health["messenger"]["unread"].as_u64() > Some(0), "{health}");

    receiver.answer(|call| MessengerReply::status(if call.is_transaction() { 500 } else { 200 }));
    let stuck = async {
        loop {
            if let (503, health) = pair.health().await {
                return health;
            }
        }
    };
    let health = crate::fixtures::process::soon("the push is stuck", stuck).await;
    assert_eq!(health["failing"][0]["what"], "push_stuck", "{health}");
    assert!(health["failing"][0]["why"].as_str().is_some_and(|why| why.contains("position 4")), "{health}");
    receiver.answer(|_| MessengerReply::taken());
    pair.blue.api().call(Method::POST, "/v1/ping", "").await.expect("an answer");
    receiver.acknowledged(5).await;
    let ready = async { while pair.health().await.0 != 200 {} };
    crate::fixtures::process::soon("it is ready again", ready).await;
}
