//! The HTTP client for the messenger: one push at a time, on one connection that is kept between requests; calls of peers
//! beside it (`call_pool`).
//!
//! The messenger's address is the operator's own choice, so it passes none of the checks for addresses of peers. Redirects
//! are not followed, and no proxy is used.

mod call_pool;
mod connection;
mod endpoint;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use tokio::time::{Instant, timeout_at};

pub(crate) use crate::messenger::push::client::call_pool::CallPool;
pub(crate) use crate::messenger::push::client::endpoint::WebhookEndpoint;

pub use crate::messenger::push::client::endpoint::PushSetupError;

use crate::egress::{PRODUCT, seconds, shown};
use crate::messenger::push::client::connection::{NoAnswer, WebhookConnection};
use crate::messenger::push::fault::PushFault;

/// Maximum bytes of a 2xx's body that are kept.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Maximum bytes of another answer's body that are read; its start is the reason.
const REASON_BYTES_MAX: usize = 64 << 10;

/// Time after which a connection is not used again. It is shorter than the keep-alive of common servers, because a request
/// on a connection that is being closed gets no answer.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// A request to the messenger.
#[derive(Debug, Clone)]
pub(crate) struct WebhookRequest {
    /// Method of the request.
    pub(crate) method: Method,
    /// Path after the prefix of the endpoint, from its slash.
    pub(crate) path: String,
    /// Id of the webhook headers.
    pub(crate) id: String,
    /// Time of this attempt in seconds, for the signature.
    pub(crate) seconds: u64,
    /// Headers beside those of every request.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Body; empty for a GET.
    pub(crate) body: Bytes,
}

/// A client with at most one connection.
pub(crate) struct WebhookClient {
    endpoint: WebhookEndpoint,
    connection: Option<WebhookConnection>,
}

impl WebhookClient {
    pub(crate) const fn new(endpoint: WebhookEndpoint) -> Self {
        Self { endpoint, connection: None }
    }

    /// Sends a request and returns the body of the 2xx; `None`: it is larger than is kept. When this returns without an
    /// answer, the connection is closed.
    pub(crate) async fn call(&mut self, request: &WebhookRequest) -> Result<Option<Bytes>, PushFault> {
        let deadline = Instant::now() + self.endpoint.timeout();
        self.connect(deadline).await?;
        let outcome = timeout_at(deadline, self.exchange(request, deadline)).await;
        let outcome = outcome.unwrap_or(Err(PushFault::TimedOut));
        let ended = Instant::now();
        let is_answered = outcome.as_ref().is_ok_and(|answer| answer.is_whole);
        match &mut self.connection {
            Some(connection) if is_answered => connection.used_at(ended),
            _ => self.close().await,
        }
        outcome?.result
    }

    /// Closes the connection; it is closed when this returns.
    pub(crate) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    /// Makes a connection, unless one can be used.
    async fn connect(&mut self, deadline: Instant) -> Result<(), PushFault> {
        if let Some(connection) = &mut self.connection {
            if Instant::now() < connection.last_used() + IDLE_MAX && connection.is_ready().await {
                return Ok(());
            }
            self.close().await;
        }
        self.connection = Some(self.endpoint.connect(deadline).await?);
        Ok(())
    }

    async fn exchange(&mut self, request: &WebhookRequest, deadline: Instant) -> Result<AnsweredCall, PushFault> {
        let body = request.body.len() as u64;
        loop {
            let Some(connection) = &mut self.connection else {
                self.connection = Some(self.endpoint.connect(deadline).await?);
                continue;
            };
            let is_reused = connection.is_reused();
            let answered = match connection.send(self.endpoint.written(request)).await {
                Ok(answer) => read(answer).await,
                Err(error) => Err(error),
            };
            match answered {
                Ok(answer) => return Ok(answer),
                // The messenger had closed the connection while nothing was sent on it.
                Err(error) if is_reused && error.is_unsent() => self.close().await,
                Err(error) => return Err(connection.fault(&error, body)),
            }
        }
    }
}

/// An answer.
struct AnsweredCall {
    result: Result<Option<Bytes>, PushFault>,
    /// True if nothing of it is left on the connection.
    is_whole: bool,
}

/// Reads an answer to its end.
async fn read(response: Response<Incoming>) -> Result<AnsweredCall, NoAnswer> {
    let status = response.status();
    if status.is_success() {
        let (body, is_whole) = read_body(response.into_body(), BODY_BYTES_MAX, ExcessBody::Discarded).await?;
        let result = Ok(is_whole.then(|| body.freeze()));
        return Ok(AnsweredCall { result, is_whole: true });
    }
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| seconds(value.to_str().ok()?));
    let (body, is_whole) = read_body(response.into_body(), REASON_BYTES_MAX, ExcessBody::Left).await?;
    let result = Err(PushFault::of_status(status.as_u16(), shown(&body), retry_after));
    Ok(AnsweredCall { result, is_whole })
}

/// The treatment of a body beyond its limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ExcessBody {
    /// It is read, because only a complete answer counts, and dropped.
    Discarded,
    /// It is not read.
    Left,
}

/// Returns the body up to a limit, and whether that is all of it.
async fn read_body(mut incoming: Incoming, max: usize, excess: ExcessBody) -> Result<(BytesMut, bool), NoAnswer> {
    let (mut body, mut is_all) = (BytesMut::new(), true);
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = max - body.len();
        is_all &= data.len() <= room;
        body.extend_from_slice(&data[..data.len().min(room)]);
        if !is_all && excess == ExcessBody::Left {
            break;
        }
    }
    Ok((body, is_all))
}

impl WebhookEndpoint {
    /// Returns the request as it is sent. The signature is that of this attempt.
    fn written(&self, request: &WebhookRequest) -> Request<Full<Bytes>> {
        let target = format!("{}{}", self.prefix(), request.path);
        let mut written = Request::new(Full::new(request.body.clone()));
        *written.method_mut() = request.method.clone();
        *written.uri_mut() = target.parse().unwrap_or_default();
        let headers = written.headers_mut();
        headers.insert(header::HOST, self.host().clone());
        headers.insert(header::USER_AGENT, HeaderValue::from_static(PRODUCT));
        if !request.body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.extend(request.headers.iter().cloned());
        if let Some(signature) = self.signer().sign(&request.id, request.seconds, &request.body) {
            let seconds = request.seconds.to_string();
            for (name, value) in
                [("webhook-id", &request.id), ("webhook-timestamp", &seconds), ("webhook-signature", &signature)]
            {
                headers.insert(name, HeaderValue::try_from(value).expect("ids, digits and base64 are ASCII"));
            }
        }
        written
    }
}
