//! Sending to an old server: the exact bytes, and the outcome if it does not answer, answers late, or answers with an
//! error.

use serde_json::json;

use crate::gateway::{Blue, ids};
use crate::old::{INTERNAL, NULL, Old, P, pdu_of};

async fn red_alone(limits: &str) -> (Blue, Old) {
    let mut red = Old::red().await;
    (Blue::knowing([&mut red], limits).await, red)
}

/// Such a server processes all PDUs of a transaction at once, and shows a repeated one twice.
#[actix_web::test]
async fn oddity_19_duplicate_pdu_delivered_once() {
    let (blue, red) = red_alone("").await;
    let [n1, n2, n3] = [("n1", 0, &[][..]), ("n2", 1, &["n1"]), ("n3", 2, &["n2"])]
        .map(|(id, depth, prev)| pdu_of("red", id, depth, prev));
    let verdicts = red.sends("1", &[n3.clone(), n2.clone(), n1, n2, n3]).await.verdicts();
    assert_eq!(verdicts, ["accepted", "accepted", "accepted", "duplicate", "duplicate"]);
    assert_eq!(ids(&blue.messenger.hear(3).await), ["n1", "n2", "n3"]);
    assert_eq!(blue.messenger.hear(3).await.len(), 3);
    blue.end().await;
}

/// Such a server discards what did not arrive within 31 seconds.
#[actix_web::test]
async fn oddity_20_failed_transaction_repeats_unchanged() {
    let (blue, red) = red_alone("").await;
    blue.messenger.set_participants("ctx", &["red"]).await;
    blue.messenger.say_in("ctx", "m1", "hello").await;
    let first = red.asked().await;
    let (line, body) = (first.line().to_owned(), first.body.clone());
    drop(first);
    for answer in [&b"HTTP/1.1 "[..], b"", INTERNAL] {
        let again = red.asked().await;
        assert_eq!((again.line(), &again.body), (line.as_str(), &body), "a retry has the same id and the same bytes");
        again.answered(answer).await;
    }
    let last = red.takes().await;
    assert_eq!(last.line(), line);
    blue.messenger.until_state("m1", "red", "acknowledged").await;
    blue.end().await;
}

/// In such a server one unresponsive peer blocks its whole queue for ever.
#[actix_web::test]
async fn oddity_21_hanging_server_blocks_nobody() {
    let mut pair = (Old::red().await, Old::green().await);
    let blue = Blue::knowing([&mut pair.0, &mut pair.1], "connect_timeout = \"1s\"\nrequest_timeout = \"1s\"").await;
    let (red, green) = pair;
    blue.messenger.set_participants("ctx", &["red", "green"]).await;
    blue.messenger.say_in("ctx", "m1", "hello").await;
    let hangs = red.asked().await;
    green.takes().await;
    blue.messenger.until_state("m1", "green", "acknowledged").await;
    let again = red.asked().await;
    assert_eq!(again.line(), hangs.line());
    again.answered(NULL).await;
    blue.messenger.until_state("m1", "red", "acknowledged").await;
    blue.end().await;
}

/// In such a server a wrong guess causes no error, only gaps that cannot be filled.
#[actix_web::test]
async fn trap_02_pairs_written_id_first() {
    let (blue, red) = red_alone("").await;
    let turned = pdu_of("red", "b", 1, &["a"]).replace("[\"a\",\"red\"]", "[\"red\",\"a\"]");
    let with_third = pdu_of("red", "c", 2, &["b"]).replace("[\"b\",\"red\"]", "[\"b\",\"red\",{\"sha256\":\"x\"}]");
    let verdicts = red.sends("1", &[pdu_of("red", "a", 0, &[]), turned, with_third]).await.verdicts();
    assert_eq!(verdicts, ["accepted"; 3]);
    let prev: Vec<_> = blue.messenger.hear(3).await.iter().map(|event| event["prev"].clone()).collect();
    assert_eq!(prev, [json!([]), json!([["red", "a"]]), json!([["red", "b"]])]);

    let id = blue.messenger.say_in("ctx", "m1", "hello").await;
    let asked = red.takes().await;
    let json = asked.json();
    let (transaction, ts, said) =
        (json["transaction_id"].as_str().expect("an id"), &json["ts"], &json["pdus"][0]["ts"]);
    let expected = format!(
        "{{\"transaction_id\":\"{transaction}\",\"ts\":{ts},\"origin\":\"blue\",\"destination\":\"red\",\"prev_ids\":[],\
         \"pdus\":[{{\"pdu_id\":\"{id}\",\"origin\":\"blue\",\"context\":\"ctx\",\"ts\":{said},\"pdu_type\":\"m.text\",\
         \"prev_pdus\":[[\"c\",\"red\"]],\"depth\":3,\"is_state\":false,\"content\":{{\"body\":\"hello\"}}}}]}}"
    );
    assert_eq!((asked.line(), &asked.body), (format!("PUT {P}/send/{transaction}/").as_str(), &expected));
    let shown = red.gets(&format!("{P}/pdu/red/c/")).await;
    assert_eq!(shown.json()["pdus"][0]["prev_pdus"], json!([["b", "red"]]), "the order is the same in a reply");
    blue.end().await;
}

/// Such a server discards a transaction after any status but 200.
#[actix_web::test]
async fn trap_03_concurrent_transactions_are_accepted() {
    let (blue, red) = red_alone("").await;
    let bodies = [0, 1, 2, 3].map(|n| [pdu_of("red", &format!("p{n}"), 0, &[])]);
    let [a, b, c, d] = bodies.each_ref();
    let answers = tokio::join!(red.sends("1", a), red.sends("2", b), red.sends("3", c), red.sends("4", d));
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(answer.verdicts(), ["accepted"]);
    }
    let huge = red.puts("6", format!("{{\"origin\":\"red\",\"x\":\"{}\"}}", "x".repeat(9 << 20))).await;
    assert_eq!(huge.status, 413, "items that will never be accepted are reported at once");
    blue.end().await;
}

/// In such a server one PDU that it rejects costs the whole transaction.
#[actix_web::test]
async fn trap_10_refused_batch_is_bisected() {
    let (blue, red) = red_alone("").await;
    // A transaction holds one PDU of each context.
    for context in ["ctx", "c1", "c2", "c3", "c4"] {
        blue.messenger.set_participants(context, &["red"]).await;
    }
    blue.messenger.say_in("ctx", "first", "hello").await;
    let first = red.asked().await;
    for (id, context, text) in
        [("m1", "c1", "good"), ("m2", "c2", "poison"), ("m3", "c3", "good"), ("m4", "c4", "good")]
    {
        blue.messenger.say_in(context, id, text).await;
    }
    blue.messenger.until_backlog("red", 5).await;
    first.answered(NULL).await;
    let mut refused: Vec<(String, usize)> = vec![];
    let answers = async {
        loop {
            let asked = red.asked().await;
            if asked.body.contains("poison") {
                refused.push((asked.line().to_owned(), asked.json()["pdus"].as_array().expect("a list").len()));
                asked.answered(INTERNAL).await;
            } else {
                asked.answered(NULL).await;
            }
        }
    };
    let settled = async {
        blue.messenger.until_state("m2", "red", "parked").await;
        for id in ["m1", "m3", "m4"] {
            blue.messenger.until_state(id, "red", "acknowledged").await;
        }
    };
    tokio::select! { () = settled => {}, () = answers => {} }
    let (line, count) = refused[0].clone();
    assert_eq!(
        (count, refused.iter().filter(|(other, _)| *other == line).count()),
        (4, 3),
        "the batch is sent three times unchanged: {refused:?}"
    );
    assert_eq!(
        refused.last().map(|(_, count)| *count),
        Some(1),
        "in the end the refused PDU is sent alone: {refused:?}"
    );
    blue.end().await;
}
