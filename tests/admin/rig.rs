//! A gateway whose operator is under test: store in memory, a wire that is up or down, a clock that stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::App;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actors::change::Change;
use actors::gateway::Gateway;
use actors::limits::{ContextLimits, PeerLimits};
use actors::model::{
    Ack, BadPdu, BatchId, Delivery, Digest, FetchRequest, Millis, OutboundBatch, Pdu, PduRef, PduState, PushFailure,
    PushResponse, RequestDeadlines, ServerName, StoredPdu, Submission, SubmittedContent,
};
use actors::ports::{Clock, CommitPriority, PeerConfig, Ports, StoreReaders, Task, Transport};
use actors::router::{ActorRegistry, Router};
use bytes::Bytes;
use fernpost::admin::{AdminApi, configure};
use fernpost::http::bearer::BearerToken;
use fernpost::store::{Store, StoreLocation, StoreOptions};
use fernpost::wire::pdu;
use fixtures::api_shapes::assert_answer_has_type;
use redb::backends::InMemoryBackend;
use serde_json::Value;
use tokio::sync::watch;

/// The operator's token.
const TOKEN: &str = "sesame";

/// A name that is one.
pub(crate) fn name(text: &str) -> ServerName {
    text.parse().expect("a server name")
}

/// A gateway, and what its test moves.
pub(crate) struct Rig {
    /// The ports of the gateway.
    pub(crate) ports: Ports,
    /// Its calls.
    pub(crate) gateway: Gateway,
    /// In milliseconds since 1970.
    clock: FixedClock,
    api: AdminApi,
    wire: Wire,
}

#[derive(Clone)]
struct FixedClock(Arc<AtomicU64>);

impl Clock for FixedClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

/// Takes everything while it is up, and cannot be reached while it is down.
#[derive(Clone)]
struct Wire {
    up: watch::Sender<bool>,
    /// Bodies of the items it took, in order.
    taken: watch::Sender<Vec<String>>,
}

impl Transport for Wire {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        let answer = if *self.up.borrow() {
            let items = frame.items.iter().map(|item| String::from_utf8(item.bytes().to_vec()).expect("text"));
            self.taken.send_modify(|taken| taken.extend(items));
            let ack = match frame.label {
                BatchId::SeqRange { last, .. } => Ack::Ok(last),
                BatchId::Transaction { .. } => Ack::Taken,
            };
            Ok(PushResponse { ack, window: Some(100), refused: vec![], reason: None })
        } else {
            Err(PushFailure::Unreachable("the cable is out".to_owned()))
        };
        Box::pin(async move { answer })
    }

    fn fetch(
        &self,
        _: &ServerName,
        _: FetchRequest,
        _: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        Box::pin(std::future::pending())
    }
}

/// `blue.example` and `green.example`.
struct Two;

impl PeerConfig for Two {
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>> {
        self.listed().contains(server).then(|| Arc::new(PeerLimits { jitter: 0.0, ..PeerLimits::default() }))
    }

    fn listed(&self) -> Vec<ServerName> {
        vec![name("green.example"), name("blue.example")]
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        Arc::default()
    }
}

impl Rig {
    /// On the runtime of the test; it is ten days after 1970, and the wire is down.
    pub(crate) fn start() -> Self {
        let clock = FixedClock(Arc::new(AtomicU64::new(10 * 24 * 3_600_000)));
        let routes = ActorRegistry::default();
        let wire = Wire { up: watch::Sender::new(false), taken: watch::Sender::default() };
        let wake = routes.clone();
        let options = StoreOptions::new(StoreLocation::backend(InMemoryBackend::new()), name("red.example"));
        let store =
            Store::open(options, Arc::new(clock.clone()), Arc::new(move |woken| wake.notify_outbox_grown(woken)));
        let store = Arc::new(store.expect("a new store opens"));
        let ports = Ports {
            journal: store.clone(),
            archive: StoreReaders::of(&store),
            transport: Arc::new(wire.clone()),
            roster: Arc::new(Two),
            ownership: store.clone(),
            disk: Arc::new(actors::testkit::TestDisk::default()),
            clock: Arc::new(clock.clone()),
            text: Arc::new(pdu::ContentText),
            us: name("red.example"),
        };
        Router::launch(ports.clone(), &routes, |_| {});
        let gateway = Gateway::new(routes, ports.clone());
        let api = AdminApi::new(gateway.clone(), (*store).clone());
        Self { ports, gateway, clock, api, wire }
    }

    /// Time passes for the clock, and for nobody's timers.
    pub(crate) fn pass(&self, minutes: u64) {
        self.clock.0.fetch_add(minutes * 60_000, Ordering::SeqCst);
    }

    /// The wire is up, or down.
    pub(crate) fn wire(&self, up: bool) {
        self.wire.up.send_replace(up);
    }

    /// Wait until so many items were taken; all of them, in order.
    pub(crate) async fn taken(&self, count: usize) -> Vec<String> {
        let mut taken = self.wire.taken.subscribe();
        taken.wait_for(|taken| taken.len() >= count).await.expect("the wire stays").clone()
    }

    /// Status and JSON of the answer to one call of the operator.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        self.call_as(Some(TOKEN), method, path, body).await
    }

    /// The same, by somebody with another token, or none.
    pub(crate) async fn call_as(&self, token: Option<&str>, method: Method, path: &str, body: &str) -> (u16, Value) {
        let bearer = BearerToken::new("admin.token", Some(TOKEN));
        let app = init_service(App::new().configure(|config| configure(config, self.api.clone(), bearer))).await;
        let uri = format!("/admin/v1{path}");
        let mut request = TestRequest::default().method(method.clone()).uri(&uri);
        if let Some(token) = token {
            request = request.insert_header((AUTHORIZATION, format!("Bearer {token}")));
        }
        let answer = call_service(&app, request.set_payload(body.to_owned()).to_request()).await;
        let status = answer.status().as_u16();
        let body = read_body(answer).await;
        assert_answer_has_type(&method, &uri, status, std::str::from_utf8(&body).expect("text"));
        let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
        (status, json)
    }

    /// A read that works.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, json) = self.call(Method::GET, path, "").await;
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    /// Have something done that can be done.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Value {
        let (status, json) = self.call(Method::POST, path, body).await;
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    /// Commit what actors might have handed over.
    pub(crate) async fn commit(&self, changes: Vec<Change>) {
        let fence = self.ports.ownership.claim_feed().expect("alone");
        self.ports.journal.submit(fence, changes, CommitPriority::Now).committed().await.expect("a sound store");
    }

    /// A submission of the messenger.
    pub(crate) fn submission(&self, id: &str, servers: &[&str], updates: &[&str]) -> Submission {
        Submission {
            id: id.parse().expect("valid"),
            digest: Digest([7; 16]),
            accepted: self.ports.clock.now(),
            servers: servers.iter().map(|server| name(server)).collect(),
            left_out: vec![],
            what: SubmittedContent::Updates(updates.iter().map(|text| Bytes::from((*text).to_owned())).collect()),
        }
    }

    /// A message of ours that found no room for these servers.
    pub(crate) async fn said(&self, id: &str, left_out: &[&str]) -> PduRef {
        let reference = PduRef { origin: name("red.example"), id: id.parse().expect("valid") };
        let bytes = Bytes::from_static(br#"{"content":{}}"#);
        let (context, kind): (actors::model::ContextId, _) = ("garden".parse().expect("valid"), "m.text".into());
        let (of, within) = (reference.clone(), context.clone());
        let (prev, depth, state, to) = (vec![], None, None, None);
        let pdu = Pdu { reference: of, context, prev, depth, kind, state, to, bytes: bytes.clone() };
        let standing = PduState::Delivered(Delivery { position: 1, depth: 0, shown: None });
        let received = self.ports.clock.now();
        let stored = StoredPdu { pdu, sender: None, verified: "own", received, standing };
        let submission = Submission {
            left_out: left_out.iter().map(|server| name(server)).collect(),
            what: SubmittedContent::Pdu(reference.clone(), within, bytes),
            ..self.submission(id, &[], &[])
        };
        self.commit(vec![Change::PduStored(Box::new(stored)), Change::Submitted(submission)]).await;
        reference
    }

    /// Submit updates for servers.
    pub(crate) async fn submit(&self, id: &str, servers: &[&str], updates: &[&str]) {
        self.gateway.submit(self.submission(id, servers, updates)).await.expect("taken");
    }
}
