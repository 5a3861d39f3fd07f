//! The keys of PDUs in events, in the history and in the state of a context.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::pdus::PduPair;

/// The keys of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Message")]
pub struct MessageKeys {
    /// Context of the message.
    pub context: String,
    /// Server that composed it.
    pub origin: String,
    /// Id that the origin gave it.
    pub pdu_id: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Content, as its author wrote it.
    pub content: Value,
    /// Its parents: pairs of origin and id, as the PDU has them.
    pub prev: Vec<Vec<Value>>,
    /// A number for display. Nothing is ordered by it.
    pub depth: u64,
    /// Time that the origin states, in milliseconds since 1970.
    pub ts: Value,
    /// All other keys of the PDU.
    pub extra: BTreeMap<String, Value>,
    /// Servers that it is for, if it is narrowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Vec<String>>,
    /// Server that sent it to us; absent for our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Proof of its origin: `mtls`, `signature`, `network`, `pdu-signature`, `forward-signature`, `relayed` or `own`.
    pub verified: String,
    /// The server, the number and perhaps the user, if the message came from a group of a server without PDUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub bridged: Option<BTreeMap<String, Value>>,
    /// Parents that were given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Vec<PduPair>>,
    /// `true`: it was given up itself, and arrived later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<bool>,
    /// `true`: it was fetched as history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<bool>,
}

/// The keys of state: those of a message, and these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "State")]
pub struct StateKeys {
    /// The keys of every message.
    #[serde(flatten)]
    pub message: MessageKeys,
    /// Key of the state.
    pub state_key: String,
    /// Power of the state.
    pub power_level: i64,
    /// State that it replaces; null if there was none.
    pub prev_state: Option<PduPair>,
    /// `true`: it was the current state of its key when this was written.
    pub current: bool,
    /// `true`: it is an older one that is current again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<bool>,
}

/// A PDU in the history of a context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HistoryEntryShape {
    /// A message.
    Message(HistoryEvent<MessageKeys>),
    /// State.
    State(HistoryEvent<StateKeys>),
}

/// The keys that all PDUs of the history have, with those of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "History{Keys}")]
pub struct HistoryEvent<Keys> {
    /// Id of the event that the feed has of it, if it has one.
    pub id: String,
    /// The keys of its kind.
    #[serde(flatten)]
    pub keys: Keys,
}

/// The answer to `GET /v1/contexts/{context}/history`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryPageShape {
    /// Id of the context.
    pub context: String,
    /// The `before` of the next page; absent at the end of the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
    /// The PDUs, newest first.
    pub history: Vec<HistoryEntryShape>,
}

/// The answer to `GET /v1/contexts/{context}/state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatePageShape {
    /// Id of the context.
    pub context: String,
    /// The parameters of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextStateShape>,
    /// The current state.
    pub state: Vec<StateKeys>,
}

/// The start of the next page of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NextStateShape {
    /// Last type of this page.
    pub after_type: String,
    /// Last key of this page.
    pub after_key: String,
}
