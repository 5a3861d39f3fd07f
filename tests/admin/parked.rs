//! Quarantined items and dead letters, in one form.

use actix_web::http::Method;
use actors::change::Change;
use actors::model::{
    DeadLetterReason, Index, ParkedCode, ParkedItem, ParkedWhat, PeerRecord, Position, RefusedEvent, Seq,
};
use bytes::Bytes;
use fixtures::peers::name;
use serde_json::{Value, json};

use crate::fixture::OperatorFixture;

/// Commits quarantined items (a number from blue and from green, a non-participant's PDU) and a dead letter for blue.
async fn parked(operator: &OperatorFixture) {
    let number = |from: &str, seq| Change::Quarantined {
        parked: ParkedItem {
            from: name(from),
            what: ParkedWhat::Update(Seq(seq)),
            code: ParkedCode::NotAnObject,
            reason: "an update is a JSON object".to_owned(),
            verified: None,
            bytes: Bytes::from_static(b"17"),
        },
        keep: 10,
    };
    let stranger = Change::Quarantined {
        parked: ParkedItem {
            from: name("blue.example"),
            what: ParkedWhat::Pdu {
                origin: Some("grey.example".to_owned()),
                id: Some("p1".to_owned()),
                context: Some("#room".parse().expect("an id")),
            },
            code: ParkedCode::NotAParticipant,
            reason: "grey.example does not take part".to_owned(),
            verified: None,
            bytes: Bytes::from_static(br#"{"pdu_id":"p1"}"#),
        },
        keep: 10,
    };
    operator.submit("m-1", &["blue.example"], &["{}", r#"{"text":"no"}"#]).await;
    let (server, reason) = (name("blue.example"), "refused with status 400: no".to_owned());
    let refused = Change::OutboxDeadLettered {
        server: server.clone(),
        first: Index(2),
        last: Index(2),
        fate: DeadLetterReason::Parked,
        reason,
        keep: 10,
    };
    let mut record = PeerRecord::new(server);
    record.outbound.acked = Index(2);
    let moved = Change::PeerRecordUpdated(Box::new(record));
    operator.core.commit(vec![number("green.example", 3), number("blue.example", 7), stranger, refused, moved]).await;
}

fn ids(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("a list");
    items.iter().map(|item| format!("{}/{}", item["server"], item["id"]).replace('"', "")).collect()
}

#[actix_web::test]
async fn quarantine_lists_both_directions() {
    let operator = OperatorFixture::start();
    parked(&operator).await;
    let list = operator.get("/quarantine").await;
    let expected = json!({"items": [
        {"server": "blue.example", "id": "in:1", "direction": "in", "number": 1, "kind": "update", "code": "NOT_AN_OBJECT",
         "reason": "an update is a JSON object", "time": "1970-01-11T00:00:00.000Z", "seq": 7, "size": 2},
        {"server": "blue.example", "id": "in:2", "direction": "in", "number": 2, "kind": "pdu", "code": "NOT_A_PARTICIPANT",
         "reason": "grey.example does not take part", "time": "1970-01-11T00:00:00.000Z", "context": "#room",
         "pdu": {"origin": "grey.example", "pdu_id": "p1"}, "size": 15},
        {"server": "blue.example", "id": "out:2", "direction": "out", "number": 2, "kind": "update", "code": "REFUSED_BY_PEER",
         "reason": "refused with status 400: no", "time": "1970-01-11T00:00:00.000Z", "submission": "m-1", "size": 13},
        {"server": "green.example", "id": "in:1", "direction": "in", "number": 1, "kind": "update", "code": "NOT_AN_OBJECT",
         "reason": "an update is a JSON object", "time": "1970-01-11T00:00:00.000Z", "seq": 3, "size": 2},
    ]});
    assert_eq!(list, expected);
}

#[actix_web::test]
async fn quarantine_list_filters_and_pages() {
    let operator = OperatorFixture::start();
    parked(&operator).await;
    for (asked, found) in [
        ("?server=green.example", &["green.example/in:1"][..]),
        ("?kind=pdu", &["blue.example/in:2"]),
        ("?direction=out", &["blue.example/out:2"]),
        ("?direction=in&kind=update", &["blue.example/in:1", "green.example/in:1"]),
        ("?server=grey.example", &[]),
    ] {
        assert_eq!(ids(&operator.get(&format!("/quarantine{asked}")).await), found, "{asked}");
    }
    let mut seen = vec![];
    let mut after = String::new();
    loop {
        let page = operator.get(&format!("/quarantine?limit=1{after}")).await;
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, ["blue.example/in:1", "blue.example/in:2", "blue.example/out:2", "green.example/in:1"]);
    for bad in ["?kind=edus", "?direction=up", "?after=blue.example", "?limit=many"] {
        assert_eq!(operator.call(Method::GET, &format!("/quarantine{bad}"), "").await.0, 400, "{bad}");
    }
}

#[actix_web::test]
async fn quarantine_item_shows_its_bytes() {
    let operator = OperatorFixture::start();
    parked(&operator).await;
    for (id, body) in [("in:1", json!(17)), ("in:2", json!({"pdu_id": "p1"})), ("out:2", json!({"text": "no"}))] {
        let item = operator.get(&format!("/quarantine/blue.example/{id}")).await;
        assert_eq!((&item["id"], &item["body"]), (&json!(id), &body), "{item}");
    }
    assert_eq!(operator.get("/quarantine/blue.example/1").await["id"], "in:1", "only one direction has this number");
    let (status, said) = operator.call(Method::GET, "/quarantine/blue.example/2", "").await;
    assert_eq!((status, said["code"].as_str()), (422, Some("AMBIGUOUS_ID")), "{said}");
    let (status, said) = operator.call(Method::GET, "/quarantine/blue.example/in:9", "").await;
    assert_eq!((status, said["code"].as_str()), (404, Some("UNKNOWN_ITEM")), "{said}");
    assert_eq!(operator.call(Method::GET, "/quarantine/blue.example/nine", "").await.0, 400);
}

#[actix_web::test]
async fn refused_events_are_listed_and_dropped() {
    let operator = OperatorFixture::start();
    let refused = |position: u64| {
        let bytes = Bytes::from(format!(r#"{{"position":{position},"n":1e2}}"#));
        let event = RefusedEvent { position: Position(position), reason: "who?".to_owned(), bytes };
        Change::EventRefused { event, keep: 10 }
    };
    operator.core.commit(vec![refused(3), refused(8), refused(5)]).await;
    let (status, page) = operator.call(Method::GET, "/quarantine?of=messenger&limit=2", "").await;
    let item = |position| json!({"position": position, "event": {"position": position, "n": 1e2}, "reason": "who?", "time": "1970-01-11T00:00:00.000Z"});
    assert_eq!((status, page), (200, json!({"items": [item(3), item(5)], "next": 5})));
    let (_, page) = operator.call(Method::GET, "/quarantine?after=5&of=messenger", "").await;
    assert_eq!(page, json!({"items": [item(8)]}));

    let dropped = json!({"position": 5, "outcome": "dropped"});
    assert_eq!(operator.call(Method::POST, "/quarantine/5/drop?of=messenger", "").await, (200, dropped));
    for (path, status, code) in [
        ("/quarantine/5/drop?of=messenger", 404, "UNKNOWN_ITEM"),
        ("/quarantine/x/drop?of=messenger", 400, "BAD_ID"),
        ("/quarantine/3/release?of=messenger", 409, "PUSH_OFF"),
    ] {
        let (got, answer) = operator.call(Method::POST, path, "").await;
        assert_eq!((got, answer["code"].as_str()), (status, Some(code)), "{path}");
    }
    let (status, answer) = operator.call(Method::GET, "/quarantine?of=messenger&after=x", "").await;
    assert_eq!((status, answer["code"].as_str()), (400, Some("BAD_AFTER")));
    let (_, page) = operator.call(Method::GET, "/quarantine", "").await;
    assert_eq!(page["items"], json!([]), "the peers' quarantine is another one");
}
