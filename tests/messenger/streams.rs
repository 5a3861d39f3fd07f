//! Streams of events: order, resumption, silence, ephemeral items; and rewinding.

use actix_web::http::Method;
use actors::model::{Edu, InboundTransaction, PeerReceipts};
use actors::ports::CommitPriority;
use bytes::Bytes;
use fixtures::gateway::pushed;
use fixtures::peers::name;
use tokio::time::Instant;

use crate::fixture::MessengerFixture;
use crate::update;

async fn with_events(count: u64) -> MessengerFixture {
    let messenger = MessengerFixture::start();
    messenger.commit((1..=count).map(update).collect(), CommitPriority::Now).await;
    messenger
}

#[actix_web::test]
async fn stream_sends_events_in_order() {
    let messenger = with_events(2).await;
    let (headers, mut stream) = messenger.stream("/v1/events?after=0", "").await;
    let header = |name: &str| headers.get(name).map(|value| value.to_str().expect("text"));
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!((header("cache-control"), header("x-accel-buffering")), (Some("no-store"), Some("no")));
    assert_eq!(stream.block().await.as_deref(), Some("retry: 1000"));
    let (head, data) = stream.event().await;
    assert_eq!(head, "id: 1 event: update");
    let expected = concat!(
        r#"{"position":1,"kind":"update","id":"blue#1","time":"1970-01-01T00:00:01.000Z","from":"blue","#,
        r#""seq":1,"update":{ "n":1},"verified":"mtls"}"#
    );
    assert_eq!(data, expected, "as a page shows it");
    assert_eq!(stream.event().await.0, "id: 2 event: update");
    messenger.commit((3..=2_000).map(update).collect(), CommitPriority::Now).await;
    for n in 3..=2_000 {
        assert_eq!(stream.event().await.0, format!("id: {n} event: update"));
    }
    let bounds = *messenger.core.ports().archive.feed.feed_bounds().borrow();
    assert_eq!(bounds.acked.0, 0, "reading acknowledges nothing");
}

#[actix_web::test]
async fn stream_resumes_after_last_event() {
    let messenger = with_events(5).await;
    messenger.call(Method::POST, "/v1/events/ack", r#"{"upto":2}"#).await;
    for (path, last, first) in [
        ("/v1/events", "", 3),
        ("/v1/events?after=0&limit=1&wait=0", "", 1),
        ("/v1/events?after=0&limit=0&wait=2s", "", 1),
        ("/v1/events?limit=all&limit=7", "", 3),
        ("/v1/events?after=0", "4", 5),
    ] {
        let (_, mut stream) = messenger.stream(path, last).await;
        stream.block().await;
        assert_eq!(stream.event().await.0, format!("id: {first} event: update"), "{path} {last}");
    }
    let (_, mut stream) = messenger.stream("/v1/events", "6").await;
    stream.block().await;
    let reset = r#"{"kind":"reset","reason":"beyond_tail","oldest":1,"tail":5}"#.to_owned();
    assert_eq!(stream.event().await, ("id: 2 event: reset".to_owned(), reset));
    assert_eq!(stream.event().await.0, "id: 3 event: update", "after the acknowledged position");
}

#[actix_web::test]
async fn gone_position_resets_stream() {
    let messenger = with_events(5).await;
    messenger.call(Method::POST, "/v1/events/ack", r#"{"upto":3}"#).await;
    let trimmed = actors::change::Change::FeedTrimmed { before: actors::model::Millis(u64::MAX), rows_max: 2 };
    messenger.commit(vec![trimmed], CommitPriority::Now).await;
    let (_, mut stream) = messenger.stream("/v1/events?after=0", "").await;
    stream.block().await;
    let reset = r#"{"kind":"reset","reason":"gone","oldest":3,"tail":5}"#.to_owned();
    assert_eq!(stream.event().await, ("id: 2 event: reset".to_owned(), reset));
    assert_eq!(stream.event().await.0, "id: 3 event: update", "the oldest that is kept");
    let gone = |to| format!(r#"{{"error":"events before {to} are no longer kept","code":"GONE","oldest":{to}}}"#);
    let rewind = |to: u64| messenger.call(Method::POST, "/v1/events/rewind", format!(r#"{{"to":{to}}}"#));
    assert_eq!(rewind(1).await, (410, gone(3)));
    assert_eq!(rewind(2).await, (204, String::new()));
}

#[actix_web::test]
async fn silent_stream_gets_comments() {
    let messenger = with_events(0).await;
    tokio::time::pause();
    let (_, mut stream) = messenger.stream("/v1/events", "").await;
    stream.block().await;
    let began = Instant::now();
    assert_eq!(stream.block().await.as_deref(), Some(":"));
    assert_eq!(began.elapsed().as_secs(), 15);
    messenger.stop();
    assert_eq!(stream.block().await, None, "a stop ends streams at once");
    assert_eq!(began.elapsed().as_secs(), 15);
}

#[actix_web::test]
async fn streams_are_bounded_reads() {
    let messenger = with_events(0).await;
    let (first, second) = (messenger.stream("/v1/events", "").await, messenger.stream("/v1/events", "").await);
    let refused = messenger.call(Method::GET, "/v1/events?wait=1", "").await;
    assert!(refused.0 == 429 && refused.1.contains("TOO_MANY_READS"), "{refused:?}");
    assert_eq!(messenger.open_streams(), 2);
    drop((first, second));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(messenger.open_streams(), 0);
    messenger.stream("/v1/events", "").await;
}

#[actix_web::test]
async fn stream_shows_ephemeral_items() {
    let messenger = with_events(0).await;
    let (_, mut stream) = messenger.stream("/v1/events", "").await;
    stream.block().await;
    let mut push = pushed(1, 1);
    push.weak = 1;
    push.ephemeral = vec![Bytes::from_static(b"{\"update\":\"typing\",\n\"user_id\":\"@a:blue\"}")];
    messenger.core.gateway.accept(&name("blue"), push.clone()).await.expect("accepted");
    let mut heads = Vec::new();
    for _ in 0..2 {
        heads.push(stream.event().await);
    }
    heads.sort();
    let typing = concat!(
        r#"{"kind":"ephemeral","from":"blue","time":"1970-01-01T00:00:01.000Z","#,
        r#""update":{"update":"typing", "user_id":"@a:blue"}}"#
    );
    assert_eq!(heads[0], ("event: ephemeral".to_owned(), typing.to_owned()));
    assert_eq!(heads[1].0, "id: 1 event: update");
    let edus = vec![Edu { kind: "m.presence".into(), content: Bytes::from_static(b"{}") }];
    let transaction = InboundTransaction {
        id: "1".into(),
        digest: actors::model::Digest([0; 16]),
        prev_ids: vec![],
        pdus: vec![],
        edus,
        relay_to: vec![],
        verified: "network",
        receipts: PeerReceipts::NONE,
        nonce: None,
    };
    messenger.core.gateway.accept_transaction(&name("old"), transaction).await.expect("accepted");
    let (head, data) = stream.event().await;
    assert_eq!(head, "event: ephemeral");
    assert!(data.contains(r#""from":"old""#) && data.ends_with(r#""type":"m.presence","content":{}}"#), "{data}");
}

/// Two chunks wait for a socket, and 128 KiB of ephemeral events for the next chunk: 256 KiB in all.
#[actix_web::test]
async fn stream_chunks_are_bounded() {
    let messenger = with_events(0).await;
    let (_, mut stream) = messenger.stream("/v1/events", "").await;
    messenger.commit((1..=1_000).map(update).collect(), CommitPriority::Now).await;
    let seen = |n: u32| format!("{{\"update\":\"seen\",\"key\":\"{n}\",\"x\":\"{}\"}}", "x".repeat(20 << 10));
    let mut push = pushed(1, 1);
    push.weak = 5;
    push.ephemeral = (1..=5).map(|n| Bytes::from(seen(n))).collect();
    messenger.core.gateway.accept(&name("blue"), push).await.expect("accepted");
    stream.block().await;
    let (mut durable, mut ephemeral) = (0, 0);
    while durable < 1_001 || ephemeral < 5 {
        match stream.event().await.0.as_str() {
            "event: ephemeral" => ephemeral += 1,
            _ => durable += 1,
        }
    }
    assert!((32 << 10..=64 << 10).contains(&stream.largest), "{}", stream.largest);
}

#[actix_web::test]
async fn rewound_events_are_read_again() {
    let messenger = with_events(4).await;
    messenger.call(Method::POST, "/v1/events/ack", r#"{"upto":3}"#).await;
    let rewind = |body: &'static str| messenger.call(Method::POST, "/v1/events/rewind", body);
    for (body, status, code) in [
        (r#"{"to":4}"#, 422, "NOT_BEHIND"),
        (r#"{"to":5}"#, 422, "BEYOND_TAIL"),
        (r#"{"to":-1}"#, 400, "BAD_JSON"),
        (r#"{"upto":1}"#, 400, "BAD_JSON"),
        ("", 400, "BAD_JSON"),
    ] {
        let answer = rewind(body).await;
        assert!(answer.0 == status && answer.1.contains(code), "{body}: {answer:?}");
    }
    assert_eq!(rewind(r#"{"to":3}"#).await.0, 204);
    assert_eq!(rewind(r#"{"to":1}"#).await.0, 204);
    let (_, page) = messenger.call(Method::GET, "/v1/events?limit=1", "").await;
    assert!(page.contains("blue#2") && page.ends_with(r#""next":2}"#), "{page}");
    assert_eq!(rewind(r#"{"to":0}"#).await.0, 204);
    let bounds = *messenger.core.ports().archive.feed.feed_bounds().borrow();
    assert_eq!((bounds.acked.0, bounds.unread()), (0, 4));
}
