//! Receipts between two gateway processes: what the messenger of one acknowledges is told to the author at the other.

use std::time::Duration;

use ::fixtures::clients::http_caller::HttpCaller;
use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver, ReceivedCall};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;

/// Interval of checks of a state that no call waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Time in which a receipt would have come.
const QUIET: Duration = Duration::from_millis(1_500);

/// Red and blue, which tell each other.
async fn pair(more: &str) -> (GatewayProcess, GatewayProcess) {
    let (mut red, mut blue) = GatewayProcess::pair(&format!("receipts = true\nbackoff_max = \"1s\"\n{more}"));
    red.start().await;
    blue.start().await;
    (red, blue)
}

/// Returns the state of a submission of red's at blue.
async fn state(red: &GatewayProcess, id: &str) -> Value {
    red.api().get(&format!("/v1/messages/{id}")).await["peers"]["blue"]["state"].clone()
}

/// Waits until red's feed has a delivery event of this submission, and returns it.
async fn delivery(red: &GatewayProcess, id: &str) -> Value {
    let told = async {
        loop {
            let page = red.api().get("/v1/events?after=0&limit=1000").await;
            let events = page["events"].as_array().expect("a list").clone();
            if let Some(event) = events.into_iter().find(|event| event["message"] == id) {
                return event;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    soon("the delivery event", told).await
}

/// Returns the number of receipts with this result, from the metrics.
async fn counted(gateway: &GatewayProcess, result: &str) -> u64 {
    let text = reqwest::get(format!("http://{}/metrics", gateway.admin)).await.expect("an answer");
    let text = text.text().await.expect("a text");
    let wanted = format!("fernpost_receipts_total{{result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&wanted)).map_or(0, |count| count.parse().expect("a number"))
}

/// Sends updates and messages by both dialects, and acknowledges them one after the other.
async fn receipts_follow(dialect: &str) {
    let (red, blue) = pair(&format!("dialect = \"{dialect}\"")).await;
    let api = red.api();
    api.set_participants("#room", &["blue"]).await;
    blue.api().set_participants("#room", &["red"]).await;
    for n in 1..=3 {
        api.say_in("#room", &format!("m-{n}"), "hello").await;
    }
    api.submit(
        "messages/m-4",
        &json!({"context":"#room","type":"m.text","content":{"body":"x"},"receipt":true}).to_string(),
    )
    .await;
    blue.api().hear(4).await;
    api.until_state("m-4", "blue", "acknowledged").await;
    tokio::time::sleep(QUIET).await;
    for n in 1..=4 {
        assert_eq!(state(&red, &format!("m-{n}")).await, "acknowledged", "nothing is told before the messenger has it");
    }
    blue.api().acknowledge(2).await;
    api.until_state("m-2", "blue", "delivered").await;
    assert_eq!(state(&red, "m-1").await, "delivered");
    tokio::time::sleep(QUIET).await;
    assert_eq!(state(&red, "m-3").await, "acknowledged");
    blue.api().acknowledge(4).await;
    api.until_state("m-4", "blue", "delivered").await;
    let event = delivery(&red, "m-4").await;
    assert_eq!(
        (&event["kind"], &event["server"], &event["state"]),
        (&json!("delivery"), &json!("blue"), &json!("delivered"))
    );
    let page = red.api().get("/v1/events?after=0&limit=1000").await;
    let told = page["events"].as_array().expect("a list").iter().filter(|event| event["kind"] == "delivery").count();
    assert_eq!(told, 1, "the others did not ask: {page}");
    assert_eq!(counted(&red, "delivered").await, 4);
    assert!(counted(&blue, "told").await >= 1);
}

#[tokio::test]
async fn receipts_follow_acknowledgement_of_messenger() {
    receipts_follow("updates").await;
}

#[tokio::test]
async fn receipts_travel_in_transactions() {
    receipts_follow("transactions").await;
}

#[tokio::test]
async fn plain_updates_have_receipts() {
    let (red, blue) = pair("").await;
    red.api().submit("updates/u-1", r#"{"to":["blue"],"strong":[{"n":1},{"n":2}],"receipt":true}"#).await;
    red.api().say("u-2", "blue", "later").await;
    blue.api().hear(3).await;
    blue.api().acknowledge(1).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(state(&red, "u-1").await, "acknowledged", "half of it is not enough");
    blue.api().acknowledge(2).await;
    assert_eq!(delivery(&red, "u-1").await["state"], "delivered");
    assert_eq!(state(&red, "u-1").await, "delivered");
    assert_eq!(state(&red, "u-2").await, "acknowledged");
    let odd = r#"{"to":["blue"],"strong":[{}],"receipt":"yes"}"#;
    let (status, answer) = red.api().call(Method::PUT, "/v1/updates/u-3", odd).await.expect("an answer");
    assert_eq!((status, &answer["code"]), (422, &json!("BAD_RECEIPT")));
}

/// Receipts that a crash came before are told after the start.
#[tokio::test]
async fn receipts_survive_crashes_of_both() {
    let (mut red, mut blue) = pair("").await;
    red.api().set_participants("#room", &["blue"]).await;
    blue.api().set_participants("#room", &["red"]).await;
    red.api().say_in("#room", "m-1", "hello").await;
    red.api().say("u-1", "blue", "hello").await;
    blue.api().hear(2).await;
    red.api().until_state("u-1", "blue", "acknowledged").await;
    red.kill();
    blue.api().acknowledge(2).await;
    // The acknowledgement rides with the commit of this submission; a kill before a commit would take it back.
    blue.api().say("b-1", "red", "read").await;
    blue.kill();
    blue.start().await;
    red.start().await;
    for id in ["m-1", "u-1"] {
        red.api().until_state(id, "blue", "delivered").await;
    }
    red.kill();
    red.start().await;
    assert_eq!(state(&red, "m-1").await, "delivered", "it is on disk");
}

#[tokio::test]
async fn refusal_of_messenger_reaches_author() {
    let refuse = |call: &ReceivedCall| match call.is_transaction() && call.body.contains("bad") {
        true => {
            let bad = call.events().into_iter().filter(|event| event.to_string().contains("bad"));
            let refused: Vec<Value> =
                bad.map(|event| json!({"position": event["position"], "reason": "who?"})).collect();
            MessengerReply::Status(200, json!({ "refused": refused }).to_string())
        }
        false => MessengerReply::taken(),
    };
    let mut messenger = PushReceiver::answering(refuse);
    let url = format!("messenger.push.url=http://{}", messenger.listen().await);
    let (mut red, mut blue) = GatewayProcess::pair("receipts = true");
    red.start().await;
    blue.start_with(&[url.as_str()]).await;
    red.api().say("u-1", "blue", "good").await;
    red.api().say("u-2", "blue", "bad").await;
    red.api().say("u-3", "blue", "good").await;
    let event = delivery(&red, "u-2").await;
    assert_eq!((&event["state"], &event["reason"]), (&json!("rejected"), &json!("who?")));
    assert_eq!(state(&red, "u-2").await, "rejected");
    for id in ["u-1", "u-3"] {
        red.api().until_state(id, "blue", "delivered").await;
    }
    assert_eq!(counted(&red, "rejected").await, 1);
    let letters = HttpCaller::at(red.admin).get("/admin/v1/quarantine").await;
    assert!(letters.to_string().contains("REJECTED_BY_MESSENGER"), "{letters}");
}

/// Without the key on both sides nobody is told anything.
#[tokio::test]
async fn receipts_need_both_sides() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start_with(&["peers.default.receipts=true"]).await;
    blue.start().await;
    red.api().say("u-1", "blue", "hello").await;
    blue.api().hear(1).await;
    blue.api().acknowledge(1).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(state(&red, "u-1").await, "acknowledged");
    assert_eq!((counted(&red, "delivered").await, counted(&blue, "told").await), (0, 0));
}
