//! The keys of events that are no PDUs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::pdus::PduPair;

/// The keys of a strong update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Update")]
pub struct UpdateEventKeys {
    /// Server that sent it.
    pub from: String,
    /// Its number, or that of its push for a peer that numbers pushes.
    pub seq: u64,
    /// The update, as it was received.
    pub update: BTreeMap<String, Value>,
    /// Proof of its sender: `mtls`, `signature`, `network` or `forward-signature`.
    pub verified: String,
}

/// The keys of a gap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Gap")]
pub enum GapEventKeys {
    /// Parents that were given up.
    Context(ContextGapKeys),
    /// Updates of a server that are no longer kept.
    Updates(UpdateGapKeys),
}

/// The keys of missing parents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ContextGap")]
pub struct ContextGapKeys {
    /// Context of the messages.
    pub context: String,
    /// The parents.
    pub missing: Vec<PduPair>,
    /// Messages that were delivered without them.
    pub children: Vec<PduPair>,
}

/// The keys of missing updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "UpdateGap")]
pub struct UpdateGapKeys {
    /// Server of the updates.
    pub from: String,
    /// Peer that asks for them.
    pub server: String,
    /// First number.
    pub seq_from: u64,
    /// Last number.
    pub seq_to: u64,
}

/// The keys of a delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub struct DeliveryEventKeys {
    /// Id of the submission.
    pub message: String,
    /// The peer.
    pub server: String,
    /// `acknowledged`, `delivered`, `rejected`, `refused`, `parked` or `expired`.
    pub state: String,
    /// Reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The keys of a change of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Peer")]
pub struct PeerEventKeys {
    /// The peer.
    pub server: String,
    /// Its state, such as `suspended` or `idle`.
    pub state: String,
    /// Reason of a suspension, such as `admin`, `unreachable` or `refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The keys of an item that went to quarantine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
#[schemars(rename = "Parked")]
pub enum ParkedEventKeys {
    /// An update.
    Update(ParkedUpdateKeys),
    /// A PDU.
    Pdu(ParkedPduKeys),
}

/// The keys of an update in quarantine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ParkedUpdate")]
pub struct ParkedUpdateKeys {
    /// Server that sent it.
    pub from: String,
    /// Its number.
    pub seq: u64,
    /// Code of the reason.
    pub code: String,
    /// Reason, for people.
    pub reason: String,
}

/// The keys of a PDU in quarantine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ParkedPdu")]
pub struct ParkedPduKeys {
    /// Server that sent it.
    pub from: String,
    /// Server that composed it, if that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Its id, if that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pdu_id: Option<String>,
    /// Its context, if that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Code of the reason.
    pub code: String,
    /// Reason, for people.
    pub reason: String,
}

/// The keys of a notice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Notice")]
pub struct NoticeEventKeys {
    /// The notice.
    pub text: String,
    /// Server that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// An ephemeral item: in streams and pushes only, without a position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EphemeralEventShape {
    /// `ephemeral`.
    pub kind: String,
    /// Server that sent it.
    pub from: String,
    /// Time at which it came (RFC 3339).
    pub time: String,
    /// The weak update, as it was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<BTreeMap<String, Value>>,
    /// Type of an EDU.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub edu_type: Option<String>,
    /// Content of an EDU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
    /// `true`: the item has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<bool>,
}
