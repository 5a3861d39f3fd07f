//! The bodies of the messenger's requests, for the description of the API and for clients.
//!
//! The handlers read most of them key by key, because a repeated key is an error and the content must stay as it is. A test reads
//! the same requests by these types and by the handlers.

mod submissions;

pub use submissions::{
    BatchElementShape, BatchRequest, EphemeralRequest, EphemeralTtl, EphemeralUpdate, MessageRequest,
    NumberedMessageRequest, UpdatesRequest,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The body of `PUT /v1/contexts/{context}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParticipantsRequest {
    /// Names of the other participants.
    pub servers: Vec<String>,
}

/// The body of `POST /v1/contexts/{context}/join`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// Participant to fetch from.
    pub via: String,
    /// Number of history PDUs to fetch, at most 100,000.
    #[serde(default)]
    pub backfill: u32,
}

/// The body of `POST /v1/events/ack`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AckRequest {
    /// Position up to which all events are acknowledged.
    pub upto: u64,
}

/// The body of `POST /v1/events/rewind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RewindRequest {
    /// Position that is the acknowledged one from then on.
    pub to: u64,
}
