//! A call to a peer (RPC): one request whose answer counts whatever its status is, and which ends when nobody waits for it.
//!
//! Calls do not enter the limiter of the other requests, because neither is to wait for the other; `rpc.max` bounds them.

use std::fmt::Display;
use std::time::Duration;

use actors::model::{PushFailure, ServerName};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout_at};

use crate::egress::client::{EgressClient, RequestWindow};
use crate::egress::error_words::in_words;
use crate::egress::protobuf_refusals::ProtobufRefusals;
use crate::egress::request_writer::written_target;
use crate::egress::response::{self, AnswerLimit};
use crate::egress::{EgressAnswer, EgressRequest};
use crate::http::body::encoded::{BodyEncoding, PROTOBUF_TYPE};
use crate::rpc::call_message::{self, answer_json};
use crate::rpc::{RPC_PATH, RpcAnswer, TIMEOUT_HEADER, call_timeout, is_json};

/// A call to a peer.
#[derive(Debug, Clone)]
pub struct PeerCall {
    /// JSON of the call.
    pub body: Bytes,
    /// Encoding that the configuration chooses for the peer.
    pub encoding: BodyEncoding,
    /// Time at which the answer must be there.
    pub until: Instant,
    /// Maximum time to connect to one address.
    pub connect: Duration,
    /// Maximum bytes of the answer.
    pub answer_max: usize,
}

/// An answer as it came.
struct UnreadAnswer {
    status: u16,
    retry_after: Option<Duration>,
    /// Encoding that the answer states.
    encoding: BodyEncoding,
    body: Bytes,
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
    /// Asks a peer, at most once: only a connection that was found closed before anything was written is replaced. A peer that cannot
    /// read Protobuf is asked again in JSON, because it has not understood the call. If the future is dropped, the request is closed.
    pub async fn call(&self, to: &ServerName, call: PeerCall) -> Result<RpcAnswer, PeerCallFault> {
        let until = call.until;
        let outcome = timeout_at(until, self.answered(to, call)).await.unwrap_or(Err(PeerCallFault::TimedOut));
        // A timer may fire a little late; an answer that came meanwhile was late, too.
        if Instant::now() >= until { Err(PeerCallFault::TimedOut) } else { outcome }
    }

    async fn answered(&self, to: &ServerName, call: PeerCall) -> Result<RpcAnswer, PeerCallFault> {
        let encoding = self.protobuf_refusals.encoding(to, call.encoding);
        let answer = self.exchange(to, &call, encoding).await?;
        let answer_max = call.answer_max;
        if encoding == BodyEncoding::Protobuf && answer.refuses_protobuf() {
            self.protobuf_refusals.note(to, answer.status);
            return self.exchange(to, &call, BodyEncoding::Json).await?.read(answer_max);
        }
        answer.read(answer_max)
    }

    async fn exchange(
        &self,
        to: &ServerName,
        call: &PeerCall,
        encoding: BodyEncoding,
    ) -> Result<UnreadAnswer, PeerCallFault> {
        let PeerCall { ref body, until, connect, answer_max, .. } = *call;
        let window = RequestWindow { connect, until };
        let bytes_max = answer_max.saturating_add(call_message::AROUND_MAX);
        let limit = AnswerLimit { key: "rpc.body_max", bytes_max };
        let route = self.directory.route(to);
        let target = written_target(RPC_PATH).expect("the path is plain ASCII");
        let request =
            EgressRequest::post(RPC_PATH, call_message::body_of(encoding, body.clone()), EgressAnswer::Needed);
        let request = match encoding {
            BodyEncoding::Json => request,
            BodyEncoding::Protobuf => request.of_type(PROTOBUF_TYPE),
        };
        let mut written = self.writer.written(to, target, &request);
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
        let stated = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let encoding = BodyEncoding::named(stated);
        let body = match response::whole(response.into_body(), limit).await {
            Ok(body) => body,
            Err(failure @ PushFailure::AnswerTooLarge { .. }) => {
                return Err(PeerCallFault::BadAnswer(failure.to_string()));
            }
            Err(failure) => return Err(unreachable(&failure)),
        };
        self.pool.put(to, connection);
        Ok(UnreadAnswer { status, retry_after, encoding, body })
    }
}

impl UnreadAnswer {
    /// Returns whether this answer to a call in Protobuf says that the peer cannot read it. A peer that answers in Protobuf can.
    fn refuses_protobuf(&self) -> bool {
        ProtobufRefusals::is_refusal(self.status) && self.encoding == BodyEncoding::Json
    }

    /// Returns the answer in JSON.
    fn read(self, answer_max: usize) -> Result<RpcAnswer, PeerCallFault> {
        let Self { status, retry_after, encoding, body } = self;
        let bad = |why: &dyn Display| PeerCallFault::BadAnswer(format!("status {status}: {why}"));
        let body = match encoding {
            BodyEncoding::Json => body,
            BodyEncoding::Protobuf => answer_json(status, body).map_err(|error| bad(&error))?,
        };
        if body.len() > answer_max {
            let exceeded = AnswerLimit { key: "rpc.body_max", bytes_max: answer_max }.exceeded();
            return Err(PeerCallFault::BadAnswer(exceeded.to_string()));
        }
        if !is_json(&body) {
            return Err(PeerCallFault::BadAnswer(format!("status {status} without JSON")));
        }
        Ok(RpcAnswer { status, retry_after, body })
    }
}

fn unreachable(failure: &PushFailure) -> PeerCallFault {
    PeerCallFault::Unreachable(failure.to_string())
}
