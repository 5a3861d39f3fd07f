//! Ephemeral items as readers get them.

use std::time::Duration;

use actors::limits::PeerLimits;
use actors::model::{Edu, Millis};
use actors::testkit::{TestClock, TestPeers};
use bytes::Bytes;

use super::*;

fn blue() -> ServerName {
    "blue.example".parse().expect("valid")
}

fn feed(weak_items: u32) -> Arc<EphemeralFeed> {
    let limits = PeerLimits { weak_items, weak_ttl: Duration::from_secs(30), ..PeerLimits::default() };
    let (roster, clock) = (Arc::new(TestPeers::everybody(limits)), Arc::new(TestClock::fixed(Millis(1_000))));
    Arc::new(EphemeralFeed::new(roster, clock, vec!["typing".to_owned()]))
}

fn update(text: &str) -> InboundEphemeral {
    InboundEphemeral::Update(Bytes::copy_from_slice(text.as_bytes()))
}

/// Returns what a reader takes, without the members that are always the same.
fn taken(reader: &EphemeralReader) -> Vec<String> {
    let text = |event: Arc<EphemeralEvent>| String::from_utf8(event.text.to_vec()).expect("text");
    let bare = |text: String| {
        text.replace(r#"{"kind":"ephemeral","from":"blue.example","time":"1970-01-01T00:00:01.000Z","#, "{")
    };
    reader.take(usize::MAX).into_iter().map(text).map(bare).collect()
}

#[tokio::test(start_paused = true)]
async fn item_is_shown_as_it_came() {
    let feed = feed(10);
    feed.show(&blue(), vec![update(r#"{"update":"seen"}"#)]);
    let reader = feed.reader();
    assert_eq!(taken(&reader), Vec::<String>::new(), "nothing is replayed");
    let edu = Edu { kind: "m.typing".into(), content: Bytes::from_static(br#"{"n":1.50}"#) };
    feed.show(&blue(), vec![update(r#"{ "update":"seen","n":1e2}"#), InboundEphemeral::Edu(edu)]);
    let expected = [r#"{"update":{ "update":"seen","n":1e2}}"#, r#"{"type":"m.typing","content":{"n":1.50}}"#];
    assert_eq!(taken(&reader), expected);
    assert_eq!(taken(&reader), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn newest_item_of_key_wins() {
    let (feed, items) = (feed(4), |texts: &[&str]| texts.iter().map(|text| update(text)).collect());
    let reader = feed.reader();
    feed.show(
        &blue(),
        items(&[
            r#"{"update":"seen","user_id":"a","n":1}"#,
            r#"{"update":"seen","user_id":"b","n":2}"#,
            r#"{"update":"seen","user_id":"a","n":3}"#,
            r#"{"update":"seen","n":4}"#,
        ]),
    );
    feed.show(&blue(), items(&[r#"{"update":"seen","n":5}"#, r#"{"update":"other","key":"k","user_id":"b","n":6}"#]));
    let numbers = taken(&reader)
        .iter()
        .map(|text| text[text.find("\"n\":").expect("n") + 4..][..1].to_owned())
        .collect::<String>();
    assert_eq!(numbers, "3456", "at most weak_items of a peer wait, and an item without a key replaces none");
    feed.show(&blue(), (1..=9).map(|n| update(&format!(r#"{{"update":"x","n":{n}}}"#))).collect());
    assert_eq!(taken(&reader).len(), 4, "the last ones of a push");
}

#[tokio::test(start_paused = true)]
async fn typing_ends_at_its_expiry() {
    let feed = feed(10);
    let running = tokio::spawn(Arc::clone(&feed).run());
    let reader = feed.reader();
    let typing = |user: &str, rest: &str| update(&format!(r#"{{"update":"typing","user_id":"{user}"{rest}}}"#));
    let shown = vec![
        typing("a", r#","ttl":"2s""#),
        typing("b", r#","ttl":60"#),
        typing("c", ""),
        typing("d", ""),
        update(r#"{"update":"seen","user_id":"e","ttl":1}"#),
    ];
    feed.show(&blue(), shown);
    assert_eq!(taken(&reader).len(), 5);
    feed.show(&blue(), vec![typing("d", r#","typing":false"#)]);
    assert_eq!(taken(&reader).len(), 1, "the end is shown");
    tokio::time::timeout(Duration::from_secs(3), reader.arrived()).await.expect("an end");
    assert_eq!(taken(&reader), [r#"{"update":{"update":"typing","user_id":"a","ttl":"2s"},"ended":true}"#]);
    feed.show(&blue(), vec![typing("c", "")]);
    taken(&reader);
    tokio::time::sleep(Duration::from_secs(29)).await;
    let ended = taken(&reader);
    assert_eq!(ended.len(), 1, "a stated lifetime beyond weak_ttl counts as weak_ttl: {ended:?}");
    assert!(ended[0].contains("\"b\""));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ended = taken(&reader);
    assert!(ended.len() == 1 && ended[0].contains("\"c\"") && ended[0].ends_with("\"ended\":true}"), "{ended:?}");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn expired_item_is_not_shown() {
    let feed = feed(10);
    let reader = feed.reader();
    feed.show(&blue(), vec![update(r#"{"update":"seen","ttl":"1s"}"#), update(r#"{"update":"seen"}"#)]);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(taken(&reader), [r#"{"update":{"update":"seen"}}"#]);
}

#[tokio::test(start_paused = true)]
async fn large_items_stay_within_bytes() {
    let feed = feed(1_000);
    let reader = feed.reader();
    let typing =
        |n: usize, size: usize| update(&format!(r#"{{"update":"typing","user_id":"{n}","x":"{}"}}"#, "x".repeat(size)));
    feed.show(&blue(), vec![typing(0, 64 << 10)]);
    assert_eq!(taken(&reader), Vec::<String>::new(), "one alone is too large");
    for n in 1..=50 {
        feed.show(&blue(), vec![typing(n, 60 << 10)]);
    }
    let waiting: usize = taken(&reader).iter().map(String::len).sum();
    assert!((60 << 10..=128 << 10).contains(&waiting), "{waiting}");
    let shown = feed.state.lock().shown.expire(Instant::now() + Duration::from_secs(60)).len();
    assert_eq!(shown, 2, "the end of others was told when they made room");
}

#[tokio::test(start_paused = true)]
async fn each_dropped_item_has_reason() {
    let feed = feed(3);
    let seen = |n: u64, rest: &str| update(&format!(r#"{{"update":"seen","n":{n}{rest}}}"#));
    feed.show(&blue(), vec![seen(0, "")]);
    let reader = feed.reader();
    feed.show(&blue(), (1..=4).map(|n| seen(n, "")).collect());
    feed.show(&blue(), vec![seen(5, r#","key":"k""#), seen(6, r#","key":"k""#)]);
    feed.show(&blue(), vec![seen(7, &format!(r#","x":"{}""#, "x".repeat(EVENT_BYTES_MAX)))]);
    assert_eq!(taken(&reader).len(), 3);
    reader.not_taken(3);
    feed.show(&blue(), vec![seen(8, r#","ttl":1"#)]);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(taken(&reader).len(), 0);
    drop(reader);
    feed.show(&blue(), vec![seen(9, "")]);
    let expected = [
        ("no_reader", 2),
        ("too_many", 1),
        ("too_large", 1),
        ("replaced", 1),
        ("full", 1),
        ("expired", 1),
        ("not_taken", 3),
    ];
    assert_eq!(feed.dropped(), expected);
}
