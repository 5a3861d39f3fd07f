//! A gateway without a wire: store in memory, two peers whose pushes are never answered, a clock that stands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::App;
use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actors::change::Change;
use actors::gateway::Gateway;
use actors::limits::{ContextLimits, PeerLimits};
use actors::model::{
    BadPdu, DialectSpec, FetchRequest, Index, Millis, OutboundBatch, Pdu, PushFailure, PushResponse, RequestDeadlines,
    ServerName,
};
use actors::ports::{Clock, CommitPriority, PeerConfig, Ports, StoreReaders, Task, Transport};
use actors::router::{ActorRegistry, Router};
use actors::testkit::TestDisk;
use bytes::Bytes;
use fernpost::messenger::{MessengerApi, MessengerLimits, configure};
use fernpost::store::{Store, StoreLocation, StoreOptions};
use fernpost::wire::pdu;
use fixtures::api_shapes::assert_answer_has_type;
use redb::backends::InMemoryBackend;
use tokio::sync::{Semaphore, watch};

/// A name that is one.
pub(crate) fn name(text: &str) -> ServerName {
    text.parse().expect("a server name")
}

/// A gateway, and what its test moves.
pub(crate) struct Rig {
    /// The ports of the gateway.
    pub(crate) ports: Ports,
    /// Stands at one second until it is set.
    pub(crate) clock: FixedClock,
    api: MessengerApi,
    wire: Silent,
}

/// A clock that stands.
#[derive(Clone)]
pub(crate) struct FixedClock(Arc<AtomicU64>);

impl FixedClock {
    /// Sets the clock to so many milliseconds since 1970.
    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

/// Tells of each push, and never answers it.
#[derive(Clone)]
struct Silent {
    pushes: Arc<Semaphore>,
    frames: Arc<Mutex<Vec<OutboundBatch>>>,
}

impl Transport for Silent {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        self.frames.lock().expect("whole").push(frame);
        self.pushes.add_permits(1);
        Box::pin(std::future::pending())
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

/// `blue` with the default limits; `green` holds no more than two items; `old` speaks transactions, and is not listed.
struct Two;

impl PeerConfig for Two {
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>> {
        match server.as_str() {
            "blue" => Some(Arc::default()),
            "green" => Some(Arc::new(PeerLimits { outbox_items: 2, ..PeerLimits::default() })),
            "old" => Some(Arc::new(PeerLimits { dialect: DialectSpec::TRANSACTIONS, ..PeerLimits::default() })),
            _ => None,
        }
    }

    fn listed(&self) -> Vec<ServerName> {
        vec![name("blue"), name("green")]
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        Arc::default()
    }
}

impl Rig {
    /// On the runtime of the test.
    pub(crate) fn start() -> Self {
        let clock = FixedClock(Arc::new(AtomicU64::new(1_000)));
        let routes = ActorRegistry::default();
        let wire = Silent { pushes: Arc::new(Semaphore::new(0)), frames: Arc::default() };
        let wake = routes.clone();
        let options = StoreOptions::new(StoreLocation::backend(InMemoryBackend::new()), name("red"));
        let store =
            Store::open(options, Arc::new(clock.clone()), Arc::new(move |woken| wake.notify_outbox_grown(woken)));
        let store = Arc::new(store.expect("a new store opens"));
        let ports = Ports {
            journal: store.clone(),
            archive: StoreReaders::of(&store),
            transport: Arc::new(wire.clone()),
            roster: Arc::new(Two),
            ownership: store,
            disk: Arc::new(TestDisk::default()),
            clock: Arc::new(clock.clone()),
            text: Arc::new(pdu::ContentText),
            us: name("red"),
        };
        Router::launch(ports.clone(), &routes, |_| {});
        let gateway = Gateway::new(routes, ports.clone());
        let limits = MessengerLimits { submissions_max: 8, reads_max: 2, body_max: 1 << 20 };
        let api = MessengerApi::new(gateway, name("red"), limits, watch::channel(false).1);
        Self { ports, clock, api, wire }
    }

    /// Status and body of the answer to one call.
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

    /// Wait for a push to a peer.
    pub(crate) async fn pushed(&self) {
        self.wire.pushes.acquire().await.expect("never closed").forget();
    }

    /// The pushes so far.
    pub(crate) fn frames(&self) -> Vec<OutboundBatch> {
        self.wire.frames.lock().expect("whole").clone()
    }

    /// Commit what a peer's actor might have handed over.
    pub(crate) async fn commit(&self, changes: Vec<Change>, urgency: CommitPriority) {
        let fence = self.ports.ownership.claim_feed().expect("alone");
        self.ports.journal.submit(fence, changes, urgency).committed().await.expect("a sound store");
    }

    /// The items in a peer's outbox.
    pub(crate) async fn queued(&self, server: &str) -> Vec<String> {
        self.ports.journal.barrier().committed().await.expect("a sound store");
        let rows =
            self.ports.archive.peers.outbox_from(&name(server), Index(1), 100, u64::MAX).await.expect("a sound store");
        rows.iter().map(|row| String::from_utf8(row.item.bytes().to_vec()).expect("text")).collect()
    }
}
