//! Quarantined items and dead letters are released or dropped; a released item is delivered exactly once.

use actix_web::http::Method;
use actors::change::Change;
use actors::model::{DeadLetterReason, Index, ParkedCode, ParkedItem, ParkedWhat, PeerRecord, Position, Seq};
use actors::ports::FeedPage;
use bytes::Bytes;
use fixtures::peers::name;
use serde_json::json;

use crate::fixture::OperatorFixture;

/// Quarantines a PDU that blue sent in `#room` as a non-participant.
fn said(id: &str, prev: &str) -> Change {
    let body = format!(
        r##"{{"pdu_id":"{id}","origin":"blue.example","context":"#room","ts":1,"pdu_type":"m.text","prev_pdus":[{prev}],"content":{{}}}}"##
    );
    Change::Quarantined {
        parked: ParkedItem {
            from: name("blue.example"),
            what: ParkedWhat::Pdu {
                origin: Some("blue.example".to_owned()),
                id: Some(id.to_owned()),
                context: Some("#room".parse().expect("an id")),
            },
            code: ParkedCode::NotAParticipant,
            reason: "blue.example does not take part in #room".to_owned(),
            verified: None,
            bytes: Bytes::from(body),
        },
        keep: 10,
    }
}

/// Returns the feed: the id of each message, the kind of each other event.
async fn feed(operator: &OperatorFixture) -> Vec<String> {
    let page = operator.core.ports().archive.feed.feed_after(Position(0), 100, u64::MAX).await.expect("a sound store");
    let FeedPage::Entries(entries) = page else { panic!("no event is pruned") };
    entries
        .into_iter()
        .map(|entry| match entry.item {
            actors::model::FeedItem::Pdu(pdu) => pdu.reference.id.to_string(),
            actors::model::FeedItem::Parked(_) => "parked".to_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

async fn parked(operator: &OperatorFixture) -> usize {
    operator.get("/quarantine").await["items"].as_array().expect("a list").len()
}

#[actix_web::test]
async fn nonparticipant_release_stays_in_quarantine() {
    let operator = OperatorFixture::start();
    let room = "#room".parse().expect("an id");
    operator.core.gateway.set_participants(&room, vec![name("green.example")]).await.expect("a context");
    operator.core.commit(vec![said("p1", ""), said("p2", r#"["blue.example","p1"]"#)]).await;
    let (status, stays) = operator.call(Method::POST, "/quarantine/blue.example/in:1/release", "").await;
    assert_eq!((status, stays["code"].as_str()), (422, Some("STAYS")), "{stays}");
    assert!(stays["error"].as_str().is_some_and(|words| words.contains("does not take part")), "{stays}");
    assert_eq!(
        (parked(&operator).await, feed(&operator).await),
        (2, vec!["parked".to_owned(); 2]),
        "it is not quarantined a second time"
    );
}

#[actix_web::test]
async fn released_pdu_waits_for_its_parent() {
    let operator = OperatorFixture::start();
    let room = "#room".parse().expect("an id");
    operator.core.gateway.set_participants(&room, vec![name("blue.example")]).await.expect("a context");
    operator.core.commit(vec![said("p1", ""), said("p2", r#"["blue.example","p1"]"#)]).await;
    let done = operator.post("/quarantine/blue.example/in:2/release", "").await;
    assert_eq!(done, json!({"server": "blue.example", "id": "in:2", "outcome": "held"}));
    let done = operator.post("/quarantine/blue.example/in:1/release", "").await;
    assert_eq!(done["outcome"], "delivered");
    assert_eq!(
        (parked(&operator).await, feed(&operator).await),
        (0, ["parked", "parked", "p1", "p2"].map(str::to_owned).into())
    );
}

#[actix_web::test]
async fn bulk_release_keeps_order_and_rejects() {
    let operator = OperatorFixture::start();
    let room = "#room".parse().expect("an id");
    operator.core.gateway.set_participants(&room, vec![name("blue.example")]).await.expect("a context");
    let number = Change::Quarantined {
        parked: ParkedItem {
            from: name("blue.example"),
            what: ParkedWhat::Update(Seq(1)),
            code: ParkedCode::NotAnObject,
            reason: "an update is a JSON object".to_owned(),
            verified: None,
            bytes: Bytes::from_static(b"17"),
        },
        keep: 10,
    };
    // A PDU from a push is stored with the update around it.
    let Change::Quarantined { parked: mut wrapped, keep } = said("p3", "") else { unreachable!() };
    wrapped.bytes = [&b"{\"update\":\"pdu\",\"pdu\":"[..], &wrapped.bytes[..], b"}"].concat().into();
    let wrapped = Change::Quarantined { parked: wrapped, keep };
    operator
        .core
        .commit(vec![said("p1", ""), number, said("p2", r#"["blue.example","p1"]"#), wrapped, said("p1", "")])
        .await;
    let all = operator.post("/quarantine/blue.example/release", "{}").await;
    assert_eq!((&all["done"], all.get("next")), (&json!(4), None), "{all}");
    assert_eq!(all["stayed"][0]["id"], "in:2", "{all}");
    assert_eq!(feed(&operator).await[5..], ["p1", "p2", "p3"], "in order, and the repeated PDU once");
    assert_eq!(parked(&operator).await, 1);
    let all = operator.post("/quarantine/blue.example/drop", r#"{"kind":"update"}"#).await;
    assert_eq!((&all["done"], parked(&operator).await), (&json!(1), 0), "{all}");
}

/// Commits that blue accepted the first item of `m-1`, and refused its second item and the item of `m-2`.
async fn refused(operator: &OperatorFixture) {
    let first = operator.submission("m-1", &["blue.example"], &["{}", r#"{"n":1}"#]);
    let second = operator.submission("m-2", &["blue.example"], &[r#"{"n":2}"#]);
    let server = name("blue.example");
    let refused = |index| {
        let reason = "refused with status 400: no".to_owned();
        Change::OutboxDeadLettered {
            server: server.clone(),
            first: Index(index),
            last: Index(index),
            fate: DeadLetterReason::Parked,
            reason,
            keep: 10,
        }
    };
    let mut record = PeerRecord::new(server.clone());
    record.outbound.acked = Index(3);
    // This is one commit, so the peer's actor starts with all of it.
    let submitted = [first, second].map(Change::Submitted);
    let refused = [refused(2), refused(3), Change::PeerRecordUpdated(Box::new(record))];
    operator.core.commit(submitted.into_iter().chain(refused).collect()).await;
}

#[actix_web::test]
async fn released_dead_letter_is_queued_once() {
    let operator = OperatorFixture::start();
    refused(&operator).await;
    let state =
        async |id: &str| operator.get(&format!("/messages/{id}")).await["peers"]["blue.example"]["state"].clone();
    assert_eq!((state("m-1").await, state("m-2").await), (json!("parked"), json!("parked")));
    for id in ["out:2", "out:3"] {
        assert_eq!(operator.post(&format!("/quarantine/blue.example/{id}/release"), "").await["outcome"], "queued");
        assert_eq!(
            operator.call(Method::POST, &format!("/quarantine/blue.example/{id}/release"), "").await.0,
            404,
            "once"
        );
    }
    assert_eq!((state("m-1").await, state("m-2").await), (json!("queued"), json!("queued")));
    let queue = operator.get("/queue/blue.example").await;
    assert_eq!((&queue["items"][0]["index"], &queue["items"][0]["submission"]), (&json!(4), &json!("m-1")), "{queue}");
    assert_eq!((&queue["items"][1]["index"], &queue["items"][1]["submission"]), (&json!(5), &json!("m-2")), "{queue}");
}

#[actix_web::test]
async fn released_dead_letter_reaches_its_peer() {
    let operator = OperatorFixture::start();
    operator.wire(true);
    refused(&operator).await;
    operator.post("/quarantine/blue.example/release", r#"{"direction":"out"}"#).await;
    assert_eq!(operator.taken(2).await, [r#"{"n":1}"#, r#"{"n":2}"#]);
    while operator.get("/messages/m-1").await["peers"]["blue.example"]["state"] != "acknowledged" {
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn refused_message_is_retried_by_id() {
    let operator = OperatorFixture::start();
    refused(&operator).await;
    let done = operator.post("/messages/m-1/retry?server=blue.example", "").await;
    assert_eq!(done, json!({"id": "m-1", "peers": [{"server": "blue.example", "parked": 1, "queued": 0}]}));
    assert_eq!(operator.get("/messages/m-1").await["peers"]["blue.example"]["state"], "queued");
    assert_eq!(operator.get("/messages/m-2").await["peers"]["blue.example"]["state"], "parked", "another message");
    // The item is pending now, and a retry sends it at once.
    operator.wire(true);
    let done = operator.post("/messages/m-1/retry", "").await;
    assert_eq!(done["peers"][0]["parked"], 0, "{done}");
    assert_eq!(operator.taken(1).await, [r#"{"n":1}"#]);
    let dropped = operator.post("/messages/m-2/drop", "").await;
    assert_eq!((&dropped["peers"][0]["parked"], &dropped["peers"][0]["queued"]), (&json!(1), &json!(0)), "{dropped}");
    assert_eq!(operator.get("/messages/m-2").await["peers"]["blue.example"]["reason"], "dropped by an operator");
    for (path, code) in [("/messages/m-9/retry", "UNKNOWN_ID"), ("/messages/m-1/drop?server=grey", "UNKNOWN_LEG")] {
        let (status, said) = operator.call(Method::POST, path, "").await;
        assert_eq!((status, said["code"].as_str()), (404, Some(code)), "{said}");
    }
}

#[actix_web::test]
async fn skipped_recipient_is_queued_by_retry() {
    let operator = OperatorFixture::start();
    let pdu = operator.said("m-1", &["grey", "blue.example"]).await;
    let leg = async || operator.get("/messages/m-1").await["peers"]["blue.example"].clone();
    assert_eq!(leg().await["state"], "parked");
    let dropped = operator.post("/messages/m-1/drop", "").await;
    assert_eq!((&dropped["peers"][1]["parked"], &dropped["peers"][1]["queued"]), (&json!(0), &json!(0)), "{dropped}");
    // A recipient that is not a peer is reported, and the other recipients are retried.
    let done = operator.post("/messages/m-1/retry", "").await;
    let stays = "grey is not a peer of this server";
    assert_eq!(done["peers"][0], json!({"server": "grey", "parked": 0, "queued": 0, "stays": stays}), "{done}");
    assert_eq!(done["peers"][1], json!({"server": "blue.example", "parked": 1, "queued": 0}), "{done}");
    let (status, said) = operator.call(Method::POST, "/messages/m-1/retry?server=grey", "").await;
    assert_eq!((status, said["code"].as_str()), (422, Some("NOT_A_PEER")), "{said}");
    assert_eq!(leg().await["state"], "queued");
    assert_eq!(operator.get("/queue/blue.example").await["items"][0]["pdu"]["pdu_id"], json!(pdu.id.as_str()));
}

#[actix_web::test]
async fn drop_removes_queued_message_and_notifies() {
    let operator = OperatorFixture::start();
    refused(&operator).await;
    operator.post("/messages/m-1/retry?server=blue.example", "").await;
    let dropped = operator.post("/messages/m-1/drop", "").await;
    assert_eq!((&dropped["peers"][0]["parked"], &dropped["peers"][0]["queued"]), (&json!(0), &json!(1)), "{dropped}");
    assert_eq!(operator.get("/queue/blue.example").await["items"], json!([]), "it is not pending any more");
    let leg = &operator.get("/messages/m-1").await["peers"]["blue.example"];
    assert_eq!((&leg["state"], &leg["reason"]), (&json!("parked"), &json!("taken out by an operator")), "{leg}");
    assert!(feed(&operator).await.last().is_some_and(|event| event.contains("taken out by an operator")));
    operator.wire(true);
    operator.post("/messages/m-2/retry", "").await;
    assert_eq!(operator.taken(1).await, [r#"{"n":2}"#], "the items queued after it are sent");
}

/// Waits until the actor of `blue.example` has this backlog and backs off.
async fn waits_for_blue(operator: &OperatorFixture, backlog: u64) {
    loop {
        let blue = operator.get("/peers/blue.example").await;
        if blue["state"] == "backing_off" && blue["backlog"] == backlog {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A second `drop` once deleted the dead letters of the first one. While the peer was unreachable, both calls counted
/// items by the newest acknowledged index, and so counted items that had been removed from the middle of the queue.
#[actix_web::test]
async fn message_dropped_twice_stays_in_quarantine() {
    let operator = OperatorFixture::start();
    operator.submit("m-1", &["blue.example"], &["{}"]).await;
    operator.submit("m-2", &["blue.example"], &[r#"{"n":1}"#, r#"{"n":2}"#]).await;
    waits_for_blue(&operator, 3).await;
    let leg = |parked: u64, queued: u64, taken_out: u64| json!([{"server": "blue.example", "parked": parked, "queued": queued, "taken_out": taken_out}]);
    let asked = operator.post("/messages/m-2/drop?dry_run=true", "").await;
    assert_eq!(asked, json!({"id": "m-2", "dry_run": true, "peers": leg(0, 2, 0)}));
    assert_eq!((parked(&operator).await, feed(&operator).await.len()), (0, 0), "a dry run changes nothing");
    let first = operator.post("/messages/m-2/drop", "").await;
    assert_eq!(first, json!({"id": "m-2", "dry_run": false, "peers": leg(0, 2, 2)}));
    let trace = operator.get("/messages/m-2").await;
    let (list, told) = (operator.get("/quarantine").await, feed(&operator).await);
    for again in ["?dry_run=true", "", ""] {
        let second = operator.post(&format!("/messages/m-2/drop{again}"), "").await;
        assert_eq!(second["peers"], leg(0, 0, 2), "{second}");
        assert_eq!((operator.get("/quarantine").await, feed(&operator).await), (list.clone(), told.clone()));
        assert_eq!(operator.get("/messages/m-2").await, trace);
    }
    // An operator can still delete the dead letters permanently by a drop from quarantine.
    operator.post("/quarantine/blue.example/drop", r#"{"direction":"out"}"#).await;
    assert_eq!(operator.post("/messages/m-2/drop", "").await["peers"], leg(0, 0, 0));
    assert_eq!(operator.post("/messages/m-2/retry", "").await["peers"][0]["queued"], 0, "no item is pending");
}

#[actix_web::test]
async fn dropped_dead_letter_is_never_acknowledged() {
    let operator = OperatorFixture::start();
    refused(&operator).await;
    let all = operator.post("/quarantine/blue.example/drop", r#"{"direction":"out"}"#).await;
    assert_eq!((&all["done"], parked(&operator).await), (&json!(2), 0), "{all}");
    let stats = operator.get("/store").await;
    let rows = |name| {
        stats["tables"].as_array().and_then(|all| all.iter().find(|table| table["name"] == name)?["rows"].as_u64())
    };
    // An update for one server is in the row of its outbox.
    assert_eq!((rows("outbox"), rows("items")), (Some(1), Some(0)), "unreferenced items are deleted: {stats}");
    for id in ["m-1", "m-2"] {
        let leg = &operator.get(&format!("/messages/{id}")).await["peers"]["blue.example"];
        assert_eq!((&leg["state"], &leg["reason"]), (&json!("refused"), &json!("dropped by an operator")), "{leg}");
    }
}

#[actix_web::test]
async fn misspelt_query_releases_nothing() {
    let operator = OperatorFixture::start();
    refused(&operator).await;
    let before = parked(&operator).await;
    for action in ["release", "drop"] {
        let path = format!("/quarantine/blue.example/{action}?of=mesenger");
        let (status, refusal) = operator.call(Method::POST, &path, "{}").await;
        assert_eq!((status, &refusal["code"]), (400, &json!("BAD_QUERY")), "{refusal}");
    }
    assert_eq!(parked(&operator).await, before);
}
