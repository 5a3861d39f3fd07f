//! `PUT /matrix/federation/v1/send/..`: who is accepted, what reaches the core, and the responses to its verdicts.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::test::TestRequest;
use actors::errors::{AdmissionError, BatchError, PeerError, UnavailableError};
use actors::model::{Ack, PduRef, PduVerdict, PeerReceipts, Seq};

use crate::circle::name;
use crate::handler::{Answer, LIMIT, core, scripted, send};

const SEND: &str = "/matrix/federation/v1/send/1404835423001/";
const PDU: &str = r#"{"pdu_id":"i","origin":"RED.example","context":"c","ts":1,"pdu_type":"t","content":{}}"#;

fn from(address: &str) -> TestRequest {
    let peer: SocketAddr = format!("{address}:5000").parse().expect("an address");
    TestRequest::put().uri(SEND).peer_addr(peer)
}

fn body() -> String {
    format!(r#"{{"origin":"red.example","prev_ids":["9"],"pdus":[{PDU},7]}}"#)
}

#[actix_web::test]
async fn transaction_reaches_core_and_answers() {
    let verdicts =
        vec![PduVerdict::Held, PduVerdict::Refused { code: "NOT_AN_OBJECT", reason: "no object".to_owned() }];
    let mut core = scripted(Ok(Ack::Ok(Seq(1))));
    core.verdicts = Some(Ok(verdicts));
    let core = core.into();
    let answer = send(&core, from("10.1.0.1").set_payload(body())).await;
    let expected = concat!(
        r#"{"pdus":[{"pdu_id":"i","origin":"red.example","status":"held"},"#,
        r#"{"error":"no object","code":"NOT_AN_OBJECT"}],"limits":{"pdus":2,"bytes":400}}"#
    );
    assert_eq!((answer.status, answer.text.as_str()), (200, expected));
    let taken = core.transactions.lock().expect("not poisoned");
    let (peer, transaction) = &taken[0];
    assert_eq!(
        (peer.as_str(), transaction.id.as_str(), transaction.verified),
        ("red.example", "1404835423001", "network")
    );
    assert_eq!((transaction.prev_ids.as_slice(), transaction.pdus.len()), (&["9".to_owned()][..], 2));
    assert_eq!(transaction.pdus[1].as_ref().map_err(|bad| bad.code), Err("NOT_AN_OBJECT"));
}

#[actix_web::test]
async fn transaction_answer_has_receipts() {
    let mut core = scripted(Ok(Ack::Ok(Seq(1))));
    let pdu = PduRef { origin: name("red.example"), id: "i".parse().expect("valid") };
    core.receipts = PeerReceipts { pdus: vec![pdu], ..PeerReceipts::NONE };
    let answer = send(&core.into(), from("10.1.0.1").set_payload(r#"{"origin":"red.example"}"#)).await;
    let expected = r#"{"pdus":[],"limits":{"pdus":2,"bytes":400},"delivered":[["red.example","i"]]}"#;
    assert_eq!((answer.status, answer.text.as_str()), (200, expected));
}

#[actix_web::test]
async fn empty_transaction_is_accepted() {
    for uri in [SEND, SEND.trim_end_matches('/'), "/matrix/federation/v1/send/%23a%20b/"] {
        let core = core(Ok(Ack::Ok(Seq(1))));
        let request = from("10.1.0.1").uri(uri).set_payload(r#"{"origin":"red.example"}"#);
        let answer = send(&core, request).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"pdus":[],"limits":{"pdus":2,"bytes":400}}"#));
        let id = core.transactions.lock().expect("not poisoned")[0].1.id.clone();
        assert_eq!(id, if uri.contains('%') { "#a b" } else { "1404835423001" });
    }
}

async fn refused(request: TestRequest) -> (u16, String, String) {
    let core = core(Ok(Ack::Ok(Seq(1))));
    let Answer { status, body, .. } = send(&core, request).await;
    assert!(core.transactions.lock().expect("not poisoned").is_empty(), "nothing was taken");
    let text = |key: &str| body[key].as_str().expect("a text").to_owned();
    (status, text("code"), text("error"))
}

fn in_short((status, code, _): (u16, String, String)) -> (u16, String) {
    (status, code)
}

#[actix_web::test]
async fn transaction_origin_must_be_proven() {
    let named = |origin: &str| format!(r#"{{"origin":"{origin}"}}"#);
    let header = |request: TestRequest, name: &'static str| request.insert_header(("Fernpost-Origin", name));
    let unproved = || (401, "UNAUTHENTICATED".to_owned());
    let forbidden = || (403, "FORBIDDEN".to_owned());
    let not_the_sender = || (403, "NOT_THE_SENDER".to_owned());
    let of = |request: TestRequest, origin: &str| refused(request.set_payload(named(origin)));

    // An unknown address, an unauthenticated header and a denied peer are refused before the body is read.
    for body in ["not even JSON", "{}"] {
        assert_eq!(in_short(refused(from("192.0.2.1").set_payload(body)).await), unproved());
        assert_eq!(in_short(refused(header(from("192.0.2.1"), "red.example").set_payload(body)).await), unproved());
        assert_eq!(in_short(refused(from("10.2.0.1").set_payload(body)).await), forbidden());
    }
    assert_eq!(in_short(of(from("192.0.2.1"), "red.example").await), unproved());
    assert_eq!(in_short(of(header(from("10.3.0.1"), "red.example"), "blue.example").await), not_the_sender());
    assert_eq!(in_short(of(header(from("10.1.0.1"), "red.example"), "green.example").await), not_the_sender());
    assert_eq!(in_short(of(from("10.1.0.1"), "green.example").await), unproved());
    assert_eq!(in_short(of(from("10.3.0.1"), "green.example").await), unproved());
    assert_eq!(in_short(of(from("10.2.0.1"), "black.example").await), forbidden());
    let (status, code, _) = of(header(from("10.1.0.1"), "red..example"), "red.example").await;
    assert_eq!((status, code.as_str()), (400, "BAD_ORIGIN"));

    // Two servers share an address: the body or the header names the caller.
    for (request, expected) in [
        (from("10.3.0.1"), "red.example"),
        (from("10.3.0.1"), "blue.example"),
        (header(from("10.3.0.1"), "blue.example"), "blue.example"),
    ] {
        let core = core(Ok(Ack::Ok(Seq(1))));
        assert_eq!(send(&core, request.set_payload(named(expected))).await.status, 200);
        assert_eq!(core.transactions.lock().expect("not poisoned")[0].0.as_str(), expected);
    }
}

#[actix_web::test]
async fn malformed_or_large_transaction_is_refused() {
    for (body, expected) in [
        ("", "NOT_JSON"),
        (r#"{"origin":"red.example","ts":NaN}"#, "NOT_JSON"),
        ("[]", "NOT_A_TRANSACTION"),
        ("{}", "NOT_A_TRANSACTION"),
        (r#"{"origin":"red.example","pdus":null}"#, "NOT_A_TRANSACTION"),
        (r#"{"origin":"red.example","pdus":[],"pdus":[]}"#, "NOT_A_TRANSACTION"),
    ] {
        assert_eq!(in_short(refused(from("10.1.0.1").set_payload(body)).await), (400, expected.to_owned()), "{body}");
    }
    for id in ["x".repeat(256), "a%0Ab".to_owned()] {
        let uri = format!("/matrix/federation/v1/send/{id}/");
        let (status, code, _) = refused(from("10.1.0.1").uri(&uri).set_payload(body())).await;
        assert_eq!((status, code.as_str()), (400, "BAD_TRANSACTION_ID"));
    }
    let (status, code, words) = refused(from("10.1.0.1").set_payload(" ".repeat(LIMIT.bytes + 1))).await;
    assert_eq!((status, code.as_str()), (413, "BODY_TOO_LARGE"));
    assert!(words.contains("federation.body_max"), "{words}");
    let long = r#"{"origin":"red.example","pdus":[1,2,3]}"#;
    let (status, code, words) = refused(from("10.1.0.1").set_payload(long)).await;
    assert_eq!((status, code.as_str()), (413, "TOO_MANY_PDUS"));
    assert!(words.contains("intake_items") && words.contains('2') && words.contains('3'), "{words}");
}

#[actix_web::test]
async fn retryable_refusal_has_retry_after() {
    let second = Duration::from_secs(1);
    let busy = AdmissionError::LimitReached { limit: "peers.intake_max", value: 4, wait: second * 3 / 2 };
    for (refusal, status, code, retry_after) in [
        (BatchError::from(busy), 429, "BUSY", Some("2")),
        (UnavailableError::OutcomeUnknown.into(), 503, "OUTCOME_UNKNOWN", Some("1")),
        (UnavailableError::Stopping.into(), 503, "STOPPING", Some("1")),
        (BatchError::Faulty(name("red.example")), 503, "FAULTY", Some("60")),
        (PeerError::UnknownPeer(name("red.example")).into(), 403, "FORBIDDEN", None),
        (BatchError::TooManyItems { count: 3, max: 2 }, 413, "TOO_MANY_PDUS", None),
    ] {
        let mut core = scripted(Ok(Ack::Ok(Seq(1))));
        core.verdicts = Some(Err(refusal));
        let answer = send(&core.into(), from("10.1.0.1").set_payload(body())).await;
        let got = (answer.status, answer.body["code"].as_str(), answer.retry_after.as_deref());
        assert_eq!(got, (status, Some(code), retry_after));
    }
}

#[actix_web::test]
async fn unknown_federation_path_is_json_404() {
    let get = |uri: &str| from("10.1.0.1").method(actix_web::http::Method::GET).uri(uri);
    assert_eq!(in_short(refused(get(SEND)).await), (405, "METHOD_NOT_ALLOWED".to_owned()));
    let prefix = "/matrix/federation/v1";
    for path in ["/query/profile", "/context/c/", "/"] {
        let answer = refused(get(&format!("{prefix}{path}"))).await;
        assert_eq!(in_short(answer), (404, "NOT_FOUND".to_owned()), "{path}");
    }
    let nameless = from("10.1.0.1").uri("/matrix/federation/v1/send//").set_payload(body());
    assert_eq!(in_short(refused(nameless).await), (404, "NOT_FOUND".to_owned()));
}
