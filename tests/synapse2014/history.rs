//! History and state: what an old server asks for, and what it gives when it is asked.

use crate::gateway::{Blue, ids};
use crate::old::{Answer, Old, P, answer, pdu_of};

async fn red_alone() -> (Blue, Old) {
    let mut red = Old::red().await;
    (Blue::knowing([&mut red], "").await, red)
}

/// The ids of the PDUs of a reply.
fn given(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let json = answer.json();
    assert!(
        json["ts"].is_u64() && json["origin"] == "blue",
        "such a server discards a reply without ts: {}",
        answer.text
    );
    let pdus = json["pdus"].as_array().expect("a list");
    pdus.iter().map(|pdu| pdu["pdu_id"].as_str().expect("an id").to_owned()).collect()
}

/// Red's, one after the other, each naming the one before it.
async fn chain(red: &Old, count: u64) {
    let pdus: Vec<String> = (0..count)
        .map(|n| match n {
            0 => pdu_of("red", "c0", 0, &[]),
            n => pdu_of("red", &format!("c{n}"), n, &[&format!("c{}", n - 1)]),
        })
        .collect();
    assert_eq!(red.sends("1", &pdus).await.verdicts(), vec!["accepted"; pdus.len()]);
}

/// There it repeats, overshoots, leaves the context and goes round in circles.
#[actix_web::test]
async fn oddity_12_backfill_gives_each_once_and_never_too_many() {
    let (blue, red) = red_alone().await;
    chain(&red, 5).await;
    let diamond = [
        pdu_of("red", "l", 5, &["c4"]),
        pdu_of("red", "r", 5, &["c4"]),
        pdu_of("red", "top", 6, &["l", "r"]),
        pdu_of("red", "elsewhere", 0, &[]).replace("\"ctx\"", "\"other\""),
    ];
    assert_eq!(red.sends("2", &diamond).await.verdicts(), ["accepted"; 4]);
    for (query, expected) in [
        ("limit=3&v=top%2Cred", &["top", "l", "r"][..]),
        ("limit=5&v=top%2Cred", &["top", "l", "r", "c4", "c3"]),
        ("limit=20&v=l%2Cred&v=r%2Cred", &["l", "r", "c4", "c3", "c2", "c1", "c0"]),
        ("limit=0&v=top%2Cred", &[]),
        ("limit=7&limit=1&v=red%2Ctop", &["top"]),
        ("limit=9&v=nothing%2Cred", &[]),
        ("limit=9&v=elsewhere%2Cred", &[]),
    ] {
        assert_eq!(given(&red.gets(&format!("{P}/backfill/ctx/?{query}")).await), expected, "{query}");
    }
    for query in ["", "limit=3", "v=top%2Cred", "v=top&limit=3", "v=top%2Cred&limit=-1", "v=top%2Cred&limit=x"] {
        assert_eq!(red.gets(&format!("{P}/backfill/ctx/?{query}")).await.status, 400, "{query}");
    }
    blue.end().await;
}

/// As asker: what comes twice, what was not asked for and what is of another context is left where it is.
#[actix_web::test]
async fn trap_08_what_is_missing_is_asked_for_by_name_and_comes_with_what_lies_before_it() {
    let (blue, red) = red_alone().await;
    assert_eq!(red.sends("0", &[pdu_of("red", "c0", 0, &[])]).await.verdicts(), ["accepted"]);
    assert_eq!(red.sends("1", &[pdu_of("red", "top", 9, &["x", "y", "z"])]).await.verdicts(), ["held"]);
    let asked = red.asked().await;
    assert!(asked.line().starts_with(&format!("GET {P}/backfill/ctx/?")), "{}", asked.line());
    for named in ["v=x%2Cred", "v=y%2Cred", "v=z%2Cred", "limit="] {
        assert!(asked.line().contains(named), "{named} is not in {}", asked.line());
    }
    let [x, y, z, w] = [("x", 8, "w"), ("y", 8, "w"), ("z", 8, "w"), ("w", 7, "c0")]
        .map(|(id, depth, prev)| pdu_of("red", id, depth, &[prev]));
    let stray = pdu_of("red", "stray", 0, &[]).replace("\"ctx\"", "\"other\"");
    let list = [x.clone(), y, stray, z, w.clone(), w, x];
    asked.answered(&answer("200 OK", &red.envelope(&list))).await;
    let events = blue.feed(6).await;
    let order = ids(&events);
    assert_eq!((&order[..2], order[5]), (&["c0", "w"][..], "top"), "{order:?}");
    assert_eq!(order.len(), 6, "each once: {order:?}");
    blue.end().await;
}
