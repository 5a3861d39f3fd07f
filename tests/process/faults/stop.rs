//! SIGTERM: requests in progress are finished, queued items stay, and waiting requests do not delay the end.

use std::net::Ipv4Addr;
use std::time::Duration;

use ::fixtures::clients::http_caller::HttpCaller;
use ::fixtures::clients::messenger_client::submission;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::fixtures::node::{GatewayProcess, own_address};
use crate::fixtures::process::soon;
use crate::fixtures::raw::Raw;

/// `server.drain` of every gateway here.
const DRAIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn sigterm_finishes_in_flight_requests() {
    // Blue is down; red tries once, and not again while this test runs.
    let (mut red, _blue) = GatewayProcess::pair("backoff_min = \"10m\"");
    red.start().await;
    let api = red.api();
    for n in 1..=3 {
        api.say(&format!("before-{n}"), "blue", &format!("before {n}")).await;
    }
    let mut waiting = Raw::connect(Ipv4Addr::LOCALHOST, red.messenger).await;
    waiting.send(b"GET /v1/events?wait=60 HTTP/1.1\r\nHost: red\r\nConnection: close\r\n\r\n").await;
    let body = submission(&["blue"], &["under way"]);
    let (half, rest) = body.split_at(body.len() / 2);
    let mut under_way = Raw::connect(Ipv4Addr::LOCALHOST, red.messenger).await;
    let head = format!(
        "PUT /v1/updates/under-way HTTP/1.1\r\nHost: red\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{half}",
        body.len()
    );
    under_way.send(head.as_bytes()).await;
    let _silent = Raw::connect(Ipv4Addr::LOCALHOST, red.messenger).await;
    // The single worker accepts connections in order: once this request is answered, the others are accepted.
    red.api().get("/v1/peers").await;

    let told = Instant::now();
    red.process().term();
    let (status, page) = waiting.answer().await;
    assert_eq!((status, page), (200, json!({"events": [], "next": 0})), "a waiting reader is answered");
    assert!(told.elapsed() < DRAIN, "it is answered at once, not after {:?}", told.elapsed());
    let (status, health) =
        HttpCaller::at(red.admin).call(reqwest::Method::GET, "/health/ready", "").await.expect("an answer");
    assert_eq!((status, &health["failing"][0]["what"]), (503, &json!("stopping")), "{health}");
    let mut peer = Raw::connect(Ipv4Addr::LOCALHOST, red.federation).await;
    peer.send(b"POST /http/v1/updates HTTP/1.1\r\nHost: red\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}").await;
    let told_to_wait = json!({"receive": "wait", "wait": 1, "reason": "the gateway is stopping"});
    assert_eq!(peer.answer().await, (200, told_to_wait), "a peer can still connect");
    let (status, said) = red.api().call(reqwest::Method::GET, "/v1/peers", "").await.expect("an answer");
    assert_eq!((status, &said["code"]), (503, &json!("STOPPING")), "{said}");
    let stranger = Raw::connect(Ipv4Addr::new(127, 0, 0, 2), red.federation).await;
    let push = b"POST /http/v1/updates HTTP/1.1\r\nHost: red\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(stranger.exchange(push).await.0, 401, "an unknown caller does not learn of the stop");
    under_way.send(rest.as_bytes()).await;
    assert_eq!(under_way.answer().await, (202, json!({"id": "under-way", "peers": ["blue"]})));

    let exit = red.process().ended().await;
    let took = told.elapsed();
    println!("stopped {took:?} after the signal");
    let log = red.process().log();
    assert_eq!(exit.code(), Some(0), "{log}");
    assert!(log.lines().any(|line| line.contains("stopped") && line.contains("peers=1 items=4")), "{log}");
    assert!(took < DRAIN, "idle connections do not delay the end: {took:?}\n{log}");

    red.start().await;
    let peer = red.api().get("/v1/peers/blue").await;
    assert_eq!(peer["backlog"], 4, "{peer}");
    for id in ["before-1", "before-3", "under-way"] {
        let trace = red.api().get(&format!("/v1/messages/{id}")).await;
        assert_eq!(trace["peers"]["blue"]["state"], "queued", "{trace}");
    }
}

/// A client that never completes its request delays the end until the drain time, and not longer.
#[tokio::test]
async fn stuck_request_ends_after_drain() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.start_with(&["server.drain=2s"]).await;
    let mut stuck = vec![];
    for (listener, request) in [(red.federation, "POST /http/v1/updates"), (red.messenger, "PUT /v1/updates/stuck")] {
        let mut raw = Raw::connect(Ipv4Addr::LOCALHOST, listener).await;
        raw.send(format!("{request} HTTP/1.1\r\nHost: red\r\nContent-Length: 9\r\n\r\n{{").as_bytes()).await;
        stuck.push(raw);
        HttpCaller::at(listener).call(reqwest::Method::GET, "/nothing", "").await.expect("an answer");
    }
    let told = Instant::now();
    red.process().term();
    let exit = soon("the end", red.process().ended()).await;
    println!("stopped {:?} after the signal, drain 2 s", told.elapsed());
    assert_eq!(exit.code(), Some(0), "{}", red.process().log());
    assert!(told.elapsed() < Duration::from_secs(4), "{:?}", told.elapsed());
}

/// A push whose response is on its way is awaited: the peer has accepted it and need not receive it again.
#[tokio::test]
async fn sigterm_awaits_in_flight_push() {
    let listener = TcpListener::bind((own_address(), 0)).await.expect("a port");
    let mut red = GatewayProcess::new("red");
    let address = listener.local_addr().expect("an address");
    red.peer("blue", &format!("addresses = [\"http://{address}\"]\nallow_from = [\"127.0.0.1/32\"]"));
    red.start_with(&["server.drain=1m"]).await;
    red.api().say("first", "blue", "first").await;
    let (mut push, _) = soon("a push", listener.accept()).await.expect("a connection");
    let mut head = vec![0; 8192];
    let read = soon("its head", push.read(&mut head)).await.expect("bytes");
    assert!(head[..read].starts_with(b"POST /http/v1/updates"), "{}", String::from_utf8_lossy(&head[..read]));
    red.api().say("second", "blue", "second").await;

    red.process().term();
    let stopping = async {
        while HttpCaller::at(red.admin)
            .call(reqwest::Method::GET, "/health/ready", "")
            .await
            .is_ok_and(|(status, _)| status != 503)
        {}
    };
    soon("the stop", stopping).await;
    let body = r#"{"receive":"ok","seq":1}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    push.write_all(answer.as_bytes()).await.expect("written");
    let exit = soon("the end", red.process().ended()).await;
    let log = red.process().log();
    assert_eq!(exit.code(), Some(0), "{log}");
    assert!(log.lines().any(|line| line.contains("stopped") && line.contains("peers=1 items=1")), "{log}");
    assert!(tokio::time::timeout(Duration::ZERO, listener.accept()).await.is_err(), "no further push was started");
}

/// A user who stops a process group may send two signals and mean one.
#[tokio::test]
async fn terms_within_a_second_are_one() {
    let (mut red, _blue) = GatewayProcess::pair("backoff_min = \"10m\"");
    red.start_with(&["server.drain=10m"]).await;
    let mut under_way = Raw::connect(Ipv4Addr::LOCALHOST, red.messenger).await;
    let body = submission(&["blue"], &["under way"]);
    let head = "PUT /v1/updates/under-way HTTP/1.1\r\nHost: red\r\nConnection: close\r\n";
    under_way.send(format!("{head}Content-Length: {}\r\n\r\n{{", body.len()).as_bytes()).await;
    red.api().get("/v1/peers").await;
    for signal in ["TERM", "TERM", "INT"] {
        red.process().signal(signal);
    }
    red.process().says("signal ignored, because it followed the first one within a second").await;
    under_way.send(&body.as_bytes()[1..]).await;
    assert_eq!(under_way.answer().await.0, 202, "the request in progress is finished");
    let exit = red.process().ended().await;
    assert_eq!(exit.code(), Some(0), "{}", red.process().log());
}

/// SIGHUP makes many daemons reload their configuration; the gateway logs that it does not, and continues.
#[tokio::test]
async fn hup_does_not_end_it() {
    let mut red = GatewayProcess::new("red");
    red.start().await;
    red.process().signal("HUP");
    let line = red.process().says("SIGHUP").await;
    assert!(line.contains("configuration reloaded"), "{line}");
    red.api().get("/v1/peers").await;
    red.process().term();
    assert_eq!(red.process().ended().await.code(), Some(0), "{}", red.process().log());
}

/// A second stop ends the process at once and loses nothing that was acknowledged.
#[tokio::test]
async fn second_sigterm_ends_immediately() {
    let (mut red, _blue) = GatewayProcess::pair("backoff_min = \"10m\"");
    red.start_with(&["server.drain=10m"]).await;
    red.api().say("answered", "blue", "answered").await;
    let mut stuck = Raw::connect(Ipv4Addr::LOCALHOST, red.messenger).await;
    stuck.send(b"PUT /v1/updates/stuck HTTP/1.1\r\nHost: red\r\nContent-Length: 9\r\n\r\n{").await;
    red.api().get("/v1/peers").await;

    red.process().term();
    red.process().says("another signal after a second stops at once").await;
    let process = red.process();
    let ends = async {
        while !process.is_gone() {
            process.term();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("the end", ends).await;
    let exit = red.process().ended().await;
    let log = red.process().log();
    assert_eq!(exit.code(), Some(1), "the log must not show a clean stop\n{log}");
    assert!(log.contains("stopped at once by a second signal"), "{log}");

    red.start().await;
    assert_eq!(red.api().get("/v1/peers/blue").await["backlog"], 1);
}
