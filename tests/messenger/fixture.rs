//! A gateway for tests of the messenger API: a store in memory, peers that never respond, a clock that the test sets.

use std::sync::Arc;

use actix_web::App;
use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actors::change::Change;
use actors::limits::PeerLimits;
use actors::model::{DialectSpec, Index, Millis, OutboundBatch};
use actors::ports::{CommitPriority, PeerReader};
use actors::testkit::{ReplaceablePeers, ScriptedTransport, TestClock, TestPeers};
use bytes::Bytes;
use fernpost::messenger::{MessengerApi, MessengerLimits, configure};
use fernpost::wire::pdu::ContentText;
use fixtures::api_shapes::assert_answer_has_type;
use fixtures::disk::FaultyDisk;
use fixtures::gateway::{GatewayFixture, UnlaunchedGateway};
use fixtures::peers::name;
use tokio::sync::watch;

/// The gateway `red` and the calls of its messenger.
pub(crate) struct MessengerFixture {
    /// The gateway; its clock is at one second until the test sets it.
    pub(crate) core: GatewayFixture,
    api: MessengerApi,
    peers: Arc<ScriptedTransport>,
    roster: Arc<ReplaceablePeers>,
}

fn roster() -> TestPeers {
    TestPeers::none()
        .listing(name("blue"), PeerLimits::default())
        .listing(name("green"), PeerLimits { outbox_items: 2, ..PeerLimits::default() })
        .accepting(name("old"), PeerLimits { dialect: DialectSpec::TRANSACTIONS, ..PeerLimits::default() })
}

impl MessengerFixture {
    /// Starts the gateway on the runtime of the test. Its peers are `blue` with the default limits, `green` with an
    /// outbox of two items, and `old`, which uses transactions and is not listed.
    pub(crate) fn start() -> Self {
        let clock = Arc::new(TestClock::fixed(Millis(1_000)));
        let mut core = UnlaunchedGateway::on_disk(name("red"), &FaultyDisk::new(), clock);
        let peers = Arc::new(ScriptedTransport::silent().never_fetching());
        let roster = Arc::new(ReplaceablePeers::new(roster()));
        core.ports.transport = peers.clone();
        core.ports.roster = roster.clone();
        core.ports.text = Arc::new(ContentText::default());
        let core = core.launch();
        let limits = MessengerLimits { submissions_max: 8, reads_max: 2, body_max: 1 << 20 };
        let api = MessengerApi::new(core.gateway.clone(), name("red"), limits, watch::channel(false).1);
        Self { core, api, peers, roster }
    }

    /// Makes a call, and returns the status and body of the response.
    pub(crate) async fn call(&self, method: Method, path: &str, body: impl Into<Bytes>) -> (u16, String) {
        let app = init_service(App::new().configure(|config| configure(config, self.api.clone()))).await;
        let request = TestRequest::default().method(method.clone()).uri(path).set_payload(body).to_request();
        let answer = call_service(&app, request);
        let answer = answer.await;
        let status = answer.status().as_u16();
        let body = String::from_utf8(read_body(answer).await.to_vec()).expect("text");
        assert_answer_has_type(&method, path, status, &body);
        (status, body)
    }

    /// Denies a server from now on.
    pub(crate) async fn deny(&self, server: &str) {
        self.roster.replace(roster().denying(name(server)));
        self.core.gateway.change_config(vec![]).await.expect("it runs");
    }

    /// Waits for a push to a peer.
    pub(crate) async fn pushed(&self) {
        self.peers.pushed(1).await;
    }

    /// Returns all pushes so far.
    pub(crate) fn carried(&self) -> Vec<OutboundBatch> {
        self.peers.carried()
    }

    /// Commits changes in the place of a peer's actor.
    pub(crate) async fn commit(&self, changes: Vec<Change>, urgency: CommitPriority) {
        let ports = self.core.ports();
        let fence = ports.ownership.claim_feed().expect("alone");
        ports.journal.submit(fence, changes, urgency).committed().await.expect("a sound store");
    }

    /// Returns the items in a peer's outbox.
    pub(crate) async fn queued(&self, server: &str) -> Vec<String> {
        self.core.settled().await;
        let rows = self.core.store.outbox_from(&name(server), Index(1), 100, u64::MAX).await.expect("a sound store");
        rows.iter().map(|row| String::from_utf8(row.item.bytes().to_vec()).expect("text")).collect()
    }
}
