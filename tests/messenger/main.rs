//! The messenger API over HTTP, with the real store and real peer actors; only the transport is scripted.

mod contexts;
mod direct;
mod fixture;
mod messages;
mod streams;

use std::time::Duration;

use actix_web::http::Method;
use actors::change::Change;
use actors::model::{
    Attempt, DeadLetterReason, DeliveredSpan, Digest, FeedItem, Index, Millis, PeerRecord, Position, Seq, Submission,
    SubmittedContent,
};
use actors::ports::CommitPriority;
use bytes::Bytes;
use fernpost::maintenance::feed_and_submissions;
use fixtures::peers::name;

use fixture::MessengerFixture;

const TO_BOTH: &str = r#"{"to":["blue","green"],"strong":[{"n":1e2},{"m":1208925819614629174706177}]}"#;

#[actix_web::test]
async fn repeated_update_submission_answers_alike() {
    let messenger = MessengerFixture::start();
    let accepted = (202, r#"{"id":"m-1","peers":["blue","green"]}"#.to_owned());
    assert_eq!(messenger.call(Method::PUT, "/v1/updates/m-1", TO_BOTH).await, accepted);
    assert_eq!(messenger.call(Method::PUT, "/v1/updates/m-1", TO_BOTH).await, accepted, "the same bytes");
    let anew = r#"{"strong":[ {"n":1e2}, {"m": 1208925819614629174706177} ], "to":["blue","green"]}"#;
    assert_eq!(messenger.call(Method::PUT, "/v1/updates/m-1", anew).await, accepted, "written anew");
    let other = r#"{"to":["blue","green"],"strong":[{"n":1e2},{"m":1208925819614629174706176}]}"#;
    let in_use = (409, r#"{"error":"m-1 was used for another submission","code":"ID_IN_USE"}"#.to_owned());
    assert_eq!(messenger.call(Method::PUT, "/v1/updates/m-1", other).await, in_use, "another digit");
    let fewer = r#"{"to":["blue"],"strong":[{"n":1e2},{"m":1208925819614629174706177}]}"#;
    assert_eq!(messenger.call(Method::PUT, "/v1/updates/m-1", fewer).await, in_use, "other recipients");
    assert_eq!(messenger.queued("blue").await, ["{\"n\":1e2}", "{\"m\":1208925819614629174706177}"]);
    assert_eq!(messenger.queued("green").await.len(), 2);
}

/// Before a store had a key for its digests, they were halves of SHA-256. The stored updates are others here, so that the digest alone
/// recognizes the repeat, as it does once the updates are trimmed.
#[actix_web::test]
async fn repeat_of_unkeyed_submission_is_recognized() {
    let messenger = MessengerFixture::start();
    let (sound, Change::Submitted(mut before)) = (Digest::sha256(TO_BOTH.as_bytes()), submitted("m-1", 2)) else {
        panic!("a submission")
    };
    before.digest = sound;
    messenger.commit(vec![Change::Submitted(before)], CommitPriority::Now).await;
    let accepted = (202, r#"{"id":"m-1","peers":["blue","green"]}"#.to_owned());
    assert_eq!(messenger.call(Method::PUT, "/v1/updates/m-1", TO_BOTH).await, accepted);
    let other = TO_BOTH.replace("1e2", "1e3");
    assert_eq!(messenger.call(Method::PUT, "/v1/updates/m-1", other).await.0, 409);
    assert_eq!(messenger.queued("blue").await, ["{}", "{}"], "nothing is queued twice");
}

#[actix_web::test]
async fn concurrent_update_repeat_submits_once() {
    let messenger = MessengerFixture::start();
    let put = || messenger.call(Method::PUT, "/v1/updates/m-1", TO_BOTH);
    let (first, second) = tokio::join!(put(), put());
    assert_eq!((first.0, &first), (202, &second));
    let other = r#"{"to":["blue"],"strong":[{}]}"#;
    let (one, two) = tokio::join!(
        messenger.call(Method::PUT, "/v1/updates/m-2", other),
        messenger.call(Method::PUT, "/v1/updates/m-2", TO_BOTH)
    );
    assert_eq!((one.0, two.0), (202, 409));
    assert_eq!((messenger.queued("blue").await.len(), messenger.queued("green").await.len()), (3, 2));
}

#[actix_web::test]
async fn disconnect_never_duplicates_updates() {
    let messenger = MessengerFixture::start();
    let blue = r#"{"to":["blue"],"strong":[{}]}"#;
    // Each call is cancelled one step later, so one of them is cancelled between submission and commit.
    for steps in 1..=24 {
        let path = format!("/v1/updates/m-{steps}");
        tokio::select! {
            biased;
            _answered = messenger.call(Method::PUT, &path, blue) => {}
            () = yields(steps) => {}
        }
        assert_eq!(messenger.call(Method::PUT, &path, blue).await.0, 202);
        assert_eq!(messenger.queued("blue").await.len(), steps, "one each");
    }
}

#[actix_web::test]
async fn refused_updates_leave_id_free() {
    let messenger = MessengerFixture::start();
    let grey = r#"{"to":["blue","grey"],"strong":[{}]}"#;
    let (status, body) = messenger.call(Method::PUT, "/v1/updates/m-1", grey).await;
    assert!(status == 422 && body.contains("NOT_A_PEER"), "{body}");
    assert_eq!(messenger.call(Method::GET, "/v1/messages/m-1", "").await.0, 404);
    assert_eq!(messenger.call(Method::PUT, "/v1/updates/m-1", TO_BOTH).await.0, 202);
    // After the pushes the outbox of `green` is known to be full. `blue` has room, but must receive nothing either.
    messenger.pushed().await;
    messenger.pushed().await;
    let (status, body) = messenger.call(Method::PUT, "/v1/updates/m-2", TO_BOTH).await;
    assert!(status == 429 && body.contains("OUTBOX_FULL") && body.contains("green"), "{body}");
    assert_eq!(messenger.queued("blue").await.len(), 2);
}

#[actix_web::test]
async fn trace_and_peers_show_progress() {
    let messenger = MessengerFixture::start();
    messenger.call(Method::PUT, "/v1/updates/m-1", TO_BOTH).await;
    messenger.pushed().await;
    messenger.pushed().await;
    let expected = concat!(
        r#"{"id":"m-1","accepted":"1970-01-01T00:00:01.000Z","peers":{"blue":{"state":"queued","attempts":[]},"#,
        r#""green":{"state":"queued","attempts":[]}}}"#
    );
    assert_eq!(messenger.call(Method::GET, "/v1/messages/m-1", "").await, (200, expected.into()));
    let (status, body) = messenger.call(Method::GET, "/v1/peers/blue", "").await;
    assert_eq!(status, 200, "{body}");
    assert!(body.starts_with(r#"{"server":"blue","state":"sending","since":"#), "{body}");
    assert!(body.contains(r#""backlog":2"#) && body.ends_with(r#""failures":0,"expected_seq":1}"#), "{body}");
    let (status, body) = messenger.call(Method::GET, "/v1/peers", "").await;
    assert_eq!((status, body.matches(r#""server":"#).count()), (200, 2), "{body}");
    let unknown = r#"{"error":"\"grey\" is not a peer of this server","code":"UNKNOWN_PEER"}"#;
    assert_eq!(messenger.call(Method::GET, "/v1/peers/grey", "").await, (404, unknown.into()));
}

fn submitted(id: &str, updates: usize) -> Change {
    Change::Submitted(Submission {
        receipt: false,
        id: id.parse().expect("valid"),
        digest: Digest([7; 16]),
        accepted: Millis(1_000),
        servers: vec![name("blue"), name("green")],
        left_out: vec![],
        what: SubmittedContent::Updates(vec![Bytes::from_static(b"{}"); updates]),
    })
}

#[actix_web::test]
async fn refused_update_is_never_acknowledged() {
    let messenger = MessengerFixture::start();
    let reason = "refused with status 400: \"no\"";
    let mut record = PeerRecord::new(name("blue"));
    record.outbound.acked = Index(3);
    let (server, message) = (name("blue"), "m-1".parse().expect("valid"));
    let (first, last, fate) = (Index(2), Index(2), DeadLetterReason::Parked);
    let parked =
        Change::OutboxDeadLettered { server: server.clone(), first, last, fate, reason: reason.to_owned(), keep: 9 };
    let told = FeedItem::Delivery { message, server, state: "parked", reason: Some(reason.to_owned()) };
    let changes = vec![submitted("m-1", 2), submitted("m-2", 1), parked, Change::FeedAppended(told)];
    messenger
        .commit(changes.into_iter().chain([Change::PeerRecordUpdated(Box::new(record))]).collect(), CommitPriority::Now)
        .await;
    let (status, trace) = messenger.call(Method::GET, "/v1/messages/m-1", "").await;
    let expected = concat!(
        r#""peers":{"blue":{"state":"parked","attempts":[],"reason":"refused with status 400: \"no\""},"#,
        r#""green":{"state":"queued","attempts":[]}}}"#
    );
    assert!(status == 200 && trace.ends_with(expected), "{trace}");
    let (_, trace) = messenger.call(Method::GET, "/v1/messages/m-2", "").await;
    assert!(trace.contains(r#""blue":{"state":"acknowledged","attempts":[]}"#), "the item queued after it: {trace}");
    let (_, page) = messenger.call(Method::GET, "/v1/events?after=0", "").await;
    let event = concat!(
        r#""kind":"delivery","id":"e1","time":"1970-01-01T00:00:01.000Z","message":"m-1","server":"blue","#,
        r#""state":"parked","reason":"refused with status 400: \"no\""}],"next":1}"#
    );
    assert!(page.ends_with(event), "{page}");
}

/// Deliveries are stored as spans, because a row per delivery costs too much and memory is lost at a restart.
#[actix_web::test]
async fn trace_shows_failures_and_deliveries() {
    let messenger = MessengerFixture::start();
    let attempt = |time, first, last, result: &str| Change::AttemptFailed {
        server: name("blue"),
        attempt: Attempt {
            time: Millis(time),
            first: Index(first),
            last: Index(last),
            result: result.to_owned(),
            code: None,
        },
        keep: 20,
    };
    let span =
        |time, first, last| DeliveredSpan { time: Millis(time), first: Index(first), last: Index(last), blind: false };
    let mut record = PeerRecord::new(name("blue"));
    (record.outbound.acked, record.outbound.delivered) = (Index(3), vec![span(950, 3, 3)]);
    let delivered = Change::Delivered { server: name("blue"), spans: vec![span(900, 1, 1), span(920, 2, 2)] };
    let changes = vec![submitted("m-1", 2), submitted("m-2", 1), attempt(500, 1, 3, "no answer"), delivered];
    messenger
        .commit(changes.into_iter().chain([Change::PeerRecordUpdated(Box::new(record))]).collect(), CommitPriority::Now)
        .await;
    let tried =
        |millis: u64, result: &str| format!(r#"{{"time":"1970-01-01T00:00:00.{millis}Z","result":"{result}"}}"#);
    let leg = |attempts: &[String]| format!(r#""blue":{{"state":"acknowledged","attempts":[{}]}}"#, attempts.join(","));
    let (_, trace) = messenger.call(Method::GET, "/v1/messages/m-1", "").await;
    let attempts = [tried(500, "no answer"), tried(900, "acknowledged"), tried(920, "acknowledged")];
    assert!(trace.contains(&leg(&attempts)), "{trace}");
    let (_, trace) = messenger.call(Method::GET, "/v1/messages/m-2", "").await;
    assert!(trace.contains(&leg(&[tried(500, "no answer"), tried(950, "acknowledged")])), "{trace}");
}

#[actix_web::test]
async fn deliveries_expire_with_submissions() {
    let messenger = MessengerFixture::start();
    let row = |server: &str, n: u64, time| Change::Delivered {
        server: name(server),
        spans: vec![DeliveredSpan { time: Millis(time), first: Index(n), last: Index(n), blind: false }],
    };
    let old = (1..=2_500).map(|n| row("blue", n, 3_999)).chain([row("green", 1, 3_999)]);
    messenger
        .commit(old.chain([row("blue", 2_501, 4_000), row("green", 2, 4_001)]).collect(), CommitPriority::Now)
        .await;
    messenger.core.clock.set(6_000);
    tokio::time::pause();
    let round =
        feed_and_submissions::run(messenger.core.ports().clone(), Duration::from_secs(2), Duration::from_secs(2));
    tokio::time::timeout(Duration::from_secs(60), round).await.expect_err("it goes on");
    for (server, left) in [("blue", 2_501), ("green", 2)] {
        let found =
            messenger.core.ports().archive.peers.attempts(&name(server), Index(1), Index(9_999)).await.expect("read");
        assert_eq!(found.iter().map(|attempt| attempt.first.0).collect::<Vec<_>>(), [left], "{server}");
    }
}

#[actix_web::test]
async fn uncontacted_peer_idle_since_start() {
    let messenger = MessengerFixture::start();
    messenger.core.clock.set(5_000);
    let (_, body) = messenger.call(Method::GET, "/v1/peers/blue", "").await;
    assert!(body.contains(r#""since":"1970-01-01T00:00:01.000Z""#) && !body.contains("last_success"), "{body}");
    let mut record = PeerRecord::new(name("green"));
    (record.outbound.since, record.outbound.last_success) = (Millis(300), Some(Millis(400)));
    messenger.commit(vec![Change::PeerRecordUpdated(Box::new(record))], CommitPriority::Now).await;
    let (_, body) = messenger.call(Method::GET, "/v1/peers", "").await;
    let green = body.split_once(r#""server":"green""#).expect("listed").1;
    assert!(green.contains(r#""since":"1970-01-01T00:00:00.300Z""#), "{body}");
    assert!(green.contains(r#""last_success":"1970-01-01T00:00:00.400Z""#), "{body}");
}

async fn yields(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn update(n: u64) -> Change {
    let bytes = Bytes::from(format!("{{ \"n\":{n}}}"));
    Change::FeedAppended(FeedItem::Update { from: name("blue"), n, seq: Seq(n), verified: "mtls", bytes })
}

#[actix_web::test]
async fn feed_reader_waits_and_acknowledges() {
    let messenger = MessengerFixture::start();
    let (read, ()) = tokio::join!(messenger.call(Method::GET, "/v1/events?wait=60", ""), async {
        tokio::task::yield_now().await;
        messenger.commit(vec![update(1)], CommitPriority::Now).await;
    });
    let first = concat!(
        r#"{"events":[{"position":1,"kind":"update","id":"blue#1","time":"1970-01-01T00:00:01.000Z","from":"blue","#,
        r#""seq":1,"update":{ "n":1},"verified":"mtls"}],"next":1}"#
    );
    assert_eq!(read, (200, first.into()));
    messenger.commit(vec![update(2), update(3)], CommitPriority::Now).await;
    assert_eq!(messenger.call(Method::POST, "/v1/events/ack", r#"{"upto":4}"#).await.0, 422);
    assert_eq!(messenger.call(Method::POST, "/v1/events/ack", r#"{"upto":2}"#).await, (204, String::new()));
    let on_disk = || messenger.core.ports().archive.feed.feed_bounds().borrow().acked;
    assert_eq!(on_disk(), Position(0), "the acknowledgement rides with the next commit");
    let (_, page) = messenger.call(Method::GET, "/v1/events", "").await;
    assert!(page.contains("blue#3") && !page.contains("blue#2") && page.ends_with(r#""next":3}"#), "{page}");
    let (_, page) = messenger.call(Method::GET, "/v1/events?after=0&limit=2", "").await;
    assert!(page.contains("blue#1") && page.ends_with(r#""next":2}"#), "acknowledged events are still kept: {page}");
    messenger.commit(vec![], CommitPriority::Now).await;
    assert_eq!(on_disk(), Position(2));

    let (_, page) = messenger.call(Method::GET, "/v1/events?after=3&ack=true", "").await;
    assert_eq!(page, r#"{"events":[],"next":3}"#);
    messenger.core.ports().journal.barrier().committed().await.expect("on disk");
    assert_eq!(on_disk(), Position(3));
    let (_, page) = messenger.call(Method::GET, "/v1/events?after=1&ack=true&limit=1", "").await;
    assert!(page.contains("blue#2"), "an old position acknowledges nothing: {page}");
    assert_eq!(messenger.call(Method::GET, "/v1/events", "").await.1, r#"{"events":[],"next":3}"#);
    assert_eq!(messenger.call(Method::POST, "/v1/events/rewind", r#"{"to":1}"#).await.0, 204);
    assert!(messenger.call(Method::GET, "/v1/events", "").await.1.contains("blue#2"), "a rewind goes before any ack");
}

#[actix_web::test]
async fn acknowledged_old_events_are_pruned() {
    let messenger = MessengerFixture::start();
    messenger.call(Method::PUT, "/v1/updates/m-1", TO_BOTH).await;
    messenger.commit((1..=2_500).map(update).collect(), CommitPriority::Now).await;
    messenger.core.clock.set(5_000);
    messenger.commit(vec![update(2_501), update(2_502)], CommitPriority::Now).await;
    messenger.call(Method::POST, "/v1/events/ack", r#"{"upto":2501}"#).await;
    messenger.core.ports().journal.barrier().committed().await.expect("the acknowledgement is on disk");
    messenger.core.clock.set(6_000);
    // Paused time advances only when all tasks are idle, so the timeout fires after the first round has ended.
    tokio::time::pause();
    let round =
        feed_and_submissions::run(messenger.core.ports().clone(), Duration::from_secs(2), Duration::from_secs(2));
    tokio::time::timeout(Duration::from_secs(60), round).await.expect_err("it goes on");
    let gone = r#"{"error":"events before 2501 are no longer kept","code":"GONE","oldest":2501}"#;
    assert_eq!(messenger.call(Method::GET, "/v1/events?after=0", "").await, (410, gone.into()));
    let (status, page) = messenger.call(Method::GET, "/v1/events?after=2500", "").await;
    assert!(status == 200 && page.contains("blue#2501"), "acknowledged, but too young to prune: {page}");
    assert_eq!(messenger.call(Method::GET, "/v1/messages/m-1", "").await.0, 404, "an expired submission");
    assert_eq!(messenger.core.ports().archive.feed.feed_bounds().borrow().tail, Position(2_502));
    assert_eq!(
        messenger.core.ports().archive.peers.outbox_from(&name("blue"), Index(1), 9, 99).await.expect("read").len(),
        2
    );
}

#[actix_web::test]
async fn waiting_feed_reads_are_bounded() {
    let messenger = MessengerFixture::start();
    let wait = || messenger.call(Method::GET, "/v1/events?wait=60", "");
    let third = async {
        let (status, body) = wait().await;
        let words = "messenger.reads_max is reached (2)";
        assert!(status == 429 && body.contains(words) && body.contains("TOO_MANY_READS"), "{status} {body}");
        assert_eq!(messenger.call(Method::GET, "/v1/events", "").await.0, 200, "a read without wait is answered");
        let notice = FeedItem::Notice { text: "news".to_owned(), server: None };
        messenger.commit(vec![Change::FeedAppended(notice)], CommitPriority::Now).await;
    };
    let (first, second, ()) = tokio::join!(wait(), wait(), third);
    assert_eq!((first.0, second.0), (200, 200));
    assert!(first.1.contains("news") && second.1.contains("news"));
}
