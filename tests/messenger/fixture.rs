//! A gateway for tests of the messenger API: a store in memory, peers that never respond, a clock that the test sets.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::App;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::ServiceConfig;
use actors::change::Change;
use actors::limits::PeerLimits;
use actors::model::{DialectSpec, Index, Millis, OutboundBatch};
use actors::ports::{CommitPriority, PeerReader};
use actors::testkit::{ReplaceablePeers, ScriptedTransport, TestClock, TestPeers};
use bytes::Bytes;
use fernpost::http::bearer::BearerToken;
use fernpost::http::drain::DrainSignal;
use fernpost::http::error_middleware::ErrorMiddleware;
use fernpost::http::error_middleware::direct_routes::DirectTable;
use fernpost::messenger::direct_calls::DirectCalls;
use fernpost::messenger::ephemeral_feed::EphemeralFeed;
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
    stop: watch::Sender<bool>,
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
        Self::start_with(ScriptedTransport::silent())
    }

    /// Starts the gateway with other answers of the peers.
    pub(crate) fn start_with(transport: ScriptedTransport) -> Self {
        let clock = Arc::new(TestClock::fixed(Millis(1_000)));
        let mut core = UnlaunchedGateway::on_disk(name("red"), &FaultyDisk::new(), clock);
        let peers = Arc::new(transport.never_fetching());
        let roster = Arc::new(ReplaceablePeers::new(roster()));
        core.ports.transport = peers.clone();
        core.ports.roster = roster.clone();
        core.ports.text = Arc::new(ContentText::default());
        let ends = vec!["typing".to_owned()];
        let ephemeral = Arc::new(EphemeralFeed::new(roster.clone(), core.ports.clock.clone(), ends));
        core.ports.ephemeral = ephemeral.clone();
        let core = core.launch();
        let keep_alive = Duration::from_secs(15);
        let limits = MessengerLimits { submissions_max: 8, reads_max: 2, keep_alive, body_max: 1 << 20 };
        let (stop, stopping) = watch::channel(false);
        let api = MessengerApi::new(core.gateway.clone(), name("red"), limits, ephemeral, stopping);
        Self { core, api, peers, roster, stop }
    }

    /// Returns the number of streams that are open.
    pub(crate) fn open_streams(&self) -> usize {
        self.api.streams().count()
    }

    /// Makes a call, and returns the status and body of the response.
    pub(crate) async fn call(&self, method: Method, path: &str, body: impl Into<Bytes>) -> (u16, String) {
        let app = init_service(App::new().wrap(ErrorMiddleware).configure(|config| self.listener(config))).await;
        let request = TestRequest::default().method(method.clone()).uri(path).set_payload(body).to_request();
        let answer = call_service(&app, request);
        let answer = answer.await;
        let status = answer.status().as_u16();
        let body = String::from_utf8(read_body(answer).await.to_vec()).expect("text");
        assert_answer_has_type(&method, path, status, &body);
        (status, body)
    }

    /// Opens a stream of events; returns its headers, and its reader.
    pub(crate) async fn stream(&self, path: &str, last_event_id: &str) -> (HeaderMap, StreamReader) {
        let app = init_service(App::new().wrap(ErrorMiddleware).configure(|config| self.listener(config))).await;
        let request = TestRequest::get().uri(path).insert_header(("accept", "text/event-stream"));
        let answer = call_service(&app, request.insert_header(("last-event-id", last_event_id)).to_request()).await;
        assert_eq!(answer.status().as_u16(), 200);
        let (headers, body) = (answer.headers().clone(), answer.into_body().boxed());
        (headers, StreamReader { body, text: String::new(), largest: 0 })
    }

    /// Adds the routes of the messenger's listener, behind no token.
    pub(crate) fn listener(&self, config: &mut ServiceConfig) {
        let (token, gate) = (BearerToken::new("messenger.token", None), DrainSignal::default().door(|_, _| None));
        config.app_data(DirectTable(Rc::new(DirectCalls::new(self.api.clone(), token, gate))));
        configure(config, self.api.clone());
    }

    /// Returns the API, for a listener of another kind.
    pub(crate) fn api(&self) -> MessengerApi {
        self.api.clone()
    }

    /// Tells all reads that the gateway stops.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
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

/// The reader of a stream of events.
pub(crate) struct StreamReader {
    body: BoxBody,
    text: String,
    /// Bytes of the largest chunk so far.
    pub(crate) largest: usize,
}

impl StreamReader {
    /// Returns the next block of lines; `None`: the stream has ended.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let chunk = std::future::poll_fn(|cx| std::pin::Pin::new(&mut self.body).poll_next(cx)).await?;
            let chunk = chunk.expect("a chunk");
            self.largest = self.largest.max(chunk.len());
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// Returns the next event as its lines `id` and `event`, and its data.
    pub(crate) async fn event(&mut self) -> (String, String) {
        let block = self.block().await.expect("an event");
        let (head, data) = block.split_once("\ndata: ").expect(&block);
        assert!(!data.contains('\n'), "{data}");
        (head.replace('\n', " "), data.to_owned())
    }
}
