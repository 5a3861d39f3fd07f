//! Fetching the parents of an old server's PDUs, and how such servers answer.

use crate::gateway::{Blue, ids};
use crate::old::{INTERNAL, Old, P, UNKNOWN_PDU, UNRECOGNIZED, answer, pdu, pdu_of};

const SERVED: &[u8] = include_bytes!("golden/served.http");

async fn red_alone() -> (Blue, Old) {
    let mut red = Old::red().await;
    (Blue::knowing([&mut red], "").await, red)
}

/// Red sends a PDU of a known context, so that its missing parent is a gap.
async fn missing(red: &Old, id: &str, parent: &str) {
    assert_eq!(red.sends("0", &[pdu_of("red", "root", 0, &[])]).await.verdicts(), ["accepted"]);
    assert_eq!(red.sends("1", &[pdu_of("red", id, 2, &[parent])]).await.verdicts(), ["held"]);
}

#[actix_web::test]
async fn oddities_09_10_mean_missing_pdu() {
    for none in [UNKNOWN_PDU, UNRECOGNIZED] {
        let (blue, red) = red_alone().await;
        missing(&red, "b", "a").await;
        let asked = red.asked().await;
        assert_eq!(asked.line(), format!("GET {P}/pdu/red/a/"));
        asked.answered(none).await;
        let events = blue.messenger.hear(3).await;
        let child = events.iter().find(|event| event["pdu_id"] == "b").expect("delivered without it");
        assert_eq!(child["gap"], serde_json::json!([["red", "a"]]));
        assert!(events.iter().any(|event| event["kind"] == "gap"), "{events:?}");
        blue.end().await;
    }
}

/// Such a server requests a missing parent from the origin of the child alone.
#[actix_web::test]
async fn oddity_17_sender_then_origin_asked() {
    let mut pair = (Old::red().await, Old::green().await);
    let blue = Blue::knowing([&mut pair.0, &mut pair.1], "").await;
    let (red, green) = pair;
    blue.messenger.set_participants("ctx", &["red", "green"]).await;
    assert_eq!(red.sends("1", &[pdu("p2", 1, &["p1"])]).await.verdicts(), ["held"]);
    red.asked().await.answered(UNKNOWN_PDU).await;
    let asked = green.asked().await;
    assert_eq!(asked.line(), format!("GET {P}/pdu/green/p1/"));
    asked.answered(&answer("200 OK", &green.envelope(&[pdu("p1", 0, &[])]))).await;
    assert_eq!(ids(&blue.messenger.hear(2).await), ["p1", "p2"]);
    blue.end().await;
}

/// In such a server neither a depth of 0 nor a first PDU leads to a request.
#[actix_web::test]
async fn oddity_18_zero_depth_still_fetches() {
    let (blue, red) = red_alone().await;
    let verdicts = red.sends("0", &[pdu_of("red", "b", 0, &["a"])]).await.verdicts();
    assert_eq!(verdicts, ["held"]);
    let reply = answer("200 OK", &red.envelope(&[pdu_of("red", "a", 0, &[])]));
    red.asked().await.answered(&reply).await;
    assert_eq!(ids(&blue.messenger.hear(2).await), ["a", "b"]);
    blue.end().await;
}

/// A fetched row of such a server, with its nulls.
#[actix_web::test]
async fn oddity_13_fetched_row_is_normalized() {
    let (blue, red) = red_alone().await;
    assert_eq!(red.sends("0", &[pdu("p2", 2, &["p1"])]).await.verdicts(), ["held"]);
    red.asked().await.answered(SERVED).await;
    let events = blue.messenger.hear(2).await;
    assert_eq!((ids(&events), &events[0]["kind"]), (vec!["p1", "p2"], &"message".into()), "the nulls set no state");
    let shown = red.gets(&format!("{P}/pdu/green/p1/")).await;
    assert!(!shown.text.contains("null") && shown.text.contains("\"is_state\":false"), "{}", shown.text);
    blue.end().await;
}

/// Such servers, or proxies before them, have sent each of these replies; after each one the request is repeated.
#[actix_web::test]
async fn oddities_27_28_unreadable_reply_retried() {
    let (blue, red) = red_alone().await;
    missing(&red, "b", "a").await;
    let good = red.envelope(&[pdu_of("red", "a", 1, &["root"])]);
    let nan = answer("200 OK", &good.replace("{\"body\":\"a\"}", "{\"n\":NaN}"));
    for odd in [INTERNAL.to_vec(), nan, answer("200 OK", "null"), b"HTTP/1.1 200 OK\r\n\r\n".to_vec()] {
        red.asked().await.answered(&odd).await;
    }
    let pretty = good.replace(",\"", ", \n    \"").replace(":{", ": {").replace("\"ts\"", "\"edus\": null, \"ts\"");
    red.asked().await.answered(&answer("200 OK", &pretty)).await;
    assert_eq!(ids(&blue.messenger.hear(3).await), ["root", "a", "b"]);
    blue.end().await;
}

/// Most HTTP libraries end a target at its `#`, and then request another path.
#[actix_web::test]
async fn trap_01_raw_target_round_trips() {
    let (blue, red) = red_alone().await;
    missing(&red, "b", "#a!:@ %").await;
    let asked = red.asked().await;
    assert_eq!(asked.line(), format!("GET {P}/pdu/red/#a!:@%20%/"));
    assert!(
        asked.head.contains("\r\nHost: red\r\n") && asked.head.contains("\r\nConnection: close\r\n"),
        "{}",
        asked.head
    );
    let reply = answer("200 OK", &red.envelope(&[pdu_of("red", "#a!:@ %", 1, &["root"])]));
    asked.answered(&reply).await;
    assert_eq!(ids(&blue.messenger.hear(3).await), ["root", "#a!:@ %", "b"]);
    assert_eq!(red.gets(&format!("{P}/pdu/red/#a!:@%20%25/")).await.status, 200);
    blue.end().await;
}
