//! Access to the admin API, and the status of peers.

use actix_web::http::Method;

use crate::fixture::OperatorFixture;

#[actix_web::test]
async fn admin_api_requires_token() {
    let operator = OperatorFixture::start();
    for token in [None, Some("sesam"), Some("")] {
        for path in ["/peers", "/queue", "/quarantine", "/nowhere"] {
            let (status, said) = operator.call_as(token, Method::GET, path, "").await;
            assert_eq!((status, said["code"].as_str()), (401, Some("UNAUTHENTICATED")), "{path}");
        }
    }
    assert_eq!(operator.call(Method::GET, "/nowhere", "").await.0, 404);
    assert_eq!(operator.call(Method::PUT, "/peers", "").await.0, 405);
}

#[actix_web::test]
async fn unloaded_queue_age_is_shown() {
    let operator = OperatorFixture::start();
    operator.submit("m-1", &["blue.example"], &["{}"]).await;
    operator.pass(5);
    operator.submit("m-2", &["blue.example"], &["{}", "{}"]).await;
    let blue = loop {
        let blue = operator.get("/peers/blue.example").await;
        if blue["state"] == "backing_off" && blue["backlog"] == 3 {
            break blue;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(blue["oldest_unacknowledged"], "1970-01-11T00:00:00.000Z", "{blue}");
    assert_eq!(blue["last_error"], "unreachable: the cable is out", "{blue}");
    let all = operator.get("/peers").await;
    assert_eq!(all["peers"][1]["oldest_unacknowledged"], blue["oldest_unacknowledged"], "{all}");
    assert_eq!(all["peers"][0]["server"], "green.example", "in the order of the configuration: {all}");
    assert_eq!(all["peers"][0].get("oldest_unacknowledged"), None, "{all}");
}

#[actix_web::test]
async fn unknown_peer_gets_name_suggestion() {
    let operator = OperatorFixture::start();
    for path in ["/peers/bleu.example", "/queue/bleu.example"] {
        let (status, said) = operator.call(Method::GET, path, "").await;
        assert_eq!((status, said["code"].as_str()), (404, Some("UNKNOWN_PEER")), "{said}");
        assert!(said["error"].as_str().is_some_and(|words| words.ends_with("did you mean blue.example?")), "{said}");
    }
    assert_eq!(operator.call(Method::GET, "/peers/..", "").await.0, 404);
}
