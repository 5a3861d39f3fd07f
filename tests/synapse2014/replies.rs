//! Our responses to an old server's requests, and to its requests for PDUs that we do not have.

use crate::gateway::Blue;
use crate::old::{Old, P, pdu, pdu_of};

const FIRST_DIALECT: &[u8] = include_bytes!("golden/get_first_dialect.http");

async fn red_alone() -> (Blue, Old) {
    let mut red = Old::red().await;
    (Blue::knowing([&mut red], "").await, red)
}

#[actix_web::test]
async fn oddity_09_missing_pdu_is_404() {
    let (blue, red) = red_alone().await;
    let answer = red.gets(&format!("{P}/pdu/red/nothing/")).await;
    assert_eq!((answer.status, &answer.json()["code"]), (404, &"NOT_FOUND".into()));
    blue.end().await;
}

#[actix_web::test]
async fn oddity_10_unknown_path_is_404() {
    let (blue, red) = red_alone().await;
    let request =
        |line: &str| format!("{line} HTTP/1.1\r\nConnection: close\r\nHost: blue\r\nUser-Agent: Synapse\r\n\r\n");
    for (line, status) in [
        ("GET /nowhere", 404),
        (&format!("GET {P}/query/profile?user_id=%40a%3Ablue&field=displayname"), 404),
        (&format!("GET {P}/context/#room.red/"), 404),
        (&format!("POST {P}/send/1/"), 405),
        (&format!("DELETE {P}/pdu/red/A1/"), 405),
        (&format!("get {P}/pdu/red/A1/"), 405),
        (&format!("PUT {P}/send//"), 404),
        ("GET //", 404),
        (&format!("GET {P}/pdu//A1/"), 404),
        (&format!("GET {P}/state//"), 404),
        (&format!("GET {P}/backfill//?limit=1&v=A1%2Cred"), 404),
        (&format!("GET {P}/pdu/red/A1/;a=b"), 404),
    ] {
        let answer = red.writes(request(line).as_bytes()).await;
        assert_eq!(answer.status, status, "{line}: {}", answer.text);
        assert!(answer.json()["error"].is_string() && answer.head.contains("application/json"), "{line}");
    }
    assert_eq!(red.writes(FIRST_DIALECT).await.status, 404, "the paths of the dialect before the prefix are unknown");
    for path in ["/", P, &format!("{P}/state/#room.red/"), "/nowhere/#"] {
        let answer = red.writes(request(&format!("OPTIONS {path}")).as_bytes()).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "{}"), "{path}");
    }
    let head = red.writes(request(&format!("HEAD {P}/pdu/red/A1/")).as_bytes()).await;
    assert!(head.status >= 400 && head.text.is_empty(), "{} {}", head.status, head.text);
    blue.end().await;
}

/// Such a server discards a reply without `ts`, and does not show PDUs with nulls to its users.
#[actix_web::test]
async fn oddity_14_served_pdu_is_displayable() {
    let (blue, red) = red_alone().await;
    red.sends("1", &[pdu_of("red", "p1", 1, &[])]).await;
    let answer = red.gets(&format!("{P}/pdu/red/p1/")).await;
    let ts = answer.json()["ts"].as_u64().expect("an integer, always");
    let expected = format!(
        "{{\"origin\":\"blue\",\"ts\":{ts},\"pdus\":[{{\"pdu_id\":\"p1\",\"origin\":\"red\",\"context\":\"ctx\",\
         \"ts\":1404838188000,\"pdu_type\":\"m.text\",\"prev_pdus\":[],\"depth\":1,\"is_state\":false,\
         \"content\":{{\"body\":\"p1\"}}}}]}}"
    );
    assert_eq!((answer.status, answer.text), (200, expected));
    blue.end().await;
}

/// A server that read a pair in the wrong order requests it in that order.
#[actix_web::test]
async fn oddity_22_any_target_encoding_works() {
    let (blue, red) = red_alone().await;
    let odd = pdu_of("red", "#a!b:c@d", 1, &[]);
    assert_eq!(red.sends("1", &[odd]).await.verdicts(), ["accepted"]);
    for path in ["red/#a!b:c@d/", "red/%23a!b:c%40d/", "RED/#a!b:c@d", "#a!b:c@d/red/", "red/%23a%21b%3Ac%40d/?x=#"] {
        let answer = red.gets(&format!("{P}/pdu/{path}")).await;
        assert_eq!((answer.status, &answer.json()["pdus"][0]["pdu_id"]), (200, &"#a!b:c@d".into()), "{path}");
    }
    blue.end().await;
}

/// Such a server sends requests while ours is open: a server that answers one at a time would wait for itself.
#[actix_web::test]
async fn trap_05_gets_answered_during_put() {
    let (blue, red) = red_alone().await;
    blue.messenger.set_participants("ctx", &["red"]).await;
    let id = blue.messenger.say_in("ctx", "m1", "one").await;
    let ours = red.asked().await;
    // Our request stays open meanwhile.
    let asked = red.gets(&format!("{P}/pdu/blue/{id}/")).await;
    assert_eq!((asked.status, &asked.json()["pdus"][0]["pdu_id"]), (200, &id.clone().into()));
    assert_eq!(red.gets(&format!("{P}/query/profile?user_id=%40a%3Ablue&field=displayname")).await.status, 404);
    assert_eq!(
        red.sends("1", &[pdu_of("red", "r1", 0, &[]), pdu("p1", 0, &[])]).await.verdicts(),
        ["accepted", "parked"]
    );
    ours.answered(crate::old::NULL).await;
    blue.messenger.until_state("m1", "red", "acknowledged").await;
    blue.end().await;
}
