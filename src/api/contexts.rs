//! `/v1/contexts` and `/admin/v1/contexts`: the list of contexts, the status of one, and the answers of its commands.

pub mod verification;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FixedText;
use super::pdus::PduPair;

/// A page of contexts, ordered by id.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ContextPage {
    /// The contexts of the page.
    pub contexts: Vec<ContextPageRow>,
    /// Context after which the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A context in a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ContextPageRow {
    /// Id of the context.
    pub context: String,
    /// Names of the participants; this server comes first.
    pub participants: Vec<String>,
    /// Number of heads: delivered PDUs that no other PDU follows.
    pub heads: u64,
    /// Largest depth of a delivered PDU.
    pub depth: u64,
    /// Number of PDUs that wait for their parents.
    pub held: u64,
    /// Number of missing parents that were given up, without those beyond the history edge.
    pub gaps: u64,
    /// Time at which the newest PDU of the timeline was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// The status of a context.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ContextDetails<S = String> {
    /// Id of the context.
    pub context: S,
    /// Names of the participants; this server comes first.
    pub participants: Vec<S>,
    /// Delivered PDUs that no other PDU follows.
    pub heads: Vec<PduPair<S>>,
    /// Largest depth of a delivered PDU.
    pub depth: u64,
    /// Number of PDUs that wait for their parents.
    pub held: u64,
    /// Missing parents that are being fetched.
    pub wanted: Vec<PduPair<S>>,
    /// Missing parents that were given up, without those beyond the history edge.
    pub gaps: Vec<MissingPdu<S>>,
    /// Parents beyond the history edge: the history before it was never fetched, so nothing is lost there.
    pub edge: Vec<PduPair<S>>,
    /// The last join, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<JoinStatus<S>>,
}

/// A parent that was given up.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MissingPdu<S = String> {
    /// The parent.
    pub missing: PduPair<S>,
    /// Its children, which were delivered without it.
    pub children: Vec<PduPair<S>>,
}

/// Progress of fetching a context from another server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct JoinStatus<S = String> {
    /// Server that the context is fetched from.
    pub via: S,
    /// `state`, `history`, `done` or `failed`.
    pub stage: FixedText,
    /// Number of PDUs received.
    pub came: u64,
    /// Number of history PDUs still to fetch.
    pub left: u64,
    /// Reason of the failure, or of the last unsuccessful attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<S>,
}

/// The answer to `PUT /v1/contexts/{context}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ParticipantsSet<S = String> {
    /// Id of the context.
    pub context: S,
    /// Names of the participants; this server comes first.
    pub participants: Vec<S>,
}

/// The answer to `POST /v1/contexts/{context}/join`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct JoinStarted<S = String> {
    /// Id of the context.
    pub context: S,
    /// Server that the context is fetched from.
    pub via: S,
    /// Number of history PDUs to fetch.
    pub backfill: u32,
}

/// The answer to `POST /admin/v1/contexts/{context}/merge`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MergeResult {
    /// Id of the context.
    pub context: String,
    /// Number of heads before the merge.
    pub heads: u64,
    /// Number of heads after the merge.
    pub left: u64,
    /// Number of messages that were composed.
    pub said: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn context_page_round_trips() {
        let page = assert_round_trip::<ContextPage>(&[
            r#"{"contexts":[]}"#,
            concat!(
                r##"{"contexts":[{"context":"#room","participants":["red","blue"],"heads":2,"depth":7,"held":1,"##,
                r##""gaps":0},{"context":"#yard","participants":["red"],"heads":1,"depth":3,"held":0,"gaps":1,"##,
                r##""last":"1970-01-11T00:00:00.000Z"}],"next":"#yard"}"##
            ),
        ]);
        assert_eq!((page.contexts[0].heads, page.next.as_deref()), (2, Some("#yard")));
    }

    #[test]
    fn context_details_round_trip() {
        let details = assert_round_trip::<ContextDetails>(&[
            concat!(
                r##"{"context":"#room","participants":["red","blue"],"heads":[["red","c"]],"depth":7,"held":1,"##,
                r#""wanted":[["blue","x"]],"gaps":[{"missing":["blue","a"],"children":[["blue","b"]]}],"#,
                r#""edge":[["blue","z"]]}"#
            ),
            concat!(
                r##"{"context":"#room","participants":["red"],"heads":[],"depth":0,"held":0,"wanted":[],"gaps":[],"##,
                r#""edge":[],"join":{"via":"blue","stage":"failed","came":3,"left":97,"reason":"no route"}}"#
            ),
        ]);
        let join = details.join.expect("a join");
        assert_eq!((&*join.stage, join.left, join.reason.as_deref()), ("failed", 97, Some("no route")));
    }

    #[test]
    fn context_command_answers_round_trip() {
        assert_round_trip::<ParticipantsSet>(&[r##"{"context":"#room","participants":["red","blue"]}"##]);
        assert_round_trip::<JoinStarted>(&[r##"{"context":"#room","via":"blue","backfill":100}"##]);
        let merged = assert_round_trip::<MergeResult>(&[r##"{"context":"#room","heads":3,"left":1,"said":1}"##]);
        assert_eq!((merged.heads, merged.left), (3, 1));
    }
}
