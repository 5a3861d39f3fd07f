//! Messages to contexts, with the real context actor and the real store.

use actix_web::http::Method;
use actors::testkit::ScriptedTransport;
use actors::testkit::transport::unreachable;

use crate::fixture::MessengerFixture;

const HELLO: &str = r#"{"context":"c","type":"m.text","content":{ "n":1208925819614629174706176,"a":"\u00e9"}}"#;

/// Returns a gateway with the context `c`, in which `blue` and `old` participate.
async fn messenger() -> MessengerFixture {
    with_context(MessengerFixture::start()).await
}

async fn with_context(messenger: MessengerFixture) -> MessengerFixture {
    let set = (200, r#"{"context":"c","participants":["red","blue","old"]}"#.to_owned());
    assert_eq!(messenger.call(Method::PUT, "/v1/contexts/c", r#"{"servers":["blue","old","red"]}"#).await, set);
    messenger
}

/// Returns the PDU id in a response.
fn pdu_id(answer: &str) -> &str {
    let (_, behind) = answer.split_once(r#""pdu_id":""#).expect(answer);
    behind.split_once('"').expect(answer).0
}

#[actix_web::test]
async fn repeated_message_answers_alike() {
    let messenger = messenger().await;
    let accepted = messenger.call(Method::PUT, "/v1/messages/m-1", HELLO).await;
    let id = pdu_id(&accepted.1).to_owned();
    let expected = format!(r#"{{"id":"m-1","pdu":{{"origin":"red","pdu_id":"{id}"}},"peers":["blue","old"]}}"#);
    assert_eq!(accepted, (202, expected));
    assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    assert_eq!(messenger.call(Method::PUT, "/v1/messages/m-1", HELLO).await, accepted, "the same bytes");
    let anew =
        "{\"content\":{\"a\":\"\u{e9}\",\"n\": 1208925819614629174706176},\"type\":\"m.text\",\"context\":\"c\"}";
    assert_eq!(messenger.call(Method::PUT, "/v1/messages/m-1", anew).await, accepted, "written anew");
    let batch = format!(r#"{{"messages":[{{"id":"m-1",{}]}}"#, &HELLO[1..]);
    let again = format!(r#"{{"messages":[{{"id":"m-1","status":202,{}]}}"#, &accepted.1[12..]);
    assert_eq!(messenger.call(Method::POST, "/v1/messages", batch).await, (200, again), "in a batch");
    let in_use = (409, r#"{"error":"m-1 was used for another submission","code":"ID_IN_USE"}"#.to_owned());
    for other in [HELLO.replace("176", "177"), HELLO.replace("\"c\"", "\"d\""), HELLO.replace("m.text", "m.image")] {
        assert_eq!(messenger.call(Method::PUT, "/v1/messages/m-1", other).await, in_use);
    }
    let narrowed = HELLO.replace("\"type\"", "\"to\":[\"blue\",\"old\"],\"type\"");
    assert_eq!(messenger.call(Method::PUT, "/v1/messages/m-1", narrowed).await, in_use, "also to the same servers");
    assert_eq!((messenger.queued("blue").await.len(), messenger.queued("old").await.len()), (1, 1));
    let content = r#""content":{ "n":1208925819614629174706176,"a":"\u00e9"}"#;
    assert!(messenger.queued("blue").await[0].contains(content), "byte for byte");
    let (_, trace) = messenger.call(Method::GET, "/v1/messages/m-1", "").await;
    let expected = format!(
        r#"{{"id":"m-1","accepted":"1970-01-01T00:00:01.000Z","pdu":{{"origin":"red","pdu_id":"{id}"}},"peers":{{"blue":{{"#
    );
    assert!(trace.starts_with(&expected) && trace.contains(r#""old":{"#), "{trace}");
}

#[actix_web::test]
async fn messages_and_updates_share_ids() {
    let messenger = messenger().await;
    let updates = r#"{"to":["blue"],"strong":[{}]}"#;
    assert_eq!(messenger.call(Method::PUT, "/v1/updates/a", updates).await.0, 202);
    assert_eq!(messenger.call(Method::PUT, "/v1/messages/a", HELLO).await.0, 409);
    assert_eq!(messenger.call(Method::PUT, "/v1/messages/b", HELLO).await.0, 202);
    assert_eq!(messenger.call(Method::PUT, "/v1/updates/b", updates).await.0, 409);
    let (update, message) = tokio::join!(
        messenger.call(Method::PUT, "/v1/updates/c", updates),
        messenger.call(Method::PUT, "/v1/messages/c", HELLO)
    );
    assert_eq!((update.0, message.0), (202, 409), "also concurrently");
    assert_eq!(messenger.queued("blue").await.len(), 3);
}

#[actix_web::test]
async fn concurrent_message_repeat_submits_once() {
    let messenger = messenger().await;
    let put = || messenger.call(Method::PUT, "/v1/messages/m-1", HELLO);
    let (first, second) = tokio::join!(put(), put());
    assert_eq!((first.0, &first), (202, &second));
    assert_eq!(messenger.queued("blue").await.len(), 1);
}

#[actix_web::test]
async fn disconnect_never_duplicates_message() {
    let messenger = messenger().await;
    // Each call is cancelled one step later, so one of them is cancelled between submission and commit.
    for steps in 1..=24 {
        let path = format!("/v1/messages/m-{steps}");
        tokio::select! {
            biased;
            _answered = messenger.call(Method::PUT, &path, HELLO) => {}
            () = async { for _ in 0..steps { tokio::task::yield_now().await } } => {}
        }
        assert_eq!(messenger.call(Method::PUT, &path, HELLO).await.0, 202);
        assert_eq!(messenger.queued("blue").await.len(), steps, "one each");
    }
}

#[actix_web::test]
async fn refused_message_leaves_id_free() {
    let messenger = messenger().await;
    let large = format!(r#"{{"context":"c","type":"t","content":"{}"}}"#, "a".repeat((1 << 20) - 1_000));
    let bodies = [
        (HELLO.replace("\"c\"", "\"nowhere\""), 404, "UNKNOWN_CONTEXT"),
        (HELLO.replace("\"type\"", "\"to\":[\"green\"],\"type\""), 422, "NOT_A_PARTICIPANT"),
        (large, 413, "batch_bytes of blue (1048576)"),
    ];
    for (body, status, words) in bodies {
        let (answered, told) = messenger.call(Method::PUT, "/v1/messages/m-1", body).await;
        assert!(answered == status && told.contains(words), "{answered} {told}");
        assert_eq!(messenger.call(Method::GET, "/v1/messages/m-1", "").await.0, 404);
    }
    assert_eq!(messenger.call(Method::PUT, "/v1/messages/m-1", HELLO).await.0, 202);
    assert_eq!(messenger.queued("blue").await.len(), 1);
}

#[actix_web::test]
async fn denied_server_gets_no_message() {
    let messenger = with_context(MessengerFixture::start_with(ScriptedTransport::answering(|_| unreachable()))).await;
    assert_eq!(messenger.call(Method::PUT, "/v1/messages/m-1", HELLO).await.0, 202);
    // A peer that is being sent to is suspended, and its suspension told, once the request has ended.
    while !messenger.call(Method::GET, "/v1/peers/blue", "").await.1.contains(r#""state":"backing_off""#) {
        tokio::task::yield_now().await;
    }
    messenger.deny("blue").await;
    let denied = (422, r#"{"error":"blue is denied by federation.deny","code":"DENIED"}"#.to_owned());
    for (path, body) in [
        ("/v1/contexts/d", r#"{"servers":["green","blue"]}"#.to_owned()),
        ("/v1/updates/u", r#"{"to":["blue"],"strong":[{}]}"#.to_owned()),
        ("/v1/ephemeral", r#"{"to":["blue"],"update":{"update":"typing"}}"#.to_owned()),
        ("/v1/messages/m-2", HELLO.replace("\"type\"", "\"to\":[\"blue\"],\"type\"")),
    ] {
        assert_eq!(messenger.call(Method::PUT, path, body).await, denied, "{path}");
    }
    // It stays a participant; what is said in the context goes to the others.
    assert_eq!(messenger.call(Method::PUT, "/v1/messages/m-2", HELLO).await.0, 202);
    assert_eq!((messenger.queued("blue").await.len(), messenger.queued("old").await.len()), (1, 2));
    // The peer's actor answers after it has learnt of the change; what it tells is committed then.
    assert_eq!(messenger.call(Method::GET, "/v1/peers/blue", "").await.0, 200);
    messenger.core.settled().await;
    let (_, events) = messenger.call(Method::GET, "/v1/events", "").await;
    let events: serde_json::Value = serde_json::from_str(&events).expect("JSON");
    let told = |kind: &str| {
        let of_kind = |event: &&serde_json::Value| event["kind"] == kind;
        let event = events["events"].as_array().expect("a list").iter().find(of_kind).expect("told");
        ["server", "state", "reason"].map(|key| event[key].as_str().expect("a text").to_owned())
    };
    assert_eq!(told("delivery"), ["blue", "parked", "denied"]);
    assert_eq!(told("peer"), ["blue", "suspended", "denied"]);
    let (_, trace) = messenger.call(Method::GET, "/v1/messages/m-1", "").await;
    let trace: serde_json::Value = serde_json::from_str(&trace).expect("JSON");
    let blue = &trace["peers"]["blue"];
    assert_eq!([&blue["state"], &blue["reason"]], ["queued", "denied"], "{trace}");
}

#[actix_web::test]
async fn message_batch_keeps_order_and_outcomes() {
    let messenger = messenger().await;
    assert_eq!(messenger.call(Method::PUT, "/v1/contexts/d", r#"{"servers":["blue"]}"#).await.0, 200);
    let batch = concat!(
        r#"{"messages":[{"id":"a","context":"c","type":"t","content":"first"},"#,
        r#"{"id":"x","context":"c","type":"t"},"#,
        r#"{"id":"b","context":"d","type":"t","content":"elsewhere"},"#,
        r#"{"id":"a","context":"c","content":"first","type":"t"},"#,
        r#"{"id":"y","context":"nowhere","type":"t","content":1},"#,
        r#"{"id":"a","context":"c","type":"t","content":"another"},"#,
        r#"{"id":"c","context":"c","type":"t","content":"second","to":["blue"]},"#,
        r#"{"id":"z","context":"c","type":"t","content":1,"to":["green"]},"#,
        r#"{"id":"z","context":"c","type":"t","content":"third"}]}"#
    );
    let (status, answer) = messenger.call(Method::POST, "/v1/messages", batch).await;
    assert_eq!(status, 200, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let entries = answer["messages"].as_array().expect("a list");
    let told: Vec<_> = entries.iter().map(|entry| (entry["id"].as_str(), entry["status"].as_u64())).collect();
    let expected =
        [("a", 202), ("x", 422), ("b", 202), ("a", 202), ("y", 404), ("a", 409), ("c", 202), ("z", 422), ("z", 202)];
    assert_eq!(told, expected.map(|(id, status)| (Some(id), Some(status))));
    assert_eq!(entries[0], entries[3], "a repeat");
    assert_eq!(entries[6]["peers"], serde_json::json!(["blue"]));
    let queued = messenger.queued("blue").await;
    let place = |content: &str| queued.iter().position(|text| text.contains(content)).expect(content);
    assert_eq!(queued.len(), 4, "{queued:?}");
    assert!(place("\"first\"") < place("\"second\"") && place("\"second\"") < place("\"third\""), "{queued:?}");
    assert!(pdu_id(&entries[0].to_string()) < pdu_id(&entries[6].to_string()));
    let (again, repeated) = messenger.call(Method::POST, "/v1/messages", batch).await;
    let repeated: serde_json::Value = serde_json::from_str(&repeated).expect("JSON");
    assert_eq!((again, &repeated["messages"][8]), (200, &entries[8]));
    assert_eq!(repeated["messages"][7]["status"], 409, "another message has this id now");
    assert_eq!(messenger.queued("blue").await.len(), 4, "no message is sent twice");
}
