//! Calls of peers to the messenger (RPC): several at once, each on a connection of its own, which is closed with the call if nobody
//! waits for the answer any more.

use std::sync::Arc;

use actors::ports::{Clock, Task};
use bytes::Bytes;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::Response;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::egress::seconds;
use crate::messenger::push::client::connection::WebhookConnection;
use crate::messenger::push::client::{ExcessBody, IDLE_MAX, WebhookEndpoint, WebhookRequest, read_body};
use crate::rpc::{
    MessengerCall, MessengerFault, MessengerLine, PEER_HEADER, RpcAnswer, TIMEOUT_HEADER, call_timeout, is_json,
};

/// Maximum number of connections that are kept for the next calls.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// The connections for calls. Clones share them.
#[derive(Clone)]
pub(crate) struct CallPool {
    endpoint: WebhookEndpoint,
    idle: Arc<Mutex<Vec<WebhookConnection>>>,
    clock: Arc<dyn Clock>,
}

impl CallPool {
    /// Returns a pool without connections.
    pub(crate) fn new(endpoint: WebhookEndpoint, clock: Arc<dyn Clock>) -> Self {
        Self { endpoint, idle: Arc::default(), clock }
    }

    /// Returns a connection that can be used, or makes one.
    async fn connection(&self, until: Instant) -> Result<WebhookConnection, MessengerFault> {
        loop {
            let Some(mut idle) = self.idle.lock().pop() else { return self.connect(until).await };
            if idle.last_used() + IDLE_MAX > Instant::now() && idle.is_ready().await {
                return Ok(idle);
            }
        }
    }

    async fn connect(&self, until: Instant) -> Result<WebhookConnection, MessengerFault> {
        self.endpoint.connect(until).await.map_err(|fault| MessengerFault::Down(fault.words()))
    }

    async fn exchange(&self, call: MessengerCall) -> Result<RpcAnswer, MessengerFault> {
        let MessengerCall { from, body, until, answer_max } = call;
        let mut connection = self.connection(until).await?;
        let response = loop {
            let request = self.request(from.as_str(), body.clone(), until);
            let sent = connection.send(self.endpoint.written(&request)).await;
            match sent {
                Ok(response) => break response,
                // The messenger had closed the connection before anything was written.
                Err(error) if connection.is_reused() && error.is_unsent() => connection = self.connect(until).await?,
                Err(error) if error.is_unsent() => return Err(MessengerFault::Down(error.words())),
                Err(error) => return Err(MessengerFault::BadAnswer(error.words())),
            }
        };
        let (answer, is_whole) = answer(response, answer_max).await?;
        if is_whole {
            self.keep(connection);
        }
        Ok(answer)
    }

    fn request(&self, from: &str, body: Bytes, until: Instant) -> WebhookRequest {
        let header = |name: &'static str, value: &str| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("names and times are visible ASCII"))
        };
        WebhookRequest {
            method: Method::POST,
            path: "/rpc".to_owned(),
            id: Uuid::now_v7().to_string(),
            seconds: self.clock.now().0 / 1000,
            headers: vec![header(PEER_HEADER, from), header(TIMEOUT_HEADER, &call_timeout::left(until))],
            body,
        }
    }

    /// Keeps a connection for the next call.
    fn keep(&self, mut connection: WebhookConnection) {
        let now = Instant::now();
        connection.used_at(now);
        let mut idle = self.idle.lock();
        idle.retain(|other| other.last_used() + IDLE_MAX > now);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connection);
        }
    }
}

impl MessengerLine for CallPool {
    fn ask(&self, call: MessengerCall) -> Task<Result<RpcAnswer, MessengerFault>> {
        let pool = self.clone();
        Box::pin(async move {
            let until = call.until;
            let outcome = timeout_at(until, pool.exchange(call)).await.unwrap_or(Err(MessengerFault::TimedOut));
            // A connection that fails because the time is over says nothing about the messenger.
            if Instant::now() >= until { Err(MessengerFault::TimedOut) } else { outcome }
        })
    }
}

/// Reads the answer that the peer gets: 2xx becomes 200, 4xx stays, everything else is none. The flag says whether nothing is left on the
/// connection.
async fn answer(response: Response<Incoming>, answer_max: usize) -> Result<(RpcAnswer, bool), MessengerFault> {
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| seconds(value.to_str().ok()?));
    let bad = |words: String| Err(MessengerFault::BadAnswer(words));
    if !status.is_success() && !status.is_client_error() {
        return bad(format!("status {}", status.as_u16()));
    }
    let read = read_body(response.into_body(), answer_max, ExcessBody::Left).await;
    let (body, is_whole) = match read {
        Ok(read) => read,
        Err(error) => return bad(error.words()),
    };
    if !is_whole {
        return bad(format!("its body is larger than rpc.body_max ({answer_max} bytes)"));
    }
    if !is_json(&body) {
        return bad(format!("status {} without JSON", status.as_u16()));
    }
    let status = if status.is_success() { 200 } else { status.as_u16() };
    Ok((RpcAnswer { status, retry_after, body: body.freeze() }, is_whole))
}
