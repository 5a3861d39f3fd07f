//! The calls over HTTP, with a store that always fails: routes, limits of requests, and error responses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use actors::change::Change;
use actors::gateway::Gateway;
use actors::model::{
    Attempt, ContextId, ContextRecord, DigestKey, FeedPdu, Index, Millis, PduRef, Position, PushFailure, ReleasedEvent,
    ServerName, StateEntry, StateKey, SubmissionId, SubmissionRecord,
};
use actors::ports::{
    ArchiveError, CommitPriority, CommitTicket, ContextReader, ContextSnapshot, DeadLetter, FeedBounds, FeedPage,
    FeedReader, Fence, Journal, NoEphemeralReader, OutboxRow, Ownership, PduStatus, PeerReader, PeerSnapshot, Ports,
    QuarantinedPduRow, QueueDepth, SentPage, ServedPdu, StagedPdu, StatePage, StoreReaders, SubmissionReader,
    SubmissionsPage, Task, TimelineMark,
};
use actors::router::ActorRegistry;
use actors::testkit::{PlainText, ScriptedTransport, TestClock, TestDisk, TestPeers};
use bytes::Bytes;
use tokio::sync::watch;

use super::ephemeral_feed::EphemeralFeed;
use super::{MessengerApi, MessengerLimits, configure};

/// A store of which every read and write fails.
struct Broken;

fn broken<T: Send + 'static>() -> Task<Result<T, ArchiveError>> {
    Box::pin(async { Err(ArchiveError("no disk".into())) })
}

impl PeerReader for Broken {
    fn peer(&self, _: &ServerName) -> Task<Result<PeerSnapshot, ArchiveError>> {
        broken()
    }

    fn outbox_from(&self, _: &ServerName, _: Index, _: u32, _: u64) -> Task<Result<Vec<OutboxRow>, ArchiveError>> {
        broken()
    }

    fn dead_letters(&self, _: &ServerName, _: Index, _: Index) -> Task<Result<Vec<DeadLetter>, ArchiveError>> {
        broken()
    }

    fn attempts(&self, _: &ServerName, _: Index, _: Index) -> Task<Result<Vec<Attempt>, ArchiveError>> {
        broken()
    }

    fn old_deliveries(
        &self,
        _: Millis,
        _: Option<ServerName>,
    ) -> Task<Result<Option<(ServerName, Index)>, ArchiveError>> {
        broken()
    }

    fn sent_after(
        &self,
        _: &ServerName,
        _: u64,
        _: Option<(u64, Index, Index)>,
        _: u32,
        _: u64,
    ) -> Task<Result<SentPage, ArchiveError>> {
        broken()
    }

    fn peers_with_backlog(&self, _: Vec<ServerName>) -> Task<Result<Vec<ServerName>, ArchiveError>> {
        broken()
    }

    fn is_quarantined(&self, _: &ContextId, _: &PduRef, _: &ServerName) -> Task<Result<bool, ArchiveError>> {
        broken()
    }

    fn quarantined_pdus_of(
        &self,
        _: &ContextId,
        _: Vec<ServerName>,
        _: (u64, u64),
        _: u32,
    ) -> Task<Result<Vec<QuarantinedPduRow>, ArchiveError>> {
        broken()
    }
}

impl ContextReader for Broken {
    fn context(&self, _: &ContextId) -> Task<Result<Option<ContextSnapshot>, ArchiveError>> {
        broken()
    }

    fn contexts_with_held_pdus(&self) -> Task<Result<Vec<ContextId>, ArchiveError>> {
        broken()
    }

    fn look_up(
        &self,
        _: &ContextId,
        _: Vec<PduRef>,
        _: Vec<PduRef>,
    ) -> Task<Result<HashMap<PduRef, PduStatus>, ArchiveError>> {
        broken()
    }

    fn release(&self, _: &ContextId, _: &[PduRef]) {}

    fn release_all(&self, _: &ContextId) {}

    fn pdu(&self, _: &PduRef) -> Task<Result<Option<ServedPdu>, ArchiveError>> {
        broken()
    }

    fn backfill(
        &self,
        _: &ContextId,
        _: &ServerName,
        _: Vec<PduRef>,
        _: u32,
        _: u64,
    ) -> Task<Result<Vec<ServedPdu>, ArchiveError>> {
        Box::pin(async { Err(ArchiveError("no disk".into())) })
    }

    fn timeline(
        &self,
        _: &ContextId,
        _: Option<i64>,
        _: u32,
        _: u64,
    ) -> Task<Result<Vec<(i64, FeedPdu)>, ArchiveError>> {
        Box::pin(async { Err(ArchiveError("no disk".into())) })
    }

    fn timeline_marks(
        &self,
        _: &ContextId,
        _: &ServerName,
        _: Option<i64>,
        _: u32,
    ) -> Task<Result<Vec<TimelineMark>, ArchiveError>> {
        broken()
    }

    fn timeline_refs(&self, _: &ContextId, _: Vec<i64>) -> Task<Result<Vec<PduRef>, ArchiveError>> {
        broken()
    }

    fn news_begin(&self, _: &ContextId) -> Task<Result<Option<Millis>, ArchiveError>> {
        broken()
    }

    fn context_record(&self, _: &ContextId) -> Task<Result<Option<ContextRecord>, ArchiveError>> {
        broken()
    }

    fn state_holder(&self, _: &ContextId, _: &StateKey) -> Task<Result<Option<StateEntry>, ArchiveError>> {
        broken()
    }

    fn state_set(&self, _: &ContextId, _: &StateKey) -> Task<Result<Vec<StateEntry>, ArchiveError>> {
        broken()
    }

    fn current_state(
        &self,
        _: &ContextId,
        _: Option<StateKey>,
        _: u32,
        _: u64,
    ) -> Task<Result<StatePage, ArchiveError>> {
        broken()
    }

    fn stage(&self, _: &ContextId, _: &ServerName, _: Vec<PduRef>) -> Task<Result<(u64, Vec<PduRef>), ArchiveError>> {
        broken()
    }

    fn staged(
        &self,
        _: &ContextId,
        _: Option<&ServerName>,
        _: u32,
        _: u64,
    ) -> Task<Result<Vec<StagedPdu>, ArchiveError>> {
        broken()
    }
}

impl SubmissionReader for Broken {
    fn digest_key(&self) -> DigestKey {
        DigestKey::new(&[0; DigestKey::BYTES])
    }

    fn submission(&self, _: &SubmissionId) -> Task<Result<Option<SubmissionRecord>, ArchiveError>> {
        broken()
    }

    fn submitted_updates(&self, _: &SubmissionId) -> Task<Result<Option<Vec<Bytes>>, ArchiveError>> {
        broken()
    }

    fn submissions_before(&self, _: Millis, _: Option<SubmissionId>) -> Task<Result<SubmissionsPage, ArchiveError>> {
        broken()
    }
}

impl FeedReader for Broken {
    fn feed_after(&self, _: Position, _: u32, _: u64) -> Task<Result<FeedPage, ArchiveError>> {
        broken()
    }

    fn released_events(&self, _: u32, _: u64) -> Task<Result<Vec<ReleasedEvent>, ArchiveError>> {
        broken()
    }

    fn refused_between(&self, _: Position, _: Position) -> Task<Result<Vec<(Position, String)>, ArchiveError>> {
        broken()
    }

    fn push_ids_reserved(&self) -> Task<Result<u64, ArchiveError>> {
        broken()
    }

    fn feed_bounds(&self) -> watch::Receiver<FeedBounds> {
        watch::channel(FeedBounds { tail: Position(9), acked: Position(4), skipped: 0 }).1
    }
}

impl Journal for Broken {
    fn submit(&self, _: Fence, _: Vec<Change>, _: CommitPriority) -> CommitTicket {
        self.barrier()
    }

    fn barrier(&self) -> CommitTicket {
        let (_never_done, ticket) = CommitTicket::pair();
        ticket
    }

    fn pressure(&self) -> QueueDepth {
        QueueDepth { rows: 0, rows_max: 1, full_log: None }
    }
}

impl Ownership for Broken {
    fn claim(&self, _: &ServerName) -> Option<Fence> {
        self.claim_feed()
    }

    fn claim_context(&self, _: &ContextId) -> Option<Fence> {
        self.claim_feed()
    }

    fn claim_feed(&self) -> Option<Fence> {
        Some(Fence { slot: 0, epoch: 1 })
    }
}

fn api() -> MessengerApi {
    let ports = Ports {
        journal: Arc::new(Broken),
        archive: StoreReaders::of(&Arc::new(Broken)),
        transport: Arc::new(ScriptedTransport::answering(|_| Err(PushFailure::TimedOut))),
        roster: Arc::new(TestPeers::none()),
        ownership: Arc::new(Broken),
        disk: Arc::new(TestDisk::default()),
        clock: Arc::new(TestClock::fixed(Millis(0))),
        ephemeral: Arc::new(NoEphemeralReader),
        text: Arc::new(PlainText),
        us: "red".parse().expect("valid"),
    };
    let ephemeral = Arc::new(EphemeralFeed::new(ports.roster.clone(), ports.clock.clone(), vec![]));
    let gateway = Gateway::new(ActorRegistry::default(), ports);
    let keep_alive = Duration::from_secs(15);
    let limits = MessengerLimits { submissions_max: 2, reads_max: 2, keep_alive, body_max: 64 };
    MessengerApi::new(gateway, "red".parse().expect("valid"), limits, ephemeral, watch::channel(false).1)
}

/// Makes a call and returns the status and body of the response.
async fn call(method: Method, path: &str, body: &'static str) -> (u16, String) {
    let app = init_service(App::new().configure(|config: &mut web::ServiceConfig| configure(config, api()))).await;
    let request = TestRequest::default().method(method).uri(path).set_payload(body).to_request();
    let answer = call_service(&app, request).await;
    let status = answer.status();
    if status != StatusCode::NO_CONTENT {
        assert_eq!(answer.headers().get(header::CONTENT_TYPE).expect("set"), "application/json", "{path}");
    }
    (status.as_u16(), String::from_utf8(read_body(answer).await.to_vec()).expect("text"))
}

#[actix_web::test]
async fn unknown_route_or_method_is_json() {
    for path in ["/", "/v1", "/v1/", "/v2/events", "/v1/event", "/v1/updates/", "/v1/peers/b/c"] {
        let expected = r#"{"error":"no such endpoint","code":"NO_ROUTE"}"#;
        assert_eq!(call(Method::GET, path, "").await, (404, expected.into()), "{path}");
    }
    let expected = r#"{"error":"method not allowed; use PUT","code":"WRONG_METHOD"}"#;
    assert_eq!(call(Method::POST, "/v1/updates/a", "{}").await, (405, expected.into()));
    let expected = r#"{"error":"method not allowed; use GET","code":"WRONG_METHOD"}"#;
    assert_eq!(call(Method::DELETE, "/v1/peers", "").await, (405, expected.into()));
    let expected = r#"{"error":"method not allowed; use GET or PUT","code":"WRONG_METHOD"}"#;
    for path in ["/v1/messages/a", "/v1/contexts/c"] {
        assert_eq!(call(Method::POST, path, "{}").await, (405, expected.into()), "{path}");
    }
}

#[actix_web::test]
async fn trailing_slash_is_ignored() {
    for path in ["/v1/peers", "/v1/peers/"] {
        assert_eq!(call(Method::GET, path, "").await, (200, r#"{"peers":[]}"#.into()), "{path}");
    }
    for path in ["/v1/events/ack", "/v1/events/ack/"] {
        assert_eq!(call(Method::POST, path, r#"{"upto":4}"#).await, (204, String::new()), "{path}");
    }
}

#[actix_web::test]
async fn oversized_body_or_id_is_refused() {
    let long = r#"{"to":["blue"],"strong":[{"a":"....................................."}]}"#;
    let expected = r#"{"error":"the body exceeds messenger.body_max (64 bytes)","code":"TOO_LARGE"}"#;
    assert_eq!(call(Method::PUT, "/v1/updates/a", long).await, (413, expected.into()));
    let (status, body) = call(Method::PUT, "/v1/updates/a%20b", "{}").await;
    assert!(status == 422 && body.contains("BAD_ID"), "{body}");
    let (status, body) = call(Method::PUT, "/v1/messages/a%20b", "{}").await;
    assert!(status == 422 && body.contains("BAD_ID"), "{body}");
    let (status, body) = call(Method::GET, "/v1/messages/a%20b", "").await;
    assert!(status == 404 && body.contains("UNKNOWN_ID"), "{body}");
}

#[actix_web::test]
async fn store_failure_answers_503() {
    let expected = r#"{"error":"the store cannot be read: no disk","code":"STORE_UNREADABLE"}"#;
    for (method, path, body) in [
        (Method::PUT, "/v1/updates/a", r#"{"to":["blue"],"strong":[{}]}"#),
        (Method::PUT, "/v1/messages/a", r#"{"context":"c","type":"t","content":1}"#),
        (Method::GET, "/v1/messages/a", ""),
        (Method::GET, "/v1/events", ""),
    ] {
        assert_eq!(call(method, path, body).await, (503, expected.into()), "{path}");
    }
    let (status, body) = call(Method::POST, "/v1/messages", r#"{"messages":[{"id":"a"}]}"#).await;
    assert!(status == 200 && body.contains(r#""id":"a","status":422"#), "the message's own error comes first: {body}");
    let answered = call(Method::POST, "/v1/events/ack", r#"{"upto":9}"#).await;
    assert_eq!(answered, (204, String::new()), "an acknowledgement does not wait for its commit");
    let (status, body) = call(Method::GET, "/v1/events?after=99", "").await;
    let quiet = call(Method::GET, "/v1/events?after=9", "").await;
    assert_eq!(quiet, (200, r#"{"events":[],"next":9}"#.into()));
    assert!(status == 422 && body.contains("BEYOND_TAIL"), "a reader ahead of a restored store gets an error: {body}");
}
