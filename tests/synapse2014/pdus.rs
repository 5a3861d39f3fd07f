//! PDUs as an old server writes and stores them, and how each is processed here.

use serde_json::{Value, json};

use crate::gateway::{Blue, ids};
use crate::old::{Old, P, pdu, pdu_of};

async fn red_alone() -> (Blue, Old) {
    let mut red = Old::red().await;
    (Blue::knowing([&mut red], "").await, red)
}

/// Returns one PDU as blue serves it to red.
async fn served(red: &Old, origin: &str, id: &str) -> Value {
    let answer = red.gets(&format!("{P}/pdu/{origin}/{id}/")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["pdus"][0].clone()
}

/// Returns a state PDU as it is stored by such a server, and as it is fetched from there.
fn stored_state(id: &str, power: &str, prev: Option<&str>) -> String {
    let (prev_id, prev_origin) =
        prev.map_or(("null".into(), "null".into()), |id| (format!("\"{id}\""), "\"red\"".to_owned()));
    format!(
        "{{\"content\":{{\"topic\":\"{id}\"}},\"context\":\"ctx\",\"depth\":1,\"is_state\":1,\"origin\":\"red\",\"pdu_id\":\"{id}\",\
         \"pdu_type\":\"m.topic\",\"power_level\":{power},\"prev_pdus\":[],\"prev_state_id\":{prev_id},\
         \"prev_state_origin\":{prev_origin},\"state_key\":\"\",\"ts\":1795291148339}}"
    )
}

/// Such a server drops a PDU without depth silently: our PDUs always have one, and theirs get one.
#[actix_web::test]
async fn oddity_08_missing_depth_is_computed() {
    let (blue, red) = red_alone().await;
    let shallow = pdu_of("red", "b", 1, &["a"]).replace("\"depth\":1,", "");
    let odd = pdu_of("red", "c", 1, &["b"]).replace("\"depth\":1", "\"depth\":1.5");
    assert_eq!(red.sends("1", &[pdu_of("red", "a", 0, &[]), shallow, odd]).await.verdicts(), ["accepted"; 3]);
    for (id, depth) in [("a", 0), ("b", 1), ("c", 2)] {
        assert_eq!(served(&red, "red", id).await["depth"], depth, "{id}");
    }
    blue.end().await;
}

#[actix_web::test]
async fn oddity_13_rows_are_normalized() {
    let (blue, red) = red_alone().await;
    let message = pdu_of("red", "p1", 1, &[]).replace(
        "\"is_state\":false",
        "\"is_state\":0,\"power_level\":null,\"prev_state_id\":null,\"prev_state_origin\":null,\"state_key\":null",
    );
    assert_eq!(red.sends("1", &[message, stored_state("t1", "\"10\"", None)]).await.verdicts(), ["accepted"; 2]);
    let events = blue.messenger.hear(2).await;
    let of = |id: &str| events.iter().find(|event| event["pdu_id"] == id).expect("delivered").clone();
    assert_eq!((&of("p1")["kind"], &of("p1")["extra"]), (&"message".into(), &json!({})));
    assert_eq!(
        (&of("t1")["kind"], &of("t1")["state_key"], &of("t1")["power_level"]),
        (&"state".into(), &"".into(), &10.into())
    );
    let row = served(&red, "red", "p1").await;
    let keys: Vec<&String> = row.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["content", "context", "depth", "is_state", "origin", "pdu_id", "pdu_type", "prev_pdus", "ts"]);
    let row = served(&red, "red", "t1").await;
    assert_eq!((&row["is_state"], &row["power_level"], row.get("prev_state_id")), (&true.into(), &10.into(), None));
    blue.end().await;
}

/// In such a server the second of two rival PDUs erases the first one's row.
#[actix_web::test]
async fn oddity_15_conflicting_state_is_kept() {
    let (blue, red) = red_alone().await;
    let pdus =
        [stored_state("t1", "5", None), stored_state("t2", "\"1\"", Some("t1")), stored_state("t3", "7", Some("t1"))];
    assert_eq!(red.sends("1", &pdus).await.verdicts(), ["accepted"; 3]);
    for (id, power) in [("t2", 1), ("t3", 7)] {
        let row = served(&red, "red", id).await;
        let said = ["power_level", "prev_state_id", "prev_state_origin", "state_key"].map(|key| row[key].clone());
        assert_eq!(said, [json!(power), json!("t1"), json!("red"), json!("")], "{id}");
    }
    blue.end().await;
}

/// In such a server a second root, and an ancestor that arrives late, cause an internal error.
#[actix_web::test]
async fn oddity_16_late_ancestor_is_accepted() {
    let (blue, red) = red_alone().await;
    for (n, (pdu, id)) in [
        (stored_state("t2", "1", Some("t1")), "t2"),
        (stored_state("t1", "1", None), "t1"),
        (stored_state("r2", "1", None), "r2"),
    ]
    .into_iter()
    .enumerate()
    {
        let verdicts = red.sends(&n.to_string(), &[pdu]).await.verdicts();
        assert!(verdicts == ["accepted"] || verdicts == ["held"], "{id}: {verdicts:?}");
    }
    blue.end().await;
}

/// A key that has a meaning for one server only would make such a server refuse the whole reply.
#[actix_web::test]
async fn oddities_23_24_private_keys_stripped() {
    let (blue, red) = red_alone().await;
    let marked = pdu_of("red", "a", 0, &[]).replace(
        "\"pdu_id\"",
        "\"outlier\":true,\"destinations\":[\"green\"],\"transaction_id\":\"7\",\"user_id\":\"@a:red\",\"pdu_id\"",
    );
    assert_eq!(red.sends("1", &[marked]).await.verdicts(), ["accepted"]);
    assert_eq!(blue.messenger.hear(1).await[0]["extra"], json!({ "user_id": "@a:red" }));
    let row = served(&red, "red", "a").await;
    assert_eq!(
        (&row["user_id"], row.get("outlier"), row.get("destinations"), row.get("transaction_id")),
        (&"@a:red".into(), None, None, None)
    );
    blue.end().await;
}

/// Real PDUs with extra keys that their clients use.
#[actix_web::test]
async fn unknown_keys_are_kept() {
    let (blue, red) = red_alone().await;
    let state = include_str!("golden/real_state.json").trim_end();
    let message = include_str!("golden/real_message.json").trim_end();
    let verdicts = red.sends("1", &[message.to_owned(), state.to_owned()]).await.verdicts();
    assert_eq!(verdicts, ["held", "held"], "their parents are missing");
    for _ in 0..3 {
        red.asked().await.answered(crate::old::UNKNOWN_PDU).await;
    }
    let events = blue.messenger.hear(2).await;
    let member = events.iter().find(|event| event["pdu_id"] == "vNuAUHmqcJ").expect("delivered");
    assert_eq!(member["prev"], json!([["hs1", "JVlSCkGcSH"], ["hs2", "vwxtMChfVU"]]), "the id was first in the pair");
    let extra = json!({"membership": "join", "prev_state": "iPdXSIdzvv@hs1", "target_user_id": "@bob:hs2", "user_id": "@bob:hs2"});
    assert_eq!((&member["extra"], &member["prev_state"]), (&extra, &json!(["hs1", "iPdXSIdzvv"])));
    let said = events.iter().find(|event| event["pdu_id"] == "LyXGjjKqpu").expect("delivered");
    assert_eq!(said["content"]["hsob_ts"].as_u64(), Some(1_795_292_055_507));
    blue.end().await;
}

/// In such a server each finished PDU marks all as finished.
#[actix_web::test]
async fn oddity_29_pdu_verdicts_are_independent() {
    let (blue, red) = red_alone().await;
    assert_eq!(red.sends("0", &[pdu_of("red", "a", 0, &[])]).await.verdicts(), ["accepted"]);
    let verdicts = red.sends("1", &[pdu_of("red", "c", 2, &["b"]), pdu_of("red", "d", 1, &["a"])]).await.verdicts();
    assert_eq!(verdicts, ["held", "accepted"]);
    assert_eq!(ids(&blue.messenger.hear(2).await), ["a", "d"]);
    let asked = red.asked().await;
    assert_eq!(asked.line(), format!("GET {P}/pdu/red/b/"));
    asked.answered(&crate::old::answer("200 OK", &red.envelope(&[pdu_of("red", "b", 1, &["a"])]))).await;
    assert_eq!(ids(&blue.messenger.hear(4).await), ["a", "d", "b", "c"]);
    blue.end().await;
}

#[actix_web::test]
async fn oddity_30_reused_identity_is_reported() {
    let (blue, red) = red_alone().await;
    assert_eq!(red.sends("1", &[pdu_of("red", "a", 0, &[])]).await.verdicts(), ["accepted"]);
    let changed = pdu_of("red", "a", 0, &[]).replace("{\"body\":\"a\"}", "{\"body\":\"other\"}");
    let elsewhere = pdu_of("red", "a", 0, &[]).replace("\"ctx\"", "\"other\"");
    assert_eq!(red.sends("2", &[changed, elsewhere]).await.verdicts(), ["duplicate", "OTHER_CONTEXT"]);
    let events = blue.messenger.hear(1).await;
    assert_eq!((events.len(), &events[0]["content"]["body"]), (1, &"a".into()), "the first PDU stays");
    blue.end().await;
}

#[actix_web::test]
async fn trap_04_nulls_are_never_written() {
    let (blue, red) = red_alone().await;
    red.sends("1", &[stored_state("t1", "null", None), pdu("p1", 0, &[])]).await;
    blue.messenger.set_participants("ctx", &["red"]).await;
    blue.messenger.say_in("ctx", "m1", "hello").await;
    let pushed = red.takes().await.json()["pdus"][0].clone();
    for row in [pushed, served(&red, "red", "t1").await] {
        assert!(row.as_object().expect("an object").values().all(|value| !value.is_null()), "{row}");
        assert!(row["is_state"].is_boolean() && row["depth"].is_u64(), "{row}");
    }
    blue.end().await;
}

#[actix_web::test]
async fn trap_06_own_depth_exceeds_parents() {
    let (blue, red) = red_alone().await;
    assert_eq!(
        red.sends("1", &[pdu_of("red", "a", 0, &[]), pdu_of("red", "b", 1, &["a"])]).await.verdicts(),
        ["accepted"; 2]
    );
    blue.messenger.hear(2).await;
    blue.messenger.say_in("ctx", "m1", "hello").await;
    let pushed = red.takes().await.json()["pdus"][0].clone();
    assert_eq!((&pushed["depth"], &pushed["prev_pdus"]), (&2.into(), &json!([["b", "red"]])));
    blue.end().await;
}
