//! A gateway for tests of the admin API: a store in memory, scripted peers, a clock that the test sets.

use std::sync::Arc;

use actix_web::App;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actors::change::Change;
use actors::model::{
    Delivery, Digest, Millis, Pdu, PduProof, PduRef, PduState, PushFailure, StoredPdu, Submission, SubmittedContent,
};
use actors::testkit::transport::accepted;
use actors::testkit::{ScriptedTransport, TestClock, TestPeers};
use bytes::Bytes;
use fernpost::admin::{AdminApi, configure};
use fernpost::http::bearer::operator_role::OperatorRole;
use fernpost::http::bearer::operator_tokens::{AcceptedToken, OperatorTokens};
use fernpost::wire::pdu::ContentText;
use fixtures::api_shapes::assert_answer_has_type;
use fixtures::disk::FaultyDisk;
use fixtures::gateway::{GatewayFixture, UnlaunchedGateway};
use fixtures::keys::TrustingRelayJudge;
use fixtures::peers::{limits, name, server};
use serde_json::Value;
use tokio::sync::watch;

/// The operator's token.
const TOKEN: &str = "sesame";

/// Tokens with lower roles.
pub(crate) const OPERATING_TOKEN: &str = "sesame-operate";
pub(crate) const READING_TOKEN: &str = "sesame-read";

fn tokens() -> OperatorTokens {
    let all = [
        ("admin", OperatorRole::Administer, TOKEN),
        ("desk", OperatorRole::Operate, OPERATING_TOKEN),
        ("watch", OperatorRole::Read, READING_TOKEN),
    ];
    OperatorTokens::new(Arc::new(move || all.map(|(name, role, token)| AcceptedToken::new(name, role, token)).into()))
}

/// The gateway `red.example` with the peers green and blue, and the operator's calls.
pub(crate) struct OperatorFixture {
    /// The gateway; only the test moves its clock.
    pub(crate) core: GatewayFixture,
    api: AdminApi,
    is_up: watch::Sender<bool>,
    /// Bodies of the items that peers accepted, in order.
    accepted: watch::Sender<Vec<String>>,
}

impl OperatorFixture {
    /// Starts the gateway on the runtime of the test, ten days after 1970, with unreachable peers.
    pub(crate) fn start() -> Self {
        let clock = Arc::new(TestClock::fixed(Millis(10 * 24 * 3_600_000)));
        let mut core = UnlaunchedGateway::on_disk(server("red"), &FaultyDisk::new(), clock);
        let peers = TestPeers::none().listing(server("green"), limits()).listing(server("blue"), limits());
        let (is_up, accepted) = (watch::Sender::new(false), watch::Sender::default());
        core.ports.transport = Arc::new(switched_peers(is_up.clone(), accepted.clone()));
        core.ports.roster = Arc::new(peers);
        core.ports.text = Arc::new(ContentText::default());
        let core = core.launch();
        let api = AdminApi::new(core.gateway.clone(), core.store.clone(), Arc::new(TrustingRelayJudge));
        Self { core, api, is_up, accepted }
    }

    /// Returns the API, for the pages of the dashboard.
    pub(crate) fn api(&self) -> AdminApi {
        self.api.clone()
    }

    /// Moves the clock forward. No timer fires.
    pub(crate) fn pass(&self, minutes: i64) {
        self.core.clock.jump(minutes * 60_000);
    }

    /// Makes all peers reachable or unreachable.
    pub(crate) fn wire(&self, up: bool) {
        self.is_up.send_replace(up);
    }

    /// Waits until peers accepted `count` items, and returns all accepted items in order.
    pub(crate) async fn taken(&self, count: usize) -> Vec<String> {
        let mut taken = self.accepted.subscribe();
        taken.wait_for(|taken| taken.len() >= count).await.expect("the sender is alive").clone()
    }

    /// Makes a call of the operator, and returns the status and JSON of the response.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        self.call_as(Some(TOKEN), method, path, body).await
    }

    /// Makes a call with this token, or without one.
    pub(crate) async fn call_as(&self, token: Option<&str>, method: Method, path: &str, body: &str) -> (u16, Value) {
        let app = init_service(App::new().configure(|config| configure(config, self.api.clone(), tokens()))).await;
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

    /// Makes a GET that must succeed.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, json) = self.call(Method::GET, path, "").await;
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    /// Makes a POST that must succeed.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Value {
        let (status, json) = self.call(Method::POST, path, body).await;
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    /// Returns a submission of updates.
    pub(crate) fn submission(&self, id: &str, servers: &[&str], updates: &[&str]) -> Submission {
        Submission {
            id: id.parse().expect("valid"),
            digest: Digest([7; 16]),
            accepted: self.core.ports().clock.now(),
            servers: servers.iter().map(|server| name(server)).collect(),
            left_out: vec![],
            receipt: false,
            what: SubmittedContent::Updates(updates.iter().map(|text| Bytes::from((*text).to_owned())).collect()),
        }
    }

    /// Commits an own message that was not queued for these servers.
    pub(crate) async fn said(&self, id: &str, left_out: &[&str]) -> PduRef {
        let reference = PduRef { origin: name("red.example"), id: id.parse().expect("valid") };
        let bytes = Bytes::from_static(br#"{"content":{}}"#);
        let (context, kind): (actors::model::ContextId, _) = ("garden".parse().expect("valid"), "m.text".into());
        let (of, within) = (reference.clone(), context.clone());
        let (prev, depth, state, to) = (vec![], None, None, None);
        let pdu =
            Pdu { reference: of, context, prev, depth, kind, state, to, bytes: bytes.clone(), proof: PduProof::Sender };
        let standing = PduState::Delivered(Delivery { position: 1, depth: 0, shown: None });
        let received = self.core.ports().clock.now();
        let stored = StoredPdu { pdu, sender: None, verified: "own", received, standing };
        let submission = Submission {
            left_out: left_out.iter().map(|server| name(server)).collect(),
            what: SubmittedContent::Pdu(reference.clone(), within, bytes),
            ..self.submission(id, &[], &[])
        };
        self.core.commit(vec![Change::PduStored(Box::new(stored)), Change::Submitted(submission)]).await;
        reference
    }

    /// Submits updates for servers.
    pub(crate) async fn submit(&self, id: &str, servers: &[&str], updates: &[&str]) {
        self.core.gateway.submit(self.submission(id, servers, updates)).await.expect("accepted");
    }
}

/// Returns peers that accept all items while `is_up` is true, and are unreachable otherwise.
fn switched_peers(is_up: watch::Sender<bool>, all: watch::Sender<Vec<String>>) -> ScriptedTransport {
    let peers = ScriptedTransport::answering(move |batch| {
        if !*is_up.borrow() {
            return Err(PushFailure::Unreachable("the cable is out".into()));
        }
        let items = batch.items.iter().map(|item| String::from_utf8(item.bytes().to_vec()).expect("text"));
        all.send_modify(|all| all.extend(items));
        accepted(batch)
    });
    peers.never_fetching()
}
