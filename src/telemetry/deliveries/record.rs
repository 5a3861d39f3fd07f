//! One record of the log of deliveries: what happened to one item. It never has the item's text.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use actors::model::{ContextId, Millis, PduRef, ServerName, SubmissionId};
use serde::Serialize;

/// A fate of an item, as it is written. The order of the fields is that of the keys.
#[derive(Debug, Default, Serialize)]
pub(super) struct DeliveryRecord<'a> {
    pub(super) time: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// Id that our messenger gave to the submission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<&'a str>,
    /// Identity of a PDU, as in the ids of events: `origin/id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pdu: Option<String>,
    /// Id of the event of an update of a peer: `from#n`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<&'a str>,
    /// Number of the attempt among those in a row that did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<Cow<'a, str>>,
    /// Time of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency_ms: Option<u64>,
    /// Time since the item was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_try: Option<String>,
    /// Index of the item in the outbox of the peer, where nothing else names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<u64>,
    /// First and last sequence number of lost updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<(u64, u64)>,
    /// `held`: the item waits for those before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<&'static str>,
    /// `in`: the item came from the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) direction: Option<&'static str>,
}

impl<'a> DeliveryRecord<'a> {
    pub(super) fn new(kind: &'static str, time: Millis) -> Self {
        Self { time: rfc3339(time), kind, ..Self::default() }
    }

    pub(super) fn message(self, id: &'a SubmissionId) -> Self {
        Self { message: Some(id.as_str()), ..self }
    }

    pub(super) fn pdu(self, reference: Option<&PduRef>) -> Self {
        Self { pdu: reference.map(ToString::to_string), ..self }
    }

    pub(super) fn peer(self, peer: &'a ServerName) -> Self {
        Self { peer: Some(peer.as_str()), ..self }
    }

    pub(super) fn context(self, context: Option<&'a ContextId>) -> Self {
        Self { context: context.map(ContextId::as_str), ..self }
    }

    pub(super) fn code(self, code: impl Into<Cow<'a, str>>) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    /// Returns the line of the record.
    pub(super) fn line(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers always serialize") + "\n"
    }
}

pub(super) fn rfc3339(time: Millis) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(time.0)).to_string()
}
