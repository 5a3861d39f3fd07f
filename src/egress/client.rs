//! The client: one request at a time to one peer, its addresses in order, within the request's deadlines.

use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actors::model::{Deadlines, PushFailure, ServerName};
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Url, redirect};
use tokio::time::{Instant, timeout_at};
use url::{Host, Position};

use super::resolve::{Checked, permitted};
use super::slots::{Closed, Load, Slots};
use super::{Method, Request, raw, reply};

/// The most bytes the answer to a push may have; the longest honest one has about a hundred.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

const ORIGIN: &str = "fernpost-origin";
const USER_AGENT: &str = concat!("fernpost/", env!("CARGO_PKG_VERSION"));

/// Requests under way where the configuration does not say how many.
const REQUESTS_MAX: usize = 512;

/// Idle connections to a host are closed by us before the peer does it: a request that meets a closing socket is a failure.
const IDLE_FOR: Duration = Duration::from_secs(60);
/// One request is in flight to a peer at a time; a second connection is left over when an attempt was aborted.
const IDLE_PER_HOST: usize = 2;
/// Clients differ in their connect timeout alone, and a configuration has few of these.
const CLIENTS_MAX: usize = 16;

/// Where peers are, as the configuration says it.
pub trait Addresses: Send + Sync + 'static {
    /// The URLs of a peer, in the order in which they are tried; `None` where none is configured.
    fn addresses(&self, server: &ServerName) -> Option<Vec<String>>;

    /// Whether `network.allow` holds this address: a name may resolve to it although it is not a public one.
    fn allows(&self, address: IpAddr) -> bool;
}

/// The gate cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the outbound client cannot be built: {0}")]
pub struct Unbuildable(#[source] reqwest::Error);

/// The gate outward. Cheap requests share its pool of connections.
pub struct Egress {
    directory: Arc<dyn Addresses>,
    headers: HeaderMap,
    /// By connect timeout, which the library knows per client only.
    clients: Mutex<Vec<(Duration, Client)>>,
    /// The address of a peer that answered last, for peers with several.
    good: Mutex<HashMap<ServerName, String>>,
    slots: Slots,
}

impl Egress {
    /// A gate for the server `us`.
    pub fn new(us: &ServerName, directory: Arc<dyn Addresses>) -> Result<Self, Unbuildable> {
        let origin = HeaderValue::from_str(us.as_str()).expect("a server name is visible ASCII");
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(ORIGIN), origin);
        let usual = Deadlines { connect: Duration::from_secs(10), total: Duration::from_secs(30) };
        let first = build(&headers, Arc::clone(&directory), usual.connect).map_err(Unbuildable)?;
        let clients = Mutex::new(vec![(usual.connect, first)]);
        Ok(Self { directory, headers, clients, good: Mutex::default(), slots: Slots::new(REQUESTS_MAX) })
    }

    /// The same gate with so many requests under way at most.
    #[must_use]
    pub fn with_requests_max(self, most: usize) -> Self {
        Self { slots: Slots::new(most), ..self }
    }

    /// Hand nothing more over. A request that is made from now on gets no answer: to its sender it is under way when the process
    /// ends.
    pub fn close(&self) {
        self.slots.close(Closed::HandingOver);
    }

    /// Begin nothing more at all, and wait for what is under way.
    pub async fn drain(&self) {
        self.slots.close(Closed::All);
        self.slots.idle().await;
    }

    /// How many requests are under way, and how many wait for it.
    pub fn load(&self) -> Load {
        self.slots.load()
    }

    /// Send a request and read its whole answer; the body of a 200 is the only success.
    ///
    /// The next address is tried only where no connection came about: what may have reached the peer is repeated by the
    /// sender's own rules, not by ours.
    pub async fn send(&self, to: &ServerName, request: Request, deadlines: Deadlines) -> Result<Bytes, PushFailure> {
        let slot = self.slots.enter(to, request.method != Method::Get).await;
        let outcome = self.sent(to, request, deadlines).await;
        slot.ended(to, is_answered(&outcome));
        outcome
    }

    async fn sent(&self, to: &ServerName, request: Request, deadlines: Deadlines) -> Result<Bytes, PushFailure> {
        let deadline = Instant::now() + deadlines.total;
        let client = self.client(deadlines.connect)?;
        let addresses = self.in_order(to);
        let mut failed = Vec::new();
        for address in &addresses {
            let url = url(address, &request.path)?;
            if request.raw && request.method == Method::Get && is_changed(&url, &request.path) {
                match self.send_raw(to, &url, &request, deadlines.connect, deadline).await {
                    Err(raw::Failed::NoConnection(words)) => failed.push(format!("{address}: {words}")),
                    Err(raw::Failed::Told(failure)) => return Err(failure),
                    Ok(body) => {
                        self.was_good(to, address, &addresses);
                        return Ok(body);
                    }
                }
                continue;
            }
            let sent = written(&client, url, &request).header(HOST, to.as_str()).send();
            match timeout_at(deadline, sent).await {
                Err(_elapsed) => return Err(PushFailure::TimedOut),
                Ok(Ok(response)) => {
                    self.was_good(to, address, &addresses);
                    return reply::read(response, deadline, request.answer).await;
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
        Err(PushFailure::Unreachable(failed.join("; ")))
    }

    /// Begin with this address of a peer next time, where it has several.
    fn was_good(&self, to: &ServerName, address: &str, addresses: &[String]) {
        if addresses.len() > 1 {
            locked(&self.good).insert(to.clone(), address.to_owned());
        }
    }

    /// Ask by hand for what a URL cannot hold.
    async fn send_raw(
        &self,
        to: &ServerName,
        url: &Url,
        request: &Request,
        connect: Duration,
        deadline: Instant,
    ) -> Result<Bytes, raw::Failed> {
        let found =
            timeout_at(deadline, self.resolved(url)).await.map_err(|_| raw::Failed::Told(PushFailure::TimedOut))?;
        let within = connect.min(deadline.saturating_duration_since(Instant::now()));
        let stream = raw::connect(&found.map_err(raw::Failed::NoConnection)?, within).await?;
        let us = self.headers.get(ORIGIN).and_then(|us| us.to_str().ok()).unwrap_or_default();
        let headers = format!("Host: {to}\r\nUser-Agent: {USER_AGENT}\r\n{ORIGIN}: {us}\r\n");
        let get = raw::Get { target: &request.path, headers: &headers, answer: request.answer };
        raw::get(stream, &get, deadline).await.map_err(raw::Failed::Told)
    }

    /// Where a URL leads: a literal address stands in the configuration, where somebody wrote it on purpose.
    async fn resolved(&self, url: &Url) -> Result<Vec<SocketAddr>, String> {
        let port = url.port_or_known_default().unwrap_or_default();
        match url.host() {
            Some(Host::Ipv4(ip)) => Ok(vec![(ip, port).into()]),
            Some(Host::Ipv6(ip)) => Ok(vec![(ip, port).into()]),
            Some(Host::Domain(name)) => {
                permitted(&*self.directory, name, port).await.map_err(|error| in_words(&*error))
            }
            None => Err("it names no host".to_owned()),
        }
    }

    /// The addresses of a peer, the last good one first.
    fn in_order(&self, to: &ServerName) -> Vec<String> {
        let mut addresses = self.directory.addresses(to).unwrap_or_default();
        if let Some(good) = locked(&self.good).get(to)
            && let Some(at) = addresses.iter().position(|address| address == good)
        {
            addresses[..=at].rotate_right(1);
        }
        addresses
    }

    fn client(&self, connect: Duration) -> Result<Client, PushFailure> {
        let mut clients = locked(&self.clients);
        if let Some((_, client)) = clients.iter().find(|(timeout, _)| *timeout == connect) {
            return Ok(client.clone());
        }
        let client = build(&self.headers, Arc::clone(&self.directory), connect)
            .map_err(|error| PushFailure::Unreachable(Unbuildable(error).to_string()))?;
        if clients.len() >= CLIENTS_MAX {
            clients.remove(0);
        }
        clients.push((connect, client.clone()));
        Ok(client)
    }
}

/// Whoever answers can be written to, whatever it says. An answer that nobody can read, or that never ends, is none.
const fn is_answered(outcome: &Result<Bytes, PushFailure>) -> bool {
    match outcome {
        Ok(_) | Err(PushFailure::Troubled { .. } | PushFailure::Refused { .. }) => true,
        Err(
            PushFailure::Unreachable(_) | PushFailure::Broken(_) | PushFailure::TimedOut | PushFailure::Unreadable(_),
        ) => false,
    }
}

fn build(headers: &HeaderMap, directory: Arc<dyn Addresses>, connect: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(headers.clone())
        .dns_resolver(Arc::new(Checked::new(directory)))
        .connect_timeout(connect)
        .http1_only()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_FOR)
        .build()
}

fn written(client: &Client, url: Url, request: &Request) -> RequestBuilder {
    let with_body =
        |builder: RequestBuilder| builder.header(CONTENT_TYPE, "application/json").body(request.body.clone());
    match request.method {
        Method::Get => client.get(url),
        Method::Post => with_body(client.post(url)),
        Method::Put => with_body(client.put(url)),
    }
}

/// Whether a URL would carry something else than this path.
fn is_changed(url: &Url, path: &str) -> bool {
    &url[Position::BeforePath..Position::AfterQuery] != path
}

fn url(address: &str, path: &str) -> Result<Url, PushFailure> {
    let text = format!("{}{path}", address.trim_end_matches('/'));
    let unusable = |why: String| PushFailure::Unreachable(format!("the address {address} cannot be used: {why}"));
    let url = Url::parse(&text).map_err(|error| unusable(error.to_string()))?;
    match url.scheme() {
        "http" => Ok(url),
        scheme => Err(unusable(format!("{scheme} is not spoken by this build, http is"))),
    }
}

/// What the library says on its way to the reason.
const PREAMBLES: [&str; 5] = [
    "error sending request",
    "client error (",
    "tcp connect error",
    "request or response body error",
    "error reading a body",
];

/// The causes of an error, without those that only say that there is one.
pub(super) fn in_words(error: &dyn Error) -> String {
    let mut words: Vec<String> = vec![];
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if words.last().is_some_and(|last| PREAMBLES.iter().any(|preamble| last.starts_with(preamble))) {
            words.pop();
        }
        if !words.iter().any(|said| said.contains(&text)) {
            words.push(text);
        }
        cause = error.source();
    }
    reply::shown(words.join(": ").as_bytes())
}

/// What these locks guard is whole at every moment, so a panic elsewhere spoils nothing.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
