//! `/v1/messages/{id}` and `/admin/v1/messages/{id}`: the delivery of a submission, and the results of commands for it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FixedText;
use super::pdus::PduName;

/// The delivery of a submission, peer by peer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MessageTrace {
    /// Id of the submission.
    pub id: String,
    /// Time at which it was accepted.
    pub accepted: String,
    /// The PDU that a message became; absent for updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pdu: Option<PduName>,
    /// The delivery to each recipient, by its name.
    pub peers: BTreeMap<String, RecipientTrace>,
}

/// The delivery to one recipient.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RecipientTrace {
    /// `queued`, `relayed`, `acknowledged`, `delivered`, `rejected`, `refused`, `parked` or `expired`.
    pub state: FixedText,
    /// Server that passes the items on while the recipient cannot be reached; only in the state `relayed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Attempts that carried the submission, oldest first.
    pub attempts: Vec<AttemptRow>,
    /// Time of the next attempt, if one is planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Reason of the state: the cause of a suspension, or for people the reason of a failed delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A page of submissions, by id.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MessageListPage {
    /// The submissions of the page; it may be empty although more follow.
    pub messages: Vec<MessageListRow>,
    /// Id after which the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A submission in a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MessageListRow {
    /// Id of the submission.
    pub id: String,
    /// Time at which it was accepted.
    pub accepted: String,
    /// Number of its items.
    pub items: u32,
    /// Context of a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The PDU that a message became; absent for updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pdu: Option<PduName>,
    /// State of the delivery to each recipient, as in a trace; if a peer is asked for, of this one alone.
    pub peers: BTreeMap<String, FixedText>,
}

/// An item of a peer: how it came in, and whether the messenger has it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct InboundTrace {
    /// Id of the event: `ORIGIN/PDU_ID`, or `SERVER#N` of an update.
    pub id: String,
    /// `pdu` or `update`.
    pub kind: FixedText,
    /// `delivered` into its context or the feed, `held` until its parents arrive, or `quarantined`.
    pub state: FixedText,
    /// Server that sent it to us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Proof of that server: `mtls`, `signature`, `network`, `pdu-signature` or `relayed`; absent if it is no longer known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<String>,
    /// Context of a PDU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Time of its delivery, or of its arrival if it waits; absent if it is no longer known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Parents that it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<PduName>,
    /// Position of its event in the feed; absent if it has none, or none that is still kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// True if the messenger has acknowledged the event; absent without a position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<bool>,
    /// Code of the reason for which it is in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<FixedText>,
    /// That reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An attempt at a delivery.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AttemptRow {
    /// Time at which the response or the failure arrived.
    pub time: String,
    /// Its result, for people.
    pub result: String,
    /// The code of a failure, such as `CONNECT_REFUSED` or `HTTP_503`; absent for other results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// The answer to `retry` and `drop` of a submission.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MessageCommandResult {
    /// Id of the submission.
    pub id: String,
    /// Of a drop: true if nothing was done, and the numbers are what would be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// The result for each recipient.
    pub peers: Vec<RecipientResult>,
}

/// The result of a command for one recipient.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RecipientResult {
    /// Name of the recipient.
    pub server: String,
    /// Dead letters that were queued again, or by a drop deleted for good; of a message that had found no room, 1 once it is queued.
    pub parked: u64,
    /// Items that wait for the peer; of a drop, those that it took out of the queue.
    pub queued: u64,
    /// Of a drop: the items that an operator took out, by this call or before, and that can be given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_out: Option<u64>,
    /// The reason why an item that was never queued cannot be queued now; for a drop, the reason why an item stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stays: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn message_trace_round_trips() {
        let trace = assert_round_trip::<MessageTrace>(&[
            concat!(
                r#"{"id":"m-1","accepted":"1970-01-01T00:00:01.000Z","pdu":{"origin":"red","pdu_id":"0190a1b2"},"#,
                r#""peers":{"green":{"state":"parked","attempts":[],"reason":"it was not queued on submit"}}}"#
            ),
            concat!(
                r#"{"id":"m-1","accepted":"1970-01-01T00:00:01.000Z","peers":{"#,
                r#""blue":{"state":"queued","attempts":[{"time":"1970-01-01T00:00:00.003Z","result":"ok"},"#,
                r#"{"time":"1970-01-01T00:00:00.006Z","result":"status 503: busy","code":"HTTP_503"}],"next":"1970-01-01T00:00:09.000Z"},"#,
                r#""green":{"state":"acknowledged","attempts":[{"time":"1970-01-01T00:00:00.001Z","result":"ok"}]},"#,
                r#""grey":{"state":"relayed","via":"green","attempts":[],"reason":"refused"}}}"#
            ),
        ]);
        assert_eq!((trace.peers["blue"].attempts.len(), &*trace.peers["green"].state), (2, "acknowledged"));
    }

    #[test]
    fn message_list_round_trips() {
        let page = assert_round_trip::<MessageListPage>(&[
            r#"{"messages":[]}"#,
            concat!(
                r#"{"messages":[{"id":"m-1","accepted":"1970-01-01T00:00:01.000Z","items":1,"context":"a","#,
                r#""pdu":{"origin":"red","pdu_id":"0190a1b2"},"peers":{"blue":"queued"}}],"next":"m-1"}"#
            ),
        ]);
        assert_eq!(&*page.messages[0].peers["blue"], "queued");
    }

    #[test]
    fn inbound_trace_round_trips() {
        let trace = assert_round_trip::<InboundTrace>(&[
            r#"{"id":"red#7","kind":"update","state":"delivered","from":"red"}"#,
            concat!(
                r#"{"id":"red/a","kind":"pdu","state":"held","from":"blue","verified":"mtls","context":"c","#,
                r#""time":"1970-01-01T00:00:01.000Z","waits_for":[{"origin":"red","pdu_id":"b"}]}"#
            ),
            concat!(
                r#"{"id":"red/a","kind":"pdu","state":"delivered","from":"red","verified":"mtls","context":"c","#,
                r#""time":"1970-01-01T00:00:01.000Z","position":9,"acknowledged":false}"#
            ),
        ]);
        assert_eq!((trace.position, trace.acknowledged), (Some(9), Some(false)));
    }

    #[test]
    fn message_command_result_round_trips() {
        let dropped = assert_round_trip::<MessageCommandResult>(&[
            r#"{"id":"m-1","peers":[{"server":"blue","parked":1,"queued":2}]}"#,
            concat!(
                r#"{"id":"m-1","dry_run":true,"peers":[{"server":"blue","parked":0,"queued":0,"taken_out":3,"#,
                r#""stays":"the peer has it"}]}"#
            ),
        ]);
        assert_eq!((dropped.dry_run, dropped.peers[0].taken_out), (Some(true), Some(3)));
    }
}
