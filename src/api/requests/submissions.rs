//! The bodies of submissions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The body of `PUT /v1/messages/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// Context of the message; it must exist.
    pub context: String,
    /// Type of the message, 1 to 255 bytes.
    #[serde(rename = "type")]
    pub kind: String,
    /// Content, any JSON but null. It reaches the other messengers byte for byte.
    pub content: Value,
    /// If it is given, even as `""`, the message sets state under this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub state_key: Option<String>,
    /// Power of the state; 0 if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub power_level: Option<i64>,
    /// Participants that get it; all if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub to: Option<Vec<String>>,
    /// Further top-level keys of the PDU, at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub extra: Option<BTreeMap<String, Value>>,
    /// If true, a `delivery` event says when the messengers of the recipients have it (`peers.*.receipts`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub receipt: Option<bool>,
}

/// A message of a batch: the body of a single one, and its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NumberedMessageRequest {
    /// Id of the submission: 1 to 128 characters of `A-Z a-z 0-9 . _ ~ -`.
    pub id: String,
    /// The rest of it.
    #[serde(flatten)]
    pub message: MessageRequest,
}

/// An element of a batch. One that is no message is refused alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BatchElementShape {
    /// A message.
    Message(Box<NumberedMessageRequest>),
    /// Anything else.
    Refused(Value),
}

/// The body of `POST /v1/messages`, at most 8 MiB.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// The messages. Those of one context are committed together and in order.
    #[schemars(length(max = 500))]
    pub messages: Vec<BatchElementShape>,
}

/// The body of `PUT /v1/updates/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdatesRequest {
    /// Servers that get the updates.
    #[schemars(length(min = 1))]
    pub to: Vec<String>,
    /// The updates: objects, whose `update` is their type and is not `pdu`.
    #[schemars(length(min = 1, max = 500))]
    pub strong: Vec<BTreeMap<String, Value>>,
    /// If true, a `delivery` event says when the messengers of the recipients have it (`peers.*.receipts`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub receipt: Option<bool>,
}

/// The body of `PUT /v1/ephemeral`, with either `to` or `context`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["to"] }, { "required": ["context"] }]))]
pub struct EphemeralRequest {
    /// Servers that get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub to: Option<Vec<String>>,
    /// Context whose participants get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub context: Option<String>,
    /// Key of the item: a newer item with the same key replaces it. If it is absent, the type and the subject of the update decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub key: Option<String>,
    /// Time after which the item is of no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "EphemeralTtl")]
    pub ttl: Option<EphemeralTtl>,
    /// The update, an object; its `update` is its type.
    pub update: EphemeralUpdate,
}

/// A lifetime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EphemeralTtl {
    /// Seconds.
    Seconds(#[schemars(range(min = 1))] u64),
    /// A number and its unit, such as `1500ms` or `30s`.
    Text(String),
}

/// An ephemeral update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EphemeralUpdate {
    /// Type of the update, such as `typing`.
    pub update: String,
    /// Further keys of the sender.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}
