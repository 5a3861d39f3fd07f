//! Contexts in the messenger API: participants, status, state, and ephemeral updates.

use actix_web::http::Method;
use actors::change::Change;
use actors::model::{
    ContextId, ContextRecord, Delivery, FeedFlags, Head, Millis, Pdu, PduProof, PduRef, PduState, PrevStateLink,
    ServerName, StateEntry, StateKey, StateSlot, StoredPdu,
};
use actors::ports::CommitPriority;
use bytes::Bytes;
use fixtures::peers::name;

use crate::fixture::MessengerFixture;

fn room() -> ContextId {
    "#room".parse().expect("an id")
}

fn pdu(id: &str) -> PduRef {
    PduRef { origin: name("blue"), id: id.parse().expect("an id") }
}

/// Returns the context record that its actor would commit.
fn moved(participants: &[&str]) -> Change {
    let participants = participants.iter().map(|server| name(server)).collect();
    let record = ContextRecord {
        heads: vec![Head::of(pdu("p1"), 1, None)],
        depth: 1,
        next: 2,
        ..ContextRecord::new(room(), participants, false)
    };
    Change::ContextRecordUpdated(Box::new(record))
}

/// Returns a delivered state PDU from `blue`.
fn stored(id: &str, position: i64, current: bool) -> Change {
    let bytes = format!(
        r##"{{"pdu_id":"{id}","origin":"blue","context":"#room","ts":5,"pdu_type":"topic","content":{{ "n":1208925819614629174706176}},"##
    ) + r#""prev_pdus":[],"is_state":true,"state_key":"","power_level":3,"colour":"\u00e9"}"#;
    let state = Some(StateSlot { key: String::new(), power_level: 3, prev: None, member: None });
    let pdu = Pdu {
        reference: pdu(id),
        context: room(),
        prev: vec![],
        depth: None,
        kind: "topic".into(),
        state,
        to: None,
        bytes: Bytes::from(bytes),
        proof: PduProof::Sender,
    };
    let delivery = Delivery { position, depth: 0, shown: Some(FeedFlags { current, ..FeedFlags::default() }) };
    let standing = PduState::Delivered(delivery);
    let (sender, received): (Option<ServerName>, _) = (Some(name("blue")), Millis(1_000));
    Change::PduStored(Box::new(StoredPdu { pdu, sender, verified: "network", received, standing }))
}

#[actix_web::test]
async fn context_status_reads_escaped_id() {
    let messenger = MessengerFixture::start();
    messenger.commit(vec![moved(&["blue", "old"])], CommitPriority::Now).await;
    let expected = concat!(
        r##"{"context":"#room","participants":["red","blue","old"],"heads":[["blue","p1"]],"depth":1,"held":0,"##,
        r#""wanted":[],"gaps":[],"edge":[]}"#
    );
    for path in ["/v1/contexts/%23room", "/v1/contexts/%23room/"] {
        assert_eq!(messenger.call(Method::GET, path, "").await, (200, expected.into()), "{path}");
    }
    let unknown = r##"{"error":"there is no context #r/öom+ x","code":"UNKNOWN_CONTEXT"}"##;
    assert_eq!(messenger.call(Method::GET, "/v1/contexts/%23r%2F%C3%B6om+%20x", "").await, (404, unknown.into()));
}

#[actix_web::test]
async fn participants_must_be_peers() {
    let messenger = MessengerFixture::start();
    let grey = r#"{"error":"grey is not a peer of this server","code":"NOT_A_PEER"}"#;
    let body = r#"{"servers":["blue","grey"]}"#;
    assert_eq!(messenger.call(Method::PUT, "/v1/contexts/c", body).await, (422, grey.into()));
    assert_eq!(messenger.call(Method::GET, "/v1/contexts/c", "").await.0, 404, "no context was created");
    let long = format!("/v1/contexts/{}", "c".repeat(256));
    assert_eq!(messenger.call(Method::PUT, &long, r#"{"servers":["blue"]}"#).await.0, 422);
}

/// Returns the changes that make a state PDU the current state of its key.
fn holds(id: &str) -> [Change; 2] {
    let key: StateKey = ("topic".into(), String::new());
    let piece = StateEntry { reference: pdu(id), power: 3, prev: None, bond: PrevStateLink::Sound, member: None };
    [
        Change::StateEventStored { context: room(), key: key.clone(), piece: piece.clone() },
        Change::CurrentStateChanged { context: room(), key, current: Some(piece) },
    ]
}

/// The flag once depended on the current state at the time of the read, so a page that was read again had changed.
#[actix_web::test]
async fn state_event_keeps_original_current_flag() {
    let messenger = MessengerFixture::start();
    messenger.commit([vec![stored("p1", 1, true)], holds("p1").into()].concat(), CommitPriority::Now).await;
    messenger.commit([vec![stored("p2", 2, true)], holds("p2").into()].concat(), CommitPriority::Now).await;
    let again = Change::StateReemitted { reference: pdu("p1") };
    messenger.commit([holds("p1").into(), vec![again, stored("p3", 3, false)]].concat(), CommitPriority::Now).await;
    let (status, page) = messenger.call(Method::GET, "/v1/events", "").await;
    let first = concat!(
        r##"{"events":[{"position":1,"kind":"state","id":"blue/p1","time":"1970-01-01T00:00:01.000Z","context":"#room","##,
        r#""origin":"blue","pdu_id":"p1","type":"topic","content":{ "n":1208925819614629174706176},"state_key":"","#,
        r#""power_level":3,"prev_state":null,"current":true,"prev":[],"depth":0,"ts":5,"extra":{"colour":"\u00e9"},"#,
        r#""sender":"blue","verified":"network"},"#
    );
    assert!(status == 200 && page.starts_with(first), "{page}");
    let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    let shown = |event: &serde_json::Value| {
        format!("{} {} {} {}", event["id"], event["pdu_id"], event["current"], event["again"])
    };
    let events: Vec<String> = page["events"].as_array().expect("a list").iter().map(shown).collect();
    assert_eq!(
        events,
        [
            r#""blue/p1" "p1" true null"#,
            r#""blue/p2" "p2" true null"#,
            r#""e3" "p1" true true"#,
            r#""blue/p3" "p3" false null"#,
        ]
    );
}

#[actix_web::test]
async fn current_state_is_paged() {
    let messenger = MessengerFixture::start();
    let path = "/v1/contexts/%23room/state";
    assert_eq!(messenger.call(Method::GET, path, "").await.0, 404);
    messenger.commit(vec![moved(&["blue"])], CommitPriority::Now).await;
    assert_eq!(messenger.call(Method::GET, path, "").await, (200, r##"{"context":"#room","state":[]}"##.into()));
    let mut changes = [vec![stored("p1", 1, true), stored("p2", 2, false)], holds("p1").into()].concat();
    for (n, id) in [(3, "p3"), (4, "p4")] {
        let piece = StateEntry { reference: pdu(id), power: 0, prev: None, bond: PrevStateLink::Sound, member: None };
        let key: StateKey = ("topic".into(), id.to_owned());
        changes
            .extend([stored(id, n, true), Change::CurrentStateChanged { context: room(), key, current: Some(piece) }]);
    }
    messenger.commit(changes, CommitPriority::Now).await;
    let (mut seen, mut query) = (vec![], "?limit=2".to_owned());
    loop {
        let (status, page) = messenger.call(Method::GET, &format!("{path}/{query}"), "").await;
        assert_eq!(status, 200, "{page}");
        let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        let state = page["state"].as_array().expect("a list");
        seen.extend(state.iter().map(|state| format!("{} {}", state["pdu_id"], state["current"])));
        let Some(next) = page["next"].as_object() else { break };
        let text = |key: &str| next[key].as_str().expect("a text").to_owned();
        query = format!("?limit=2&after_type={}&after_key={}", text("after_type"), text("after_key"));
    }
    assert_eq!(seen, [r#""p1" true"#, r#""p3" true"#, r#""p4" true"#]);
    for query in ["?limit=0", "?limit=x", "?after_type=t", "?before=1"] {
        assert_eq!(messenger.call(Method::GET, &format!("{path}{query}"), "").await.0, 400, "{query}");
    }
}

#[actix_web::test]
async fn ephemeral_goes_out_per_dialect() {
    let messenger = MessengerFixture::start();
    messenger.commit(vec![moved(&["blue", "old", "grey"])], CommitPriority::Now).await;
    let typing = r##"{"context":"#room","ttl":"5s","update":{"update":"typing", "user_id":"@a:red"}}"##;
    assert_eq!(messenger.call(Method::PUT, "/v1/ephemeral", typing).await, (204, String::new()));
    messenger.pushed().await;
    messenger.pushed().await;
    let mut sent = vec![];
    for frame in messenger.carried() {
        assert!(frame.items.is_empty());
        for edu in frame.weak {
            sent.push(format!("{} {} {}", frame.to, edu.kind, String::from_utf8_lossy(&edu.content)));
        }
    }
    sent.sort();
    let blue = r#"blue typing {"update":"typing", "user_id":"@a:red","ttl":"5000ms"}"#;
    assert_eq!(
        sent,
        [blue, r#"old typing {"user_id":"@a:red","ttl":"5000ms"}"#],
        "and nothing to a participant that is no peer"
    );
}

#[actix_web::test]
async fn ephemeral_to_unknown_recipient_is_refused() {
    let messenger = MessengerFixture::start();
    for (body, status, code) in [
        (r#"{"to":["blue","grey"],"update":{"update":"t"}}"#, 422, "NOT_A_PEER"),
        (r#"{"to":["red"],"update":{"update":"t"}}"#, 422, "NOT_A_PEER"),
        (r#"{"context":"nowhere","update":{"update":"t"}}"#, 404, "UNKNOWN_CONTEXT"),
    ] {
        let (answered, told) = messenger.call(Method::PUT, "/v1/ephemeral", body).await;
        assert!(answered == status && told.contains(code), "{body}: {answered} {told}");
    }
    assert!(messenger.carried().is_empty(), "blue receives nothing either");
}

#[actix_web::test]
async fn transactions_peer_refuses_updates() {
    let messenger = MessengerFixture::start();
    let (status, body) = messenger.call(Method::PUT, "/v1/updates/m-1", r#"{"to":["blue","old"],"strong":[{}]}"#).await;
    assert!(status == 422 && body.contains(r#""code":"DIALECT""#), "{body}");
    assert!(messenger.queued("blue").await.is_empty());
}

#[actix_web::test]
async fn history_has_ids_of_events() {
    let messenger = MessengerFixture::start();
    messenger.commit(vec![moved(&["blue"]), stored("p1", 1, true), stored("p2", 2, false)], CommitPriority::Now).await;
    let listed = async |path: &str, list: &str| {
        let (status, page) = messenger.call(Method::GET, path, "").await;
        assert_eq!(status, 200, "{page}");
        let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        let entries = page[list].as_array().expect("a list");
        entries.iter().map(|entry| format!("{} {}", entry["kind"], entry["id"])).collect::<Vec<_>>()
    };
    let history = listed("/v1/contexts/%23room/history?limit=2", "history").await;
    assert_eq!(history, [r#""state" "blue/p2""#, r#""state" "blue/p1""#]);
    let events = listed("/v1/events", "events").await;
    assert_eq!(events.into_iter().rev().collect::<Vec<_>>(), history);
}
