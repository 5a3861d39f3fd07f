//! A call to a peer (RPC): one request whose answer counts whatever its status is, and which ends when nobody waits for it.
//!
//! Calls do not enter the limiter of the other requests, because neither is to wait for the other; `rpc.max` bounds them.

use std::time::Duration;

use actors::model::{PushFailure, ServerName};
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use tokio::time::{Instant, timeout_at};

use crate::egress::client::{EgressClient, RequestWindow};
use crate::egress::error_words::in_words;
use crate::egress::request_writer::written_target;
use crate::egress::response::{self, AnswerLimit};
use crate::egress::{EgressAnswer, EgressRequest};
use crate::rpc::{RPC_PATH, RpcAnswer, TIMEOUT_HEADER, call_timeout, is_json};

/// A call to a peer.
#[derive(Debug, Clone)]
pub struct PeerCall {
    /// JSON of the call.
    pub body: Bytes,
    /// Time at which the answer must be there.
    pub until: Instant,
    /// Maximum time to connect to one address.
    pub connect: Duration,
    /// Maximum bytes of the answer.
    pub answer_max: usize,
}

/// Error: a peer has not answered a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerCallFault {
    /// There was no connection, or it broke before the answer was whole.
    #[error("{0}")]
    Unreachable(String),
    /// The answer is none that is passed on.
    #[error("{0}")]
    BadAnswer(String),
    /// There was no whole answer in time.
    #[error("the peer did not answer in time")]
    TimedOut,
}

impl EgressClient {
    /// Asks a peer, at most once: only a connection that was found closed before anything was written is replaced. If the future is
    /// dropped, the request is closed.
    pub async fn call(&self, to: &ServerName, call: PeerCall) -> Result<RpcAnswer, PeerCallFault> {
        let until = call.until;
        let outcome = timeout_at(until, self.exchange(to, call)).await.unwrap_or(Err(PeerCallFault::TimedOut));
        // A timer may fire a little late; an answer that came meanwhile was late, too.
        if Instant::now() >= until { Err(PeerCallFault::TimedOut) } else { outcome }
    }

    async fn exchange(&self, to: &ServerName, call: PeerCall) -> Result<RpcAnswer, PeerCallFault> {
        let PeerCall { body, until, connect, answer_max } = call;
        let window = RequestWindow { connect, until };
        let limit = AnswerLimit { key: "rpc.body_max", bytes_max: answer_max };
        let route = self.directory.route(to);
        let target = written_target(RPC_PATH).expect("the path is plain ASCII");
        let mut written = self.writer.written(to, target, &EgressRequest::post(RPC_PATH, body, EgressAnswer::Needed));
        let response = loop {
            let pooled = self.pool.take(to, &route, |material| self.connector.is_current(material));
            let is_reused = pooled.is_some();
            let mut connection = match pooled {
                Some(connection) => connection,
                None => self.open(to, &route, window).await.map_err(|failure| unreachable(&failure))?,
            };
            let left = HeaderValue::try_from(call_timeout::left(until)).expect("digits");
            written.headers_mut().insert(HeaderName::from_static(TIMEOUT_HEADER), left);
            let in_use = connection.in_use();
            let sent = self.clock.now();
            match connection.send(written).await {
                Ok(response) => {
                    self.was_good(to, &route, connection.configured.as_ref());
                    if let Some(stated) = response::stated_time(response.headers()) {
                        self.clocks.note(to, stated, (sent, self.clock.now()));
                    }
                    break (response, connection, in_use);
                }
                Err(failed) => match failed.unsent {
                    // The peer closed the connection while it was idle.
                    Some(unsent) if is_reused => written = unsent,
                    _ => return Err(PeerCallFault::Unreachable(in_words(&failed.error))),
                },
            }
        };
        let (response, connection, _in_use) = response;
        let (status, retry_after) = (response.status().as_u16(), response::retry_after(&response));
        let body = match response::whole(response.into_body(), limit).await {
            Ok(body) => body,
            Err(failure @ PushFailure::AnswerTooLarge { .. }) => {
                return Err(PeerCallFault::BadAnswer(failure.to_string()));
            }
            Err(failure) => return Err(unreachable(&failure)),
        };
        self.pool.put(to, connection);
        if !is_json(&body) {
            return Err(PeerCallFault::BadAnswer(format!("status {status} without JSON")));
        }
        Ok(RpcAnswer { status, retry_after, body })
    }
}

fn unreachable(failure: &PushFailure) -> PeerCallFault {
    PeerCallFault::Unreachable(failure.to_string())
}
