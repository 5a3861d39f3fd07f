//! The HTTP client for peers: it connects through the one gate, within the request's deadlines, and limits what it reads.

mod peer_call;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actors::model::{ConnectCode, PushFailure, RequestDeadlines, ServerName, UnreachedReason};
use actors::ports::Clock;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::egress::address_book::{AddressBook, PeerRoute};
use crate::egress::connection::{ConnectCall, OfferedProtocols, PeerConnection, PeerConnector, PeerTls, StepTrace};
use crate::egress::connection_pool::ConnectionPool;
use crate::egress::dns::{NameResolver, ResolverOptions};
use crate::egress::error_words::in_words;
use crate::egress::http_connection::{HEAD_BYTES_MAX, HttpConnection};
use crate::egress::peer_address::PeerAddress;
use crate::egress::protobuf_refusals::ProtobufRefusals;
use crate::egress::request_limiter::{RequestLimiter, ShutdownPhase, SlotLoad};
use crate::egress::request_writer::{RequestWriter, written_target};
use crate::egress::response::{self, AnswerLimit};
use crate::egress::signer::RequestSigner;
use crate::egress::{EgressAnswer, EgressMethod, EgressRequest};
use crate::identity::key_directories::DIRECTORY_BYTES_MAX;
use crate::identity::key_directory::KEY_DIRECTORY_PATH;
use crate::raw_targets::get::{self, RawGet};
use crate::telemetry::peer_clocks::PeerClocks;
use crate::tls::live_pair::LiveKeyPair;
use crate::tls::live_roots::LiveRoots;

pub use crate::egress::client::peer_call::{PeerCall, PeerCallFault};

/// The rules for requests to peers.
#[derive(Debug, Clone)]
pub struct EgressOptions {
    /// Maximum number of requests in flight.
    pub requests_max: usize,
    /// Maximum bytes of the answer to a push (`network.answer_max`).
    pub answer_max: usize,
    /// Maximum bytes of the answer to a GET (`federation.body_max`).
    pub body_max: usize,
    /// Rules for lookups.
    pub resolver: ResolverOptions,
    /// Roots that certificates of peers chain to; `None`: those of the system.
    pub roots: Option<LiveRoots>,
    /// Certificate that peers are shown which authenticate us by it.
    pub own_pair: Option<LiveKeyPair>,
}

impl Default for EgressOptions {
    fn default() -> Self {
        let resolver = ResolverOptions::default();
        Self { requests_max: 512, answer_max: 1 << 20, body_max: 8 << 20, resolver, roots: None, own_pair: None }
    }
}

/// The client for all requests to peers, with one pool of connections.
pub struct EgressClient {
    writer: RequestWriter,
    directory: Arc<dyn AddressBook>,
    connector: PeerConnector,
    pool: ConnectionPool,
    /// Address at which a peer last responded, for peers with several addresses.
    good: Mutex<HashMap<ServerName, PeerAddress>>,
    /// Peers that cannot read Protobuf.
    pub(crate) protobuf_refusals: ProtobufRefusals,
    slots: RequestLimiter,
    answer_max: AtomicUsize,
    body_max: usize,
    clock: Arc<dyn Clock>,
    /// Clocks of the peers, as their answers state them.
    clocks: PeerClocks,
}

impl EgressClient {
    /// Returns a client for the server `us`.
    pub fn new(
        us: &ServerName,
        directory: Arc<dyn AddressBook>,
        clock: Arc<dyn Clock>,
        options: EgressOptions,
    ) -> Self {
        let tls = PeerTls::new(Arc::clone(&clock)).with(options.roots, options.own_pair);
        let names = NameResolver::new(&options.resolver);
        Self {
            writer: RequestWriter::new(us),
            connector: PeerConnector::new(Arc::clone(&directory), names, tls),
            directory,
            pool: ConnectionPool::default(),
            good: Mutex::default(),
            protobuf_refusals: ProtobufRefusals::default(),
            slots: RequestLimiter::new(options.requests_max),
            answer_max: AtomicUsize::new(options.answer_max),
            body_max: options.body_max,
            clock,
            clocks: PeerClocks::default(),
        }
    }

    /// Measures the clocks of the peers.
    #[must_use]
    pub fn measuring(self, clocks: PeerClocks) -> Self {
        Self { clocks, ..self }
    }

    /// Signs the requests to peers that authenticate us by signature.
    #[must_use]
    pub fn signed_by(self, signer: RequestSigner) -> Self {
        Self { writer: self.writer.signed_by(signer), ..self }
    }

    /// Changes the maximum number of requests, the maximum size of an answer to a push, and the rules for lookups. Requests in
    /// flight go on.
    pub fn change(&self, requests_max: usize, answer_max: usize, resolver: &ResolverOptions) {
        self.slots.resize(requests_max);
        self.answer_max.store(answer_max, Ordering::Relaxed);
        self.connector.change_names(resolver);
    }

    /// Stops requests that transfer items. Such a request never completes from now on, so its sender regards it as in
    /// flight when the process ends.
    pub fn close(&self) {
        self.slots.close(ShutdownPhase::HandingOver);
    }

    /// Stops all new requests and waits for those in flight.
    pub async fn drain(&self) {
        self.slots.close(ShutdownPhase::All);
        self.slots.idle().await;
    }

    /// Returns the number of requests in flight and of those that wait.
    pub fn load(&self) -> SlotLoad {
        self.slots.load()
    }

    /// Sends a request and reads its whole response; only a 200 is a success.
    ///
    /// The next address is tried only if no connection was made: a request that may have reached the peer is repeated
    /// by the sender's rules, not here.
    pub async fn send(
        &self,
        to: &ServerName,
        request: EgressRequest,
        deadlines: RequestDeadlines,
    ) -> Result<Bytes, PushFailure> {
        let slot = self.slots.enter(to, request.method != EgressMethod::Get).await;
        let outcome = self.sent(to, request, deadlines).await;
        slot.ended(to, is_answered(&outcome));
        outcome
    }

    /// Reads the key directory of a server by this way, which has to be one over TLS. A server that is asked so need not be a peer,
    /// so nothing is remembered of it, and the connection is not kept.
    pub async fn key_directory(
        &self,
        of: &ServerName,
        route: PeerRoute,
        deadlines: RequestDeadlines,
    ) -> Result<Bytes, PushFailure> {
        let _slot = self.slots.enter(of, false).await;
        let window = RequestWindow { connect: deadlines.connect, until: Instant::now() + deadlines.total };
        let request = EgressRequest::get(KEY_DIRECTORY_PATH, EgressAnswer::Needed);
        let target = written_target(&request.path).expect("the path is plain ASCII");
        let written = self.writer.written(of, target, &request);
        let mut connection = self.open(of, &Arc::new(route), window).await?;
        match timeout_at(window.until, connection.send(written)).await {
            Err(_elapsed) => Err(PushFailure::TimedOut),
            Ok(Err(failed)) if is_head_too_large(&failed.error) => Err(HEAD_LIMIT.exceeded()),
            Ok(Err(failed)) => Err(PushFailure::Broken(in_words(&failed.error))),
            Ok(Ok(response)) => response::read(response, window.until, request.answer, DIRECTORY_LIMIT).await.outcome,
        }
    }

    async fn sent(
        &self,
        to: &ServerName,
        request: EgressRequest,
        deadlines: RequestDeadlines,
    ) -> Result<Bytes, PushFailure> {
        let window = RequestWindow { connect: deadlines.connect, until: Instant::now() + deadlines.total };
        let route = self.directory.route(to);
        let limit = self.limit(&request);
        let Some(target) = written_target(&request.path) else {
            return match request.raw && request.method == EgressMethod::Get {
                true => self.send_raw(to, &route, &request, limit, window).await,
                false => Err(PushFailure::Unreachable("the request target cannot be written in a request line".into())),
            };
        };
        let mut written = self.writer.written(to, target, &request);
        loop {
            let pooled = self.pool.take(to, &route, |material| self.connector.is_current(material));
            let is_reused = pooled.is_some();
            let mut connection = match pooled {
                Some(connection) => connection,
                None => self.open(to, &route, window).await?,
            };
            let _in_use = connection.in_use();
            let sent = self.clock.now();
            let failed = match timeout_at(window.until, connection.send(written)).await {
                Err(_elapsed) => return Err(PushFailure::TimedOut),
                Ok(Err(failed)) => failed,
                Ok(Ok(response)) => {
                    self.was_good(to, &route, connection.configured.as_ref());
                    if let Some(stated) = response::stated_time(response.headers()) {
                        self.clocks.note(to, stated, (sent, self.clock.now()));
                    }
                    let read = response::read(response, window.until, request.answer, limit).await;
                    if read.is_whole {
                        self.pool.put(to, connection);
                    }
                    return read.outcome;
                }
            };
            match failed.unsent {
                // The peer closed the connection while it was idle, which says nothing about the peer now.
                Some(unsent) if is_reused => written = unsent,
                _ if is_head_too_large(&failed.error) => return Err(HEAD_LIMIT.exceeded()),
                _ => return Err(PushFailure::Broken(in_words(&failed.error))),
            }
        }
    }

    /// Makes a connection for requests.
    async fn open(
        &self,
        to: &ServerName,
        route: &Arc<PeerRoute>,
        window: RequestWindow,
    ) -> Result<HttpConnection, PushFailure> {
        let connection = self.connect(to, route, OfferedProtocols::Both, window).await?;
        match timeout_at(window.until, HttpConnection::begin(connection, Arc::clone(route))).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(PushFailure::Broken(in_words(&error))),
            Err(_elapsed) => Err(PushFailure::TimedOut),
        }
    }

    async fn connect(
        &self,
        to: &ServerName,
        route: &PeerRoute,
        protocols: OfferedProtocols,
        window: RequestWindow,
    ) -> Result<PeerConnection, PushFailure> {
        let good = self.good.lock().get(to).cloned();
        let (prefer, within, trace) = (good.as_ref(), window.connect, StepTrace::OFF);
        let call = ConnectCall { server: to, route, prefer, protocols, within, trace };
        match timeout_at(window.until, self.connector.connect(call)).await {
            Ok(connected) => connected.map_err(PushFailure::Unreachable),
            // Nothing was sent, so this says nothing about the size of the request.
            Err(_elapsed) => {
                let words = "no connection within request_timeout".to_owned();
                Err(PushFailure::Unreachable(UnreachedReason { code: Some(ConnectCode::ConnectTimeout), words }))
            }
        }
    }

    /// Records the address to try first next time, if the peer has several.
    fn was_good(&self, to: &ServerName, route: &PeerRoute, address: Option<&PeerAddress>) {
        if let Some(address) = address.filter(|_| route.addresses.len() > 1) {
            self.good.lock().insert(to.clone(), address.clone());
        }
    }

    /// Sends a GET on a connection of its own, for a target that an HTTP library would change.
    async fn send_raw(
        &self,
        to: &ServerName,
        route: &PeerRoute,
        request: &EgressRequest,
        limit: AnswerLimit,
        window: RequestWindow,
    ) -> Result<Bytes, PushFailure> {
        let connection = self.connect(to, route, OfferedProtocols::Http1, window).await?;
        let headers = self.writer.header_text(to, request);
        let get = RawGet { target: &request.path, headers: &headers, answer: request.answer, limit };
        let body = get::exchange(connection.stream, &get, window.until).await?;
        self.was_good(to, route, connection.configured.as_ref());
        Ok(body)
    }

    fn limit(&self, request: &EgressRequest) -> AnswerLimit {
        match request.method {
            EgressMethod::Get => AnswerLimit { key: "federation.body_max", bytes_max: self.body_max },
            EgressMethod::Post | EgressMethod::Put => {
                AnswerLimit { key: "network.answer_max", bytes_max: self.answer_max.load(Ordering::Relaxed) }
            }
        }
    }
}

/// The limit of a key directory, which no configuration changes.
const DIRECTORY_LIMIT: AnswerLimit = AnswerLimit { key: "64 KiB of a key directory", bytes_max: DIRECTORY_BYTES_MAX };

/// The limit of a head, which no configuration changes.
const HEAD_LIMIT: AnswerLimit = AnswerLimit { key: "64 KiB of headers", bytes_max: HEAD_BYTES_MAX };

/// The time of a request.
#[derive(Debug, Clone, Copy)]
struct RequestWindow {
    /// Maximum time to connect to one address.
    connect: Duration,
    /// End of the time from the first lookup to the last byte of the response.
    until: Instant,
}

/// Returns whether the head of the answer was larger than its limit. The library tells servers by a method, and clients in words.
fn is_head_too_large(error: &hyper::Error) -> bool {
    error.is_parse() && error.to_string().contains("too large")
}

/// Returns whether the peer responded. Any status counts; a response that is unreadable or incomplete does not.
const fn is_answered(outcome: &Result<Bytes, PushFailure>) -> bool {
    match outcome {
        Ok(_) | Err(PushFailure::Troubled { .. } | PushFailure::Refused { .. } | PushFailure::Redirected { .. }) => {
            true
        }
        Err(
            PushFailure::Unreachable(_)
            | PushFailure::Broken(_)
            | PushFailure::TimedOut
            | PushFailure::AnswerTooLarge { .. }
            | PushFailure::Unreadable(_),
        ) => false,
    }
}

#[cfg(test)]
mod tests;
