//! Limits that change while the gateway runs.

use std::time::Duration;

use ::fixtures::clients::messenger_client::submission;
use reqwest::Method;
use serde_json::json;

use super::reloaded;
use crate::fixtures::node::GatewayProcess;

#[tokio::test]
async fn changed_limits_take_effect() {
    let (mut red, blue) = GatewayProcess::pair("");
    red.peer_section(
        "green",
        &format!("auth = \"network\"\naddresses = [\"http://{}\"]\nallow_from = [\"10.0.0.0/8\"]", blue.admin),
    );
    red.start().await;
    let body = submission(&["green"], &["a text of more than ten bytes"]);
    let say = async |red: &GatewayProcess, id: &str| {
        red.api().call(Method::PUT, &format!("/v1/updates/{id}"), &body).await.expect("an answer").0
    };
    let join = async |red: &GatewayProcess, context: &str| {
        let body = json!({ "servers": ["blue", "green"] }).to_string();
        red.api().call(Method::PUT, &format!("/v1/contexts/{context}"), &body).await.expect("an answer").0
    };
    assert_eq!((say(&red, "1").await, join(&red, "a").await), (202, 200));

    let wide = red.edit(|text| format!("{text}batch_bytes = \"10B\"\n[contexts]\nparticipants_max = 1\n"));
    assert_eq!(reloaded(&red).await.0, ["contexts.participants_max", "peers.server.\"green\".batch_bytes"]);
    assert_eq!((say(&red, "2").await, join(&red, "b").await), (413, 422));
    assert_eq!(say(&red, "1").await, 202, "a repeat of what was accepted");

    red.edit(|_| wide);
    reloaded(&red).await;
    assert_eq!((say(&red, "2").await, join(&red, "b").await), (202, 200));
}

/// A read that waits is answered, and the time of the next attempt stays.
#[tokio::test]
async fn waiting_read_and_timer_survive() {
    let (mut red, mut blue) = GatewayProcess::pair("backoff_min = \"10m\"");
    let green = GatewayProcess::new("green");
    red.know(&green, "backoff_min = \"10m\"");
    red.start().await;
    blue.start().await;
    red.api().say("1", "green", "nobody is there").await;
    red.api().until_state("1", "green", "queued").await;
    let next = async || red_next(&red).await;
    let before = next().await;

    let api = red.api();
    let (begun, waits) = tokio::sync::oneshot::channel();
    let read = tokio::spawn(async move {
        begun.send(()).expect("it is waited for");
        api.call(Method::GET, "/v1/events?after=0&wait=30", "").await
    });
    waits.await.expect("it begins");
    // A connection that is open before the reload is used again after it.
    blue.api().get("/v1/peers").await;
    red.edit(|text| {
        format!("{text}rate = 100\n[contexts]\nidle = \"5m\"\n[network]\nrequests_max = 64\nanswer_max = \"2MiB\"\n")
    });
    let changed = ["contexts.idle", "network.answer_max", "network.requests_max", "peers.server.\"green\".rate"];
    assert_eq!(reloaded(&red).await.0, changed);
    assert!(!read.is_finished(), "it still waits");
    assert_eq!(red_next(&red).await, before, "the timer runs on");
    blue.api().say("2", "red", "an event").await;
    let (status, page) = read.await.expect("it ran").expect("the connection stays");
    assert_eq!((status, &page["events"][0]["update"]["text"]), (200, &"an event".into()), "{page}");
}

/// Returns the time of red's next attempt at green, once there is one.
async fn red_next(red: &GatewayProcess) -> String {
    loop {
        let peer = red.api().get("/v1/peers/green").await;
        if let Some(next) = peer["next_attempt"].as_str() {
            return next.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
