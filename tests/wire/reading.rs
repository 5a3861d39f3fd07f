//! `GET /matrix/federation/v1/pdu/..`: one PDU for participants, and one common response for all others.

use std::net::SocketAddr;

use actix_web::test::TestRequest;
use actors::model::{Ack, PduRef, Seq};
use actors::ports::ServedPdu;
use bytes::Bytes;

use crate::circle::reference;
use crate::handler::{Answer, ScriptedCore, scripted, send};

fn stored(origin: &str, id: &str, context: &str, delivered: bool) -> (PduRef, ServedPdu) {
    let text = format!(
        r#"{{"pdu_id":"{id}","origin":"{origin}","context":"{context}","ts":1,"pdu_type":"t","prev_pdus":[],"is_state":false,"content":{{"n": 1e2}}}}"#
    );
    let context = context.parse().expect("an id");
    (reference(origin, id), ServedPdu { context, depth: 7, delivered, to: None, bytes: Bytes::from(text) })
}

fn core() -> ScriptedCore {
    let mut core = scripted(Ok(Ack::Ok(Seq(1))));
    core.stored = vec![
        stored("green.example", "i", "c", true),
        stored("green.example", "#a/b c?", "c", true),
        stored("green.example", "held", "c", false),
        stored("green.example", "secret", "elsewhere", true),
        stored("both", "twin", "elsewhere", true),
        stored("twin", "both", "c", true),
    ];
    core
}

async fn asked(core: ScriptedCore, address: &str, path: &str) -> Answer {
    let peer: SocketAddr = format!("{address}:5000").parse().expect("an address");
    let uri = format!("/matrix/federation/v1/pdu/{path}");
    send(&core.into(), TestRequest::get().uri(&uri).peer_addr(peer)).await
}

#[actix_web::test]
async fn participant_reads_pdu() {
    let expected = concat!(
        r#"{"origin":"us.example","ts":1404835423000,"pdus":[{"pdu_id":"i","origin":"green.example","context":"c","ts":1,"#,
        r#""pdu_type":"t","prev_pdus":[],"depth":7,"is_state":false,"content":{"n": 1e2}}]}"#
    );
    for path in ["green.example/i/", "green.example/i", "GREEN.example/i/", "i/green.example/", "%67reen.example/%69/"]
    {
        let answer = asked(core(), "10.1.0.1", path).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, expected), "{path}");
    }
    let odd = asked(core(), "10.1.0.1", "green.example/%23a%2Fb%20c%3F/").await;
    assert_eq!((odd.status, odd.body["pdus"][0]["pdu_id"].as_str()), (200, Some("#a/b c?")));
    let swapped = asked(core(), "10.1.0.1", "both/twin/").await;
    assert_eq!(
        swapped.body["pdus"][0]["origin"].as_str(),
        Some("twin"),
        "a PDU that the caller may not see is not found"
    );
}

#[actix_web::test]
async fn hidden_pdu_answers_like_missing() {
    let unknown = asked(core(), "10.1.0.1", "green.example/nothing/").await;
    assert_eq!((unknown.status, unknown.body["code"].as_str()), (404, Some("NOT_FOUND")));
    for path in ["green.example/held/", "green.example/secret/", "a%20b/c%0A/", "blue.example/i/"] {
        let answer = asked(core(), "10.1.0.1", path).await;
        assert_eq!((answer.status, answer.text), (404, unknown.text.clone()), "{path}");
    }
    for (address, status) in [("192.0.2.1", 401), ("10.2.0.1", 403)] {
        assert_eq!(asked(core(), address, "green.example/i/").await.status, status);
    }
}

async fn walked(core: ScriptedCore, address: &str, path: &str) -> Answer {
    let peer: SocketAddr = format!("{address}:5000").parse().expect("an address");
    let uri = format!("/matrix/federation/v1/{path}");
    send(&core.into(), TestRequest::get().uri(&uri).peer_addr(peer)).await
}

fn ids(answer: &Answer) -> Vec<&str> {
    let pdus = answer.body["pdus"].as_array().expect("a list");
    pdus.iter().map(|pdu| pdu["pdu_id"].as_str().expect("a text")).collect()
}

#[actix_web::test]
async fn backfill_includes_named_pdus() {
    for path in ["backfill/c/", "backfill/c", "paginate/c/", "%62ackfill/%63/"] {
        let answer = walked(core(), "10.1.0.1", &format!("{path}?v=i,green.example&v=both%2Ctwin&limit=9")).await;
        assert_eq!((answer.status, ids(&answer)), (200, vec!["i", "both"]), "{path}");
        assert_eq!(answer.body["ts"].as_u64(), Some(1_404_835_423_000), "old servers discard a response without ts");
    }
    let several = "backfill/c/?v=i,green.example&limit=9&limit=0";
    assert_eq!(ids(&walked(core(), "10.1.0.1", several).await), Vec::<&str>::new());
    let unknown = "backfill/c/?v=nothing,green.example&limit=5";
    assert_eq!(ids(&walked(core(), "10.1.0.1", unknown).await), Vec::<&str>::new());
}

#[actix_web::test]
async fn invalid_backfill_query_is_400() {
    for question in ["", "?limit=3", "?v=a,b", "?v=a&limit=3", "?v=a,b&limit=-1", "?v=a,b&limit=x"] {
        let answer = walked(core(), "10.1.0.1", &format!("backfill/c/{question}")).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (400, Some("BAD_QUESTION")), "{question}");
    }
}

#[actix_web::test]
async fn participant_reads_state() {
    for path in ["state/c/", "state/c"] {
        let answer = walked(core(), "10.1.0.1", path).await;
        assert_eq!((answer.status, ids(&answer)), (200, vec!["i", "#a/b c?", "both"]), "{path}");
    }
    let unknown = walked(core(), "10.1.0.1", "state/nowhere/").await;
    assert_eq!((unknown.status, unknown.body["code"].as_str()), (404, Some("NOT_FOUND")));
    assert_eq!(walked(core(), "10.1.0.1", "state/elsewhere/").await.text, unknown.text);
}

/// Targets of such a server are not encoded: `%41` is three characters, and `%23` is a `#` that the listener replaced.
#[actix_web::test]
async fn a_raw_target_is_not_decoded() {
    let found = async |contexts: &[&'static str], raw: bool, path: &str| {
        let mut core = scripted(Ok(Ack::Ok(Seq(1))));
        core.contexts = contexts.to_vec();
        core.habits.raw_targets = raw;
        core.stored =
            contexts.iter().map(|context| stored("green.example", &format!("i{context}"), context, true)).collect();
        let answer = walked(core, "10.1.0.1", path).await;
        if answer.status == 200 { ids(&answer).join(" ") } else { answer.status.to_string() }
    };
    let both = ["#50%41", "#50A"];
    for (raw, expected) in [(true, "i#50%41"), (false, "i#50A")] {
        assert_eq!(found(&both, raw, "state/%2350%41/").await, expected);
        assert_eq!(found(&both, raw, "pdu/green.example/i%2350%41").await, expected);
        let walk = "backfill/%2350%41/?limit=5&v=i%252350%2541,green.example&v=i%2350A,green.example&v=i%2350%2541,green.example";
        assert_eq!(found(&both, raw, walk).await, expected, "all servers decode queries");
    }
    for (contexts, path, expected) in [
        (["#50A"], "state/%2350%41/", "i#50A"),
        (["%2350"], "state/%2350/", "i%2350"),
        (["#50%41"], "state/%2350%2541/", "i#50%41"),
        (["#50%41"], "state/%2350A/", "404"),
    ] {
        assert_eq!(found(&contexts, true, path).await, expected, "{path}");
    }
}

#[actix_web::test]
async fn context_existence_stays_hidden() {
    let unknown = walked(core(), "10.1.0.1", "backfill/nowhere/?v=i,green.example&limit=1").await;
    assert_eq!((unknown.status, unknown.body["code"].as_str()), (404, Some("NOT_FOUND")));
    let secret = walked(core(), "10.1.0.1", "backfill/elsewhere/?v=secret,green.example&limit=1").await;
    assert_eq!((secret.status, secret.text), (404, unknown.text));
    let mut broken = core();
    broken.broken = true;
    assert_eq!(walked(broken, "10.1.0.1", "backfill/c/?v=i,green.example&limit=1").await.status, 503);
}

fn sent() -> ScriptedCore {
    let mut core = core();
    let pdu = |id: &str| reference("green.example", id);
    core.stored.push(stored("green.example", "j", "c", true));
    core.stored.push(stored("green.example", "k", "c", true));
    core.sent = vec![
        (9, vec![pdu("i"), pdu("secret"), pdu("j")]),
        (10, vec![pdu("held"), pdu("i")]),
        (11, vec![pdu("k"), pdu("gone")]),
    ];
    core
}

#[actix_web::test]
async fn pull_pages_whole_transactions() {
    let page = async |query: &str| {
        let answer = walked(sent(), "10.1.0.1", &format!("pull/?origin=red.example&{query}")).await;
        let next = answer.body["transaction_id"].as_str().map(str::to_owned);
        assert_eq!((answer.status, answer.body["more"].as_bool()), (200, next.as_ref().map(|_| true)), "{query}");
        (ids(&answer).join(" "), next)
    };
    let more = |ids: &str, next: &str| (ids.to_owned(), Some(next.to_owned()));
    assert_eq!(page("v=0").await, more("i j", "9"), "a transaction that is larger than a page is returned whole");
    assert_eq!(page("v=2&v=9").await, more("i", "10"), "ids are compared as numbers: 10 is after 9");
    assert_eq!(page("v=10&v=9").await, ("k".to_owned(), None), "the largest v counts, and pruned PDUs are omitted");
    assert_eq!(page("v=11").await, (String::new(), None));
    assert_eq!(page("v=99999999999999999999999").await, (String::new(), None));
}

#[actix_web::test]
async fn pull_needs_own_origin() {
    for (query, status, code) in [
        ("?origin=green.example&v=0", 403, "FORBIDDEN"),
        ("?v=0", 400, "BAD_QUESTION"),
        ("?origin=red.example", 400, "BAD_QUESTION"),
        ("?origin=red.example&v=0x1", 400, "BAD_QUESTION"),
        ("", 400, "BAD_QUESTION"),
    ] {
        let answer = walked(sent(), "10.1.0.1", &format!("pull/{query}")).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{query}");
    }
    let mut broken = sent();
    broken.broken = true;
    assert_eq!(walked(broken, "10.1.0.1", "pull?origin=red.example&v=0").await.status, 503);
}

/// A 404 is a definite answer: the caller would take the PDU for lost.
#[actix_web::test]
async fn unreadable_store_is_no_miss() {
    let mut core = core();
    core.broken = true;
    let answer = asked(core, "10.1.0.1", "green.example/i/").await;
    assert_eq!((answer.status, answer.retry_after.as_deref()), (503, Some("1")));
}
