//! Calls between messengers (RPC): what both directions share. A call passes through and is stored nowhere.
//!
//! ```text
//!   peer ---- wire/updates/rpc ----> MessengerLine (messenger/rpc) ----> our messenger     inbound
//!   our messenger ---- messenger/rpc ----> PeerLine (egress) ----> peer                    outbound
//! ```
//!
//! `call_register` bounds the calls under way and counts them; `call_timeout` reads and writes the header of their deadline;
//! `call_body` reads what is asked, `call_message` its Protobuf; `gateway_method` answers the methods of the gateway itself, and
//! `reach_register` admits those of them that make us call the caller.

pub(crate) mod call_body;
pub mod call_message;
pub mod call_register;
pub(crate) mod call_timeout;
pub(crate) mod gateway_method;
pub mod inbound_calls;
pub mod reach_register;
pub mod rpc_metrics;

use std::time::Duration;

use actors::model::ServerName;
use actors::ports::Task;
use bytes::Bytes;
use serde::de::IgnoredAny;
use tokio::time::Instant;

pub use crate::rpc::call_register::CallRegister;
pub use crate::rpc::inbound_calls::InboundCalls;
pub use crate::rpc::rpc_metrics::{RpcDirection, RpcResult};

/// Path of a call at a peer.
pub const RPC_PATH: &str = "/http/v1/rpc";

/// Header that names the peer: the one that asks, in a call to the messenger; the one that has answered, in our answer to it.
pub const PEER_HEADER: &str = "fernpost-peer";

/// Header with the time that is left for a call.
pub const TIMEOUT_HEADER: &str = "fernpost-timeout";

/// The limits of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcLimits {
    /// Maximum bytes of a body, in either direction.
    pub body_max: usize,
    /// Time of a call that states none.
    pub timeout: Duration,
    /// Maximum time that a call may state.
    pub timeout_max: Duration,
    /// Maximum number of calls under way, both directions together.
    pub max: u32,
}

/// The limits in force. They are asked anew for each call, because a reload changes them.
pub trait RpcRules: Send + Sync + 'static {
    /// Returns the limits of all calls.
    fn rpc_limits(&self) -> RpcLimits;

    /// Returns the maximum number of calls under way of a peer in each direction.
    fn rpc_peer_max(&self, server: &ServerName) -> u32;

    /// Returns whether this peer may ask to be looked up and called (`reach_tests`). Nobody may, unless a configuration says so.
    fn allows_reach(&self, _server: &ServerName) -> bool {
        false
    }
}

/// A whole answer in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcAnswer {
    /// Status of the answer.
    pub status: u16,
    /// Time after which the asker may try again, if the answer states one.
    pub retry_after: Option<Duration>,
    /// JSON text.
    pub body: Bytes,
}

/// A call of a peer that the messenger is to answer.
#[derive(Debug, Clone)]
pub struct MessengerCall {
    /// Peer that asks.
    pub from: ServerName,
    /// Its body, as it came.
    pub body: Bytes,
    /// Time at which the answer must be there.
    pub until: Instant,
    /// Maximum bytes of the answer.
    pub answer_max: usize,
}

/// Error: the messenger has not answered a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessengerFault {
    /// It cannot be reached.
    #[error("the messenger cannot be reached: {0}")]
    Down(String),
    /// Its answer is none that a peer may get.
    #[error("the messenger has no answer: {0}")]
    BadAnswer(String),
    /// There was no whole answer in time.
    #[error("the messenger did not answer in time")]
    TimedOut,
}

/// The way to our messenger. A call whose future is dropped is closed at once.
pub trait MessengerLine: Send + Sync + 'static {
    /// Asks the messenger, at most once.
    fn ask(&self, call: MessengerCall) -> Task<Result<RpcAnswer, MessengerFault>>;
}

/// Returns whether a body is one JSON text.
pub(crate) fn is_json(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::is_json;

    #[test]
    fn answer_is_one_json_text() {
        for body in ["{}", " [1] ", "null", "\"text\"", "7"] {
            assert!(is_json(body.as_bytes()), "{body}");
        }
        for body in ["", "OK", "{} {}", "{\"a\":}", "NaN"] {
            assert!(!is_json(body.as_bytes()), "{body}");
        }
        assert!(!is_json(b"\"\xff\""), "not UTF-8");
    }
}
