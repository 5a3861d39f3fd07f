//! The HTTP client for peers: it tries a peer's addresses in order, within the request's deadlines.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actors::model::{PushFailure, RequestDeadlines, ServerName};
use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Url, redirect};
use tokio::time::{Instant, timeout_at};
use url::Position;

use crate::egress::address_book::AddressBook;
use crate::egress::error_words::in_words;
use crate::egress::request_limiter::{RequestLimiter, ShutdownPhase, SlotLoad};
use crate::egress::resolve::{FilteringResolver, addresses_of};
use crate::egress::signer::RequestSigner;
use crate::egress::{EgressMethod, EgressRequest, response};
use crate::identity::content_digest::CONTENT_DIGEST;
use crate::identity::request_signature::SignatureHeaders;
use crate::identity::signature_base::SignedParts;
use crate::identity::signature_fields::{SIGNATURE, SIGNATURE_INPUT};
use crate::raw_targets::get::{self, RawGet, RawGetError};

/// Maximum bytes of the response to a push; the longest legitimate one has about a hundred.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

const ORIGIN: &str = "fernpost-origin";
const USER_AGENT: &str = concat!("fernpost/", env!("CARGO_PKG_VERSION"));

/// Default of the maximum number of requests in flight.
const REQUESTS_MAX: usize = 512;

/// Idle time after which we close a connection. It is shorter than the peer's, because a request on a closing socket
/// fails.
const IDLE_FOR: Duration = Duration::from_secs(60);
/// Maximum number of idle connections per host. A peer has one request in flight at a time; an aborted attempt leaves a
/// second connection.
const IDLE_PER_HOST: usize = 2;
/// Maximum number of clients. They differ only in their connect timeout, and a configuration has few of these.
const CLIENTS_MAX: usize = 16;

/// Error: the client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the outbound client cannot be built: {0}")]
pub struct ClientBuildError(#[source] reqwest::Error);

/// The client for all requests to peers, with one pool of connections.
pub struct EgressClient {
    directory: Arc<dyn AddressBook>,
    headers: HeaderMap,
    /// Clients by connect timeout, because the library has one timeout per client.
    clients: Mutex<Vec<(Duration, Client)>>,
    /// Address at which a peer last responded, for peers with several addresses.
    good: Mutex<HashMap<ServerName, String>>,
    slots: RequestLimiter,
    signer: Option<RequestSigner>,
}

impl EgressClient {
    /// Returns a client for the server `us`.
    pub fn new(us: &ServerName, directory: Arc<dyn AddressBook>) -> Result<Self, ClientBuildError> {
        let origin = HeaderValue::from_str(us.as_str()).expect("a server name is visible ASCII");
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(ORIGIN), origin);
        let usual = RequestDeadlines { connect: Duration::from_secs(10), total: Duration::from_secs(30) };
        let first = build(&headers, Arc::clone(&directory), usual.connect).map_err(ClientBuildError)?;
        let clients = Mutex::new(vec![(usual.connect, first)]);
        Ok(Self {
            directory,
            headers,
            clients,
            good: Mutex::default(),
            slots: RequestLimiter::new(REQUESTS_MAX),
            signer: None,
        })
    }

    /// Sets the maximum number of requests in flight.
    #[must_use]
    pub fn with_requests_max(self, most: usize) -> Self {
        Self { slots: RequestLimiter::new(most), ..self }
    }

    /// Signs the requests to peers that authenticate us by signature.
    #[must_use]
    pub fn signed_by(self, signer: RequestSigner) -> Self {
        Self { signer: Some(signer), ..self }
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

    async fn sent(
        &self,
        to: &ServerName,
        request: EgressRequest,
        deadlines: RequestDeadlines,
    ) -> Result<Bytes, PushFailure> {
        let deadline = Instant::now() + deadlines.total;
        let client = self.client(deadlines.connect)?;
        let addresses = self.in_order(to);
        let mut failed = Vec::new();
        for address in &addresses {
            let url = url(address, &request.path)?;
            if get::is_needed(&request, &url) {
                match self.send_raw(to, &url, &request, deadlines.connect, deadline).await {
                    Err(RawGetError::NoConnection(words)) => failed.push(format!("{address}: {words}")),
                    Err(RawGetError::Told(failure)) => return Err(failure),
                    Ok(body) => {
                        self.was_good(to, address, &addresses);
                        return Ok(body);
                    }
                }
                continue;
            }
            let signature = self.signature(to, &url, &request, &url[Position::BeforePath..Position::AfterQuery]);
            let mut sent = written(&client, url, &request).header(HOST, to.as_str());
            for (name, value) in signature.iter().flat_map(header_lines) {
                sent = sent.header(name, value);
            }
            let sent = sent.send();
            match timeout_at(deadline, sent).await {
                Err(_elapsed) => return Err(PushFailure::TimedOut),
                Ok(Ok(response)) => {
                    self.was_good(to, address, &addresses);
                    return response::read(response, deadline, request.answer).await;
                }
                Ok(Err(error)) => {
                    let none_came_about = error.is_connect();
                    failed.push(format!("{address}: {}", in_words(&error.without_url())));
                    if !none_came_about {
                        return Err(PushFailure::Broken(failed.join("; ")));
                    }
                }
            }
        }
        if failed.is_empty() {
            failed.push(format!("no address is known; set peers.server.\"{to}\".addresses"));
        }
        Err(PushFailure::Unreachable(failed.join("; ").into()))
    }

    /// Records the address to try first next time, if the peer has several.
    fn was_good(&self, to: &ServerName, address: &str, addresses: &[String]) {
        if addresses.len() > 1 {
            self.good.lock().insert(to.clone(), address.to_owned());
        }
    }

    /// Sends a GET without the URL library, for a target that a URL cannot express.
    async fn send_raw(
        &self,
        to: &ServerName,
        url: &Url,
        request: &EgressRequest,
        connect: Duration,
        deadline: Instant,
    ) -> Result<Bytes, RawGetError> {
        let us = self.headers.get(ORIGIN).and_then(|us| us.to_str().ok()).unwrap_or_default();
        let mut headers = format!("Host: {to}\r\nUser-Agent: {USER_AGENT}\r\n{ORIGIN}: {us}\r\n");
        for (name, value) in self.signature(to, url, request, &request.path).iter().flat_map(header_lines) {
            headers.push_str(&format!("{name}: {value}\r\n"));
        }
        let get = RawGet { target: &request.path, headers: &headers, answer: request.answer };
        get::send(addresses_of(&*self.directory, url), &get, connect, deadline).await
    }

    /// Returns the signature of a request with this target, if requests to the peer are signed.
    fn signature(&self, to: &ServerName, url: &Url, request: &EgressRequest, target: &str) -> Option<SignatureHeaders> {
        let (method, body) = match request.method {
            EgressMethod::Get => ("GET", &[][..]),
            EgressMethod::Post => ("POST", &request.body[..]),
            EgressMethod::Put => ("PUT", &request.body[..]),
        };
        let parts = SignedParts { method, scheme: url.scheme(), authority: to.as_str(), target, headers: &[] };
        self.signer.as_ref()?.sign(to, &parts, body)
    }

    /// Returns the addresses of a peer, the last good one first.
    fn in_order(&self, to: &ServerName) -> Vec<String> {
        let mut addresses = self.directory.addresses(to).unwrap_or_default();
        if let Some(good) = self.good.lock().get(to)
            && let Some(at) = addresses.iter().position(|address| address == good)
        {
            addresses[..=at].rotate_right(1);
        }
        addresses
    }

    fn client(&self, connect: Duration) -> Result<Client, PushFailure> {
        let mut clients = self.clients.lock();
        if let Some((_, client)) = clients.iter().find(|(timeout, _)| *timeout == connect) {
            return Ok(client.clone());
        }
        let client = build(&self.headers, Arc::clone(&self.directory), connect)
            .map_err(|error| PushFailure::Unreachable(ClientBuildError(error).to_string().into()))?;
        if clients.len() >= CLIENTS_MAX {
            clients.remove(0);
        }
        clients.push((connect, client.clone()));
        Ok(client)
    }
}

/// Returns the lines of a signature.
fn header_lines(signature: &SignatureHeaders) -> [(&'static str, &str); 3] {
    [
        (CONTENT_DIGEST, &signature.content_digest),
        (SIGNATURE_INPUT, &signature.signature_input),
        (SIGNATURE, &signature.signature),
    ]
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

fn build(headers: &HeaderMap, directory: Arc<dyn AddressBook>, connect: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(headers.clone())
        .dns_resolver(Arc::new(FilteringResolver::new(directory)))
        .connect_timeout(connect)
        .http1_only()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_FOR)
        .build()
}

fn written(client: &Client, url: Url, request: &EgressRequest) -> RequestBuilder {
    let with_body =
        |builder: RequestBuilder| builder.header(CONTENT_TYPE, "application/json").body(request.body.clone());
    match request.method {
        EgressMethod::Get => client.get(url),
        EgressMethod::Post => with_body(client.post(url)),
        EgressMethod::Put => with_body(client.put(url)),
    }
}

fn url(address: &str, path: &str) -> Result<Url, PushFailure> {
    let text = format!("{}{path}", address.trim_end_matches('/'));
    let unusable =
        |why: String| PushFailure::Unreachable(format!("the address {address} cannot be used: {why}").into());
    let url = Url::parse(&text).map_err(|error| unusable(error.to_string()))?;
    match url.scheme() {
        "http" => Ok(url),
        scheme => Err(unusable(format!("{scheme} is not supported by this build; use http"))),
    }
}

#[cfg(test)]
mod tests;
