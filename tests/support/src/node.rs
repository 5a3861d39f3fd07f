//! One gateway with its real store, actors and handlers, which can be ended and started again, and its messenger.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use actix_http::Request;
use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Extensions, Service, ServiceRequest, ServiceResponse};
use actix_web::http::{Method as HttpMethod, header};
use actix_web::middleware::{Next, from_fn};
use actix_web::test::{TestRequest, init_service};
use actix_web::web::Data;
use actix_web::{App, Error, HttpMessage};
use actors::gateway::Gateway;
use actors::model::{FeedEntry, Position, ServerName};
use actors::ports::{Ports, StoreReaders};
use actors::router::{ActorRegistry, Router};
use actors::testkit::{TestClock, TestDisk};
use fernpost::egress::EgressMethod;
use fernpost::http::authentication::ORIGIN_HEADER;
use fernpost::http::body::BodyLimit;
use fernpost::http::error_middleware::error_middleware;
use fernpost::maintenance::history_retention;
use fernpost::store::{BlockingExecutor, Store, StoreLocation, StoreOptions};
use fernpost::wire::pdu::reference_context::StoreReferenceContext;
use fernpost::wire::{DialectServices, pdu};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use crate::disk::{Disk, Survives};
use crate::network::{Answer, Call, Network};
use crate::surroundings::{TestConfig, Wire, address, server};
use crate::toy_dialect::TEST_DIALECTS;

/// A function that replaces ports of a gateway, called at each of its starts.
pub type Change = Rc<dyn Fn(&mut Ports, &Arc<TestClock>)>;

/// Runs a test. Everything that it started is dropped at the end.
pub async fn world<T>(body: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(body).await
}

/// Lets this many seconds of virtual time pass.
pub async fn seconds(count: u64) {
    millis(count * 1000).await;
}

/// Lets this many milliseconds of virtual time pass. Everything that can run without time passing has run before.
pub async fn millis(count: u64) {
    tokio::time::sleep(Duration::from_millis(count)).await;
}

/// A gateway, and its messenger, which outlives it.
pub struct Node {
    /// Its name.
    pub name: ServerName,
    /// The clock of its actors, which tests break.
    pub clock: Arc<TestClock>,
    network: Arc<Network>,
    book: RefCell<Arc<TestConfig>>,
    change: Change,
    lane: BlockingExecutor,
    disk: RefCell<Disk>,
    life: RefCell<Option<Life>>,
    router_panic: RefCell<Option<oneshot::Receiver<()>>>,
    /// All events that the messenger has read.
    pub heard: RefCell<Vec<FeedEntry>>,
    /// The messenger reads after this position if it has recorded less: it remembers events that its gateway has lost.
    pub cursor: Cell<Position>,
}

/// One process of a gateway.
#[derive(Clone)]
struct Life {
    gateway: Gateway,
    store: Store,
    task: Rc<Abort>,
}

/// Everything that a gateway runs; dropping it ends the gateway at once.
pub struct Abort(JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Node {
    /// Starts a gateway with the usual configuration.
    pub async fn usual(network: &Arc<Network>, name: &str) -> Rc<Self> {
        Self::start(network, name, TestConfig::usual(name)).await
    }

    /// Starts a gateway with this configuration on an empty disk.
    pub async fn start(network: &Arc<Network>, name: &str, book: TestConfig) -> Rc<Self> {
        Self::changed(network, name, book, Rc::new(|_, _| {})).await
    }

    /// Starts a gateway with replaced ports.
    pub async fn changed(network: &Arc<Network>, name: &str, book: TestConfig, change: Change) -> Rc<Self> {
        let node = Self::built(network, name, book, change, BlockingExecutor::Common);
        node.begin().await;
        node
    }

    /// Returns a gateway that is not started.
    pub fn built(
        network: &Arc<Network>,
        name: &str,
        book: TestConfig,
        change: Change,
        lane: BlockingExecutor,
    ) -> Rc<Self> {
        Rc::new(Self {
            name: server(name),
            clock: Arc::new(TestClock::new(crate::network::BASE)),
            network: network.clone(),
            book: RefCell::new(Arc::new(book)),
            change,
            lane,
            disk: RefCell::new(Disk::new()),
            life: RefCell::default(),
            router_panic: RefCell::default(),
            heard: RefCell::default(),
            cursor: Cell::default(),
        })
    }

    /// Starts it on its disk.
    pub async fn begin(&self) {
        let set = LocalSet::new();
        let (built, ready) = oneshot::channel();
        let (panicked, router_panic) = oneshot::channel();
        self.router_panic.replace(Some(router_panic));
        let (door, calls) = mpsc::unbounded_channel();
        let build = Build {
            name: self.name.clone(),
            clock: self.clock.clone(),
            network: self.network.clone(),
            book: self.book.borrow().clone(),
            change: self.change.clone(),
            lane: self.lane.clone(),
            disk: self.disk.borrow().clone(),
        };
        set.spawn_local(async move {
            let (gateway, store) = build.build(panicked);
            let gate = DialectServices {
                intake: Arc::new(gateway.clone()),
                admission: build.book,
                body: BodyLimit::default(),
            };
            let app = app().await;
            let _ = built.send((gateway, store));
            serve(app, gate, calls).await;
        });
        let task = Rc::new(Abort(spawn_local(set)));
        let (gateway, store) = ready.await.unwrap();
        self.life.replace(Some(Life { gateway, store, task }));
        self.network.open(self.name.clone(), door);
    }

    /// Ends it as a power cut or the end of the process would: the disk keeps what survives that.
    pub async fn end(&self, survives: Survives) {
        self.network.close(&self.name);
        let Some(life) = self.life.take() else { return };
        let bytes = self.disk.borrow().survivors(survives);
        self.disk.replace(Disk::with(bytes));
        let Life { gateway, store, task } = life;
        drop((gateway, store, task));
        // The tasks are dropped when the runtime polls them next.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    /// Ends it and starts it again at once.
    pub async fn restart(&self, survives: Survives) {
        self.end(survives).await;
        self.begin().await;
    }

    /// Returns a copy of its store, made while it runs.
    pub async fn backup(&self) -> Disk {
        let copy = Disk::new();
        self.store().backup_into(copy.clone(), |_| {}).await.unwrap();
        copy
    }

    /// Replaces its lost disk by a backup.
    pub async fn restore(&self, backup: &Disk) {
        self.end(Survives::Synced).await;
        self.disk.replace(Disk::with(backup.survivors(Survives::Written)));
        self.begin().await;
    }

    /// Sets the configuration for its next start.
    pub fn configure(&self, book: TestConfig) {
        self.book.replace(Arc::new(book));
    }

    /// Replaces its disk while it is ended.
    pub fn give(&self, bytes: Vec<u8>) {
        assert!(self.alive().is_none(), "a disk is changed only under a gateway that has ended");
        self.disk.replace(Disk::with(bytes));
    }

    /// The disk that it has now.
    pub fn disk(&self) -> Disk {
        self.disk.borrow().clone()
    }

    /// Returns the calls into it while it runs.
    pub fn alive(&self) -> Option<Gateway> {
        self.life.borrow().as_ref().map(|life| life.gateway.clone())
    }

    /// The calls into it; it has to live.
    pub fn gateway(&self) -> Gateway {
        self.alive().expect("it lives")
    }

    /// Returns a weak handle of its process.
    pub fn life_now(&self) -> Weak<Abort> {
        self.life.borrow().as_ref().map(|life| Rc::downgrade(&life.task)).unwrap_or_default()
    }

    /// Waits until the router panics, which ends a real process. It never returns if the router ends without a panic.
    pub async fn router_panics(&self) {
        let panic = self.router_panic.take();
        let is_panic = match panic {
            Some(panic) => panic.await.is_ok(),
            None => false,
        };
        if !is_panic {
            std::future::pending::<()>().await;
        }
    }

    /// Its store; it has to live.
    pub fn store(&self) -> Store {
        self.life.borrow().as_ref().expect("it lives").store.clone()
    }
}

/// The parts from which one process of a gateway is built.
struct Build {
    name: ServerName,
    clock: Arc<TestClock>,
    network: Arc<Network>,
    book: Arc<TestConfig>,
    change: Change,
    lane: BlockingExecutor,
    disk: Disk,
}

impl Build {
    /// Builds the gateway as `app` composes it.
    fn build(&self, panicked: oneshot::Sender<()>) -> (Gateway, Store) {
        let us = self.name.clone();
        let place = StoreLocation::backend(self.disk.clone());
        let lane = self.lane.clone();
        let options = StoreOptions { cache: 1 << 20, lane, ..StoreOptions::new(place, us.clone()) };
        let (routes, clock) = (ActorRegistry::default(), self.clock.clone());
        let wakes = routes.clone();
        // The writer has a clock of its own, because the one that tests break is the actors'.
        let stamps = Arc::new(clock.unbroken());
        let store = Store::open(options, stamps, Arc::new(move |woken| wakes.notify_outbox_grown(woken))).unwrap();
        let shared = Arc::new(store.clone());
        let past = shared.clone();
        let knowledge = StoreReferenceContext { us: us.clone(), contexts: shared.clone(), roster: self.book.clone() };
        let mut ports = Ports {
            journal: shared.clone(),
            archive: StoreReaders::of(&shared),
            transport: Arc::new(Wire { network: self.network.clone(), knowledge }),
            roster: self.book.clone(),
            ownership: shared,
            disk: Arc::new(TestDisk::default()),
            clock,
            text: Arc::new(pdu::ContentText),
            us,
        };
        (self.change)(&mut ports, &self.clock);
        let ended = move |crashed: bool| {
            if crashed {
                // A test that does not wait for this has dropped the receiver.
                let _ = panicked.send(());
            }
        };
        Router::launch(ports.clone(), &routes, ended);
        if let Some(keep) = self.book.contexts.history.keep {
            spawn_local(history_retention::run(ports.clone(), past, keep));
        }
        (Gateway::new(routes, ports), store)
    }
}

/// The service that answers for all gateways of a thread; each request has the state of its own gateway.
type Answering = &'static dyn Fn(Request) -> Answered;

type Answered = Pin<Box<dyn Future<Output = Result<ServiceResponse<BoxBody>, Error>>>>;

thread_local! {
    /// The paths are compiled once, because this takes longer than everything else at a gateway's start. The service is
    /// never dropped: at the end of its thread it would access thread-local data of the HTTP library that may be gone.
    static APP: Cell<Option<Answering>> = const { Cell::new(None) };
}

async fn app() -> Answering {
    if let Some(app) = APP.get() {
        return app;
    }
    let app = App::new()
        .wrap(from_fn(error_middleware))
        .wrap(from_fn(stand_on))
        .configure(|config| TEST_DIALECTS.paths(config));
    let service = init_service(app).await;
    let app: Answering = Box::leak(Box::new(move |request| {
        let answered = service.call(request);
        Box::pin(async move { Ok(answered.await?.map_into_boxed_body()) }) as Answered
    }));
    APP.set(Some(app));
    app
}

/// Adds the state of its gateway to a request.
async fn stand_on(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let ground = request.extensions().get::<Rc<Extensions>>().cloned();
    request.add_data_container(ground.expect("each request brings it"));
    next.call(request).await
}

/// Serves the requests of peers.
async fn serve(app: Answering, gate: DialectServices, mut calls: mpsc::UnboundedReceiver<Call>) {
    let mut ground = Extensions::new();
    ground.insert(Data::from(gate.intake));
    ground.insert(Data::from(gate.admission));
    ground.insert(gate.body);
    let ground = Rc::new(ground);
    while let Some(call) = calls.recv().await {
        let request = written(&call).to_request();
        request.extensions_mut().insert(ground.clone());
        let asked = app(request);
        spawn_local(async move {
            let response = match asked.await {
                Ok(response) => response.into_parts().1,
                Err(error) => error.error_response(),
            };
            let status = response.status().as_u16();
            let seconds =
                response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let body = to_bytes(response.into_body()).await.map_err(|_| "a body that breaks off").unwrap();
            // The caller may have disconnected.
            let _ = call.answer.send(Answer { status, retry_after: seconds.map(Duration::from_secs), body });
        });
    }
}

/// Returns a request as it is read from a socket.
fn written(call: &Call) -> TestRequest {
    let method = match call.request.method {
        EgressMethod::Get => HttpMethod::GET,
        EgressMethod::Post => HttpMethod::POST,
        EgressMethod::Put => HttpMethod::PUT,
    };
    let request = TestRequest::default().method(method).uri(&call.request.path);
    let request =
        request.insert_header((ORIGIN_HEADER, call.from.as_str())).peer_addr((address(&call.from), 5000).into());
    request.set_payload(call.request.body.clone())
}
