//! `/admin/v1/quarantine`: quarantined items and dead letters in one form, and the results of releasing or dropping them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::FixedText;
use super::pdus::PartialPduName;

/// A page of items, ordered by server, inbound before outbound.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineListPage {
    /// The items of the page, without their content.
    pub items: Vec<QuarantineRow>,
    /// Place after which the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A quarantined item or a dead letter: in a list, and alone with its content.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineRow {
    /// Server that the item came from, or was for.
    pub server: String,
    /// Id of the item for commands, such as `in:7`.
    pub id: String,
    /// `in` or `out`.
    pub direction: FixedText,
    /// Number in the id: of an outbound item its index in the outbox, of an inbound one a number of its own.
    pub number: u64,
    /// `pdu` or `update`.
    pub kind: FixedText,
    /// Code of the reason, for programs.
    pub code: FixedText,
    /// Reason in words, for people; of an item that the peer refused, the peer's own text.
    pub reason: String,
    /// Time at which it was put here.
    pub time: String,
    /// Context of a PDU, if it was readable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Identity of a PDU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pdu: Option<PartialPduName>,
    /// Sequence number of an inbound update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Submission that an outbound item belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submission: Option<String>,
    /// Size of the content in bytes.
    pub size: u64,
    /// The content as it was received, or as a JSON string if it is no JSON; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<RawValue>>,
}

/// The answer to `release` and `drop` of one item.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseResult {
    /// Server of the item.
    pub server: String,
    /// Id of the item.
    pub id: String,
    /// `delivered`, `held`, `known`, `queued` or `dropped`.
    pub outcome: FixedText,
}

/// The body of `release` and `drop` of all items of a server: their selection, and the place to continue from. An absent
/// key and null are the same.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkReleaseRequest {
    /// `next` of the answer before.
    #[serde(default)]
    pub after: Option<String>,
    /// Only items of this direction.
    #[serde(default)]
    pub direction: Option<String>,
    /// Only items of this kind.
    #[serde(default)]
    pub kind: Option<String>,
}

/// The result for a page of a server's items; of the command line, for all of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BulkReleaseResult {
    /// Server of the items.
    pub server: String,
    /// Number of items that were released or dropped.
    pub done: u64,
    /// Items that could not be released.
    pub stayed: Vec<KeptItem>,
    /// Place to continue from, if items remain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An item that could not be released.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct KeptItem {
    /// Id of the item.
    pub id: String,
    /// Code of the reason for which it stays, for programs.
    pub code: FixedText,
    /// Reason for which it stays, for people.
    pub reason: String,
}

/// The body of `release` and `drop` of all items that match, of any server: their selection, and the place to continue from. At least
/// one of `from`, `code`, `context` and `reason` is required. An absent key and null are the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantineSelection {
    /// Only items of the servers that match this pattern, such as `blue.example` or `*.example`.
    #[serde(default)]
    pub from: Option<String>,
    /// Only items of this direction.
    #[serde(default)]
    pub direction: Option<String>,
    /// Only items of this kind.
    #[serde(default)]
    pub kind: Option<String>,
    /// Only items with this code.
    #[serde(default)]
    pub code: Option<String>,
    /// Only PDUs of this context.
    #[serde(default)]
    pub context: Option<String>,
    /// Only items with this code, or with this text in their reason, in any case.
    #[serde(default)]
    pub reason: Option<String>,
    /// Only items that were put here before this time: `time` of the preview. An item that is refused again is then not selected
    /// twice.
    #[serde(default)]
    pub before: Option<String>,
    /// True: nothing is changed, and the numbers are those of the items that match.
    #[serde(default)]
    pub dry_run: bool,
    /// `next` of the answer before.
    #[serde(default)]
    pub after: Option<String>,
}

/// The result for a page of the items that match; of the command line, for all of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct SelectionResult {
    /// Time of the answer.
    pub time: String,
    /// True if nothing was changed.
    pub dry_run: bool,
    /// Items that match, by server, direction and code.
    pub groups: Vec<SelectedGroup>,
    /// Number of items that were released or dropped.
    pub done: u64,
    /// Items that could not be released.
    pub stayed: Vec<UnreleasedItem>,
    /// Place to continue from, if items remain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Items that match, of one server, direction and code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelectedGroup {
    /// Server of the items.
    pub server: String,
    /// `in` or `out`.
    pub direction: FixedText,
    /// Code of their reasons.
    pub code: FixedText,
    /// Number of the items.
    pub items: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// An item of any server that could not be released.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UnreleasedItem {
    /// Server of the item.
    pub server: String,
    /// Id of the item.
    pub id: String,
    /// Code of the reason for which it stays, for programs.
    pub code: FixedText,
    /// Reason for which it stays, for people.
    pub reason: String,
}

/// A page of the events that the messenger refused, by position.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RefusedEventPage {
    /// The events of the page.
    pub items: Vec<RefusedEventRow>,
    /// Position after which the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// An event that the messenger refused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RefusedEventRow {
    /// Position in the feed.
    pub position: u64,
    /// The event as it was pushed.
    pub event: Box<RawValue>,
    /// Reason of the refusal: the messenger's own text, or its status.
    pub reason: String,
    /// Time of the refusal.
    pub time: String,
}

/// The answer to `release` and `drop` of a refused event.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RefusedEventResult {
    /// Position of the event.
    pub position: u64,
    /// `released` or `dropped`.
    pub outcome: FixedText,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    const UPDATE: &str = concat!(
        r#"{"server":"red","id":"in:7","direction":"in","number":7,"kind":"update","code":"NOT_AN_OBJECT","#,
        r#""reason":"it is 1","time":"1970-01-11T00:00:00.000Z","seq":2,"size":13}"#
    );

    #[test]
    fn quarantine_page_round_trips() {
        let pdu = concat!(
            r#"{"server":"red","id":"out:3","direction":"out","number":3,"kind":"pdu","code":"REFUSED_BY_PEER","#,
            r##""reason":"no","time":"1970-01-11T00:00:00.000Z","context":"#room","pdu":{"origin":"red","pdu_id":null},"##,
            r#""submission":"m-1","size":90}"#
        );
        let page = assert_round_trip::<QuarantineListPage>(&[
            r#"{"items":[]}"#,
            &format!(r#"{{"items":[{UPDATE},{pdu}],"next":"red/out:3"}}"#),
        ]);
        let name = page.items[1].pdu.as_ref().expect("a PDU");
        assert_eq!((name.origin.as_deref(), name.pdu_id.as_deref()), (Some("red"), None));
    }

    #[test]
    fn quarantine_selection_round_trips() {
        let asked: QuarantineSelection =
            serde_json::from_str(r#"{"from":"*.example","dry_run":true}"#).expect("a body");
        assert_eq!((asked.from.as_deref(), asked.dry_run, asked.code), (Some("*.example"), true, None));
        let result = assert_round_trip::<SelectionResult>(&[
            r#"{"time":"1970-01-11T00:00:00.000Z","dry_run":true,"groups":[],"done":0,"stayed":[]}"#,
            concat!(
                r#"{"time":"1970-01-11T00:00:00.000Z","dry_run":false,"#,
                r#""groups":[{"server":"red","direction":"in","code":"NOT_AN_OBJECT","items":2,"bytes":4}],"done":1,"#,
                r#""stayed":[{"server":"red","id":"in:1","code":"STAYS","reason":"no"}],"next":"red/in:2"}"#
            ),
        ]);
        assert_eq!((result.groups[0].items, result.next.as_deref()), (2, Some("red/in:2")));
    }

    #[test]
    fn quarantined_content_stays_verbatim() {
        let whole = UPDATE.replace(r#""size":13}"#, r#""size":13,"body":{ "n":1e2, "n":1 }}"#);
        let body = assert_round_trip::<QuarantineRow>(&[UPDATE, &whole]).body.expect("a body");
        assert_eq!(body.get(), r#"{ "n":1e2, "n":1 }"#);
    }

    #[test]
    fn refused_events_round_trip() {
        let row = r#"{"position":7,"event":{ "n":1e2 },"reason":"no","time":"1970-01-11T00:00:00.000Z"}"#;
        let page = format!(r#"{{"items":[{row}],"next":7}}"#);
        let page = assert_round_trip::<RefusedEventPage>(&[r#"{"items":[]}"#, &page]);
        assert_eq!(page.items[0].event.get(), r#"{ "n":1e2 }"#);
        assert_round_trip::<RefusedEventResult>(&[r#"{"position":7,"outcome":"released"}"#]);
    }

    #[test]
    fn release_results_round_trip() {
        assert_round_trip::<ReleaseResult>(&[r#"{"server":"red","id":"in:7","outcome":"delivered"}"#]);
        assert_round_trip::<BulkReleaseRequest>(&[
            r#"{"after":null,"direction":null,"kind":null}"#,
            r#"{"after":"red/in:7","direction":"in","kind":"update"}"#,
        ]);
        let page = assert_round_trip::<BulkReleaseResult>(&[
            r#"{"server":"red","done":2,"stayed":[]}"#,
            concat!(
                r#"{"server":"red","done":99,"stayed":[{"id":"in:7","code":"STAYS","reason":"it is not JSON"}],"#,
                r#""next":"red/in:107"}"#
            ),
        ]);
        assert_eq!((page.done, &*page.stayed[0].code), (99, "STAYS"));
    }
}
