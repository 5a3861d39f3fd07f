//! Access: the messenger's token, and HEAD for each GET.

use std::net::Ipv4Addr;

use ::fixtures::clients::http_caller::HttpCaller;
use ::fixtures::clients::messenger_client::submission;
use reqwest::Method;
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::raw::Raw;

#[tokio::test]
async fn token_guards_messenger_api() {
    let (mut red, _blue) = GatewayProcess::pair("backoff_min = \"10m\"");
    red.write_secret("messenger.token", "open-sesame\n");
    red.start_with(&["messenger.token_file=messenger.token"]).await;
    let body = submission(&["blue"], &["let me in"]);
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
    assert_eq!(
        (status, json["code"].as_str()),
        (404, Some("UNKNOWN_ID")),
        "nothing from an unauthenticated caller was accepted"
    );
    friend.say("m-1", "blue", "let me in").await;
    assert_eq!(friend.get("/v1/peers/blue").await["backlog"], 1);

    // Health is for monitoring and contains no secrets.
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(HttpCaller::at(red.admin).get(path).await["status"], Value::from("ok"));
    }
    let log = red.kill();
    assert!(!log.contains("sesame"), "a token must not be in the log:\n{log}");
}

#[tokio::test]
async fn each_get_answers_head_without_body() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.start().await;
    red.api().say("m-1", "blue", "hello").await;
    let admin =
        ["/health/live", "/health/ready", "/metrics", "/admin/v1/peers", "/admin/v1/store", "/admin/v1/nothing"];
    let messenger = ["/v1/events?wait=0", "/v1/peers", "/v1/peers/blue", "/v1/messages/m-1", "/v1/messages/m-2"];
    let federation = ["/matrix/federation/v1/state/%23room/", "/nothing"];
    let doors = [(red.admin, &admin[..]), (red.messenger, &messenger[..]), (red.federation, &federation[..])];
    for (door, path) in doors.into_iter().flat_map(|(door, paths)| paths.iter().map(move |path| (door, path))) {
        let asked = async |method: &str| {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: red\r\nConnection: close\r\n\r\n");
            let text = Raw::connect(Ipv4Addr::LOCALHOST, door).await.text(request.as_bytes()).await;
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(str::to_owned);
            (head.lines().next().unwrap_or_default().to_owned(), length, body.to_owned())
        };
        let (status, _, body) = asked("GET").await;
        let (head_status, length, nothing) = asked("HEAD").await;
        assert_eq!((head_status, nothing.as_str()), (status, ""), "{path}");
        assert!(
            length.is_some_and(|length| length != "0") && !body.is_empty(),
            "{path}: Content-Length is that of a GET"
        );
    }
    let (status, json) = red.api().call(Method::DELETE, "/v1/peers", "").await.expect("an answer");
    assert_eq!((status, json["code"].as_str()), (405, Some("WRONG_METHOD")));
}
