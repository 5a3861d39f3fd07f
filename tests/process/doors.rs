//! Who gets in: the messenger's token.

use reqwest::Method;
use serde_json::Value;

use crate::node::{Api, Node, submission};

#[tokio::test]
async fn the_token_guards_the_messenger_api() {
    let (mut red, _blue) = Node::pair("backoff_min = \"10m\"");
    std::fs::write(red.folder().join("messenger.token"), "open-sesame\n").expect("a writable folder");
    red.start_with(&["messenger.token_file=messenger.token"]).await;
    let body = submission("blue", &["let me in"]);
    let calls = [
        (Method::PUT, "/v1/updates/m-1", body.as_str()),
        (Method::GET, "/v1/messages/m-1", ""),
        (Method::GET, "/v1/events?wait=60", ""),
        (Method::POST, "/v1/events/ack", "{\"upto\":0}"),
        (Method::GET, "/v1/peers", ""),
        (Method::GET, "/v1/peers/blue", ""),
        (Method::GET, "/v1/nothing", ""),
        (Method::DELETE, "/", ""),
    ];
    let wrong = ["", "Bearer", "Bearer open-sesam", "Bearer open-sesame2", "Basic open-sesame", "open-sesame"];
    let strangers = wrong.map(|header| red.api().authorized(header)).into_iter().chain([red.api()]);
    for stranger in strangers {
        for (method, path, body) in &calls {
            let (status, json) = stranger.call(method.clone(), path, body).await.expect("an answer");
            assert_eq!((status, json["code"].as_str()), (401, Some("UNAUTHENTICATED")), "{method} {path}: {json}");
            assert!(json["error"].is_string(), "{method} {path}: {json}");
        }
    }
    let friend = red.api().authorized("Bearer open-sesame");
    let (status, json) = friend.call(Method::GET, "/v1/messages/m-1", "").await.expect("an answer");
    assert_eq!((status, json["code"].as_str()), (404, Some("UNKNOWN_ID")), "nothing of a stranger's was taken");
    friend.say("m-1", "blue", "let me in").await;
    assert_eq!(friend.get("/v1/peers/blue").await["backlog"], 1);

    // Health is for whoever watches, and has no secrets.
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(Api::at(red.admin).get(path).await["status"], Value::from("ok"));
    }
    let log = red.kill();
    assert!(!log.contains("sesame"), "a token is no word for a log:\n{log}");
}
