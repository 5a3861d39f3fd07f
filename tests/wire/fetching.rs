//! Both halves of the transactions dialect over a real socket, and fetching from peers with any response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actors::limits::InteropQuirks;
use actors::model::{
    Ack, BadPdu, BatchId, DeadLetterReason, DialectSpec, Edu, FetchRequest, Item, ItemObjection, Millis, OutboundBatch,
    Pdu, PduVerdict, PeerReceipts, PushFailure, PushResponse, RequestDeadlines, Seq,
};
use actors::ports::{ServedPdu, Transport};
use actors::testkit::at_once;
use bytes::Bytes;
use fernpost::json::nesting::BodyNestingLimit;
use fernpost::telemetry::limit_counts::LimitCounts;
use fernpost::wire::pdu::PduReader;
use fernpost::wire::transactions::fetch::{decode, decode_pull, encode, encode_pull};
use fernpost::wire::transport::PeerTransport;
use fixtures::keys::TrustingRelayJudge;

use crate::circle::{Circle, name, reference, text};
use crate::handler::{ScriptedCore, scripted};
use crate::sockets::{One, client, listen};

const PDU: &str = r##"{"pdu_id":"#a/b","origin":"green","context":"c","ts":1,"pdu_type":"t","prev_pdus":[],"is_state":false,"content":{"n": 1e2}}"##;
const DEADLINES: RequestDeadlines =
    RequestDeadlines { connect: Duration::from_secs(5), total: Duration::from_secs(20) };

fn transport(at: SocketAddr) -> PeerTransport {
    let us = name("red.example");
    let egress = client(us.as_str(), Arc::new(One(format!("http://{at}"))));
    PeerTransport::new(Arc::new(egress), us, Arc::new(Circle::default()), Arc::new(TrustingRelayJudge))
}

fn core() -> ScriptedCore {
    scripted(Ok(Ack::Ok(Seq(1))))
}

#[actix_web::test]
async fn transaction_round_trip_returns_refusals() {
    let mut core = core();
    core.verdicts = Some(Ok(vec![
        PduVerdict::Accepted,
        PduVerdict::Refused { code: "NOT_A_PARTICIPANT", reason: "green does not take part".to_owned() },
    ]));
    let core = Arc::new(core);
    let listening = listen(&core, Duration::from_secs(30));
    let sent = [("red.example", "1"), ("green", "2")].map(|(origin, id)| {
        let text = PDU.replace("\"#a/b\"", &format!("{id:?}")).replace("\"green\"", &format!("{origin:?}"));
        Item::Pdu(reference(origin, id), Bytes::from(text))
    });
    let typing = Edu { kind: "typing".to_owned(), content: Bytes::from_static(b"{\"on\": true}") };
    let frame = OutboundBatch {
        receipts: PeerReceipts::NONE,
        to: name("blue.example"),
        dialect: DialectSpec::TRANSACTIONS,
        label: BatchId::Transaction { id: 1_404_835_423_001, prev: Some(9), ts: Millis(1_404_835_423_000) },
        items: sent.to_vec(),
        weak: vec![typing.clone()],
        traces: vec![],
        deadlines: DEADLINES,
    };
    let reason = "NOT_A_PARTICIPANT: green does not take part".to_owned();
    let refused = vec![ItemObjection { place: 1, fate: DeadLetterReason::Refused, reason }];
    let answered = transport(listening.address).push(frame).await;
    assert_eq!(
        answered,
        Ok(PushResponse { ack: Ack::Taken, window: Some(2), refused, receipts: PeerReceipts::NONE, reason: None })
    );
    let (from, transaction) = core.transactions.lock().expect("not poisoned")[0].clone();
    assert_eq!((from.as_str(), transaction.id.as_str()), ("red.example", "1404835423001"));
    assert_eq!((transaction.prev_ids, transaction.edus), (vec!["9".to_owned()], vec![typing]));
    let came: Vec<Bytes> = transaction.pdus.into_iter().map(|pdu| pdu.expect("sound").bytes).collect();
    assert_eq!(came, sent.map(|item| item.bytes().clone()));
    listening.handle.stop(false).await;
}

#[actix_web::test]
async fn fetch_gives_pdu_or_nothing() {
    let mut core = core();
    let served = |context: &str| ServedPdu {
        context: context.parse().expect("an id"),
        depth: 7,
        delivered: true,
        to: None,
        bytes: Bytes::from_static(PDU.as_bytes()),
    };
    core.stored = vec![(reference("green", "#a/b"), served("c")), (reference("green", "secret"), served("other"))];
    let core = Arc::new(core);
    let listening = listen(&core, Duration::from_secs(30));
    let fetch = |origin, id| {
        transport(listening.address).fetch(&name("blue"), FetchRequest::Pdu(reference(origin, id)), DEADLINES)
    };
    let fetched = fetch("green", "#a/b").await.expect("an answer");
    let [Ok(pdu)] = &fetched[..] else { panic!("{fetched:?}") };
    assert_eq!((&pdu.reference, pdu.depth), (&reference("green", "#a/b"), Some(7)));
    assert!(text(&pdu.bytes).contains(r#""content":{"n": 1e2}"#));
    for (origin, id) in
        [("green", "nothing"), ("green", "secret"), ("green", ".."), ("[::1]:80", "%2F?x=\"{}|\\^`\u{e9}")]
    {
        assert_eq!(fetch(origin, id).await, Ok(vec![]), "{id}");
    }
    listening.handle.stop(false).await;
    let gone = fetch("green", "#a/b").await;
    assert!(matches!(gone, Err(PushFailure::Unreachable(_))), "{gone:?}");
}

#[actix_web::test]
async fn deep_answer_is_unreadable() {
    let listening = listen(&Arc::new(core()), Duration::from_secs(30));
    let counts = LimitCounts::default();
    let within = |levels| transport(listening.address).nested_within(BodyNestingLimit::new(levels, counts.clone()));
    assert!(within(2).pull(&name("blue"), 0, DEADLINES).await.is_ok());
    let refused = within(1).pull(&name("blue"), 0, DEADLINES).await;
    let Err(PushFailure::Unreadable(words)) = refused else { panic!("{refused:?}") };
    assert!(words.contains("1 levels (federation.json_depth)"), "{words}");
    assert_eq!(counts.counts(), [("federation.json_depth", 1)]);
    listening.handle.stop(false).await;
}

#[actix_web::test]
async fn fetch_failure_is_no_miss() {
    let mut core = core();
    core.broken = true;
    let core = Arc::new(core);
    let listening = listen(&core, Duration::from_secs(30));
    let want = FetchRequest::Pdu(reference("green", "i"));
    let failed = transport(listening.address).fetch(&name("blue"), want, DEADLINES).await;
    assert!(matches!(failed, Err(PushFailure::Troubled { status: 503, retry_after: Some(_), .. })), "{failed:?}");
    listening.handle.stop(false).await;
}

#[test]
fn id_is_encoded_as_path_segment() {
    let path =
        |origin, id| encode(&FetchRequest::Pdu(reference(origin, id)), InteropQuirks::default()).path.into_owned();
    assert_eq!(path("green", "a-b._~1"), "/matrix/federation/v1/pdu/green/a-b._~1/");
    assert_eq!(path("[::1]:80", "#a/b c?%"), "/matrix/federation/v1/pdu/%5B%3A%3A1%5D%3A80/%23a%2Fb%20c%3F%25/");
}

#[test]
fn backfill_query_writes_id_first() {
    let from = vec![reference("green", "#a"), reference("[::1]:80", "b,c")];
    let want = FetchRequest::Backfill { context: "#room c".parse().expect("an id"), from, limit: 7 };
    let path = encode(&want, InteropQuirks::default()).path.into_owned();
    assert_eq!(path, "/matrix/federation/v1/backfill/%23room%20c/?limit=7&v=%23a%2Cgreen&v=b%2Cc%2C%5B%3A%3A1%5D%3A80");
}

/// Returns the ids of the PDUs that are accepted from a response to a request for `e` with at most four PDUs.
fn stretch(pdus: &[(&str, &[&str])]) -> Vec<String> {
    let text = |(id, prev): &(&str, &[&str])| {
        let pairs: Vec<String> = prev.iter().map(|id| format!(r#"["green","{id}"]"#)).collect();
        let pairs = format!(r#""prev_pdus":[{}]"#, pairs.join(","));
        PDU.replace("#a/b", id).replace(r#""prev_pdus":[]"#, &pairs)
    };
    let body = format!(r#"{{"pdus":[{}]}}"#, pdus.iter().map(text).collect::<Vec<_>>().join(","));
    let circle = Circle::default();
    let want =
        FetchRequest::Backfill { context: "c".parse().expect("an id"), from: vec![reference("green", "e")], limit: 4 };
    let read = at_once(decode(&want, &Bytes::from(body), &PduReader::new(&name("blue"), &circle, &TrustingRelayJudge)))
        .expect("an answer");
    read.into_iter().map(|pdu| pdu.expect("sound").reference.id.to_string()).collect()
}

#[test]
fn backfill_response_is_filtered_and_deduplicated() {
    assert_eq!(stretch(&[("e", &["d"]), ("d", &["c", "b"]), ("c", &["a"]), ("b", &["a"])]), ["e", "d", "c", "b"]);
    assert_eq!(stretch(&[("e", &["d"]), ("d", &["c"]), ("d", &["c"]), ("c", &[]), ("e", &["d"])]), ["e", "d", "c"]);
    let overshoot = [("e", &["d", "c", "b", "a"][..]), ("d", &[]), ("c", &[]), ("b", &[]), ("a", &[])];
    assert_eq!(stretch(&overshoot), ["e", "d", "c", "b"]);
    assert_eq!(stretch(&[("d", &[]), ("x", &["y"]), ("e", &["d"]), ("y", &[])]), ["e", "d"], "in whatever order");
}

#[test]
fn pull_query_names_last_transaction() {
    let path = |us| encode_pull(&name(us), 1_404_835_423_000).path.into_owned();
    assert_eq!(path("red.example"), "/matrix/federation/v1/pull/?origin=red.example&v=1404835423000");
    assert_eq!(path("red.example:80"), "/matrix/federation/v1/pull/?origin=red.example%3A80&v=1404835423000");
}

#[test]
fn pull_response_reports_progress() {
    let circle = Circle::default();
    let read = |body: &str| {
        at_once(decode_pull(
            &Bytes::copy_from_slice(body.as_bytes()),
            &PduReader::new(&name("blue"), &circle, &TrustingRelayJudge),
        ))
    };
    let said = |body: &str| read(body).map(|pulled| (pulled.pdus.len(), pulled.upto, pulled.more));
    let page = format!(r#"{{"origin":"blue","ts":1,"transaction_id":"17","more":true,"pdus":[{PDU},{{}}]}}"#);
    assert_eq!(said(&page), Ok((2, Some(17), true)));
    assert!(read(&page).is_ok_and(|pulled| pulled.pdus[0].is_ok() && pulled.pdus[1].is_err()), "each alone");
    assert_eq!(said(&format!(r#"{{"ts":1,"pdus":[{PDU}]}}"#)), Ok((1, None, false)), "as of 2014");
    assert_eq!(said(r#"{"transaction_id":"abc","more":1}"#), Ok((0, None, false)));
    assert_eq!(said(" null\n"), Ok((0, None, false)));
    for unreadable in ["", "[]", "<html>", r#"{"pdus":null}"#] {
        assert!(matches!(read(unreadable), Err(PushFailure::Unreadable(_))), "{unreadable}");
    }
}

fn fetched(body: &str) -> Result<Vec<Result<Pdu, BadPdu>>, PushFailure> {
    let circle = Circle::default();
    let want = FetchRequest::Pdu(reference("green", "#a/b"));
    at_once(decode(
        &want,
        &Bytes::copy_from_slice(body.as_bytes()),
        &PduReader::new(&name("blue"), &circle, &TrustingRelayJudge),
    ))
}

#[test]
fn fetch_response_parses_leniently() {
    for body in [
        format!(r#"{{"origin":"blue","ts":1,"pdus":[{PDU}]}}"#),
        format!(r#"{{"pdus":[{PDU}],"edus":7,"ts":1.5}}"#),
        format!(
            r#"{{"origin":null,"pdus":[{}]}}"#,
            PDU.replace("\"is_state\":false", "\"is_state\":0,\"state_key\":null")
        ),
    ] {
        let pdus = fetched(&body).expect("an answer");
        assert!(matches!(&pdus[..], [Ok(pdu)] if text(&pdu.bytes) == PDU), "{pdus:?}");
    }
    for none in [r#"{"origin":"blue"}"#, r#"{"pdus":[]}"#] {
        assert_eq!(fetched(none), Ok(vec![]));
    }
    assert_eq!(fetched(&format!(r#"{{"pdus":[{}]}}"#, PDU.replace("#a/b", "other"))), Ok(vec![]));
    let bad = fetched(&format!(r#"{{"pdus":[{}]}}"#, PDU.replace("\"ts\":1", "\"ts\":null"))).expect("an answer");
    assert!(matches!(&bad[..], [Err(BadPdu { code: "MISSING_KEY", .. })]), "{bad:?}");
    // All other PDUs of the response are ignored.
    let other = PDU.replace("#a/b", "other");
    for body in [format!(r#"{{"pdus":[{other},7,{PDU},{PDU}]}}"#), format!(r#"{{"pdus":[{PDU},{other}]}}"#)] {
        let pdus = fetched(&body).expect("an answer");
        assert!(matches!(&pdus[..], [Ok(pdu)] if text(&pdu.bytes) == PDU), "{pdus:?}");
    }
    assert_eq!(fetched(r#"{"pdus":[1,2]}"#), Ok(vec![]));
    for unreadable in ["", "\"\"", "null", "[]", r#"{"pdus":null}"#, "<html>"] {
        assert!(matches!(fetched(unreadable), Err(PushFailure::Unreadable(_))), "{unreadable}");
    }
}
