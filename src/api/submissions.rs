//! The answers to submissions: of one, and of a batch. Each message of the messenger passes here, so handlers fill these types
//! with borrowed texts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pdus::PduName;

/// The answer with status 202 to `PUT /v1/messages/{id}` and `/v1/updates/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AcceptedSubmission<S = String> {
    /// Id of the submission.
    pub id: S,
    /// The PDU that a message became; absent for updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pdu: Option<PduName<S>>,
    /// Servers that it is queued for.
    pub peers: Vec<S>,
}

/// The answer to `POST /v1/messages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchAnswer<S = String> {
    /// One entry per message, in their order.
    pub messages: Vec<BatchEntry<S>>,
}

/// The result of one message of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchEntry<S = String> {
    /// Id of the submission; null if the message has none that is a text.
    pub id: Option<S>,
    /// Status that the message would have been answered with alone.
    pub status: u16,
    /// The rest of that answer.
    #[serde(flatten)]
    pub outcome: EntryOutcome<S>,
}

/// The answer to one message of a batch, beside its id and its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EntryOutcome<S = String> {
    /// The message is on disk.
    Accepted {
        /// The PDU that it became.
        pdu: PduName<S>,
        /// Servers that it is queued for.
        peers: Vec<S>,
    },
    /// The message was refused.
    Refused {
        /// Message for people.
        error: String,
        /// Code for programs.
        code: S,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn accepted_submission_round_trips() {
        let accepted = assert_round_trip::<AcceptedSubmission>(&[
            r#"{"id":"m-1","peers":[]}"#,
            r#"{"id":"m-1","pdu":{"origin":"red","pdu_id":"0190a1b2"},"peers":["blue","green"]}"#,
        ]);
        assert_eq!(accepted.pdu.expect("a message").pdu_id, "0190a1b2");
    }

    #[test]
    fn batch_answer_round_trips() {
        let answer = assert_round_trip::<BatchAnswer>(&[concat!(
            r#"{"messages":[{"id":"a","status":202,"pdu":{"origin":"red","pdu_id":"0190a1b2"},"peers":["blue"]},"#,
            r#"{"id":null,"status":422,"error":"\"id\" is missing","code":"BAD_ID"},"#,
            r#"{"id":"b","status":404,"error":"there is no context c","code":"UNKNOWN_CONTEXT"}]}"#
        )]);
        let is_accepted = |entry: &BatchEntry| matches!(entry.outcome, EntryOutcome::Accepted { .. });
        assert_eq!(answer.messages.iter().map(is_accepted).collect::<Vec<_>>(), [true, false, false]);
    }
}
