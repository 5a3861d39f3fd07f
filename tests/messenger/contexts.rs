//! Conversations as the messenger sees them: who takes part, what is shown of them, what is said in passing.

use actix_web::http::Method;
use actors::change::Change;
use actors::model::{
    ContextId, ContextRecord, Delivery, Head, Millis, Pdu, PduRef, ServerName, Shown, Standing, StateSlot, StoredPdu,
};
use actors::ports::Urgency;
use bytes::Bytes;

use crate::rig::{Rig, name};

fn room() -> ContextId {
    "#room".parse().expect("an id")
}

fn pdu(id: &str) -> PduRef {
    PduRef { origin: name("blue"), id: id.parse().expect("an id") }
}

/// A conversation as its actor would have left it.
fn moved(participants: &[&str]) -> Change {
    let participants = participants.iter().map(|server| name(server)).collect();
    let record = ContextRecord {
        heads: vec![Head { reference: pdu("p1"), depth: 1 }],
        depth: 1,
        next: 2,
        ..ContextRecord::new(room(), participants, false)
    };
    Change::ContextMoved(Box::new(record))
}

/// State from `blue`, delivered.
fn stored(id: &str, position: u64) -> Change {
    let bytes = format!(
        r##"{{"pdu_id":"{id}","origin":"blue","context":"#room","ts":5,"pdu_type":"topic","content":{{ "n":1208925819614629174706176}},"##
    ) + r#""prev_pdus":[],"is_state":true,"state_key":"","power_level":3,"colour":"\u00e9"}"#;
    let state = Some(StateSlot { key: String::new(), power_level: 3, prev: None });
    let pdu = Pdu {
        reference: pdu(id),
        context: room(),
        prev: vec![],
        depth: None,
        kind: "topic".into(),
        state,
        bytes: Bytes::from(bytes),
    };
    let delivery = Delivery { position, depth: 0, shown: Some(Shown::default()) };
    let standing = Standing::Delivered(delivery);
    let (sender, received): (Option<ServerName>, _) = (Some(name("blue")), Millis(1_000));
    Change::PduStored(Box::new(StoredPdu { pdu, sender, verified: "network", received, standing }))
}

#[actix_web::test]
async fn a_context_that_exists_shows_how_it_stands_under_its_escaped_id() {
    let rig = Rig::start();
    rig.commit(vec![moved(&["blue", "old"])], Urgency::Now).await;
    let expected = concat!(
        r##"{"context":"#room","participants":["red","blue","old"],"heads":[["blue","p1"]],"depth":1,"held":0,"##,
        r#""wanted":[],"gaps":[],"edge":[]}"#
    );
    for path in ["/v1/contexts/%23room", "/v1/contexts/%23room/"] {
        assert_eq!(rig.call(Method::GET, path, "").await, (200, expected.into()), "{path}");
    }
    let unknown = r##"{"error":"there is no context #r/öom+ x","code":"UNKNOWN_CONTEXT"}"##;
    assert_eq!(rig.call(Method::GET, "/v1/contexts/%23r%2F%C3%B6om+%20x", "").await, (404, unknown.into()));
}

#[actix_web::test]
async fn only_peers_can_be_made_participants() {
    let rig = Rig::start();
    let grey = r#"{"error":"grey is not a peer of this server","code":"NOT_A_PEER"}"#;
    let body = r#"{"servers":["blue","grey"]}"#;
    assert_eq!(rig.call(Method::PUT, "/v1/contexts/c", body).await, (422, grey.into()));
    assert_eq!(rig.call(Method::GET, "/v1/contexts/c", "").await.0, 404, "nothing was made");
    let long = format!("/v1/contexts/{}", "c".repeat(256));
    assert_eq!(rig.call(Method::PUT, &long, r#"{"servers":["blue"]}"#).await.0, 422);
}

#[actix_web::test]
async fn state_is_shown_exactly_and_says_whether_it_still_holds_its_key() {
    let rig = Rig::start();
    let holds =
        |id: &str| Change::StateMoved { context: room(), kind: "topic".into(), key: String::new(), current: pdu(id) };
    rig.commit(vec![stored("p1", 1), holds("p1"), stored("p2", 2), holds("p2")], Urgency::Now).await;
    let (status, page) = rig.call(Method::GET, "/v1/events", "").await;
    let first = concat!(
        r##"{"events":[{"position":1,"kind":"state","id":"blue/p1","time":"1970-01-01T00:00:01.000Z","context":"#room","##,
        r#""origin":"blue","pdu_id":"p1","type":"topic","content":{ "n":1208925819614629174706176},"state_key":"","#,
        r#""power_level":3,"prev_state":null,"current":false,"prev":[],"depth":0,"ts":5,"extra":{"colour":"\u00e9"},"#,
        r#""sender":"blue","verified":"network"},"#
    );
    assert!(status == 200 && page.starts_with(first), "{page}");
    assert!(page.contains(r#""id":"blue/p2""#) && page.contains(r#""current":true"#), "{page}");
}

#[actix_web::test]
async fn something_ephemeral_goes_to_each_peer_in_its_dialect() {
    let rig = Rig::start();
    rig.commit(vec![moved(&["blue", "old", "grey"])], Urgency::Now).await;
    let typing = r##"{"context":"#room","ttl":"5s","update":{"update":"typing", "user_id":"@a:red"}}"##;
    assert_eq!(rig.call(Method::PUT, "/v1/ephemeral", typing).await, (204, String::new()));
    rig.pushed().await;
    rig.pushed().await;
    let mut sent = vec![];
    for frame in rig.frames() {
        assert!(frame.items.is_empty());
        for edu in frame.weak {
            sent.push(format!("{} {} {}", frame.to, edu.kind, String::from_utf8_lossy(&edu.content)));
        }
    }
    sent.sort();
    let blue = r#"blue typing {"update":"typing", "user_id":"@a:red"}"#;
    assert_eq!(sent, [blue, r#"old typing {"user_id":"@a:red"}"#], "and nothing to a participant that is no peer");
}

#[actix_web::test]
async fn something_ephemeral_for_nobody_we_know_is_refused() {
    let rig = Rig::start();
    for (body, status, code) in [
        (r#"{"to":["blue","grey"],"update":{"update":"t"}}"#, 422, "NOT_A_PEER"),
        (r#"{"to":["red"],"update":{"update":"t"}}"#, 422, "NOT_A_PEER"),
        (r#"{"context":"nowhere","update":{"update":"t"}}"#, 404, "UNKNOWN_CONTEXT"),
    ] {
        let (answered, told) = rig.call(Method::PUT, "/v1/ephemeral", body).await;
        assert!(answered == status && told.contains(code), "{body}: {answered} {told}");
    }
    assert!(rig.frames().is_empty(), "not to blue either");
}

#[actix_web::test]
async fn a_peer_of_the_transactions_dialect_takes_no_updates() {
    let rig = Rig::start();
    let (status, body) = rig.call(Method::PUT, "/v1/updates/m-1", r#"{"to":["blue","old"],"strong":[{}]}"#).await;
    assert!(status == 422 && body.contains(r#""code":"DIALECT""#), "{body}");
    assert!(rig.queued("blue").await.is_empty());
}
