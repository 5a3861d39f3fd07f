//! Transactions as an old server writes them: missing keys, extra keys, and bodies that are not JSON.

use crate::gateway::{Blue, ids};
use crate::old::{Answer, NULL, Old, P, pdu, pdu_of};

const TEXT: &[u8] = include_bytes!("golden/put_text.http");
const EDU: &[u8] = include_bytes!("golden/put_edu.http");

async fn red_alone() -> (Blue, Old) {
    let mut red = Old::red().await;
    (Blue::knowing([&mut red], "").await, red)
}

/// Returns status and code of one of our refusals: JSON with a message and a code.
fn refused(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    assert!(json["error"].as_str().is_some_and(|words| !words.is_empty()), "{}", answer.text);
    (answer.status, json["code"].as_str().expect("a code").to_owned())
}

/// The original bytes: no ids in the body, a time with a fraction, the id first in each pair. The parent is unknown here
/// and at its server. The message is delivered all the same, as the history edge of a new context.
#[actix_web::test]
async fn oddity_01_genuine_transaction_gets_verdict() {
    let (blue, red) = red_alone().await;
    let answer = red.writes(TEXT).await;
    assert_eq!(answer.verdicts(), ["held"]);
    let asked = red.asked().await;
    assert_eq!(asked.line(), format!("GET {P}/pdu/red/A1/"));
    asked.answered(crate::old::UNKNOWN_PDU).await;
    let event = &blue.messenger.hear(1).await[0];
    assert_eq!(
        (&event["pdu_id"], &event["context"], &event["sender"]),
        (&"A2".into(), &"#room.red".into(), &"red".into())
    );
    assert_eq!((&event["prev"], &event["ts"]), (&serde_json::json!([["red", "A1"]]), &1_795_291_147_213_u64.into()));
    blue.end().await;
}

#[actix_web::test]
async fn oddity_01_any_200_is_acknowledged() {
    let (blue, red) = red_alone().await;
    blue.messenger.set_participants("ctx", &["red"]).await;
    let with_length = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}".to_vec();
    let to_the_end = b"HTTP/1.0 200 OK\r\nServer: TwistedWeb/14.0.2\r\n\r\nnull".to_vec();
    let answers = ["null", "[]", "[{}]", "{\"pdus\":{}}", " \n null", "<html>", "\"\"", "NaN"];
    let answers = answers.iter().map(|body| crate::old::answer("200 OK", body));
    for (n, answer) in answers.chain([NULL.to_vec(), with_length, to_the_end]).enumerate() {
        let id = format!("m{n}");
        blue.messenger.say_in("ctx", &id, "hello").await;
        red.asked().await.answered(&answer).await;
        blue.messenger.until_state(&id, "red", "acknowledged").await;
    }
    let nothing = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    blue.messenger.say_in("ctx", "last", "hello").await;
    red.asked().await.answered(nothing).await;
    blue.messenger.until_state("last", "red", "acknowledged").await;
    // The response that the draft planned: one entry per PDU. The PDU was accepted and not used there, so its messenger is
    // notified.
    blue.messenger.say_in("ctx", "failed", "hello").await;
    red.asked().await.answered(&crate::old::answer("200 OK", "[{\"error\":\"x\"}]")).await;
    blue.messenger.until_state("failed", "red", "refused").await;
    blue.messenger.say_in("ctx", "after", "hello").await;
    let asked = red.takes().await;
    assert_eq!(asked.json()["pdus"].as_array().map(Vec::len), Some(1), "only the new PDU is sent");
    blue.messenger.until_state("after", "red", "acknowledged").await;
    blue.end().await;
}

#[actix_web::test]
async fn oddity_02_repeated_transaction_runs_once() {
    let (blue, red) = red_alone().await;
    let body = red.envelope(&[pdu_of("red", "a", 0, &[])]);
    let first = red.puts("7", &body).await;
    let again = red.puts("7", &body).await;
    assert_eq!((first.verdicts(), &first.text), (vec!["accepted".to_owned()], &again.text));
    // The same id with other PDUs is another transaction, because such servers reuse ids.
    let other = red.sends("7", &[pdu_of("red", "b", 1, &["a"]), pdu_of("red", "a", 0, &[])]).await;
    assert_eq!(other.verdicts(), ["accepted", "duplicate"]);
    assert_eq!(ids(&blue.messenger.hear(2).await), ["a", "b"]);
    blue.end().await;
}

#[actix_web::test]
async fn oddity_03_prev_ids_are_sent() {
    let (blue, red) = red_alone().await;
    blue.messenger.set_participants("ctx", &["red"]).await;
    blue.messenger.say_in("ctx", "m1", "one").await;
    let first = red.takes().await;
    blue.messenger.until_state("m1", "red", "acknowledged").await;
    blue.messenger.say_in("ctx", "m2", "two").await;
    let second = red.takes().await;
    assert_eq!(first.json()["prev_ids"], serde_json::json!([]));
    assert_eq!(second.json()["prev_ids"], serde_json::json!([first.json()["transaction_id"]]));
    assert_eq!(red.sends("9", &[pdu_of("red", "a", 0, &[])]).await.verdicts(), ["accepted"]);
    blue.end().await;
}

#[actix_web::test]
async fn oddity_04_any_timestamp_is_accepted() {
    let (blue, red) = red_alone().await;
    for (n, ts) in ["1795291146180.182", "-1", "1e400", "\"x\"", "null", "{}", "[1]", "true"].iter().enumerate() {
        let body = format!("{{\"origin\":\"red\",\"pdus\":[{}],\"ts\":{ts}}}", pdu_of("red", &format!("p{n}"), 0, &[]));
        assert_eq!(red.puts(&n.to_string(), body).await.verdicts(), ["accepted"], "{ts}");
    }
    blue.messenger.set_participants("ctx", &["red"]).await;
    blue.messenger.say_in("ctx", "m1", "one").await;
    let asked = red.takes().await;
    assert!(asked.json()["ts"].is_u64() && asked.json()["pdus"][0]["ts"].is_u64(), "{}", asked.body);
    blue.end().await;
}

#[actix_web::test]
async fn oddity_05_bad_envelope_is_refused() {
    let (blue, red) = red_alone().await;
    for body in [
        "{\"pdus\":[],\"ts\":1}",
        "{\"origin\":null,\"ts\":1}",
        "[]",
        "\"x\"",
        "null",
        "{\"origin\":\"red\",\"pdus\":null}",
    ] {
        assert_eq!(refused(&red.puts("1", body).await), (400, "NOT_A_TRANSACTION".to_owned()), "{body}");
    }
    for body in ["{\"origin\":\"red\"}", "{\"origin\":\"red\",\"pdus\":[]}", "{\"origin\":\"RED\",\"edus\":null}"] {
        assert_eq!(red.puts("1", body).await.verdicts(), Vec::<String>::new(), "{body}");
    }
    blue.end().await;
}

#[actix_web::test]
async fn oddity_06_bad_item_spares_others() {
    let (blue, red) = red_alone().await;
    let good = [pdu_of("red", "a", 0, &[]), pdu_of("red", "b", 1, &["a"])];
    let bad = [
        "{\"content\":{}}",
        "\"x\"",
        "null",
        "{\"pdu_id\":\"s\",\"origin\":\"red\",\"context\":\"ctx\",\"ts\":1,\"pdu_type\":\"t\",\"content\":{},\"is_state\":true}",
    ];
    let body = format!(
        "{{\"edus\":[7,{{\"content\":{{}}}},{{\"edu_type\":\"m.presence\",\"origin\":\"red\"}}],\"origin\":\"red\",\
         \"pdus\":[{},{},{}],\"ts\":1.5}}",
        good[1],
        bad.join(","),
        good[0]
    );
    let verdicts = red.puts("1", body).await.verdicts();
    let expected = ["accepted", "MISSING_KEY", "NOT_AN_OBJECT", "NOT_AN_OBJECT", "MISSING_KEY", "accepted"];
    assert_eq!(verdicts, expected);
    assert_eq!(ids(&blue.messenger.hear(2).await), ["a", "b"]);
    blue.end().await;
}

#[actix_web::test]
async fn oddity_07_failure_names_its_pdu() {
    let (blue, red) = red_alone().await;
    let with_words = pdu_of("red", "a", 0, &[]).replace("\"ts\":1404838188000", "\"ts\":\"now\"");
    let answer = red.sends("1", &[with_words, pdu_of("red", "b", 0, &[])]).await;
    assert_eq!(answer.verdicts(), ["BAD_TS", "accepted"]);
    assert_eq!(
        (&answer.json()["pdus"][0]["pdu_id"], &answer.json()["pdus"][0]["origin"]),
        (&"a".into(), &"red".into())
    );
    blue.end().await;
}

#[actix_web::test]
async fn oddity_25_foreign_edu_is_ignored() {
    let mut pair = (Old::red().await, Old::green().await);
    let blue = Blue::knowing([&mut pair.0, &mut pair.1], "").await;
    let red = pair.0;
    assert_eq!(red.writes(EDU).await.verdicts(), Vec::<String>::new());
    let foreign = String::from_utf8_lossy(EDU)
        .replace("\"edu_type\":\"m.presence\",\"origin\":\"red\"", "\"edu_type\":\"m.presence\",\"origin\":\"blu\"");
    assert_eq!(red.writes(foreign.as_bytes()).await.verdicts(), Vec::<String>::new());
    let answer = red.sends("1", &[pdu("p1", 0, &[]), pdu_of("red", "r1", 0, &[])]).await;
    assert_eq!(answer.verdicts(), ["accepted", "accepted"]);
    let events = blue.messenger.hear(2).await;
    let proof = |id: &str| events.iter().find(|event| event["pdu_id"] == id).expect("delivered")["verified"].clone();
    assert_eq!((proof("p1"), proof("r1")), ("relayed".into(), "network".into()));
    let pretender = format!("{{\"origin\":\"green\",\"pdus\":[{}],\"ts\":1}}", pdu("p2", 0, &[]));
    assert_eq!(refused(&red.puts("2", pretender).await).0, 401, "no server sends in the name of another");
    blue.end().await;
}

#[actix_web::test]
async fn oddity_27_invalid_json_is_refused() {
    let (blue, red) = red_alone().await;
    let nan = pdu_of("red", "a", 0, &[]).replace("{\"body\":\"a\"}", "{\"n\":NaN}");
    for body in [
        red.envelope(std::slice::from_ref(&nan)),
        red.envelope(&[nan.replace("NaN", "-Infinity")]),
        "{\"origin\":\"red\",\"ts\":NaN}".to_owned(),
        String::new(),
    ] {
        assert_eq!(refused(&red.puts("1", body).await), (400, "NOT_JSON".to_owned()));
    }
    let surrogate = b"{\"origin\":\"red\",\"pdus\":[{\"content\":\"\xed\xa0\x80\"}],\"ts\":1}";
    for body in [&surrogate[..], b"\xef\xbb\xbf{\"origin\":\"red\",\"ts\":1}", b"\xff\xfe{\0"] {
        assert_eq!(refused(&red.puts("1", body).await), (400, "NOT_JSON".to_owned()));
    }
    assert_eq!(red.sends("1", &[pdu_of("red", "a", 0, &[])]).await.verdicts(), ["accepted"]);
    blue.end().await;
}

/// Chunked bodies, no content type, another type: other clients than such servers' own also send to us.
#[actix_web::test]
async fn oddity_28_any_request_form_works() {
    let (blue, red) = red_alone().await;
    let body = red.envelope(&[pdu_of("red", "a", 0, &[])]);
    let pretty = body.replace(",\"", ", \n    \"").replace(":{", ": {");
    assert_eq!(red.puts("1", pretty).await.verdicts(), ["accepted"]);
    let head =
        format!("PUT {P}/send/2 HTTP/1.1\r\nHost: blue\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    let (one, other) = body.split_at(40);
    let chunked = format!("{head}{:x}\r\n{one}\r\n{:x}\r\n{other}\r\n0\r\n\r\n", one.len(), other.len());
    assert_eq!(red.writes(chunked.as_bytes()).await.verdicts(), ["duplicate"]);
    let typed = String::from_utf8_lossy(TEXT).replace("application/json", "text/plain");
    assert_eq!(red.writes(typed.as_bytes()).await.verdicts(), ["held"]);
    blue.end().await;
}

/// Ids rise with gaps, because one counter serves all its peers: missing ids were not for us.
#[actix_web::test]
async fn trap_07_id_gaps_are_accepted() {
    let (blue, red) = red_alone().await;
    for (n, id) in ["1795291064506", "1795291064507", "1795291064509", "abc", "1795291064400"].iter().enumerate() {
        assert_eq!(red.sends(id, &[pdu_of("red", &format!("p{n}"), 0, &[])]).await.verdicts(), ["accepted"], "{id}");
    }
    assert_eq!(blue.messenger.hear(5).await.len(), 5);
    blue.end().await;
}
