//! Commands for a peer: suspend, resume, retry, expect and renumber.

use actix_web::http::Method;

use crate::fixture::OperatorFixture;

#[actix_web::test]
async fn resumed_peer_receives_queued_updates() {
    let operator = OperatorFixture::start();
    operator.wire(true);
    let blue = operator.post("/peers/blue.example/suspend", "").await;
    assert_eq!((&blue["state"], &blue["reason"]), (&"suspended".into(), &"admin".into()), "{blue}");
    operator.submit("m-1", &["blue.example"], &[r#"{"n":1}"#, r#"{"n":2}"#]).await;
    // The submission is answered after its commit; the peer's actor is notified after that.
    let mut blue = operator.get("/peers/blue.example").await;
    while blue["backlog"] != 2 {
        tokio::task::yield_now().await;
        blue = operator.get("/peers/blue.example").await;
    }
    assert_eq!(blue["state"], "suspended", "{blue}");
    assert_eq!(blue["oldest_unacknowledged"], "1970-01-11T00:00:00.000Z", "{blue}");
    let again = operator.post("/peers/blue.example/suspend", "").await;
    assert_eq!(again["oldest_unacknowledged"], blue["oldest_unacknowledged"], "a command returns it, too: {again}");
    let resumed = operator.post("/peers/blue.example/resume", "").await;
    assert_ne!(resumed["state"], "suspended", "{resumed}");
    assert_eq!(operator.taken(2).await, [r#"{"n":1}"#, r#"{"n":2}"#]);
}

#[actix_web::test]
async fn retry_command_sends_immediately() {
    let operator = OperatorFixture::start();
    operator.submit("m-1", &["blue.example"], &["{}"]).await;
    while operator.get("/peers/blue.example").await["state"] != "backing_off" {
        tokio::task::yield_now().await;
    }
    operator.wire(true);
    operator.post("/peers/blue.example/retry", "").await;
    assert_eq!(operator.taken(1).await, ["{}"]);
}

#[actix_web::test]
async fn expect_command_sets_expected_seq() {
    let operator = OperatorFixture::start();
    let blue = operator.post("/peers/blue.example/expect", r#"{"seq":41}"#).await;
    assert_eq!(blue["expected_seq"], 41, "{blue}");
    for (bad, status) in [("", 400), ("{}", 400), (r#"{"seq":-1}"#, 400), ("[41,true]", 400), (r#"{"seq":0}"#, 422)] {
        assert_eq!(operator.call(Method::POST, "/peers/blue.example/expect", bad).await.0, status, "{bad}");
    }
    let number = |seq: u64, yes: bool| format!(r#"{{"seq":{seq},"yes":{yes}}}"#);
    for (path, seq, yes, status) in [
        ("expect", 1_000_042, false, 422),
        ("expect", 1_000_042, true, 200),
        ("expect", 1 << 53, true, 422),
        ("expect", 41, false, 200),
        ("renumber", 1_000_001, false, 422),
        ("renumber", 1 << 53, true, 422),
        ("renumber", 0, true, 422),
        ("renumber", 1_000_001, true, 200),
    ] {
        let answer = operator.call(Method::POST, &format!("/peers/blue.example/{path}"), &number(seq, yes)).await;
        assert_eq!(answer.0, status, "{path} {seq} {yes}: {answer:?}");
    }
    let blue = operator.get("/peers/blue.example").await;
    assert_eq!((&blue["expected_seq"], &blue["next_seq"]), (&41.into(), &1_000_001.into()), "{blue}");
    assert_eq!(operator.call(Method::POST, "/peers/bleu.example/suspend", "").await.0, 404);
    assert_eq!(operator.call(Method::POST, "/peers/blue.example/explode", "").await.0, 404);
}
